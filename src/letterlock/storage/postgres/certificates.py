"""Our own certificates in PostgreSQL, which all nodes share."""

import secrets
from collections.abc import Callable
from datetime import datetime

from letterlock.storage.certificates import (
    ROW_COLUMNS,
    STATE_COLUMNS,
    CertificateId,
    CertificateLease,
    CertificateState,
    KeptPair,
    check_change,
    has_next_pair,
    make_row,
    read_row,
)
from letterlock.storage.postgres.connection import Connection, fetch_beside
from letterlock.storage.postgres.node import NodeDatabase
from letterlock.storage.records import to_micros

_COLUMNS = ", ".join(ROW_COLUMNS)
_LOAD = f"SELECT {_COLUMNS} FROM certificates WHERE name = $1 AND key_type = $2"  # noqa: S608 - constants
_LIST = f"""
    SELECT {_COLUMNS} FROM certificates WHERE (name, key_type) > ($1, $2)
    ORDER BY name, key_type LIMIT $3
"""  # noqa: S608 - constants
_CHANGED = f"""
    SELECT {_COLUMNS} FROM certificates WHERE version > 0 AND version > $1 ORDER BY version LIMIT $2
"""  # noqa: S608 - constants
_PAIR = """
    SELECT chain, private_key FROM certificate_pairs
    WHERE name = $1 AND key_type = $2 AND is_next = $3
"""
_CLAIM = f"""
    INSERT INTO certificates (name, key_type, lease, lease_until) VALUES ($1, $2, $3, $4)
    ON CONFLICT (name, key_type)
    DO UPDATE SET lease = excluded.lease, lease_until = excluded.lease_until
    WHERE certificates.lease_until IS NULL
        OR certificates.lease_until <= $5 OR certificates.lease_until > $6
    RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_OURS = "WHERE name = $1 AND key_type = $2 AND lease = $3"
_ASSIGNMENTS = ", ".join(f"{name} = ${number}" for number, name in enumerate(STATE_COLUMNS, 4))
_KEEP = f"UPDATE certificates SET {_ASSIGNMENTS} {_OURS} RETURNING true"  # noqa: S608 - constants
_EXTEND = f"UPDATE certificates SET lease_until = $4 {_OURS}"  # noqa: S608 - constants
_RELEASE = f"""
    UPDATE certificates SET lease = NULL, lease_until = NULL {_OURS} RETURNING true
"""  # noqa: S608 - constants
_PUT_PAIR = """
    INSERT INTO certificate_pairs (name, key_type, is_next, chain, private_key)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (name, key_type, is_next)
    DO UPDATE SET chain = excluded.chain, private_key = excluded.private_key
"""
_REMOVE_PAIRS = """
    DELETE FROM certificate_pairs WHERE name = $1 AND key_type = $2 AND is_next >= $3
"""
# Its row is locked until the commit: versions become visible in their order.
_COUNT = "UPDATE certificate_version SET version = version + 1 RETURNING version"
_NOTE_VERSION = "UPDATE certificates SET version = $1 WHERE name = $2 AND key_type = $3"
_FORGET = """
    DELETE FROM certificates
    WHERE name = $1 AND key_type = $2 AND (lease_until IS NULL OR lease_until <= $3)
    RETURNING true
