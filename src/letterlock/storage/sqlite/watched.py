"""What was seen of our certificates in use, in SQLite."""

from datetime import datetime
from pathlib import Path

import apsw

from letterlock.storage.certificates import CertificateId
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.records import to_micros
from letterlock.storage.sqlite.connection import Value, fetch_rows
from letterlock.storage.sqlite.node import NodeDatabase, read_beside
from letterlock.storage.watched import (
    WATCHED_COLUMNS,
    Watched,
    make_watched_row,
    read_watched_row,
)

_COLUMNS = ", ".join(WATCHED_COLUMNS)
_NOTE = f"""
    INSERT INTO watched_certificates ({_COLUMNS})
    VALUES ({", ".join("?" for _ in WATCHED_COLUMNS)})
    ON CONFLICT (node, name, key_type) DO UPDATE SET
        version = excluded.version, looked = excluded.looked,
        look_again = excluded.look_again, findings = excluded.findings
"""  # noqa: S608 - constants
_LIST = f"""
    SELECT {_COLUMNS} FROM watched_certificates WHERE node = ? AND (name, key_type) > (?, ?)
    ORDER BY name, key_type LIMIT ?
"""  # noqa: S608 - constants
_LIST_OF = f"""
    SELECT {_COLUMNS} FROM watched_certificates WHERE name = ? AND key_type = ? ORDER BY node
"""  # noqa: S608 - constants
_FOUND = f"""
    SELECT {_COLUMNS} FROM watched_certificates WHERE findings IS NOT NULL
    ORDER BY name, key_type, node LIMIT ?
"""  # noqa: S608 - constants
_PRUNE = "DELETE FROM watched_certificates WHERE looked < ?"


class SqliteWatched:
    """Fulfils `storage.watched.WatchStore`, on a database that is open."""

    def __init__(self, database: NodeDatabase) -> None:
        self._database = database

    async def note(self, watched: Watched) -> None:
        row = make_watched_row(watched)
        await self._database.run(lambda connection: connection.execute(_NOTE, row).fetchall())

    async def list_watched(
        self, node: str, *, limit: int = 1000, after: CertificateId | None = None
    ) -> list[Watched]:
        name, key_type = ("", "") if after is None else (after.name, str(after.key_type))
        return await self._read(_LIST, node, name, key_type, limit)

    async def list_watched_of(self, which: CertificateId) -> list[Watched]:
        return await self._read(_LIST_OF, which.name, which.key_type)

    async def list_found(self, *, limit: int = 1000) -> list[Watched]:
        return await self._read(_FOUND, limit)

    async def prune(self, looked_before: datetime) -> int:
        def prune(connection: apsw.Connection) -> int:
            connection.execute(_PRUNE, (to_micros(looked_before),))
            return connection.changes()

        return await self._database.run(prune)

    async def _read(self, sql: str, *values: Value) -> list[Watched]:
        rows = await self._database.read(lambda connection: fetch_rows(connection, sql, values))
        return [read_watched_row(row) for row in rows]


async def read_found(path: Path, *, limit: int = 1000) -> list[Watched]:
    """List beside a running node what `WatchStore.list_found` does. Raises StoreUnavailable."""
    try:
        rows = await read_beside(path, _FOUND, (limit,))
    except StoreUnavailable as error:
        # The node of the release before still runs.
        if "no such table" in str(error):
            return []
        raise
    return [read_watched_row(row) for row in rows]
