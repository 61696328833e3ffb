"""The store of each engine, empty, with a clock that stands still."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest

from letterlock.storage.ca.store import AuthorityStore
from letterlock.storage.postgres.queue import PostgresQueue
from letterlock.storage.queue import QueueStore
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.fakes import FakeClock
from tests.storage.authorities import (
    MakeStore,
    emptied_authority,
    postgres_store,
    sqlite_store,
)
from tests.storage.messages import Mail
from tests.storage.node_stores import MakeNode, NodeStores, emptied_node, postgres_node, sqlite_node
from tests.storage.postgres_server import PostgresServer

ENGINES = ["sqlite", pytest.param("postgres", marks=pytest.mark.peer("postgresql"))]

TABLES = (
    *("attempts", "deliveries", "destinations", "recipients"),
    *("bodies", "messages", "large_bodies", "totals", "tls_sessions"),
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def schema(postgres: PostgresServer) -> str:
    return postgres.create_schema()


@pytest.fixture
async def dsn(schema: str) -> str:
    return await emptied(schema)


async def emptied(schema: str) -> str:
    """Give the same schema with an empty queue: emptying is quicker than making."""
    connection = await asyncpg.connect(schema)
    if await connection.fetchval("SELECT to_regclass('messages')") is not None:
        await connection.execute(";".join(f"DELETE FROM {table}" for table in TABLES))
    await connection.close()
    return schema


@pytest.fixture(params=ENGINES)
async def mail(
    request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path
) -> AsyncIterator[Mail]:
    store: QueueStore
    if request.param == "sqlite":
        store = SqliteQueue(tmp_path / "queue" / "0.sqlite", clock)
    else:
        dsn = await emptied(request.getfixturevalue("schema"))
        store = PostgresQueue(dsn, "node1", clock)
    await store.open()
    yield Mail(store, clock)
    await store.close()


@pytest.fixture(scope="session")
def node_schema(postgres: PostgresServer) -> str:
    return postgres.create_schema()


@pytest.fixture(params=ENGINES)
async def make_node(request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path) -> MakeNode:
    """Give what makes further stores on one empty database, as other processes would."""
    return await find_maker(request, clock, tmp_path)


async def find_maker(request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path) -> MakeNode:
    """Give `make_node` for the engine that is the request's parameter."""
    if request.param == "sqlite":
        return partial(sqlite_node, tmp_path / "data" / "node.sqlite", clock)
    return partial(postgres_node, await emptied_node(request.getfixturevalue("node_schema")), clock)


@pytest.fixture
async def node(make_node: MakeNode) -> AsyncIterator[NodeStores]:
    node = make_node()
    await node.certificates.open()
    yield node
    await node.certificates.close()


@pytest.fixture(params=ENGINES)
async def make_authority(
    request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path
) -> MakeStore:
    """Give what makes further stores on one empty database, as other processes would."""
    if request.param == "postgres":
        dsn = await emptied_authority(request.getfixturevalue("node_schema"))
        return partial(postgres_store, dsn, clock)
    return partial(sqlite_store, tmp_path / "ca" / "authority.db", clock)


@pytest.fixture
async def authority(make_authority: MakeStore) -> AsyncIterator[AuthorityStore]:
    store = make_authority()
    await store.open()
    yield store
    await store.close()
