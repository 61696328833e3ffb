"""Every certificate that we ever got, in SQLite."""

from datetime import datetime

import apsw

from letterlock.storage.certificates import CertificateId
from letterlock.storage.issued import (
    ISSUED_COLUMNS,
    IssuedCertificate,
    make_issued_row,
    read_issued_row,
)
from letterlock.storage.records import to_micros
from letterlock.storage.sqlite.connection import Value, fetch_rows
from letterlock.storage.sqlite.node import NodeDatabase

_COLUMNS = ", ".join(ISSUED_COLUMNS)
_ADD = f"""
    INSERT INTO issued_certificates ({_COLUMNS}) VALUES ({", ".join("?" for _ in ISSUED_COLUMNS)})
    ON CONFLICT (fingerprint) DO NOTHING
"""  # noqa: S608 - constants
_REVOKE = """
    UPDATE issued_certificates SET revoked = coalesce(revoked, ?) WHERE fingerprint = ?
"""
_SELECT = f"SELECT {_COLUMNS} FROM issued_certificates"  # noqa: S608 - constants
_FIND = f"{_SELECT} WHERE serial = ? ORDER BY fingerprint"
_LIST_FOR = f"{_SELECT} WHERE name = ? AND key_type = ? ORDER BY issued DESC, fingerprint"
_LIST = f"{_SELECT} WHERE fingerprint > ? ORDER BY fingerprint LIMIT ?"
_PRUNE = "DELETE FROM issued_certificates WHERE not_after < ?"


class SqliteIssued:
    """Fulfils `storage.issued.IssuedStore`, on a database that is open."""

    def __init__(self, database: NodeDatabase) -> None:
        self._database = database

    async def add_issued(self, certificate: IssuedCertificate) -> None:
        await self._change(_ADD, *make_issued_row(certificate))

    async def note_revoked(self, fingerprint: str, now: datetime) -> bool:
        return await self._change(_REVOKE, to_micros(now), fingerprint) > 0

    async def find_issued(self, serial: str) -> list[IssuedCertificate]:
        return await self._read(_FIND, serial)

    async def list_issued_for(self, which: CertificateId) -> list[IssuedCertificate]:
        return await self._read(_LIST_FOR, which.name, which.key_type)

    async def list_issued(
        self, *, limit: int = 1000, after: str | None = None
    ) -> list[IssuedCertificate]:
        return await self._read(_LIST, after or "", limit)

    async def prune_issued(self, ended_before: datetime) -> int:
        return await self._change(_PRUNE, to_micros(ended_before))

    async def _read(self, sql: str, *values: Value) -> list[IssuedCertificate]:
        rows = await self._database.read(lambda connection: fetch_rows(connection, sql, values))
        return [read_issued_row(row) for row in rows]

    async def _change(self, sql: str, *values: Value) -> int:
        def change(connection: apsw.Connection) -> int:
            connection.execute(sql, values)
            return connection.changes()

        return await self._database.run(change)
