"""Connections to PostgreSQL: bounded in time, tried again after a deadlock, and their errors.

The database going away is StoreUnavailable within seconds; connections are made anew as it returns.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from letterlock.base.errors import LocalError
from letterlock.base.waiting import finish_within
from letterlock.storage.migrations import Migration, find_missing, load_migrations
from letterlock.storage.queue import StoreUnavailable

try:
    import asyncpg  # type: ignore[import-untyped]  # it has no types
except ImportError:
    asyncpg = None

CONNECT_SECONDS = 5.0
COMMAND_SECONDS = 30.0
MAX_CONNECTIONS = 8
MAX_TRIES = 5
"""Of a transaction that lost a deadlock."""

MIGRATION_LOCK = 0x6C657474
NAME_LOCK = 0x6C6F636B
"""The first key of the advisory locks that processes hold on their names."""

# A host that vanished is noticed after a minute, and what it had claimed is free again.
_KEEPALIVE = {
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}

_HAS_READABLE_FROM = """
    SELECT 1 FROM pg_attribute
    WHERE attrelid = to_regclass($1) AND attname = 'readable_from' AND NOT attisdropped
"""

_HAS_SCHEMA = "SELECT 1 FROM pg_namespace WHERE nspname = $1"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Schema:
    """Tables that belong together; the queue's and the node's can share one database.

    `package` has their migrations, the table `versions` has those that were applied. `name`: the
    schema of PostgreSQL that they have to themselves, which is made; None: what the DSN leads to.
    """

    package: str
    versions: Literal["schema_version", "node_schema_version"]
    name: str | None = None
    leaves_nothing: bool = False
    """Work on these tables changes nothing of the connection but within its transaction: so there
    is nothing to be reset behind it, which would cost a round trip each time."""

    def pool_options(self) -> dict[str, Any]:
        """Give what a pool of connections is made with."""
        if not self.leaves_nothing:
            return {}

        class Unchanged(asyncpg.Connection):  # type: ignore[misc] # it has no types
            def get_reset_query(self) -> str:
                return ""

        return {"connection_class": Unchanged}


QUEUE_SCHEMA = Schema("letterlock.storage.postgres.migrations", "schema_version")
NODE_SCHEMA = Schema("letterlock.storage.postgres.node_migrations", "node_schema_version")


class Connection(Protocol):
    """The part of asyncpg's connection that is used."""

    async def execute(self, query: str, *parameters: object) -> str: ...
    async def fetch(self, query: str, *parameters: object) -> list[Any]: ...
    async def fetchrow(self, query: str, *parameters: object) -> Any: ...
    async def fetchval(self, query: str, *parameters: object) -> Any: ...
    def transaction(self) -> AbstractAsyncContextManager[None]: ...
    def is_closed(self) -> bool: ...
    async def close(self) -> None: ...


