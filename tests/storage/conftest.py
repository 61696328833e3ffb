"""The store of each engine, empty, with a clock that stands still."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from letterlock.storage.sqlite.queue import SqliteQueue
from tests.fakes import FakeClock
from tests.storage.messages import Mail


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["sqlite"])
async def mail(clock: FakeClock, tmp_path: Path) -> AsyncIterator[Mail]:
    store = SqliteQueue(tmp_path / "queue" / "0.sqlite", clock)
    await store.open()
    yield Mail(store, clock)
    await store.close()
