"""Every certificate that we ever got, in PostgreSQL, which all nodes share."""

from datetime import datetime

from letterlock.storage.certificates import CertificateId
from letterlock.storage.issued import (
    ISSUED_COLUMNS,
    IssuedCertificate,
    make_issued_row,
    read_issued_row,
)
from letterlock.storage.postgres.node import NodeDatabase
from letterlock.storage.records import to_micros

_COLUMNS = ", ".join(ISSUED_COLUMNS)
_PLACES = ", ".join(f"${number}" for number, _ in enumerate(ISSUED_COLUMNS, 1))
_ADD = f"""
    INSERT INTO issued_certificates ({_COLUMNS}) VALUES ({_PLACES})
    ON CONFLICT (fingerprint) DO NOTHING
"""  # noqa: S608 - constants
_REVOKE = """
    UPDATE issued_certificates SET revoked = coalesce(revoked, $2) WHERE fingerprint = $1
    RETURNING true
"""
_SELECT = f"SELECT {_COLUMNS} FROM issued_certificates"  # noqa: S608 - constants
_FIND = f"{_SELECT} WHERE serial = $1 ORDER BY fingerprint"
_LIST_FOR = f"{_SELECT} WHERE name = $1 AND key_type = $2 ORDER BY issued DESC, fingerprint"
_LIST = f"{_SELECT} WHERE fingerprint > $1 ORDER BY fingerprint LIMIT $2"
_PRUNE = "DELETE FROM issued_certificates WHERE not_after < $1 RETURNING true"


class PostgresIssued:
    """Fulfils `storage.issued.IssuedStore`, on a database that is open."""

    def __init__(self, database: NodeDatabase) -> None:
        self._database = database

    async def add_issued(self, certificate: IssuedCertificate) -> None:
        await self._database.fetch(_ADD, *make_issued_row(certificate))

    async def note_revoked(self, fingerprint: str, now: datetime) -> bool:
        return await self._database.has_changed(_REVOKE, fingerprint, to_micros(now))

    async def find_issued(self, serial: str) -> list[IssuedCertificate]:
        return await self._read(_FIND, serial)

    async def list_issued_for(self, which: CertificateId) -> list[IssuedCertificate]:
        return await self._read(_LIST_FOR, which.name, which.key_type)

    async def list_issued(
        self, *, limit: int = 1000, after: str | None = None
    ) -> list[IssuedCertificate]:
        return await self._read(_LIST, after or "", limit)

    async def prune_issued(self, ended_before: datetime) -> int:
        return len(await self._database.fetch(_PRUNE, to_micros(ended_before)))

    async def _read(self, query: str, *parameters: object) -> list[IssuedCertificate]:
        return [read_issued_row(row) for row in await self._database.fetch(query, *parameters)]
