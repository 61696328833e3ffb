"""The tables of a database as parts of a backup, all of one moment, and back into an empty one.

A transaction sees one moment (`REPEATABLE READ`), as that of pg_dump does, and holds up no change
of a row. COPY in its binary form is the same for all releases of PostgreSQL. Neither pg_dump nor
its release is needed, and what is restored is brought forward by our own migrations. `policies` and
all else that nodes share is in it, of whatever node.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from letterlock.base.errors import LocalError
from letterlock.storage.backup.manifest import POSTGRES, ArchiveError, Part
from letterlock.storage.migrations import find_latest, load_migrations
from letterlock.storage.postgres.connection import (
    MIGRATION_LOCK,
    NODE_SCHEMA,
    QUEUE_SCHEMA,
    Schema,
    apply_migrations,
    connected,
    make_versions,
)
from letterlock.storage.queue import StoreUnavailable

try:
    import asyncpg  # type: ignore[import-untyped]  # it has no types
except ImportError:
    asyncpg = None

PART_BYTES = 32 * 1024 * 1024
"""A table is cut into parts of about this size, each in memory for a while."""

TABLES = {
    "queue": (
        *("large_bodies", "body_pieces", "messages", "bodies", "recipients"),
        *("deliveries", "destinations", "attempts", "totals", "tls_sessions"),
    ),
    "node": (
        *("policies", "certificates", "certificate_pairs", "certificate_version"),
        *("issued_certificates", "acme_accounts", "challenges", "served_policies"),
        *("watched_certificates", "users", "user_decoys"),
        *("own_reports", "own_report_days", "received_reports", "received_results"),
        *("tls_alerts", "failed_mails"),
    ),
}
"""In an order in which they can be filled."""
SCHEMAS: dict[str, Schema] = {"queue": QUEUE_SCHEMA, "node": NODE_SCHEMA}

_COLUMNS = """
    SELECT attname::text AS name, attidentity <> '' AS is_identity FROM pg_attribute
    WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""

_READABLE_FROM = "SELECT coalesce(max(readable_from), 0) FROM {}"

AddOctets = Callable[[str, bytes, int, tuple[str, ...]], None]
"""Takes a part: name, octets, time of change, columns."""


@dataclass(frozen=True, slots=True)
class Dumped:
    """What was in the database. A schema of 0: its tables are not there yet.

    `unknown` says what else is in it, of a newer release with which this one still works.
    """

    queue_schema: int
    node_schema: int
    messages: int
    unknown: tuple[str, ...] = ()


