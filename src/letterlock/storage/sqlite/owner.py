"""Owning a queue's file: the lock that keeps a second writer out, and what its opening repairs."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from letterlock.base.errors import LocalError
from letterlock.storage.durable import give_to_owner, make_folder, unavailable
from letterlock.storage.migrations import Migration, TooNewError, find_missing, load_migrations
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.connection import connect_reader, fetch_rows

FILE_MODE = 0o600
QUEUE_MIGRATIONS = "letterlock.storage.sqlite.migrations"
NODE_MIGRATIONS = "letterlock.storage.sqlite.node_migrations"
_OTHERS = 0o077
_HAS_READABLE_FROM = (
    "SELECT 1 FROM pragma_table_info('schema_version') WHERE name = 'readable_from'"
)


class OwnedElsewhereError(LocalError):
    """Another process owns the queue."""


class OwnerLock:
    """One process at a time has it; it ends with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raise LocalError when another process has it, StoreUnavailable for other reasons."""
        try:
            make_folder(self._path.parent)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise unavailable(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise OwnedElsewhereError(
                    f"{self._path}: another process owns this queue; stop it first"
                ) from error
            raise unavailable(error) from error
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def make_private(path: Path) -> None:
    """Make a database file, or one that is there, readable by us alone. Raises StoreUnavailable.

    SQLite makes what it puts beside the file as readable as that is. A file that is there is never
    opened: closing it would take the locks of all connections that this process has to it, and
    another process could then remove its WAL.
    """
    path = path.resolve()  # as SQLite does
    try:
        try:
            os.close(_make_file(path))
        except FileExistsError:
            for name in (path, *(path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm"))):
                with contextlib.suppress(FileNotFoundError):
                    if name.stat().st_mode & _OTHERS:
                        name.chmod(FILE_MODE)
    except OSError as error:
        raise unavailable(error) from error


def _make_file(path: Path) -> int:
    """Make a file, for the folder's owner where root makes it. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, FILE_MODE)
    try:
        give_to_owner(descriptor, path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process after the other make a file that several use: changing to WAL does not wait.

    The file is there, and private, inside. Raises StoreUnavailable.
    """
    lock = path.with_name(f"{path.name}.lock")
    try:
        make_folder(path.parent)
        try:
            descriptor = _make_file(lock)
        except FileExistsError:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            make_private(path)
            yield
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unavailable(error) from error


def migrate(
    connection: apsw.Connection,
    path: Path,
    now: int,
    package: str = QUEUE_MIGRATIONS,
) -> None:
    """Bring the schema to this release. Raises LocalError for a file that is not ours."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, "
        "name TEXT NOT NULL, checksum TEXT NOT NULL, applied INTEGER NOT NULL) STRICT"
    )
    # Files of before there was this column are brought forward without a migration of their own:
    # what is in it must be known before any of them is applied.
    if not fetch_rows(connection, _HAS_READABLE_FROM):
        connection.execute(
            "ALTER TABLE schema_version ADD COLUMN readable_from INTEGER NOT NULL DEFAULT 0"
        )
    for migration in find_migrations(connection, path, package):
        _apply(connection, migration, now)


def find_migrations(connection: apsw.Connection, path: Path, package: str) -> list[Migration]:
    """Give what a file still needs. Raises LocalError for one that this release can't work with."""
    rows = fetch_rows(connection, "SELECT version, checksum, readable_from FROM schema_version")
    applied = {version: checksum for version, checksum, _ in rows}
    oldest = max((readable_from for *_, readable_from in rows), default=0)
    return find_missing(load_migrations(package), applied, str(path), oldest)


def require_readable(path: Path, package: str = QUEUE_MIGRATIONS) -> None:
    """Raise TooNewError for a file that a newer release changed beyond us; changes nothing.

    One that is not there, or broken, is not told of: whoever opens it finds that.
    """
    if not path.is_file():
        return
    with contextlib.suppress(apsw.Error):
        connection = connect_reader(path)
        try:
            _require_known(connection, path, package)
        finally:
            connection.close(force=True)


def require_known(connection: apsw.Connection, path: Path, package: str = QUEUE_MIGRATIONS) -> None:
    """Raise StoreUnavailable where a newer release changed what is read here beyond us."""
    try:
        _require_known(connection, path, package)
    except TooNewError as error:
        raise StoreUnavailable(str(error)) from error


def _require_known(connection: apsw.Connection, path: Path, package: str) -> None:
    try:
        if fetch_rows(connection, _HAS_READABLE_FROM):
            find_migrations(connection, path, package)
    except TooNewError:
        raise
    except LocalError:
        return


def _apply(connection: apsw.Connection, migration: Migration, now: int) -> None:
    with connection:
        connection.execute(migration.sql)
        connection.execute(
            "INSERT INTO schema_version (version, name, checksum, applied, readable_from) "
            "VALUES (?, ?, ?, ?, ?)",
            (migration.version, migration.name, migration.checksum, now, migration.readable_from),
        )
