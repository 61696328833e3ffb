"""An authority that issues over a store of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from letterlock.storage.sqlite.ca.store import SqliteAuthority
from tests.fakes import FakeClock
from tests.services.ca.issuing.office import Office


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    clock = FakeClock()
    store = SqliteAuthority(tmp_path / "authority.db", clock)
    await store.open()
    yield Office(store, clock)
    await store.close()