async def dump_database(dsn: str, add: AddOctets) -> Dumped:
    """Give every table's rows to `add`, in parts. Raises LocalError and StoreUnavailable."""
    async with (
        connected(dsn) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        found = {name: await _find_version(connection, SCHEMAS[name]) for name in TABLES}
        for name, tables in TABLES.items():
            for table in tables if found[name] else ():
                await _dump_table(connection, table, f"{POSTGRES}/{name}/{table}", add)
        unknown = [await _find_unknown(connection, SCHEMAS[name], found[name]) for name in TABLES]
        messages = 0
        if found["queue"]:
            query = "SELECT count(*) FROM messages WHERE finished IS NULL"
            messages = await connection.fetchval(query)
    return Dumped(found["queue"], found["node"], messages, tuple(filter(None, unknown)))


async def load_database(
    dsn: str, versions: dict[str, int], parts: Iterable[tuple[Part, Iterator[bytes]]], now: int
) -> None:
    """Fill an empty database, in one transaction; its tables are those of the backup's schemas.

    `versions` has the schemas of queue and node. Raises LocalError for a database that is not
    empty, ArchiveError for parts that do not fit, and StoreUnavailable.
    """
    async with connected(dsn) as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
        for name, version in versions.items():
            await _make_tables(connection, name, version, now)
        for table, found in groupby(parts, key=lambda pair: pair[0].name.rpartition("/")[0]):
            await _load_table(connection, table, found)


async def _dump_table(connection: Any, table: str, name: str, add: AddOctets) -> None:
    columns = tuple(row["name"] for row in await connection.fetch(_COLUMNS, table))
    if not columns:
        # It is newer than the schema: the node was not started since the upgrade.
        return
    held = bytearray()
    number = 0

    async def take(octets: bytes) -> None:
        nonlocal number
        held.extend(octets)
        if len(held) >= PART_BYTES:
            add(f"{name}/{number:06d}", bytes(held), 0, columns)
            held.clear()
            number += 1

    quoted = ", ".join(f'"{column}"' for column in columns)
    query = f"SELECT {quoted} FROM {table}"  # noqa: S608 - of names that are ours
    await connection.copy_from_query(query, output=take, format="binary")
    if held:
        add(f"{name}/{number:06d}", bytes(held), 0, columns)


async def _find_version(connection: Any, schema: Schema) -> int:
    if await connection.fetchval("SELECT to_regclass($1)", schema.versions) is None:
        return 0
    query = f"SELECT max(version) FROM {schema.versions}"  # noqa: S608 - a constant
    return await connection.fetchval(query) or 0


async def _find_unknown(connection: Any, schema: Schema, version: int) -> str | None:
    """Say what of a newer release is not read. Raises StoreUnavailable where all may differ."""
    known = find_latest(load_migrations(schema.package))
    if version <= known:
        return None
    query = _READABLE_FROM.format(schema.versions)
    if (oldest := await connection.fetchval(query)) > known:
        raise StoreUnavailable(
            f"the PostgreSQL database: a newer release changed it, and this one cannot read it (it "
            f"lacks migration {oldest}); run that release, or restore the backup made before the "
            "upgrade"
        )
    return (
        f"what a newer release added to the PostgreSQL database (migration {version} of "
        f"{schema.versions}): this one does not know its tables; let that one make the backup"
    )


async def _make_tables(connection: Any, name: str, version: int, now: int) -> None:
    """Make the tables as they were at a schema, without the rows that migrations put there."""
    schema = SCHEMAS[name]
    for table in (schema.versions, *TABLES[name]):
        if await connection.fetchval("SELECT to_regclass($1)", table) is not None:
            raise LocalError(
                f"the PostgreSQL database has a table {table}: it is not empty; make a new one "
                "(createdb) and name it in queue.url"
            )
    if not version:
        return
    migrations = load_migrations(schema.package)
    await make_versions(connection, schema)
    await apply_migrations(connection, schema, migrations[:version], now)
    for table in reversed(TABLES[name]):
        if await connection.fetchval("SELECT to_regclass($1)", table) is not None:
            await connection.execute(f"DELETE FROM {table}")  # noqa: S608 - a name that is ours


async def _load_table(
    connection: Any, name: str, parts: Iterable[tuple[Part, Iterator[bytes]]]
) -> None:
    """Fill one table from its parts, which are one stream that was cut."""
    _, group, table = name.split("/")
    if table not in TABLES.get(group, ()):
        raise ArchiveError(f"{name}: this release has no such table")
    columns = await connection.fetch(_COLUMNS, table)
    stream = _Stream(parts)
    wanted = stream.columns
    if not set(wanted) <= {row["name"] for row in columns}:
        raise ArchiveError(f"{name}: the table has other columns")
    try:
        await connection.copy_to_table(table, source=stream, columns=wanted, format="binary")
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        raise ArchiveError(f"{name}: its rows do not fit: {error}") from error
    for row in columns:
        if row["is_identity"]:
            # Numbers given from now on are above those that are there.
            await connection.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', '{row['name']}'), "  # noqa: S608 - names that are ours
                f"coalesce(max({row['name']}), 0) + 1, false) FROM {table}"
            )


class _Stream:
    """The octets of a table's parts, one after the other, as asyncpg takes them."""

    def __init__(self, parts: Iterable[tuple[Part, Iterator[bytes]]]) -> None:
        self._parts = iter(parts)
        part, self._pieces = next(self._parts)
        self.columns = part.columns

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            for piece in self._pieces:
                yield piece
            following = next(self._parts, None)
            if following is None:
                return
            _, self._pieces = following
