"""Connections to a queue's file, and what SQLite's errors mean for the store."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw

from letterlock.storage.queue import StoreUnavailable

BUSY_MILLISECONDS = 10_000
"""How long one waits for another process, which is a reader or SQLite's own recovery."""

CACHED_STATEMENTS = 256
"""Rows are inserted many at a time: a statement for each number of them."""
CACHE_KIB = 32 * 1024
JOURNAL_LIMIT_BYTES = 256 * 1024 * 1024

Value = str | int | bytes | None

_BROKEN = (
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.CantOpenError,
    apsw.InternalError,
)
"""After these a connection is not used again."""

_UNAVAILABLE = (
    apsw.FullError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.IOError,
    apsw.ReadOnlyError,
    apsw.NoMemError,
    apsw.ProtocolError,
    apsw.PermissionsError,
    *_BROKEN,
)


def connect_writer(path: Path, vfs: str | None = None) -> apsw.Connection:
    """Open the one connection that writes. Raises apsw.Error.

    Checkpoints are left to its user: in SQLite's own place they would delay a commit.
    """
    connection = apsw.Connection(str(path), vfs=vfs, statementcachesize=CACHED_STATEMENTS)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.pragma("wal_autocheckpoint", 0)
    connection.pragma("journal_size_limit", JOURNAL_LIMIT_BYTES)
    connection.pragma("cache_size", -CACHE_KIB)
    connection.pragma("temp_store", "memory")
    return connection


def connect_reader(path: Path, vfs: str | None = None) -> apsw.Connection:
    """Open a connection that can't change anything. Raises apsw.Error."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=vfs)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    return connection


def fetch_row(
    connection: apsw.Connection, sql: str, parameters: Sequence[Value] = ()
) -> tuple[Any, ...] | None:
    """Give the first row; None when there is none."""
    return connection.execute(sql, parameters).fetchone()


def fetch_rows(
    connection: apsw.Connection, sql: str, parameters: Sequence[Value] = ()
) -> list[tuple[Any, ...]]:
    return connection.execute(sql, parameters).fetchall()


def fetch_value(connection: apsw.Connection, sql: str, parameters: Sequence[Value] = ()) -> Any:
    """Give the first column of the first row; None when there is none."""
    row = connection.execute(sql, parameters).fetchone()
    return None if row is None else row[0]


def is_broken(error: BaseException) -> bool:
    """Tell whether the connection must be opened anew after this error."""
    return isinstance(error, _BROKEN)


def translate(error: apsw.Error, path: Path) -> Exception:
    """Give the store's exception for an error of SQLite; one that is our mistake stays."""
    if not isinstance(error, _UNAVAILABLE):
        return error
    # ENOSPC in the middle of a write, or at the sync that allocates, comes as one of these.
    is_full = isinstance(error, apsw.FullError)
    return StoreUnavailable(f"{path}: {error}", is_full=is_full)
