"""Alerts, in both engines: one value, and who saves it names the one that was read."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from letterlock.storage.alerts import (
    Alert,
    AlertKey,
    AlertState,
    AlertStore,
    AlertText,
    KeptAlerts,
    Notice,
    Rule,
    Told,
    Turn,
    take_state,
)
from letterlock.storage.postgres import node as postgres
from letterlock.storage.postgres.alerts import PostgresAlerts
from letterlock.storage.sqlite import node as sqlite
from letterlock.storage.sqlite.alerts import SqliteAlerts
from tests.fakes import START, FakeClock
from tests.storage.conftest import ENGINES
from tests.storage.node_stores import emptied_node

KEY = AlertKey(Rule.OUTBOUND, "ä.example", "x", "node1")
TEXT = AlertText("it fails\0", START, ("one", "two"), "mend it")
STATE = AlertState(
    (Alert(KEY, TEXT, START, START, START.date(), 2, is_known=False, ended=START),),
    (Notice("n1", START, (Told(Turn.ENDED, KEY, TEXT, "why"),), ("mail",), START, "no"),),
)


@pytest.fixture(params=ENGINES)
async def store(
    request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path
) -> AsyncIterator[AlertStore]:
    store: AlertStore
    if request.param == "sqlite":
        store = SqliteAlerts(sqlite.NodeDatabase(tmp_path / "node.sqlite", clock))
    else:
        dsn = await emptied_node(request.getfixturevalue("node_schema"))
        store = PostgresAlerts(postgres.NodeDatabase(dsn, "one", clock))
    await store.open()
    yield store
    await store.close()


async def test_a_state_is_kept_as_it_is(store: AlertStore) -> None:
    assert await store.load() == KeptAlerts()
    assert await store.save(0, STATE)
    assert await store.load() == KeptAlerts(1, STATE)
    assert await store.save(1, AlertState())
    assert await store.load() == KeptAlerts(2)


async def test_who_has_read_an_older_one_changes_nothing(store: AlertStore) -> None:
    assert await store.save(0, STATE)
    assert not await store.save(0, AlertState())
    assert not await store.save(7, AlertState())
    assert await store.save(1, STATE)
    assert not await store.save(1, AlertState())
    assert await store.load() == KeptAlerts(2, STATE)


def test_what_another_release_wrote_and_nobody_can_read_is_nothing() -> None:
    assert take_state(5, '{"alerts": [{"key": 1}]}') == KeptAlerts(5)
    assert take_state(5, "") == KeptAlerts(5)
