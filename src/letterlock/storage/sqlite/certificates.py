"""Our own certificates in SQLite."""

import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import apsw

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
from letterlock.storage.records import to_micros
from letterlock.storage.sqlite.connection import Value, fetch_row, fetch_rows, fetch_value
from letterlock.storage.sqlite.node import NodeDatabase, read_beside

_COLUMNS = ", ".join(ROW_COLUMNS)
_LOAD = f"SELECT {_COLUMNS} FROM certificates WHERE name = ? AND key_type = ?"  # noqa: S608 - constants
_LIST = f"""
    SELECT {_COLUMNS} FROM certificates WHERE (name, key_type) > (?, ?)
    ORDER BY name, key_type LIMIT ?
"""  # noqa: S608 - constants
_CHANGED = f"""
    SELECT {_COLUMNS} FROM certificates WHERE version > 0 AND version > ? ORDER BY version LIMIT ?
"""  # noqa: S608 - constants
_PAIR = """
    SELECT chain, private_key FROM certificate_pairs
    WHERE name = ? AND key_type = ? AND is_next = ?
"""
_CLAIM = f"""
    INSERT INTO certificates (name, key_type, lease, lease_until) VALUES (?, ?, ?, ?)
    ON CONFLICT (name, key_type)
    DO UPDATE SET lease = excluded.lease, lease_until = excluded.lease_until
    WHERE lease_until IS NULL OR lease_until <= ? OR lease_until > ?
    RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_OURS = "WHERE name = ? AND key_type = ? AND lease = ?"
_KEEP = f"UPDATE certificates SET {' = ?, '.join(STATE_COLUMNS)} = ? {_OURS}"  # noqa: S608 - constants
_EXTEND = f"UPDATE certificates SET lease_until = ? {_OURS}"  # noqa: S608 - constants
_RELEASE = f"UPDATE certificates SET lease = NULL, lease_until = NULL {_OURS}"  # noqa: S608 - constants
_PUT_PAIR = """
    INSERT INTO certificate_pairs (name, key_type, is_next, chain, private_key)
    VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (name, key_type, is_next)
    DO UPDATE SET chain = excluded.chain, private_key = excluded.private_key
"""
_REMOVE_PAIRS = """
    DELETE FROM certificate_pairs WHERE name = ? AND key_type = ? AND is_next >= ?
"""
_COUNT = "UPDATE certificate_version SET version = version + 1 RETURNING version"
_NOTE_VERSION = "UPDATE certificates SET version = ? WHERE name = ? AND key_type = ?"
_FORGET = """
    DELETE FROM certificates
    WHERE name = ? AND key_type = ? AND (lease_until IS NULL OR lease_until <= ?)
"""


class SqliteCertificates:
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
        key = (which.name, which.key_type)
        row = await self._database.read(lambda connection: fetch_row(connection, _LOAD, key))
        return None if row is None else read_row(row)

    async def load_pair(self, which: CertificateId) -> KeptPair | None:
        return await self._load_pair(which, is_next=0)

    async def load_next_pair(self, which: CertificateId) -> KeptPair | None:
        return await self._load_pair(which, is_next=1)

    async def list_states(
        self, *, limit: int = 1000, after: CertificateId | None = None
    ) -> list[CertificateState]:
        values = _place(after, limit)
        rows = await self._database.read(lambda connection: fetch_rows(connection, _LIST, values))
        return [read_row(row) for row in rows]

    async def list_changed(self, since: int, *, limit: int = 1000) -> list[CertificateState]:
        values = (since, limit)
        rows = await self._database.read(
            lambda connection: fetch_rows(connection, _CHANGED, values)
        )
        return [read_row(row) for row in rows]

    async def read_version(self) -> int:
        sql = "SELECT version FROM certificate_version"
        version = await self._database.read(lambda connection: fetch_value(connection, sql))
        return int(version)

    async def claim(
        self, which: CertificateId, now: datetime, until: datetime
    ) -> CertificateLease | None:
        token = self._random_name()
        # A lease that ends far beyond ours was given by a clock that went wrong.
        latest = to_micros(until + (until - now))
        values = (which.name, which.key_type, token, to_micros(until), to_micros(now), latest)
        row = await self._database.run(lambda connection: fetch_row(connection, _CLAIM, values))
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

        def keep(connection: apsw.Connection) -> bool:
            if not _save(connection, lease, state, pair, next_pair):
                return False
            if until is not None:
                connection.execute(_EXTEND, (to_micros(until), *_ours(lease)))
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

        def settle(connection: apsw.Connection) -> bool:
            if not _save(connection, lease, state, pair, next_pair):
                return False
            connection.execute(_RELEASE, _ours(lease))
            return True

        return await self._database.run(settle)

    async def release(self, lease: CertificateLease) -> bool:
        return await self._database.run(
            lambda connection: _change(connection, _RELEASE, _ours(lease))
        )

    async def forget(self, which: CertificateId, now: datetime) -> bool:
        def forget(connection: apsw.Connection) -> bool:
            if not _change(connection, _FORGET, (which.name, which.key_type, to_micros(now))):
                return False
            connection.execute(_REMOVE_PAIRS, (which.name, which.key_type, 0))
            connection.execute(_COUNT).fetchall()
            return True

        return await self._database.run(forget)

    async def _load_pair(self, which: CertificateId, *, is_next: int) -> KeptPair | None:
        values = (which.name, which.key_type, is_next)
        row = await self._database.read(lambda connection: fetch_row(connection, _PAIR, values))
        return None if row is None else KeptPair(*row)


async def read_states(
    path: Path, *, limit: int = 1000, after: CertificateId | None = None
) -> list[CertificateState]:
    """List beside a running node what it keeps: nothing is made, changed or held up.

    Empty also where there is no file yet. Raises StoreUnavailable for one that can't be read.
    """
    return [read_row(row) for row in await read_beside(path, _LIST, _place(after, limit))]


def _save(
    connection: apsw.Connection,
    lease: CertificateLease,
    state: CertificateState,
    pair: KeptPair | None,
    next_pair: KeptPair | None,
) -> bool:
    if not _change(connection, _KEEP, (*make_row(state), *_ours(lease))):
        return False
    key = (lease.id.name, lease.id.key_type)
    if not has_next_pair(state):
        connection.execute(_REMOVE_PAIRS, (*key, 1))
    if next_pair is not None:
        connection.execute(_PUT_PAIR, (*key, 1, next_pair.chain, next_pair.key))
    if pair is not None:
        connection.execute(_PUT_PAIR, (*key, 0, pair.chain, pair.key))
        connection.execute(_NOTE_VERSION, (fetch_value(connection, _COUNT), *key))
    return True


def _change(connection: apsw.Connection, sql: str, values: tuple[Value, ...]) -> bool:
    connection.execute(sql, values)
    return connection.changes() > 0


def _ours(lease: CertificateLease) -> tuple[Value, ...]:
    return (lease.id.name, lease.id.key_type, lease.token)


def _place(after: CertificateId | None, limit: int) -> tuple[Value, ...]:
    return ("", "", limit) if after is None else (after.name, after.key_type, limit)
