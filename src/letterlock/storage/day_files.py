"""A folder of counts: for each day a whole, and a journal of what came after it.

`2026-03-01.4.counts` is what all that came before generation 4 adds up to, `2026-03-01.4.journal`
what came since: records, each appended in one write, with its length and a checksum. So a process
that is killed leaves whole records and at most one torn one behind them, and nothing is in two
generations: a new whole takes its name in one step, and older ones are not read any more.
"""

import contextlib
import fcntl
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path

from letterlock.storage.durable import sync_folder

MAGIC = b"letterlock counts 1\n"
MAX_RECORD_OCTETS = 256 * 1024 * 1024
_HEAD = struct.Struct(">II")
_NAME = re.compile(r"(\d{4}-\d\d-\d\d)\.(\d{1,9})\.(counts|journal)")
_FILE_MODE = 0o640
_READ_TRIES = 5


class FolderInUse(Exception):  # noqa: N818 - a state, not a mistake
    """Another process counts into the folder."""


class DamagedCounts(Exception):  # noqa: N818 - a fact about a disk
    """A whole is not as it was written; the text is one line and names the file."""


@dataclass(frozen=True, slots=True)
class StoredDay:
    """What is kept of a day: the records of its whole, those of its journal, in their order.

    `torn` is how many octets at the journal's end are no whole record.
    """

    whole: tuple[bytes, ...] = ()
    journal: tuple[bytes, ...] = ()
    torn: int = 0


