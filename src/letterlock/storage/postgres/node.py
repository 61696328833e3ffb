"""The node's database in PostgreSQL, which all nodes share; it may be the queue's."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from letterlock.base.clock import Clock
from letterlock.storage.postgres.connection import NODE_SCHEMA, Connection, Database
from letterlock.storage.records import to_micros

T = TypeVar("T")


class NodeDatabase:
    """One process's connections. `node` names it among all that share the database.

    The queue's name of the same process is another.
    """

    def __init__(self, dsn: str, node: str, clock: Clock) -> None:
        self._database = Database(dsn, f"{node}/node", NODE_SCHEMA)
        self._clock = clock

    async def open(self) -> None:
        """Make the tables or bring them forward. Raises LocalError and StoreUnavailable."""
        await self._database.open(to_micros(self._clock.now()))

    async def close(self) -> None:
        await self._database.close()

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do work in a transaction of its own. Raises StoreUnavailable."""
        return await self._database.run(work)

    async def fetch(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Do one statement; gives its rows. Raises StoreUnavailable."""
        rows = await self._database.run(lambda connection: connection.fetch(query, *parameters))
        return [tuple(row) for row in rows]

    async def fetch_row(self, query: str, *parameters: object) -> tuple[Any, ...] | None:
        """Do one statement; gives its first row, None when there is none."""
        row = await self._database.run(lambda connection: connection.fetchrow(query, *parameters))
        return None if row is None else tuple(row)

    async def has_changed(self, query: str, *parameters: object) -> bool:
        """Do one statement that returns a row for each that it changed; gives if there is one."""
        return await self.fetch_row(query, *parameters) is not None