class Database:
    """A pool of connections to one database. `schema` says whose tables it must have."""

    def __init__(self, dsn: str, node: str, schema: Schema = QUEUE_SCHEMA) -> None:
        self._dsn = dsn
        self._node = node
        self._schema = schema
        self._pool: Any = None
        self._settings = {"application_name": f"letterlock {node}", "jit": "off", **_KEEPALIVE}
        if schema.name is not None:
            self._settings["search_path"] = schema.name
        self._identity: Connection | None = None
        """Held open, since our name is ours as long as it lasts."""
        self._has_name = False

    async def open(self, now: int) -> bool:
        """Connect, check the server, migrate; gives False when `node` is in use elsewhere.

        Raises LocalError when the server may lose what it committed, and StoreUnavailable.
        """
        if asyncpg is None:
            raise LocalError("PostgreSQL needs a further package: install letterlock[cluster]")
        async with _translated(), _mended_first():
            try:
                self._identity = await self._connect()
                async with self._identity.transaction():
                    await self._identity.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
                    await _migrate(self._identity, self._schema, now)
                await self._take_name(self._identity)
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    # Else the pool itself would keep connecting while the database is away.
                    min_size=0,
                    max_size=MAX_CONNECTIONS,
                    timeout=CONNECT_SECONDS,
                    command_timeout=COMMAND_SECONDS,
                    server_settings=self._settings,
                    **self._schema.pool_options(),
                )
            except BaseException:
                await self.close()
                raise
        return self._has_name

    async def keep_name(self) -> None:
        """Take our name again when it was lost with its connection.

        Raises StoreUnavailable, and LocalError as `open` does.
        """
        self.require_open()
        async with _translated(), _mended_first():
            if self._identity is None or self._identity.is_closed():
                self._identity, self._has_name = None, False
                self._identity = await self._connect()
            await self._take_name(self._identity)

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        identity, self._identity = self._identity, None
        if pool is not None:
            await _close_within(CONNECT_SECONDS, pool)
        if identity is not None:
            await _close_within(CONNECT_SECONDS, identity)

    def require_open(self) -> None:
        """Raise StoreUnavailable when it is not open."""
        if self._pool is None:
            raise StoreUnavailable("the store is not open")

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do work in a transaction of its own; anew when it lost a deadlock.

        Raises StoreUnavailable, also when it is not known whether the commit was done.
        """
        for tries in range(1, MAX_TRIES + 1):
            try:
                async with self._connection() as connection, connection.transaction():
                    return await work(connection)
            except StoreUnavailable as error:
                if tries == MAX_TRIES or not _lost_deadlock(error.__cause__):
                    raise
        raise AssertionError("the last try returns or raises")

    async def look(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do work that changes nothing, and that one statement is enough for.

        Raises StoreUnavailable.
        """
        async with self._connection() as connection:
            return await work(connection)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        self.require_open()
        async with (
            _translated(),
            self._pool.acquire(timeout=CONNECT_SECONDS) as connection,
        ):
            yield connection

    async def _connect(self) -> Connection:
        """Connect to a server that keeps what it committed; raises LocalError if it may not."""
        connection: Connection = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            server_settings=self._settings,
        )
        try:
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                if await connection.fetchval("SELECT current_setting($1)", name) == "off":
                    raise LocalError(  # noqa: TRY301 - the connection is closed for any error
                        f"PostgreSQL has {name} = off: it could lose mail; switch it on"
                    )
        except BaseException:
            await _close_within(CONNECT_SECONDS, connection)
            raise
        return connection

    async def _take_name(self, connection: Connection) -> None:
        if self._has_name:
            # Asked for its sake alone: a connection that is broken says so now.
            await connection.fetchval("SELECT 1")
            return
        # Ends with the connection, and so with the process, however that ends.
        self._has_name = await connection.fetchval(
            "SELECT pg_try_advisory_lock($1, hashtext($2))", NAME_LOCK, self._node
        )


