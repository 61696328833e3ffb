"""Which processes that share the database still live, and freeing what the others had claimed.

A process holds an advisory lock on its name, and loses it with its connection. One that lives takes
it again within seconds, so a name that nobody holds for longer is that of a dead one.
"""

from functools import partial

from letterlock.base.clock import Clock
from letterlock.storage.postgres import changing
from letterlock.storage.postgres.bodies import sweep
from letterlock.storage.postgres.connection import NAME_LOCK, Connection, Database
from letterlock.storage.queue import StoreUnavailable

ABANDONED_SECONDS = 60.0
"""Longer than a process that lives needs to come back to a database that was away."""

# A lock of two keys is shown as classid and objid, both unsigned, and objsubid 2 (pg_locks).
_FIND_UNHELD = """
    SELECT owner FROM (
        SELECT DISTINCT regexp_replace(lease, '/[^/]*$', '') AS owner FROM deliveries
        WHERE lease IS NOT NULL
    ) AS owners
    WHERE owner <> $1 AND NOT EXISTS (
        SELECT 1 FROM pg_locks
        WHERE locktype = 'advisory' AND classid = $2::bigint::oid AND objsubid = 2
            AND objid = (hashtext(owner)::bigint & 4294967295)::oid
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""
_TRY_NAME = "SELECT pg_try_advisory_xact_lock($1, hashtext($2))"


class Owners:
    """The processes that have leases, as the process `node` sees them."""

    def __init__(self, database: Database, node: str, clock: Clock) -> None:
        self._database = database
        self._node = node
        self._clock = clock
        self._unheld_since: dict[str, float] = {}

    async def free_abandoned(self) -> int:
        """Keep our own name, and free what dead processes had claimed; gives how many claims."""
        try:
            await self._database.keep_name()
            names = await self._database.run(partial(_find_unheld, node=self._node))
            now = self._clock.monotonic()
            self._unheld_since = {name: self._unheld_since.get(name, now) for name in names}
            dead = [
                name
                for name, since in self._unheld_since.items()
                if now - since >= ABANDONED_SECONDS
            ]
            return sum([await self._database.run(partial(_free, node=name)) for name in dead])
        except StoreUnavailable:
            # When it is back, all have to take their names again.
            self._unheld_since.clear()
            raise


async def _find_unheld(connection: Connection, node: str) -> list[str]:
    rows = await connection.fetch(_FIND_UNHELD, node, NAME_LOCK)
    return [row["owner"] for row in rows]


async def _free(connection: Connection, node: str) -> int:
    """Free what `node` left, unless somebody has its name now."""
    if not await connection.fetchval(_TRY_NAME, NAME_LOCK, node):
        return 0
    await sweep(connection, node, is_alone=True)
    return await changing.free_leases(connection, node)
