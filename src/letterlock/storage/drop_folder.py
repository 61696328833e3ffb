"""The folder that programs of this machine drop messages into, as the node sees it.

Any local user may write there, so nothing in it is trusted but what the kernel says of an open
file: links, devices, folders and what cannot be read are refused; a file is ours once nobody else
has it locked. `drop` has the format, and the modes that keep users from each other's files.
"""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import FileIO
from itertools import islice
from pathlib import Path

from letterlock.storage.drop import (
    BELL,
    FORMAT,
    FORMAT_NAME,
    LIMITS,
    MODE,
    PARTIAL,
    WHOLE,
    format_limits,
)
from letterlock.storage.durable import make_folder

MAX_NAMES = 1000
"""So many are taken in one pass: anybody can make more."""
ABANDONED_SECONDS = 3600.0
"""After so long a file that nobody writes any more is removed: its program was killed."""
BELL_MODE = 0o622
LIMITS_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is whole, open and locked by us. `user` is the id of its owner."""

    name: str
    file: FileIO
    user: int
    size: int
    dropped: float
    """When it was written, in seconds since 1970, as its owner says."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that is not taken. `is_kept`: it may be of use to another release."""

    name: str
    reason: str
    user: int | None = None
    is_kept: bool = False


class DropFolder:
    """Makes it and finds what was dropped. All methods block, and raise OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self, limits: dict[str, int]) -> None:
        """Make the folder, its bell and its file of limits, or set them right."""
        if not self.path.is_dir():
            make_folder(self.path)
        status = self.path.stat()
        if stat.S_IMODE(status.st_mode) != MODE or status.st_gid != os.getegid():
            os.chown(self.path, -1, os.getegid())
            self.path.chmod(MODE)
        self._write_limits(limits)

    def find_closed(self) -> Path | None:
        """Give the folder above it that keeps other users out; None: they get there."""
        for folder in self.path.absolute().parents:
            if not folder.stat().st_mode & stat.S_IXOTH:
                return folder
        return None

    def open_bell(self) -> int:
        """Give a descriptor that is readable when somebody rang."""
        path = self.path / BELL
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            if not stat.S_ISFIFO(status.st_mode) or status.st_uid != os.geteuid():
                _remove(path)
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        # Read and write: with a writer of our own it never reads as ended.
        flags = os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        bell = os.open(path, flags)
        status = os.fstat(bell)
        if not stat.S_ISFIFO(status.st_mode) or status.st_uid != os.geteuid():
            os.close(bell)
            raise FileExistsError(errno.EEXIST, "somebody put another bell there", str(path))
        os.fchmod(bell, BELL_MODE)
        return bell

    def list_whole(self, left: set[str]) -> tuple[list[str], set[str]]:
        """Give the names of files that are whole, the oldest first, at most MAX_NAMES.

        Names in `left` are not among them; those that are still there are given beside.
        """
        still_left: set[str] = set()
        with os.scandir(self.path) as entries:
            new = [
                (status.st_mtime, name)
                for name, status in islice(_find_whole(entries, left, still_left), MAX_NAMES)
            ]
        return [name for _, name in sorted(new)], still_left

    def open(self, name: str) -> Found | Refused | None:
        """Open a file; None: it is gone, or another has it in hands."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path / name, flags)
        except FileNotFoundError:
            return None
        except OSError as error:
            return Refused(name, f"it cannot be opened: {error.strerror}")
        found = self._examine(name, descriptor)
        if not isinstance(found, Found):
            os.close(descriptor)
        return found

    def remove(self, name: str) -> None:
        """Remove a file, or an empty folder; a name that is gone is none."""
        with contextlib.suppress(FileNotFoundError):
            _remove(self.path / name)

    def sweep(self, now: float) -> int:
        """Remove what was begun and given up, and what is no drop; gives how many."""
        removed = 0
        with os.scandir(self.path) as entries:
            old = list(islice(_find_old(entries, now - ABANDONED_SECONDS), MAX_NAMES))
        for name in old:
            if not (name.startswith(PARTIAL) and self._is_at_work(name)):
                with contextlib.suppress(OSError):
                    self.remove(name)
                    removed += 1
        return removed

    def _is_at_work(self, name: str) -> bool:
        found = self.open(name)
        if isinstance(found, Found):
            found.file.close()
        return found is None

    def _examine(self, name: str, descriptor: int) -> Found | Refused | None:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Refused(name, "it is not a file", status.st_uid)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        status = os.fstat(descriptor)
        if status.st_nlink == 0:
            return None  # it was taken while we opened it
        if status.st_nlink > 1:
            return Refused(name, "it has a second name", status.st_uid)
        beginning = os.pread(descriptor, len(FORMAT), 0)
        if name.startswith(WHOLE) and beginning != FORMAT:
            is_kept = beginning.startswith(FORMAT_NAME)
            return Refused(name, "it is not of a form that is known", status.st_uid, is_kept)
        file = FileIO(descriptor, "rb")
        return Found(name, file, status.st_uid, status.st_size, status.st_mtime)

    def _write_limits(self, limits: dict[str, int]) -> None:
        """Replace the file as a whole: programs read it at any time."""
        staged = self.path / f"{PARTIAL}{os.urandom(16).hex()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(staged, flags, LIMITS_MODE)
        try:
            os.fchmod(descriptor, LIMITS_MODE)
            os.write(descriptor, format_limits(limits))
        finally:
            os.close(descriptor)
        target = self.path / LIMITS
        if target.is_dir() and not target.is_symlink():
            _remove(target)
        staged.replace(target)


def _find_whole(
    entries: Iterable["os.DirEntry[str]"], left: set[str], still_left: set[str]
) -> Iterator[tuple[str, os.stat_result]]:
    for entry in entries:
        if entry.name in left:
            still_left.add(entry.name)
        elif entry.name.startswith(WHOLE):
            with contextlib.suppress(FileNotFoundError):
                yield entry.name, entry.stat(follow_symlinks=False)


def _find_old(entries: Iterable["os.DirEntry[str]"], before: float) -> Iterator[str]:
    for entry in entries:
        if not entry.name.startswith(WHOLE) and entry.name not in {BELL, LIMITS}:
            with contextlib.suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime < before:
                    yield entry.name


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except (IsADirectoryError, PermissionError):
        path.rmdir()
