"""`letterlock tlsrpt alerts`: what is open, and what is not told yet."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from letterlock.base.clock import SystemClock
from letterlock.cli.root import main
from letterlock.cli.tlsrpt_alerts import ALERTS_KEYS
from letterlock.storage.alerts import (
    Alert,
    AlertKey,
    AlertState,
    AlertText,
    Notice,
    Rule,
    Told,
    Turn,
)
from letterlock.storage.sqlite.alerts import SqliteAlerts
from letterlock.storage.sqlite.node import NodeDatabase
from tests.fakes import START

KEY = AlertKey(Rule.SEVERE, "example.org", "tlsa-invalid mx.example.org")
ENDED = AlertKey(Rule.EXPIRY, "", "certificate mx.example.org", "node1")
TEXT = AlertText("tlsa-invalid at mx", START, ("seen by a", "seen by b"), "mend it")
STATE = AlertState(
    (
        Alert(KEY, TEXT, START, START, START.date()),
        Alert(ENDED, TEXT, START, START, START.date(), ended=START),
    ),
    (Notice("n1", START, (Told(Turn.BEGAN, KEY, TEXT),), ("mail", "command"), reason="it failed"),),
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    path = tmp_path / "letterlock.toml"
    path.write_text(
        'hostname = "mx1.example.org"\ndomains = ["example.org"]\n'
        f'contact = "postmaster@example.org"\ndata_dir = "{tmp_path}/data"\n'
    )
    return path


def keep(config: Path) -> None:
    async def save() -> None:
        store = SqliteAlerts(NodeDatabase(config.parent / "data" / "node.sqlite", SystemClock()))
        await store.open()
        assert await store.save(0, STATE)
        await store.close()

    asyncio.run(save())


def ask(config: Path, *arguments: str) -> int:
    return main(["tlsrpt", "alerts", "--config", str(config), *arguments])


def list_keys(document: Mapping[str, Any], before: str = "") -> set[str]:
    found = set()
    for key, value in document.items():
        is_list = isinstance(value, list)
        if is_list and value and isinstance(value[0], dict) and key == "alerts":
            found |= list_keys(value[0], f"{before}{key}[].")
        else:
            found.add(f"{before}{key}{'[]' if is_list else ''}")
    return found


def test_what_is_open_is_listed_and_what_is_over_is_not(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(config)
    assert ask(config, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert list_keys(document) == set(ALERTS_KEYS)
    (alert,) = document["alerts"]
    assert (alert["rule"], alert["domain"], alert["node"]) == ("A2", "example.org", None)
    assert (alert["began"], alert["told"]) == ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z")
    assert document["waiting"] == [
        {"made": "2026-03-01T12:00:00Z", "ways": ["mail", "command"], "reason": "it failed"}
    ]


def test_it_is_told_in_words(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(config)
    assert ask(config) == 1
    assert capsys.readouterr().out.splitlines() == [
        "example.org: tlsa-invalid at mx [A2]",
        "  since      2026-03-01 12:00 UTC",
        "  seen       seen by a",
        "             seen by b",
        "  do         mend it",
        "  told       2026-03-01 12:00 UTC",
        "Not told yet by mail and command: it failed",
    ]


def test_nothing_open_is_said_and_that_nobody_looks(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(config) == 0
    assert capsys.readouterr().out == "No alerts are open.\n"
    config.write_text(config.read_text() + "[tlsrpt.alerts]\nenabled = false\n")
    assert ask(config) == 0
    assert "nobody looks for new ones" in capsys.readouterr().out


def test_a_database_that_is_away_is_one_line(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (config.parent / "data" / "node.sqlite").mkdir()
    assert ask(config) in (2, 3)
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "alerts cannot be read now" in error
