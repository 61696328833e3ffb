"""What was seen of our certificates in use, in PostgreSQL, which all nodes share."""

from datetime import datetime

from letterlock.storage.certificates import CertificateId
from letterlock.storage.postgres.connection import fetch_beside
from letterlock.storage.postgres.node import NodeDatabase
from letterlock.storage.records import to_micros
from letterlock.storage.watched import (
    WATCHED_COLUMNS,
    Watched,
    make_watched_row,
    read_watched_row,
)

_COLUMNS = ", ".join(WATCHED_COLUMNS)
_PLACES = ", ".join(f"${number}" for number, _ in enumerate(WATCHED_COLUMNS, 1))
_NOTE = f"""
    INSERT INTO watched_certificates ({_COLUMNS}) VALUES ({_PLACES})
    ON CONFLICT (node, name, key_type) DO UPDATE SET
        version = excluded.version, looked = excluded.looked,
        look_again = excluded.look_again, findings = excluded.findings
"""  # noqa: S608 - constants
_LIST = f"""
    SELECT {_COLUMNS} FROM watched_certificates WHERE node = $1 AND (name, key_type) > ($2, $3)
    ORDER BY name, key_type LIMIT $4
"""  # noqa: S608 - constants
_LIST_OF = f"""
    SELECT {_COLUMNS} FROM watched_certificates WHERE name = $1 AND key_type = $2 ORDER BY node
"""  # noqa: S608 - constants
_FOUND = f"""
    SELECT {_COLUMNS} FROM watched_certificates WHERE findings IS NOT NULL
    ORDER BY name, key_type, node LIMIT $1
"""  # noqa: S608 - constants
_PRUNE = "DELETE FROM watched_certificates WHERE looked < $1 RETURNING true"


class PostgresWatched:
    """Fulfils `storage.watched.WatchStore`, on a database that is open."""

    def __init__(self, database: NodeDatabase) -> None:
        self._database = database

    async def note(self, watched: Watched) -> None:
        await self._database.fetch(_NOTE, *make_watched_row(watched))

    async def list_watched(
        self, node: str, *, limit: int = 1000, after: CertificateId | None = None
    ) -> list[Watched]:
        place = ("", "") if after is None else (after.name, str(after.key_type))
        return [
            read_watched_row(row) for row in await self._database.fetch(_LIST, node, *place, limit)
        ]

    async def list_watched_of(self, which: CertificateId) -> list[Watched]:
        rows = await self._database.fetch(_LIST_OF, which.name, which.key_type)
        return [read_watched_row(row) for row in rows]

    async def list_found(self, *, limit: int = 1000) -> list[Watched]:
        return [read_watched_row(row) for row in await self._database.fetch(_FOUND, limit)]

    async def prune(self, looked_before: datetime) -> int:
        return len(await self._database.fetch(_PRUNE, to_micros(looked_before)))


async def read_found(dsn: str, *, limit: int = 1000) -> list[Watched]:
    """List beside the nodes what `WatchStore.list_found` does.

    Raises LocalError and StoreUnavailable.
    """
    return [read_watched_row(row) for row in await fetch_beside(dsn, _FOUND, limit)]