"""


class PostgresCertificates:
    """Fulfils `storage.certificates.CertificateStore`."""

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

    async def load(self, which: CertificateId) -> CertificateState | None:
        row = await self._database.fetch_row(_LOAD, which.name, which.key_type)
        return None if row is None else read_row(row)

    async def load_pair(self, which: CertificateId) -> KeptPair | None:
        row = await self._database.fetch_row(_PAIR, which.name, which.key_type, 0)
        return None if row is None else KeptPair(*row)

    async def load_next_pair(self, which: CertificateId) -> KeptPair | None:
        row = await self._database.fetch_row(_PAIR, which.name, which.key_type, 1)
        return None if row is None else KeptPair(*row)

    async def list_states(
        self, *, limit: int = 1000, after: CertificateId | None = None
    ) -> list[CertificateState]:
        rows = await self._database.fetch(_LIST, *_place(after), limit)
        return [read_row(row) for row in rows]

    async def list_changed(self, since: int, *, limit: int = 1000) -> list[CertificateState]:
        return [read_row(row) for row in await self._database.fetch(_CHANGED, since, limit)]

    async def read_version(self) -> int:
        row = await self._database.fetch_row("SELECT version FROM certificate_version")
        assert row is not None
        return int(row[0])

    async def claim(
        self, which: CertificateId, now: datetime, until: datetime
    ) -> CertificateLease | None:
        token = self._random_name()
        # A lease that ends far beyond ours was given by a clock that went wrong.
        latest = to_micros(until + (until - now))
        values = (which.name, which.key_type, token, to_micros(until), to_micros(now), latest)
        row = await self._database.fetch_row(_CLAIM, *values)
        return None if row is None else CertificateLease(which, token, read_row(row))

    async def keep(
        self,
        lease: CertificateLease,
        state: CertificateState,
        *,
        pair: KeptPair | None = None,
        next_pair: KeptPair | None = None,
        until: datetime | None = None,
    ) -> bool:
        check_change(lease, state, pair, next_pair)

        async def keep(connection: Connection) -> bool:
            if not await _save(connection, lease, state, pair, next_pair):
                return False
            if until is not None:
                await connection.execute(_EXTEND, *_ours(lease), to_micros(until))
            return True

        return await self._database.run(keep)

    async def settle(
        self,
        lease: CertificateLease,
        state: CertificateState,
        *,
        pair: KeptPair | None = None,
        next_pair: KeptPair | None = None,
    ) -> bool:
        check_change(lease, state, pair, next_pair)

        async def settle(connection: Connection) -> bool:
            if not await _save(connection, lease, state, pair, next_pair):
                return False
            await connection.execute(_RELEASE, *_ours(lease))
            return True

        return await self._database.run(settle)

    async def release(self, lease: CertificateLease) -> bool:
        return await self._database.has_changed(_RELEASE, *_ours(lease))

    async def forget(self, which: CertificateId, now: datetime) -> bool:
        async def forget(connection: Connection) -> bool:
            key = (which.name, which.key_type)
            if await connection.fetchval(_FORGET, *key, to_micros(now)) is None:
                return False
            await connection.execute(_REMOVE_PAIRS, *key, 0)
            await connection.execute(_COUNT)
            return True

        return await self._database.run(forget)


async def read_states(
    dsn: str, *, limit: int = 1000, after: CertificateId | None = None
) -> list[CertificateState]:
    """List beside the nodes what they keep: nothing is made or changed.

    Empty also where no node ever was. Raises LocalError and StoreUnavailable.
    """
    return [read_row(row) for row in await fetch_beside(dsn, _LIST, *_place(after), limit)]


async def _save(
    connection: Connection,
    lease: CertificateLease,
    state: CertificateState,
    pair: KeptPair | None,
    next_pair: KeptPair | None,
) -> bool:
    if await connection.fetchval(_KEEP, *_ours(lease), *make_row(state)) is None:
        return False
    key = (lease.id.name, lease.id.key_type)
    if not has_next_pair(state):
        await connection.execute(_REMOVE_PAIRS, *key, 1)
    if next_pair is not None:
        await connection.execute(_PUT_PAIR, *key, 1, next_pair.chain, next_pair.key)
    if pair is not None:
        await connection.execute(_PUT_PAIR, *key, 0, pair.chain, pair.key)
        await connection.execute(_NOTE_VERSION, await connection.fetchval(_COUNT), *key)
    return True


def _ours(lease: CertificateLease) -> tuple[str, str, str]:
    return (lease.id.name, lease.id.key_type, lease.token)


def _place(after: CertificateId | None) -> tuple[str, str]:
    return ("", "") if after is None else (after.name, after.key_type)
