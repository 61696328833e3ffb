"""One moment of the databases of a running node, kept while it is copied.

The moment is the same for all shards: their writers are stopped for some thousandths of a second,
as a commit of our own would, and a reader of each begins there. SQLite then keeps that state for
the reader, while commits go on. Files of large bodies go when their message is done, so each gets
a second name before: most of them beforehand, the last while the writers stand. A kill at any time
leaves second names at most, which the next backup removes. Blocks.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw

from letterlock.storage.durable import FOLDER_MODE, make_folder, unavailable
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.connection import (
    BUSY_MILLISECONDS,
    fetch_rows,
    fetch_value,
    translate,
)
from letterlock.storage.sqlite.owner import make_private, require_known
from letterlock.storage.sqlite.shard_files import find_shards

STAGING = ".backup-"
"""How folders for second names begin, beside those of the shards' bodies."""
PAGES_AT_ONCE = 1000
SPARE_BYTES = 128 * 1024 * 1024
"""To be free on the disk beside a copy: the node refuses mail before it is full."""

_NAMED = "SELECT body_file FROM messages WHERE body_file IS NOT NULL AND finished IS NULL"
_SIZES = """
    SELECT queue_id, body_file, size FROM messages WHERE body_file IS NOT NULL AND finished IS NULL
"""
_NAME = re.compile(r"[0-9a-f]{8,64}\Z")
_COUNT = "SELECT count(*) FROM messages WHERE finished IS NULL"
_VERSION = "SELECT max(version) FROM schema_version"


@dataclass(frozen=True, slots=True)
class ShardSnapshot:
    """A shard at the moment. `bodies` are the files that it names, under their second names."""

    path: Path
    connection: apsw.Connection
    bodies: tuple[Path, ...]
    messages: int
    schema: int


@contextmanager
def frozen_queue(folder: Path) -> Iterator[tuple[ShardSnapshot, ...]]:
    """Give all shards of a queue's folder as they are at one moment. Raises StoreUnavailable."""
    with _translated(folder), ExitStack() as stack:
        paths = find_shards(folder)
        links = stack.enter_context(staging_folder(folder / "bodies"))
        for path in paths:
            _link_all(folder / "bodies" / path.stem, links / path.stem)
        readers = {path: stack.enter_context(_connected(path)) for path in paths}
        with _stopped(paths):
            snapshots = tuple(
                _freeze(path, reader, links / path.stem) for path, reader in readers.items()
            )
        yield snapshots


@contextmanager
def frozen_file(path: Path) -> Iterator[tuple[apsw.Connection, int]]:
    """Give one database as it is at one moment, and its schema. Raises StoreUnavailable."""
    with _translated(path), _connected(path) as connection:
        connection.execute("BEGIN")
        yield connection, fetch_value(connection, _VERSION) or 0


def copy_frozen(
    connection: apsw.Connection, target: Path, on_progress: Callable[[int], None]
) -> None:
    """Copy what is frozen into a file of its own, and look whether it is sound.

    `on_progress` is told octets. Raises StoreUnavailable.
    """
    source = Path(connection.filename)
    page = int(connection.pragma("page_size"))
    _require_space(target.parent, int(connection.pragma("page_count")) * page)
    make_private(target)
    with _translated(source):
        copy = apsw.Connection(str(target))
        try:
            copy.pragma("synchronous", "off")  # it is synced as a part of the archive
            with copy.backup("main", connection, "main") as backup:
                while not backup.done:
                    left = backup.remaining
                    backup.step(PAGES_AT_ONCE)
                    on_progress(max(left - backup.remaining, 0) * page)
            # One file, without a WAL: whoever opens it makes it one with a WAL again.
            copy.pragma("journal_mode", "delete")
            if (found := fetch_value(copy, "PRAGMA quick_check(1)")) != "ok":
                raise StoreUnavailable(f"{source}: it is damaged: {found}")
        finally:
            copy.close()


def check_bodies(path: Path) -> None:
    """Raise StoreUnavailable when a shard that nobody uses names a body that is not there."""
    with frozen_file(path) as (connection, _):
        for queue_id, name, size in fetch_rows(connection, _SIZES):
            body = path.parent / "bodies" / path.stem / name
            if not _NAME.match(name) or not body.is_file() or body.stat().st_size != size:
                raise StoreUnavailable(f"{path}: the body of {queue_id} is not there, or not whole")


def end_reading(connection: apsw.Connection) -> None:
    """Let SQLite forget the moment that was kept."""
    with contextlib.suppress(apsw.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    connection.close(force=True)


@contextmanager
def staging_folder(parent: Path) -> Iterator[Path]:
    """Make a folder for the time of a backup; those that killed ones left are removed."""
    make_folder(parent)
    for old in parent.glob(f"{STAGING}*"):
        _remove_abandoned(old)
    folder = parent / f"{STAGING}{secrets.token_hex(8)}"
    folder.mkdir(mode=FOLDER_MODE)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Held as long as we live: the next backup sees by it who is gone.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        finally:
            os.close(descriptor)


def _freeze(path: Path, reader: apsw.Connection, links: Path) -> ShardSnapshot:
    """Begin reading, and give the bodies that are named second names; the writer stands.

    Which those are can't be known of what a newer release changed beyond us.
    """
    reader.execute("BEGIN")
    schema = _find_schema(reader)
    if not schema:
        return ShardSnapshot(path, reader, (), 0, 0)  # its owner is about to make it
    require_known(reader, path)
    bodies = []
    for (name,) in fetch_rows(reader, _NAMED):
        bodies.append(links / name)
        _link(path.parent / "bodies" / path.stem / name, links / name)
    return ShardSnapshot(path, reader, tuple(bodies), fetch_value(reader, _COUNT), schema)


def _find_schema(reader: apsw.Connection) -> int:
    if not reader.table_exists("main", "schema_version"):
        return 0
    return fetch_value(reader, _VERSION) or 0


@contextmanager
def _stopped(paths: list[Path]) -> Iterator[None]:
    """Keep the writers of all shards from beginning a transaction, for as short as can be."""
    with ExitStack() as stack:
        for path in paths:
            connection = stack.enter_context(_connected(path))
            connection.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def _connected(path: Path) -> Iterator[apsw.Connection]:
    """Open a file that is there; what was begun is rolled back at the end."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        yield connection
    finally:
        end_reading(connection)


def _link_all(bodies: Path, links: Path) -> None:
    """Give all files second names beforehand, those too that are still being written."""
    links.mkdir(mode=FOLDER_MODE)
    if bodies.is_dir():
        for entry in os.scandir(bodies):
            with contextlib.suppress(OSError):
                os.link(entry.path, links / entry.name, follow_symlinks=False)


def _link(body: Path, link: Path) -> None:
    """Give a file that a message names a second name, unless it has one. Raises OSError."""
    if link.exists():
        return
    try:
        os.link(body, link, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:
        # A file system without second names. It never changes once its message is kept.
        shutil.copyfile(body, link, follow_symlinks=False)


def _require_space(folder: Path, octets: int) -> None:
    space = os.statvfs(folder)
    if space.f_bavail * space.f_frsize < octets + SPARE_BYTES:
        needed = (octets + SPARE_BYTES) // (1024 * 1024) + 1
        raise StoreUnavailable(
            f"{folder}: {needed} MiB must be free for a copy of a database", is_full=True
        )


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise translate(error, path) from error
    except OSError as error:
        raise unavailable(error) from error
