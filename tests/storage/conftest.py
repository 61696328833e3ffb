"""The store of each engine, empty, with a clock that stands still."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest

from letterlock.storage.postgres.queue import PostgresQueue
from letterlock.storage.queue import QueueStore
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.fakes import FakeClock
from tests.storage.messages import Mail
from tests.storage.postgres_server import PostgresServer

ENGINES = ["sqlite", pytest.param("postgres", marks=pytest.mark.peer("postgresql"))]

TABLES = (
    *("attempts", "deliveries", "destinations", "recipients"),
    *("bodies", "messages", "large_bodies", "totals"),
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
