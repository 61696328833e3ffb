"""Files of tables: read again when they change, bounded, and only where nobody else may write.

A file that was changed a moment ago may not be whole yet: until it has been left alone, what it
said before counts.
"""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar

MIB = 1024 * 1024
MAX_TABLE_OCTETS = 32 * MIB
MAX_INCLUDE_OCTETS = MIB
SETTLING_SECONDS = 1.0

Content = TypeVar("Content")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a file cannot be used: one line that begins with its path."""

    reason: str
    is_missing: bool = False


@dataclass(frozen=True, slots=True)
class _Stamp:
    mtime_ns: int
    ctime_ns: int
    size: int
    inode: int


class WatchedFile(Generic[Content]):
    """One file, and what was read from it last. `is_secret`: not for everybody to read, either."""

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes, str], Content],
        max_octets: int,
        *,
        is_secret: bool = False,
    ) -> None:
        self._path = path
        self._is_secret = is_secret
        self._parse = parse
        self._max_octets = max_octets
        self._stamp: _Stamp | None = None
        self._content: Content | None = None

    def load(self, now: datetime) -> Content | Unreadable:
        """Give what the file says; the same object as long as it is unchanged."""
        try:
            status = self._path.stat()
            stamp = _stamp(status)
            if self._content is not None and (
                stamp == self._stamp or _is_settling(status, now.timestamp())
            ):
                return self._content
            octets, stamp = self._read()
        except OSError as error:
            is_missing = isinstance(error, FileNotFoundError)
            return Unreadable(f"{self._path}: {error.strerror}", is_missing)
        except _Refused as refused:
            return Unreadable(f"{self._path}: {refused}")
        self._content, self._stamp = self._parse(octets, str(self._path)), stamp
        return self._content

    def _read(self) -> tuple[bytes, _Stamp]:
        # A FIFO would make us wait for a writer.
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise _Refused("not a regular file")
            if self._is_secret and status.st_mode & stat.S_IROTH:
                raise _Refused("everybody may read its passwords: `chmod 0600` first")
            if status.st_mode & stat.S_IWOTH:
                raise _Refused("everybody may write to it: `chmod o-w` first")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                octets = file.read(self._max_octets + 1)
        finally:
            os.close(descriptor)
        if len(octets) > self._max_octets:
            raise _Refused(f"larger than {self._max_octets // MIB} MiB")
        return octets, _stamp(status)


class _Refused(Exception):  # noqa: N818 - never leaves this module
    pass


def _stamp(status: os.stat_result) -> _Stamp:
    return _Stamp(status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def _is_settling(status: os.stat_result, now: float) -> bool:
    # A time in the future says nothing.
    return 0 <= now - status.st_mtime < SETTLING_SECONDS
