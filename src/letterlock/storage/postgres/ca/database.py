"""The authority's tables in PostgreSQL: how this process reads and changes them.

They have a schema of their own, so that the database may be that of a node, and its role need not
be. What arrives while one commit runs is committed together by the next.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from letterlock.base.clock import Clock
from letterlock.storage.ca.scripts.script import Refused, Script
from letterlock.storage.postgres.ca.following import follow
from letterlock.storage.postgres.connection import Connection, Database, Schema
from letterlock.storage.postgres.group import Group
from letterlock.storage.records import to_micros

SCHEMA = Schema(
    package="letterlock.storage.postgres.ca.migrations",
    versions="schema_version",
    name="letterlock_authority",
    leaves_nothing=True,
)
COMMIT_LOCK = 0x61757468
"""The first key of the advisory lock that lets one commit after the other, over all processes."""

_TAKE_TURN = "SELECT pg_advisory_xact_lock($1, hashtext(current_schema()))"

T = TypeVar("T")
_Make = Callable[[], Script[Any]]
_Outcome = tuple[Any, Exception | None]
_First = Callable[[Connection], Awaitable[None]] | None

_ITS_OWN = (Refused, ValueError, TypeError, LookupError)
"""A script is refused, or is a mistake of who wrote it or its values: nobody else's business."""


class AuthorityDatabase:
    """One process's connections. `node` names it. Fulfils `storage.ca.scripted.Engine`."""

    def __init__(self, dsn: str, node: str, clock: Clock) -> None:
        self._database = Database(dsn, f"{node}/authority", SCHEMA)
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._commits = Group[_Make, _Outcome](self._commit_all, self._begin)
        self._changes = Group[_Make, _Outcome](self._change_all, self._begin)

    async def open(self) -> None:
        """Make the tables or bring them forward. Raises LocalError and StoreUnavailable."""
        await self._database.open(to_micros(self._clock.now()))

    async def close(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._database.close()

    async def read(self, make: Callable[[], Script[T]]) -> T:
        return await self._database.look(lambda connection: follow(connection, make()))

    async def list(self, make: Callable[[], Script[T]]) -> T:
        return await self.read(make)

    async def commit(self, make: Callable[[], Script[T]]) -> T:
        return await self._add(self._commits, make)

    async def change(self, make: Callable[[], Script[T]]) -> T:
        return await self._add(self._changes, make)

    async def _add(self, group: Group[_Make, _Outcome], make: Callable[[], Script[T]]) -> T:
        self._database.require_open()
        result, error = await group.add(make)
        if error is not None:
            raise error
        found: T = result
        return found

    async def _commit_all(self, makes: Sequence[_Make]) -> Sequence[_Outcome]:
        return await self._do_all(makes, _take_turn)

    async def _change_all(self, makes: Sequence[_Make]) -> Sequence[_Outcome]:
        return await self._do_all(makes, None)

    async def _do_all(self, makes: Sequence[_Make], first: _First) -> Sequence[_Outcome]:
        """Follow scripts in one transaction; anew, with savepoints, where one of several fails."""
        try:
            return await self._database.run(partial(_follow_all, makes, first))
        except _ITS_OWN as error:
            if len(makes) == 1:
                return [(None, error)]
        return await self._database.run(partial(_follow_each, makes, first))

    def _begin(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        # It goes on to its end though who waited for it is cancelled; `close` waits for it.
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _take_turn(connection: Connection) -> None:
    await connection.execute(_TAKE_TURN, COMMIT_LOCK)


async def _follow_all(
    makes: Sequence[_Make], first: _First, connection: Connection
) -> list[_Outcome]:
    """Follow scripts, none of which fails. Raises what the first that does raises."""
    if first is not None:
        await first(connection)
    return [(await follow(connection, make()), None) for make in makes]


async def _follow_each(
    makes: Sequence[_Make], first: _First, connection: Connection
) -> list[_Outcome]:
    """Follow scripts with a savepoint each: one that fails takes only itself back."""
    if first is not None:
        await first(connection)
    return [await _follow_one(connection, make) for make in makes]


async def _follow_one(connection: Connection, make: _Make) -> _Outcome:
    try:
        async with connection.transaction():
            return await follow(connection, make()), None
    except _ITS_OWN as error:
        return None, error
