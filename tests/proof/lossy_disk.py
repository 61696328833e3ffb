"""A disk that loses what was not synced when the power goes.

`LossyDisk` notes every change that the code under test makes below a folder, in order; `lose_power`
makes the folder as it may look after a power cut at any moment of that record. Safe is what a file
system must keep: octets written before an fsync of their file that had ended, names entered before
an fsync of their folder that had ended. Of the rest everything may be gone, or any part be there:
of a file's writes any set, torn at sectors; of a folder's names those up to some moment.
"""

import itertools
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import FileIO
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import apsw
import pytest

from letterlock.storage.sqlite.queue import SqliteQueue

SECTOR = 512
T = TypeVar("T")
ROOT = 0
_JOURNALS = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL


@dataclass(frozen=True, slots=True)
class Write:
    inode: int
    offset: int
    octets: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Enter:
    """A name in a folder is a file's, or a folder's, from now on; `child` None: nobody's."""

    inode: int
    name: str
    child: int | None


@dataclass(frozen=True, slots=True)
class Sync:
    """It has ended; it holds what was noted before `begin`."""

    inode: int
    begin: int


Change = Write | Truncate | Enter | Sync


@dataclass
class LossyDisk:
    """The record of what happened below `root`, which must be empty at first."""

    root: Path
    changes: list[Change] = field(default_factory=list)
    _folders: set[int] = field(default_factory=lambda: {ROOT})
    _inodes: dict[str, int] = field(init=False)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(ROOT + 1))
    _open: dict[int, list[int]] = field(default_factory=dict)
    """Of each descriptor: the inode, and how far it was written."""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._inodes = {str(self.root): ROOT}

    @property
    def moment(self) -> int:
        """Now, as a number for `lose_power`."""
        return len(self.changes)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Note what the code does with files here, SQLite included, while the block runs."""
        vfs = _Vfs(self, f"lossy-{id(self)}")
        with pytest.MonkeyPatch.context() as patch:
            for name in ("open", "close", "write", "fsync", "mkdir", "rename", "unlink"):
                stand_in = getattr(self, f"_do_{name}")
                patch.setattr(os, name, partial(stand_in, getattr(os, name)))
            patch.setattr("letterlock.storage.maildir.FileIO", partial(_File, self))
            queue = partial(SqliteQueue, vfs=vfs.name)
            patch.setattr("letterlock.node.shards.SqliteQueue", queue)
            yield
        vfs.unregister()

    def lose_power(self, moment: int, into: Path, chance: Random) -> None:
        """Make what is left, as a new folder. `chance` says what of the unsynced is there."""
        keep = chance.choice([0.0, 0.5, 1.0])
        by_inode: defaultdict[int, list[tuple[int, Change]]] = defaultdict(list)
        for index, change in enumerate(self.changes[:moment]):
            by_inode[change.inode].append((index, change))
        left = {
            inode: (_keep_names if inode in self._folders else _keep_writes)(changes, keep, chance)
            for inode, changes in by_inode.items()
        }
        self._make_folder(ROOT, into, left)

    def _make_folder(self, inode: int, path: Path, left: dict[int, list[Change]]) -> None:
        path.mkdir(mode=0o700)
        names: dict[str, int] = {}
        for change in left.get(inode, []):
            if isinstance(change, Enter) and change.child is not None:
                names[change.name] = change.child
            elif isinstance(change, Enter):
                names.pop(change.name, None)
        for name, child in names.items():
            if child in self._folders:
                self._make_folder(child, path / name, left)
            else:
                (path / name).write_bytes(_apply(left.get(child, [])))
                (path / name).chmod(0o600)

    # What the system is asked for, done and noted in one step.

    def open_file(self, path: str, *, is_created: bool) -> int | None:
        """Give the inode of a file; None when it is not below the root."""
        if path not in self._inodes and is_created and self._is_below(path):
            self._enter(path, next(self._numbers))
        return self._inodes.get(path)

    def write(self, inode: int, offset: int, octets: bytes, work: Callable[[], T]) -> T:
        with self._lock:
            result = work()
            self.changes.append(Write(inode, offset, octets))
        return result

    def truncate(self, inode: int, size: int, work: Callable[[], None]) -> None:
        with self._lock:
            work()
            self.changes.append(Truncate(inode, size))

    def sync(self, inode: int, work: Callable[[], None]) -> None:
        begin = self.moment
        work()
        with self._lock:
            self.changes.append(Sync(inode, begin))

    def sync_names(self, path: str) -> None:
        """Note that the folder of a file was synced."""
        with self._lock:
            self.changes.append(Sync(self._inodes[os.path.dirname(path)], self.moment))  # noqa: PTH120 - a text, as SQLite has it

    def remove(self, path: str, work: Callable[[], None]) -> None:
        with self._lock:
            work()
            if path in self._inodes:
                self._enter(path, None)

    def append(self, descriptor: int, octets: bytes, work: Callable[[bytes], int]) -> int:
        with self._lock:
            place = self._open.get(descriptor)
            count = work(octets)
            if place is not None:
                self.changes.append(Write(place[0], place[1], bytes(octets[:count])))
                place[1] += count
        return count

    def forget(self, descriptor: int) -> None:
        self._open.pop(descriptor, None)

    @property
    def lock(self) -> threading.RLock:
        return self._lock

    def _is_below(self, path: str) -> bool:
        return path.startswith(f"{self.root}/")

    def _enter(self, path: str, child: int | None) -> None:
        folder, _, name = path.rpartition("/")
        if child is None:
            del self._inodes[path]
        else:
            self._inodes[path] = child
        self.changes.append(Enter(self._inodes[folder], name, child))

    # Stand-ins for the functions of `os`; the first argument is the function itself.

    def _do_open(self, work: Any, path: Any, flags: int, *rest: Any, **more: Any) -> int:
        with self._lock:
            descriptor: int = work(path, flags, *rest, **more)
            inode = self.open_file(str(path), is_created=bool(flags & os.O_CREAT))
            self._open.pop(descriptor, None)
            if inode is not None:
                self._open[descriptor] = [inode, 0]
        return descriptor

    def _do_close(self, work: Any, descriptor: int) -> None:
        with self._lock:
            self._open.pop(descriptor, None)
            work(descriptor)

    def _do_write(self, work: Any, descriptor: int, octets: bytes) -> int:
        return self.append(descriptor, octets, partial(work, descriptor))

    def _do_fsync(self, work: Any, descriptor: int) -> None:
        if (place := self._open.get(descriptor)) is None:
            work(descriptor)
        else:
            self.sync(place[0], partial(work, descriptor))

    def _do_mkdir(self, work: Any, path: Any, *rest: Any, **more: Any) -> None:
        with self._lock:
            work(path, *rest, **more)
            if self._is_below(str(path)):
                inode = next(self._numbers)
                self._folders.add(inode)
                self._enter(str(path), inode)

    def _do_rename(self, work: Any, old: Any, new: Any, **more: Any) -> None:
        with self._lock:
            work(old, new, **more)
            if (inode := self._inodes.get(str(old))) is not None:
                self._enter(str(old), None)
                self._enter(str(new), inode)

    def _do_unlink(self, work: Any, path: Any, **more: Any) -> None:
        self.remove(str(path), partial(work, path, **more))


class _File(FileIO):
    """What is written through it is noted."""

    def __init__(self, disk: LossyDisk, *arguments: Any, **more: Any) -> None:
        self._disk = disk
        super().__init__(*arguments, **more)

    def write(self, octets: Any) -> int:
        return self._disk.append(self.fileno(), bytes(octets), super().write)

    def close(self) -> None:
        if not self.closed:
            self._disk.forget(self.fileno())
        super().close()


class _Vfs(apsw.VFS):
    """The default VFS; what it does is noted."""

    def __init__(self, disk: LossyDisk, name: str) -> None:
        self.name = name
        self.disk = disk
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        with self.disk.lock:
            file = _VfsFile(self.disk, path, name, flags)
            is_created = bool(flags[0] & apsw.SQLITE_OPEN_CREATE)
            file.inode = self.disk.open_file(path, is_created=is_created) or ROOT
        assert file.inode, f"{path} is not below the disk's root"
        file.must_sync_name = is_created and bool(flags[0] & _JOURNALS)
        return file

    def xDelete(self, name: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        self.disk.remove(name, lambda: super(_Vfs, self).xDelete(name, syncdir))
        if syncdir:
            self.disk.sync_names(name)


class _VfsFile(apsw.VFSFile):
    def __init__(self, disk: LossyDisk, path: str, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._path = path
        self.inode = ROOT
        self.must_sync_name = False
        super().__init__("", name, flags)

    # `Any` is apsw's Buffer, which collections.abc has since Python 3.12 only.
    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        work = super().xWrite
        self._disk.write(self.inode, offset, bytes(data), lambda: work(data, offset))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        work = super().xTruncate
        self._disk.truncate(self.inode, newsize, lambda: work(newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        work = super().xSync
        self._disk.sync(self.inode, lambda: work(flags))
        if self.must_sync_name:
            # As os_unix.c does: at the first sync of a journal that it was to create.
            self.must_sync_name = False
            self._disk.sync_names(self._path)


def _safe_until(changes: list[tuple[int, Change]]) -> int:
    return max((change.begin for _, change in changes if isinstance(change, Sync)), default=0)


def _keep_names(changes: list[tuple[int, Change]], keep: float, chance: Random) -> list[Change]:
    """Give what was synced, and of the rest the first so many."""
    safe = _safe_until(changes)
    synced = [change for index, change in changes if index < safe]
    rest = [change for index, change in changes if index >= safe]
    count = chance.randint(0, len(rest)) if keep == 0.5 else int(keep) * len(rest)
    return synced + rest[:count]


def _keep_writes(changes: list[tuple[int, Change]], keep: float, chance: Random) -> list[Change]:
    """Give what was synced, and of the rest any."""
    safe = _safe_until(changes)
    kept: list[Change] = []
    for index, change in changes:
        if index < safe or keep == 1.0:
            kept.append(change)
        elif isinstance(change, Write):
            kept += _tear(change, keep, chance)
        elif chance.random() < keep:
            kept.append(change)
    return kept


def _tear(change: Write, keep: float, chance: Random) -> Iterator[Write]:
    start = 0
    while start < len(change.octets):
        end = start + SECTOR - (change.offset + start) % SECTOR
        if chance.random() < keep:
            yield Write(change.inode, change.offset + start, change.octets[start:end])
        start = end


def _apply(changes: list[Change]) -> bytes:
    content = bytearray()
    for change in changes:
        if isinstance(change, Write):
            content.extend(bytes(max(0, change.offset - len(content))))
            content[change.offset : change.offset + len(change.octets)] = change.octets
        elif isinstance(change, Truncate):
            del content[change.size :]
            content.extend(bytes(change.size - len(content)))
    return bytes(content)
