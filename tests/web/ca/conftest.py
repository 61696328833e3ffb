"""An authority for each test."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from shutil import copy

import pytest

from tests.acme_http import Client, World
from tests.acme_store import WatchedStore
from tests.fakes import FakeClock


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without anything in it: to copy one is quicker than to make one."""
    path = tmp_path_factory.mktemp("authority") / "empty.db"

    async def make() -> None:
        store = WatchedStore(path, FakeClock())
        await store.open()
        await store.close()

    asyncio.run(make())
    return path


@pytest.fixture
async def store(empty_store: Path, tmp_path: Path) -> AsyncIterator[WatchedStore]:
    path = Path(copy(empty_store, tmp_path / "authority.db"))
    found = WatchedStore(path, FakeClock())
    await found.open()
    yield found
    await found.close()


@pytest.fixture
async def world(store: WatchedStore) -> World:
    return World(store)


@pytest.fixture
async def client(world: World) -> Client:
    """One who has an account."""
    found = Client(world)
    await found.open()
    return found