async def fetch_beside(dsn: str, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Give rows, over a connection that can change nothing; none also without such a table.

    Raises LocalError where the operator must act, and StoreUnavailable.
    """
    if asyncpg is None:
        raise LocalError("PostgreSQL needs a further package: install letterlock[cluster]")
    settings = {"application_name": "letterlock", "default_transaction_read_only": "on"}
    async with _translated(), _mended_first():
        connection = await asyncpg.connect(
            dsn, timeout=CONNECT_SECONDS, command_timeout=COMMAND_SECONDS, server_settings=settings
        )
        try:
            return [tuple(row) for row in await connection.fetch(query, *parameters)]
        except asyncpg.UndefinedTableError:
            return []
        finally:
            await _close_within(CONNECT_SECONDS, connection)


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Any]:
    """Give a command's own connection, whose statements may take as long as they need.

    Raises LocalError where the operator must act, and StoreUnavailable.
    """
    if asyncpg is None:
        raise LocalError("PostgreSQL needs a further package: install letterlock[cluster]")
    settings = {"application_name": "letterlock", "jit": "off", **_KEEPALIVE}
    async with _translated(), _mended_first():
        connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, server_settings=settings)
        try:
            yield connection
        finally:
            await _close_within(CONNECT_SECONDS, connection)


async def _migrate(connection: Connection, schema: Schema, now: int) -> None:
    # Looked for first: to make one takes a right that the operator need not give where it is there.
    if schema.name is not None and not await connection.fetchval(_HAS_SCHEMA, schema.name):
        await connection.execute(f'CREATE SCHEMA "{schema.name}"')
    await make_versions(connection, schema)
    query = f"SELECT version, checksum, readable_from FROM {schema.versions}"  # noqa: S608 - a constant
    rows = await connection.fetch(query)
    applied: dict[int, str] = {row["version"]: row["checksum"] for row in rows}
    oldest = max((row["readable_from"] for row in rows), default=0)
    migrations = load_migrations(schema.package)
    missing = find_missing(migrations, applied, "the PostgreSQL database", oldest)
    await apply_migrations(connection, schema, missing, now)


async def make_versions(connection: Connection, schema: Schema) -> None:
    """Make the table of the migrations that were applied, or bring it forward."""
    table = schema.versions
    await connection.execute(
        f"CREATE TABLE IF NOT EXISTS {table} (version INTEGER PRIMARY KEY, "
        "name TEXT NOT NULL, checksum TEXT NOT NULL, applied BIGINT NOT NULL)"
    )
    if not await connection.fetchval(_HAS_READABLE_FROM, table):
        # Only then: it waits for all who read the table.
        await connection.execute(
            f"ALTER TABLE {table} ADD COLUMN readable_from INTEGER NOT NULL DEFAULT 0"
        )


async def apply_migrations(
    connection: Connection, schema: Schema, migrations: Sequence[Migration], now: int
) -> None:
    """Apply these, in their order, and keep that they were."""
    for each in migrations:
        await connection.execute(each.sql)
        await connection.execute(
            f"INSERT INTO {schema.versions} "  # noqa: S608 - a constant
            "(version, name, checksum, applied, readable_from) VALUES ($1, $2, $3, $4, $5)",
            *(each.version, each.name, each.checksum, now, each.readable_from),
        )


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        # The last is what a connection says that was broken off while nobody used it.
        raise StoreUnavailable(f"PostgreSQL: {_first_line(error)}") from error
    except asyncpg.PostgresError as error:
        if _is_mistake(error):
            raise
        is_full = isinstance(error, asyncpg.DiskFullError)
        raise StoreUnavailable(f"PostgreSQL: {_first_line(error)}", is_full=is_full) from error


@asynccontextmanager
async def _mended_first() -> AsyncIterator[None]:
    """Raise LocalError for what stays wrong until the operator acts: address, schema, rights."""
    mistakes = (
        asyncpg.ClientConfigurationError,
        asyncpg.InvalidSchemaNameError,
        asyncpg.SyntaxOrAccessError,
    )
    try:
        yield
    except mistakes as error:
        raise LocalError(f"PostgreSQL: {_first_line(error)}") from error


def is_duplicate(error: BaseException) -> bool:
    """Tell whether a row with this key is there already."""
    return isinstance(error, asyncpg.UniqueViolationError)


def is_reference_error(error: BaseException) -> bool:
    """Tell whether a row is missing that another names, or is still named."""
    return isinstance(error, asyncpg.ForeignKeyViolationError)


def _is_mistake(error: BaseException) -> bool:
    """Tell whether we, and not the database's state, are to blame."""
    return isinstance(
        error,
        asyncpg.IntegrityConstraintViolationError | asyncpg.DataError | asyncpg.SyntaxOrAccessError,
    )


def _lost_deadlock(error: BaseException | None) -> bool:
    return isinstance(error, asyncpg.DeadlockDetectedError | asyncpg.SerializationError)


def _first_line(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError) and error.filename is None:
        return "no socket is where its URL says: does the server run?"
    return (str(error) or type(error).__name__).splitlines()[0]


async def _close_within(seconds: float, closable: Any) -> None:
    is_closed = False
    try:
        with contextlib.suppress(OSError, asyncpg.InterfaceError, asyncpg.PostgresError):
            is_closed = await finish_within(closable.close(), seconds)
    finally:
        if not is_closed:
            closable.terminate()
