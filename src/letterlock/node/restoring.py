"""A backup becomes a node's data again: in an empty folder, and an empty database.

Nothing is written before every part was compared with the manifest. A folder in which a restore
did not end has a mark, and no node starts there.
"""

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import BinaryIO

from letterlock import __version__
from letterlock.base.clock import Clock
from letterlock.base.errors import LocalError
from letterlock.base.presence import is_absent
from letterlock.node.account import acting_as
from letterlock.node.ca.archiving import open_restored
from letterlock.storage.backup.manifest import (
    CA,
    DKIM,
    DROP,
    MAIL,
    NODE_DATABASE,
    POSTGRES,
    QUEUE,
    SETTINGS,
    Manifest,
    Part,
)
from letterlock.storage.backup.reading import check_archive, pair_members, read_checked
from letterlock.storage.backup.writing import OnProgress
from letterlock.storage.drop import FILE_MODE as DROPPED_MODE
from letterlock.storage.durable import make_folder, naming_full, sync_folder
from letterlock.storage.migrations import find_latest, load_migrations
from letterlock.storage.queue import QueueStore
from letterlock.storage.records import to_micros
from letterlock.storage.sqlite.ca.database import MIGRATIONS as AUTHORITY_MIGRATIONS
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.owner import NODE_MIGRATIONS, QUEUE_MIGRATIONS
from letterlock.storage.sqlite.queue import SqliteQueue
from letterlock.storage.sqlite.shard_files import find_shards
from letterlock.storage.sqlite.snapshot import check_bodies

