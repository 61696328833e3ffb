"""The log as a file: written by all processes of a node, turned over, and not kept for ever.

Whoever renames it, we or logrotate: each process sees it within a second and writes to the new one.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.storage.durable import describe

FILE_MODE = 0o640
LOOK_SECONDS = 1.0
MAX_WRITE_OCTETS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Turnover:
    """When a file is put aside, and what is kept of those.

    `every` counts from 1970, so that days begin at midnight UTC; zero: somebody else does it.
    """

    every: timedelta
    max_octets: int
    keep: timedelta
    keep_files: int


class LogFile:
    """Fulfils `base.log_outbox.Sink`: appends whole lines. On a full disk they wait."""

    def __init__(self, path: Path, turnover: Turnover, clock: Clock) -> None:
        self._path = path
        self._turnover = turnover
        self._clock = clock
        self._descriptor: int | None = None
        self._next_look = 0.0
        self._is_broken = False
        """The last line in the file has no end: there was no space for it."""
        self.fault = ""

    def take(self, records: Sequence[bytes]) -> int:
        try:
            descriptor = self._find_descriptor()
            taken = self._write(descriptor, records)
        except OSError as error:
            self.fault = describe(error)
            return 0
        if taken == len(records):
            self.fault = ""
        return taken

    def _write(self, descriptor: int, records: Sequence[bytes]) -> int:
        taken = 0
        for piece, lines in _join(records):
            octets = b"\n" + piece if self._is_broken else piece
            try:
                written = os.write(descriptor, octets)
            except OSError as error:
                self.fault = f"{self._path}: {error.strerror}"
                return taken
            if written < len(octets):
                # Of a piece that is not whole, the lines that are count, and the next is repeated.
                done = octets[:written]
                self._is_broken = not done.endswith(b"\n")
                self.fault = f"{self._path}: {os.strerror(28)}"
                return taken + done[len(octets) - len(piece) :].count(b"\n")
            self._is_broken = False
            taken += lines
        return taken

    def _find_descriptor(self) -> int:
        """Give the file that has our name now."""
        now = self._clock.monotonic()
        if self._descriptor is not None and now < self._next_look:
            return self._descriptor
        self._next_look = now + LOOK_SECONDS
        if self._descriptor is None or not self._is_ours(self._descriptor):
            self._reopen()
        assert self._descriptor is not None
        if self._is_due(self._descriptor):
            self._turn_over(self._descriptor)
        return self._descriptor

    def _is_ours(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def _reopen(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        opened = os.open(self._path, flags | os.O_NONBLOCK, FILE_MODE)
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._is_broken = opened, False

    def _is_due(self, descriptor: int) -> bool:
        size = os.fstat(descriptor).st_size
        if not self._turnover.every or not size:
            return False
        return size >= self._turnover.max_octets or self._is_old()

    def _is_old(self) -> bool:
        """Say if a period has begun since the file did: its mark was touched then."""
        every = self._turnover.every.total_seconds()
        try:
            began = self._mark.stat().st_mtime
        except FileNotFoundError:
            self._set_mark()
            return False
        return self._clock.now().timestamp() // every > began // every

    def _turn_over(self, descriptor: int) -> None:
        """Put the file aside, unless another process does it now, or has done it."""
        with self._locked() as is_locked:
            if not is_locked or not self._is_ours(descriptor) or not self._is_due(descriptor):
                return
            self._path.rename(self._find_name(self._clock.now()))
            self._set_mark()
            self._remove_old()
        self._reopen()

    def _find_name(self, now: datetime) -> Path:
        """Give a name that sorts by time, and is free."""
        stamp = f"{now:%Y%m%dT%H%M%SZ}"
        for number in range(1000):
            suffix = f".{stamp}" if not number else f".{stamp}-{number:03}"
            path = self._path.with_name(self._path.name + suffix)
            if not path.exists():
                return path
        raise OSError(17, "too many files of this second", str(self._path))

    def _remove_old(self) -> None:
        kept = sorted(self._path.parent.glob(f"{self._path.name}.2*Z*"), reverse=True)
        oldest = (self._clock.now() - self._turnover.keep).timestamp()
        for number, path in enumerate(kept):
            with contextlib.suppress(OSError):
                if number >= self._turnover.keep_files or path.stat().st_mtime < oldest:
                    path.unlink()

    @property
    def _mark(self) -> Path:
        return self._path.with_name(f".{self._path.name}.mark")

    def _set_mark(self) -> None:
        now = self._clock.now().timestamp()
        self._mark.touch(mode=0o600)
        os.utime(self._mark, (now, now))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[bool]:
        """Hold the lock of all processes, if nobody else does."""
        lock = os.open(self._mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(lock)


def _join(records: Sequence[bytes]) -> Iterator[tuple[bytes, int]]:
    """Join lines into pieces that go in one write; each with the number of its lines."""
    piece: list[bytes] = []
    size = 0
    for record in records:
        if piece and size + len(record) > MAX_WRITE_OCTETS:
            yield b"".join(piece), len(piece)
            piece, size = [], 0
        piece.append(record)
        size += len(record)
    if piece:
        yield b"".join(piece), len(piece)
