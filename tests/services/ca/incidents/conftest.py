"""An authority's store in SQLite, a clock that stands still, and certificates."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from letterlock.storage.sqlite.ca.store import SqliteAuthority
from tests.fakes import FakeClock
from tests.services.ca.incidents.scene import Scene


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    clock = FakeClock()
    store = SqliteAuthority(tmp_path / "authority.db", clock)
    await store.open()
    yield Scene(store, clock)
    await store.close()
