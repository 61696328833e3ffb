"""The cache of MTA-STS policies in SQLite."""

import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import apsw

from letterlock.base.domains import Domain
from letterlock.protocols.mta_sts.cache import CacheEntry
from letterlock.storage.policies import (
    EMPTY,
    ENTRY_COLUMNS,
    FetchLease,
    StoredPolicy,
    make_row,
    read_row,
)
from letterlock.storage.records import from_micros, to_micros
from letterlock.storage.sqlite.connection import fetch_row, fetch_rows
from letterlock.storage.sqlite.node import NodeDatabase, read_beside

_COLUMNS = ", ".join(ENTRY_COLUMNS)
_LOAD = f"SELECT used, {_COLUMNS} FROM policies WHERE domain = ?"  # noqa: S608 - constants
_CLAIM = f"""
    INSERT INTO policies (domain, used, lease, lease_until) VALUES (?, ?, ?, ?)
    ON CONFLICT (domain) DO UPDATE SET lease = excluded.lease, lease_until = excluded.lease_until
    WHERE lease_until IS NULL OR lease_until <= ? OR lease_until > ?
    RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_SETTLE = f"""
    UPDATE policies SET {" = ?, ".join(ENTRY_COLUMNS)} = ?, lease = NULL, lease_until = NULL
    WHERE domain = ? AND lease = ?
"""  # noqa: S608 - constants
_DUE = """
    SELECT domain FROM policies
    WHERE refresh <= ? AND expires >= ? AND used >= ?
    AND (lease_until IS NULL OR lease_until <= ?)
    ORDER BY refresh LIMIT ?
"""
_LIST = f"""
    SELECT domain, used, {_COLUMNS} FROM policies WHERE domain > ? ORDER BY domain LIMIT ?
"""  # noqa: S608 - constants
_FORGET = """
    DELETE FROM policies
    WHERE used < ? AND (expires IS NULL OR expires < ?)
    AND (lease_until IS NULL OR lease_until <= ?)
"""


class SqlitePolicies:
    """Fulfils `storage.policies.PolicyStore`."""

    def __init__(
        self,
        database: NodeDatabase,
        *,
        random_name: Callable[[], str] = lambda: secrets.token_hex(12),
    ) -> None:
        self._database = database
        self._random_name = random_name

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    async def load(self, domain: Domain) -> StoredPolicy | None:
        row = await self._database.read(lambda connection: fetch_row(connection, _LOAD, (domain,)))
        return None if row is None else _read(domain, row)

    async def note_use(self, domain: Domain, now: datetime) -> None:
        sql = "UPDATE policies SET used = ? WHERE domain = ? AND used < ?"
        micros = to_micros(now)
        await self._database.run(
            lambda connection: connection.execute(sql, (micros, domain, micros)).fetchall()
        )

    async def claim_fetch(
        self, domain: Domain, now: datetime, until: datetime
    ) -> FetchLease | None:
        token = self._random_name()
        # A lease that ends far beyond ours was given by a clock that went wrong.
        latest = to_micros(until + (until - now))
        values = (domain, to_micros(now), token, to_micros(until), to_micros(now), latest)
        row = await self._database.run(lambda connection: fetch_row(connection, _CLAIM, values))
        return None if row is None else FetchLease(domain, token, read_row(row))

    async def settle_fetch(self, lease: FetchLease, entry: CacheEntry) -> bool:
        def settle(connection: apsw.Connection) -> bool:
            where = (lease.domain, lease.token)
            if entry == EMPTY:
                connection.execute("DELETE FROM policies WHERE domain = ? AND lease = ?", where)
            else:
                connection.execute(_SETTLE, (*make_row(entry), *where))
            return connection.changes() > 0

        return await self._database.run(settle)

    async def list_due(self, now: datetime, used_since: datetime, *, limit: int) -> list[Domain]:
        micros = to_micros(now)
        values = (micros, micros, to_micros(used_since), micros, limit)
        rows = await self._database.read(lambda connection: fetch_rows(connection, _DUE, values))
        return [Domain(row[0]) for row in rows]

    async def list_policies(
        self, *, limit: int = 1000, after: Domain | None = None
    ) -> list[StoredPolicy]:
        values = (after or "", limit)
        rows = await self._database.read(lambda connection: fetch_rows(connection, _LIST, values))
        return [_read(Domain(row[0]), row[1:]) for row in rows]

    async def forget(self, used_before: datetime, now: datetime) -> int:
        values = (to_micros(used_before), to_micros(now), to_micros(now))

        def forget(connection: apsw.Connection) -> int:
            connection.execute(_FORGET, values)
            return connection.changes()

        return await self._database.run(forget)


async def read_policy(path: Path, domain: Domain) -> StoredPolicy | None:
    """Look beside a running node what it keeps of a domain: nothing is made, changed or held up.

    None also where there is no file yet. Raises StoreUnavailable for one that can't be read.
    """
    rows = await read_beside(path, _LOAD, (domain,))
    return _read(domain, rows[0]) if rows else None


def _read(domain: Domain, row: tuple[int | str | None, ...]) -> StoredPolicy:
    used = row[0]
    assert isinstance(used, int)
    return StoredPolicy(domain, read_row(row[1:]), from_micros(used))
