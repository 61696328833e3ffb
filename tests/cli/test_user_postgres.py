"""`letterlock user` where the accounts are in PostgreSQL, for all nodes."""

import io
import json
import sys
from pathlib import Path

import pytest

from letterlock.cli.root import main
from tests.cli.test_queue_postgres import write_config
from tests.storage.postgres_server import PostgresServer

pytestmark = pytest.mark.peer("postgresql")


def test_accounts_are_one_nodes_and_all_nodes(
    tmp_path: Path,
    postgres: PostgresServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = postgres.create_schema()
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    one, two = (write_config(folder, url) for folder in folders)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"secret\n")))
    assert main(["user", "add", "alice", "--config", one]) == 0
    capsys.readouterr()
    assert main(["user", "list", "--json", "--config", two]) == 0
    (user,) = json.loads(capsys.readouterr().out)["users"]
    assert (user["name"], user["has_scram"]) == ("alice", True)
    assert main(["user", "delete", "alice", "--config", two]) == 0
    assert main(["user", "delete", "alice", "--config", one]) == 1