UNFINISHED = "restore-unfinished"
LOCK = "node.lock"
RESTORED_SETTINGS = "restored-settings"
"""Where the settings are put, with the folders they were in: they may be older than the ones in
use, and belong to root."""
HELD_DROP = "restored-drop"
_FILE_MODE = 0o600
_PROGRAM_MODE = 0o700
_IGNORED = {"lost+found"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where to. `owner` is the user and group the files get, None: who restores.

    `dsn` is the database of a queue in PostgreSQL; `folders` has those that settings put elsewhere.
    """

    data_dir: Path
    owner: tuple[int, int] | None = None
    dsn: str | None = None
    folders: dict[str, Path] = field(default_factory=dict)

    def find_folder(self, name: str) -> Path:
        """Say where the parts of a folder go."""
        return self.folders.get(name, self.data_dir / name)


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored. `held` messages wait for their release; `notes` are for people."""

    manifest: Manifest
    held: int
    notes: tuple[str, ...]


def require_restorable(manifest: Manifest, place: Place) -> None:
    """Raise LocalError for a backup that this release, or this place, can't take."""
    packages = (QUEUE_MIGRATIONS, NODE_MIGRATIONS, AUTHORITY_MIGRATIONS)
    known = [find_latest(load_migrations(package)) for package in packages]
    schemas = (manifest.queue_schema, manifest.node_schema, manifest.authority_schema)
    if any(schema > latest for schema, latest in zip(schemas, known, strict=True)):
        raise LocalError(
            f"the backup is of release {manifest.release[:40]!r}, whose database is newer than "
            f"what this one ({__version__}) knows: restore it with that release or a later one"
        )
    if manifest.engine == "postgres" and place.dsn is None:
        raise LocalError(
            "the backup is of a queue in PostgreSQL: name settings (--config) with "
            'queue.engine = "postgres" and the queue.url of an empty database'
        )
    if manifest.engine == "sqlite" and place.dsn is not None:
        raise LocalError(
            "the backup is of a queue in SQLite and can't be restored into PostgreSQL: restore it "
            'with queue.engine = "sqlite", let the queue run empty, then change the engine'
        )


@dataclass(slots=True)
class Restore:
    """One restore from an archive that is open."""

    file: BinaryIO
    place: Place
    is_held: bool
    clock: Clock
    on_progress: OnProgress
    _notes: list[str] = field(default_factory=list)
    _elsewhere: list[Path] = field(default_factory=list)
    """Files that were written outside of the data folder, which others may use too."""

    def run(self) -> Restored:
        """Do it. Raises ArchiveError, LocalError, StoreUnavailable and OSError.

        What fails leaves the folder empty, as it was.
        """
        manifest = check_archive(self.file, self.on_progress)
        require_restorable(manifest, self.place)
        with self._taken():
            self._extract(manifest)
            held = asyncio.run(self._open_stores(manifest))
        self._note_places(manifest)
        return Restored(manifest, held, tuple(self._notes))

    @contextmanager
    def _taken(self) -> Iterator[None]:
        """Take the folder as a node would, marked until all is done; and as its owner."""
        folder, owner = self.place.data_dir, self.place.owner
        is_new = not folder.exists()
        make_folder(folder)
        if is_new and owner is not None and os.geteuid() == 0:
            os.chown(folder, *owner)
        with acting_as(owner):
            lock = _take_empty(folder)
            try:
                sync_folder(folder)
                yield
                (folder / UNFINISHED).unlink()
                sync_folder(folder)
            except BaseException:
                self._empty()
                raise
            finally:
                os.close(lock)

    def _empty(self) -> None:
        """Remove what was restored so far, and nothing else; the mark last."""
        for path in self._elsewhere:
            with suppress(OSError):
                path.unlink()
        entries = self.place.data_dir.iterdir()
        for entry in sorted(entries, key=lambda entry: entry.name == UNFINISHED):
            if entry.name in _IGNORED:
                continue
            with suppress(OSError):
                if entry.is_dir() and not entry.is_symlink():
                    rmtree(entry)
                else:
                    entry.unlink()

    def _extract(self, manifest: Manifest) -> None:
        folders: set[Path] = set()
        for part, member in pair_members(self.file, manifest):
            if part.name.startswith(f"{POSTGRES}/"):
                continue
            path = self._find_target(part.name)
            if path.parent not in folders:
                make_folder(path.parent)
                folders.add(path.parent)
            self._write(path, part, read_checked(part, member))
        for folder in folders:
            sync_folder(folder)

    def _find_target(self, name: str) -> Path:
        folder, _, rest = name.partition("/")
        if folder == DROP and self.is_held:
            return self.place.data_dir / HELD_DROP / rest
        if folder == SETTINGS:
            return self.place.data_dir / RESTORED_SETTINGS / rest
        return self.place.find_folder(folder) / rest if rest else self.place.data_dir / name

    def _write(self, path: Path, part: Part, pieces: Iterator[bytes]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, _FILE_MODE)
        if not path.is_relative_to(self.place.data_dir):
            self._elsewhere.append(path)
        with naming_full(path), open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            for octets in pieces:
                file.write(octets)
                self.on_progress(part.name, len(octets))
            if part.owner is not None and self.place.owner is not None and os.getuid() == 0:
                with acting_as_root():
                    # By descriptor: the folder's owner may put something else at the path.
                    os.fchown(descriptor, part.owner, self.place.owner[1])
                    os.fchmod(descriptor, DROPPED_MODE)
            if part.is_program and part.name.startswith(f"{SETTINGS}/"):
                os.fchmod(descriptor, _PROGRAM_MODE)
            file.flush()
            os.fsync(descriptor)

    async def _open_stores(self, manifest: Manifest) -> int:
        """Bring the databases forward, and see that they can be used; gives how many are held."""
        if await open_restored(self.place.find_folder(CA), self.clock):
            self._notes.append(
                "the authority knows nothing of certificates that it issued, and of what was "
                f"revoked, after {manifest.moment[:20]}: see docs/guide/backup.md"
            )
        if self.place.dsn is not None:
            return await self._load_postgres(self.place.dsn, manifest)
        held = 0
        for path in find_shards(self.place.data_dir / QUEUE):
            check_bodies(path)
            held += await self._hold(SqliteQueue(path, self.clock), manifest)
        if not is_absent(self.place.data_dir / NODE_DATABASE):
            node = NodeDatabase(self.place.data_dir / NODE_DATABASE, self.clock)
            await node.open()
            await node.close()
        return held

    async def _load_postgres(self, dsn: str, manifest: Manifest) -> int:
        # asyncpg is an extra: only loaded where it is used.
        from letterlock.storage.postgres.dumping import load_database  # noqa: PLC0415 - asyncpg is an extra
        from letterlock.storage.postgres.queue import PostgresQueue  # noqa: PLC0415 - as above

        versions = {"queue": manifest.queue_schema, "node": manifest.node_schema}
        parts = (
            (part, read_checked(part, member))
            for part, member in pair_members(self.file, manifest)
            if part.name.startswith(f"{POSTGRES}/")
        )
        await load_database(dsn, versions, parts, to_micros(self.clock.now()))
        return await self._hold(PostgresQueue(dsn, "restore", self.clock), manifest)

    async def _hold(self, store: QueueStore, manifest: Manifest) -> int:
        """Open a queue, which frees what was claimed in it, and hold all if that is wanted."""
        await store.open()
        try:
            if not self.is_held:
                return 0
            reason = f"restored from the backup of {manifest.moment[:20]}"
            return await store.hold(None, reason)
        finally:
            await store.close()

    def _note_places(self, manifest: Manifest) -> None:
        place = self.place
        self._notes.append(
            f"the settings are in {place.data_dir / RESTORED_SETTINGS}; compare them with those in "
            "use, and copy what is needed to where it was"
        )
        names = {part.name.partition("/")[0] for part in manifest.parts}
        for name in sorted(names & {DKIM, MAIL, DROP, CA}):
            before, now = Path(manifest.folders.get(name, "")), place.find_folder(name)
            if name == DROP and self.is_held:
                text = (
                    f"dropped mail is in {place.data_dir / HELD_DROP}; move it to {now} to send it"
                )
                self._notes.append(text)
            elif before != Path(manifest.data_dir) / name and now == place.data_dir / name:
                self._notes.append(f"{name}: it was in {before}, and is in {now} now")


@contextmanager
def acting_as_root() -> Iterator[None]:
    """Be root again for a moment, of a process that acts as another user."""
    user = os.geteuid()
    os.seteuid(0)
    try:
        yield
    finally:
        os.seteuid(user)


def _take_empty(folder: Path) -> int:
    """Mark an empty folder, and take a node's lock there. Raises LocalError for one that is not.

    The mark first: who is killed right after it has left none that a node takes for its own.
    """
    _require_not_running(folder)
    found = sorted(entry.name for entry in folder.iterdir() if entry.name not in _IGNORED)
    if UNFINISHED in found:
        raise LocalError(f"{folder}: a restore into it did not end; empty it and restore again")
    if found:
        raise LocalError(
            f"{folder}: it is not empty, it has {found[0]!r}: name an empty folder (--to), or move "
            "away what is there"
        )
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    os.close(os.open(folder / UNFINISHED, flags, _FILE_MODE))
    descriptor = os.open(folder / LOCK, flags, _FILE_MODE)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _require_not_running(folder: Path) -> None:
    with suppress(FileNotFoundError):
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalError(f"{folder}: a node runs there; stop it first") from None
        finally:
            os.close(descriptor)
