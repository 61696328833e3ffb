"""`letterlock queue` where the queue is in PostgreSQL."""

import asyncio
import json
from pathlib import Path

import pytest

from letterlock.cli.root import main
from letterlock.storage.postgres.queue import PostgresQueue
from letterlock.storage.queue import QueueId
from tests.fakes import FakeClock
from tests.storage.messages import Mail
from tests.storage.postgres_server import PostgresServer

pytestmark = pytest.mark.peer("postgresql")


async def fill(url: str) -> QueueId:
    store = PostgresQueue(url, "filler", FakeClock())
    await store.open()
    try:
        return await Mail(store, FakeClock()).save("example.com")
    finally:
        await store.close()


def write_config(folder: Path, url: str) -> str:
    file = folder / "letterlock.toml"
    file.write_text(
        'hostname = "mx1.example.org"\ndomains = ["example.org"]\n'
        f'contact = "postmaster@example.org"\ndata_dir = "{folder / "data"}"\n'
        f'[queue]\nengine = "postgres"\nurl = "{url}"\n'
    )
    return str(file)


async def test_the_shared_queue_is_listed_and_changed(
    tmp_path: Path, postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres.create_schema()
    queue_id = await fill(url)
    config = write_config(tmp_path, url)

    def run(*arguments: str) -> dict[str, object]:
        assert main(["queue", *arguments, "--json", "--config", config]) == 0
        answer: dict[str, object] = json.loads(capsys.readouterr().out)
        return answer

    def walk() -> None:
        messages = run("list")["messages"]
        assert isinstance(messages, list)
        assert [message["id"] for message in messages] == [queue_id]
        assert run("hold", queue_id)["changed"] == 1
        assert run("show", queue_id)["hold"] is not None
        assert run("release", "--all")["changed"] == 1
        assert run("delete", queue_id)["changed"] == 1
        assert run("list")["messages"] == []

    await asyncio.to_thread(walk)


@pytest.mark.parametrize("command", ["list", "show 43dkKTfGz7pNr7y"])
def test_a_database_that_is_away_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """And not as a defect of ours."""
    config = write_config(tmp_path, f"postgresql://x@/x?host={tmp_path}")
    assert main(["queue", *command.split(), "--config", config]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        "letterlock: the queue cannot be read: PostgreSQL: no socket is where its URL says: does "
        "the server run?\n"
    )


def test_no_database_named_is_a_mistake_of_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["queue", "list", "--config", write_config(tmp_path, "")]) == 2
    assert "queue.engine: needs url" in capsys.readouterr().err
