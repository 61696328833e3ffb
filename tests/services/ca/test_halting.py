"""The halt switch: who, when, why, once; and in the audit log."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.protocols.audit.decisions import HaltLogged, RequestLogged
from letterlock.protocols.audit.records import read_decision
from letterlock.services.ca.halting import halt, resume
from letterlock.storage.ca.kept import NOT_HALTED, Halt
from letterlock.storage.sqlite.ca.store import SqliteAuthority
from tests.fakes import START, FakeClock

LATER = START + timedelta(hours=1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteAuthority]:
    store = SqliteAuthority(tmp_path / "authority.db", FakeClock())
    await store.open()
    yield store
    await store.close()


async def list_logged(store: SqliteAuthority) -> list[object]:
    return [read_decision(each.document) for each in await store.list_records(0, 100)]


async def test_halting_says_who_when_and_why(store: SqliteAuthority) -> None:
    assert await store.load_halt() == NOT_HALTED
    halted = Halt(is_halted=True, since=START, why="a key was lost", who="me")
    assert await halt(store, "a key\nwas lost", "me", START) == halted
    assert await store.load_halt() == halted
    resumed = Halt(is_halted=False, since=LATER, who="you")
    assert await resume(store, "you", LATER) == resumed
    assert await store.load_halt() == resumed
    assert await list_logged(store) == [
        HaltLogged(is_halted=True, why="a key was lost", who="me"),
        HaltLogged(is_halted=False, why="", who="you"),
    ]


async def test_who_halts_what_is_halted_changes_nothing(store: SqliteAuthority) -> None:
    first = await halt(store, "one", "me", START)
    because = RequestLogged("order-1", "ee")
    assert await halt(store, "two", "you", LATER, [because]) == first
    assert await store.load_halt() == first
    # What it was for is logged all the same.
    assert (await list_logged(store))[1:] == [because]
    await resume(store, "me", LATER)
    assert (await resume(store, "you", LATER)).who == "me"


async def test_of_two_that_halt_at_a_time_both_are_told_how_it_stands(
    store: SqliteAuthority,
) -> None:
    found = await asyncio.gather(halt(store, "one", "me", START), halt(store, "two", "you", START))
    assert found[0] == found[1] == await store.load_halt()
    assert len(await list_logged(store)) == 1
