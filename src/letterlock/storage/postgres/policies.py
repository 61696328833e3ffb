"""The cache of MTA-STS policies in PostgreSQL, which all nodes share."""

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from letterlock.base.clock import Clock
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
from letterlock.storage.postgres.connection import fetch_beside
from letterlock.storage.postgres.node import NodeDatabase
from letterlock.storage.records import from_micros, to_micros

_COLUMNS = ", ".join(ENTRY_COLUMNS)
_LOAD = f"SELECT used, {_COLUMNS} FROM policies WHERE domain = $1"  # noqa: S608 - constants
_NOTE_USE = "UPDATE policies SET used = $1 WHERE domain = $2 AND used < $1"
_CLAIM = f"""
    INSERT INTO policies (domain, used, lease, lease_until) VALUES ($1, $2, $3, $4)
    ON CONFLICT (domain) DO UPDATE SET lease = excluded.lease, lease_until = excluded.lease_until
    WHERE policies.lease_until IS NULL OR policies.lease_until <= $2 OR policies.lease_until > $5
    RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_ASSIGNMENTS = ", ".join(f"{name} = ${number}" for number, name in enumerate(ENTRY_COLUMNS, 3))
_SETTLE = f"""
    UPDATE policies SET {_ASSIGNMENTS}, lease = NULL, lease_until = NULL
    WHERE domain = $1 AND lease = $2 RETURNING true
"""  # noqa: S608 - constants
_REMOVE = "DELETE FROM policies WHERE domain = $1 AND lease = $2 RETURNING true"
_DUE = """
    SELECT domain FROM policies
    WHERE refresh <= $1 AND expires >= $1 AND used >= $2
        AND (lease_until IS NULL OR lease_until <= $1)
    ORDER BY refresh LIMIT $3
"""
_LIST = f"""
    SELECT domain, used, {_COLUMNS} FROM policies WHERE domain > $1 ORDER BY domain LIMIT $2
"""  # noqa: S608 - constants
_FORGET = """
    DELETE FROM policies
    WHERE used < $1 AND (expires IS NULL OR expires < $2)
        AND (lease_until IS NULL OR lease_until <= $2)
    RETURNING true
"""


class PostgresPolicies:
    """Fulfils `storage.policies.PolicyStore`. `node` is of `NodeDatabase`."""

    def __init__(
        self,
        dsn: str,
        node: str,
        clock: Clock,
        *,
        random_name: Callable[[], str] = lambda: secrets.token_hex(12),
    ) -> None:
        self._database = NodeDatabase(dsn, node, clock)
        self._random_name = random_name

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    async def load(self, domain: Domain) -> StoredPolicy | None:
        row = await self._database.run(lambda connection: connection.fetchrow(_LOAD, domain))
        return None if row is None else _read(domain, tuple(row))

    async def note_use(self, domain: Domain, now: datetime) -> None:
        await self._database.run(
            lambda connection: connection.execute(_NOTE_USE, to_micros(now), domain)
        )

    async def claim_fetch(
        self, domain: Domain, now: datetime, until: datetime
    ) -> FetchLease | None:
        token = self._random_name()
        # A lease that ends far beyond ours was given by a clock that went wrong.
        latest = to_micros(until + (until - now))
        values = (domain, to_micros(now), token, to_micros(until), latest)
        row = await self._database.run(lambda connection: connection.fetchrow(_CLAIM, *values))
        return None if row is None else FetchLease(domain, token, read_row(tuple(row)))

    async def settle_fetch(self, lease: FetchLease, entry: CacheEntry) -> bool:
        where = (lease.domain, lease.token)
        sql, values = (_REMOVE, where) if entry == EMPTY else (_SETTLE, (*where, *make_row(entry)))
        return bool(await self._database.run(lambda connection: connection.fetch(sql, *values)))

    async def list_due(self, now: datetime, used_since: datetime, *, limit: int) -> list[Domain]:
        values = (to_micros(now), to_micros(used_since), limit)
        rows = await self._database.run(lambda connection: connection.fetch(_DUE, *values))
        return [Domain(row["domain"]) for row in rows]

    async def list_policies(
        self, *, limit: int = 1000, after: Domain | None = None
    ) -> list[StoredPolicy]:
        rows = await self._database.run(
            lambda connection: connection.fetch(_LIST, after or "", limit)
        )
        return [_read(Domain(row["domain"]), tuple(row)[1:]) for row in rows]

    async def forget(self, used_before: datetime, now: datetime) -> int:
        values = (to_micros(used_before), to_micros(now))
        return len(await self._database.run(lambda connection: connection.fetch(_FORGET, *values)))


async def read_policy(dsn: str, domain: Domain) -> StoredPolicy | None:
    """Look beside the nodes what they keep of a domain: nothing is made or changed.

    None also where no node ever was. Raises LocalError and StoreUnavailable.
    """
    rows = await fetch_beside(dsn, _LOAD, domain)
    return _read(domain, rows[0]) if rows else None


def _read(domain: Domain, row: Sequence[Any]) -> StoredPolicy:
    return StoredPolicy(domain, read_row(row[1:]), from_micros(row[0]))