class DayFiles:
    """The folder. It is there already; one process writes, any number read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: int | None = None

    def lock(self) -> None:
        """Be the one who writes, until `close`. Raises FolderInUse, OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.folder / "lock", flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise FolderInUse(f"{self.folder}: another process counts there") from None
        self._lock = descriptor

    def close(self) -> None:
        """Let another one write."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def list_days(self) -> list[date]:
        """Give the days of which something is kept, in their order. Raises OSError."""
        return sorted({day for day, _, _ in self._list()})

    def load(self, day: date) -> StoredDay:
        """Give what is kept of a day. Raises OSError, DamagedCounts."""
        for tries_left in reversed(range(_READ_TRIES)):
            generation = self._find_generation(day)
            try:
                return self._load(day, generation)
            except FileNotFoundError:
                # The one who writes has gone on to the next generation.
                if not tries_left:
                    raise
        raise AssertionError("unreachable")

    def open_day(self, day: date) -> tuple[StoredDay, "DayJournal"]:
        """Give what is kept of a day, and where more is written; for the one who has the lock.

        What is torn is cut off. Raises OSError, DamagedCounts.
        """
        generation = self._find_generation(day)
        stored = self._load(day, generation)
        for _, other, path in [each for each in self._list() if each[0] == day]:
            if other < generation:
                path.unlink(missing_ok=True)
        return stored, DayJournal(self, day, generation, stored.torn)

    def remove(self, day: date) -> None:
        """Forget a day. Raises OSError."""
        last = self._find_generation(day)
        # The last whole goes when no other one and no first journal could come back in its place;
        # a journal without its whole means nothing.
        for _, _, path in sorted(
            (each for each in self._list() if each[0] == day),
            key=lambda each: (each[1] == last, each[2].suffix == ".journal"),
        ):
            path.unlink(missing_ok=True)
        sync_folder(self.folder)

    def path(self, day: date, generation: int, kind: str) -> Path:
        return self.folder / f"{day.isoformat()}.{generation}.{kind}"

    def _list(self) -> Iterator[tuple[date, int, Path]]:
        for path in sorted(self.folder.iterdir()):
            if (found := _NAME.fullmatch(path.name)) is not None:
                with contextlib.suppress(ValueError):
                    yield date.fromisoformat(found[1]), int(found[2]), path

    def _find_generation(self, day: date) -> int:
        wholes = [
            generation
            for each, generation, path in self._list()
            if each == day and path.suffix == ".counts"
        ]
        return max(wholes, default=0)

    def _load(self, day: date, generation: int) -> StoredDay:
        whole: tuple[bytes, ...] = ()
        if generation:
            path = self.path(day, generation, "counts")
            records, torn = _split(path.read_bytes())
            # Its last record is empty, and says that it is whole.
            if torn or not records or records.pop():
                raise DamagedCounts(f"{path}: not as it was written; move it elsewhere")
            whole = tuple(records)
        journal = self.path(day, generation, "journal")
        try:
            octets = journal.read_bytes()
        except FileNotFoundError:
            if generation != self._find_generation(day):
                raise
            return StoredDay(whole)
        records, torn = _split(octets)
        return StoredDay(whole, tuple(records), torn)


class DayJournal:
    """Where a day's records go. Not for threads."""

    def __init__(self, files: DayFiles, day: date, generation: int, torn: int) -> None:
        self._files = files
        self._day = day
        self._generation = generation
        self._is_synced = True
        self._descriptor = self._open(generation)
        self.octets = os.fstat(self._descriptor).st_size
        """Of the journal, as far as it is whole."""
        if torn:
            self.octets -= torn
            os.ftruncate(self._descriptor, self.octets)
        if not self.octets:
            self._begin()

    def append(self, record: bytes) -> None:
        """Write a record: from then on a kill of this process does not lose it.

        Raises OSError, and then nothing of it is there.
        """
        if self.octets < len(MAGIC):
            self._begin()
        self._write(_frame(record))

    def sync(self) -> None:
        """Have all records survive a power cut. Raises OSError."""
        if not self._is_synced:
            os.fdatasync(self._descriptor)
            self._is_synced = True

    def replace(self, whole: Iterable[bytes]) -> None:
        """Begin a new generation with what everything adds up to. Raises OSError.

        After an error the generation that was goes on.
        """
        files, generation = self._files, self._generation + 1
        draft = files.folder / f".{self._day.isoformat()}.draft"
        following = self._open(generation)
        try:
            # What stands in it never counted: its whole is not there yet.
            os.ftruncate(following, 0)
            os.write(following, MAGIC)
            _write_whole(draft, whole)
            draft.rename(files.path(self._day, generation, "counts"))
        except OSError:
            os.close(following)
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        # From here on the new generation is the one that counts.
        os.close(self._descriptor)
        self._generation, self._descriptor = generation, following
        self.octets = os.fstat(following).st_size
        sync_folder(files.folder)
        for kind in ("journal", "counts"):
            files.path(self._day, generation - 1, kind).unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self, generation: int) -> int:
        path = self._files.path(self._day, generation, "journal")
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(path, flags, _FILE_MODE)

    def _begin(self) -> None:
        os.ftruncate(self._descriptor, 0)
        self.octets = 0
        self._write(MAGIC)
        sync_folder(self._files.folder)

    def _write(self, octets: bytes) -> None:
        try:
            written = os.write(self._descriptor, octets)
            while written < len(octets):
                written += os.write(self._descriptor, octets[written:])
        except OSError:
            os.ftruncate(self._descriptor, self.octets)
            raise
        self.octets += len(octets)
        self._is_synced = False


def _write_whole(path: Path, records: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        os.fchmod(file.fileno(), _FILE_MODE)
        file.write(MAGIC)
        for record in chain(records, (b"",)):
            file.write(_frame(record))
        file.flush()
        os.fsync(file.fileno())


def _frame(record: bytes) -> bytes:
    return _HEAD.pack(len(record), zlib.crc32(record, len(record))) + record


def _split(octets: bytes) -> tuple[list[bytes], int]:
    """Give the whole records of a file, and how many octets behind them are none."""
    if not octets.startswith(MAGIC):
        return [], len(octets)
    records, at = [], len(MAGIC)
    while at + _HEAD.size <= len(octets):
        length, checksum = _HEAD.unpack_from(octets, at)
        start = at + _HEAD.size
        record = octets[start : start + length]
        if length > MAX_RECORD_OCTETS or len(record) < length:
            break
        if zlib.crc32(record, length) != checksum:
            break
        records.append(record)
        at = start + length
    return records, len(octets) - at
