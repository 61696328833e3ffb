"""An index of serial numbers in use: opened, checked, asked; made where there is none that fits.

It is kept beside the list as `LIST.index`, or where the operator says. A list that has changed is
indexed anew; a small one is each time, and nothing is kept. Looking up takes microseconds.
"""

import mmap
import os
import stat
import tempfile
import zlib
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from letterlock.base.errors import LocalError
from letterlock.protocols.incidents.crls import SerialListError
from letterlock.protocols.incidents.entries import EntryReader
from letterlock.storage.durable import sync_folder
from letterlock.storage.serial_lists.building import build
from letterlock.storage.serial_lists.layout import (
    HEADER_OCTETS,
    Description,
    Header,
    IndexUnusable,
    read_header,
)
from letterlock.storage.serial_lists.source import ListDamaged, ListFile, Tell

SUFFIX = ".index"
SMALL_OCTETS = 4 * 1024 * 1024
"""A list of fewer octets is read in less than a second."""
_FEW_ENTRIES = 64
"""So many are looked through at once, which is quicker than step by step."""
_SURE_NS = 1_000_000_000
"""A list that was changed within this time before the index was made may have been so after it."""


class SerialIndex:
    """Looks serial numbers up. A context: its memory is mapped until it ends."""

    def __init__(self, file: BinaryIO) -> None:
        """Map a file. Raises IndexUnusable for one that is not whole, and OSError."""
        self.header: Header = read_header(os.pread(file.fileno(), HEADER_OCTETS, 0))
        layout = self.header.layout
        if os.fstat(file.fileno()).st_size != layout.total_octets:
            raise IndexUnusable("it has another length than its header says")
        self._map = mmap.mmap(file.fileno(), layout.total_octets, prot=mmap.PROT_READ)
        with memoryview(self._map) as whole, whole[HEADER_OCTETS:] as body:
            if zlib.crc32(body) != self.header.checksum:
                raise IndexUnusable("it is damaged")
        self._whole = memoryview(self._map)
        self._fan = self._whole[layout.fan_start :].cast("I")
        self._layout = layout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._fan.release()
        self._whole.release()
        self._map.close()

    @property
    def entries(self) -> int:
        """How many different serial numbers it has."""
        return self._layout.entries

    @property
    def description(self) -> Description:
        return self.header.description

    def find(self, serial: int) -> int | None:
        """Give the place in the list (a line, from 1); None: the list does not have it."""
        layout, octets = self._layout, self._map
        if serial < 0 or serial >> (8 * layout.serial_octets):
            return None
        key = serial.to_bytes(layout.serial_octets, "little")
        bucket = int.from_bytes(key[: layout.bucket_octets])
        wanted, size = key[layout.bucket_octets :], layout.entry_octets
        low, high = self._fan[bucket], self._fan[bucket + 1]
        if low == high:
            return None
        while high - low > _FEW_ENTRIES:
            middle = (low + high) // 2
            at = HEADER_OCTETS + middle * size
            if octets[at : at + len(wanted)] <= wanted:
                low = middle
            else:
                high = middle
        entries = octets[HEADER_OCTETS + low * size : HEADER_OCTETS + high * size]
        at = entries.find(wanted)
        while at % size and at > 0:  # it began within an entry
            at = entries.find(wanted, at + 1)
        if at < 0:
            return None
        return int.from_bytes(entries[at + len(wanted) : at + size])


@dataclass(frozen=True, slots=True)
class OpenedList:
    """A list that can be asked. `note` is for people: why its index was not kept."""

    path: Path
    index: SerialIndex
    note: str | None = None

    def read_entries(self, places: Collection[int]) -> dict[int, str]:
        """Give what the list says at these places. Raises LocalError."""
        if not places or not self.path.is_file():
            return {}
        reader = EntryReader(self.index.description.form, places)
        try:
            with ListFile(self.path) as source:
                for block in source.read_unpacked():
                    reader.receive(block)
                    if reader.is_done:
                        break
            return reader.finish()
        except (ListDamaged, SerialListError) as error:
            raise LocalError(f"{self.path}: {error}") from error


def open_list(path: Path, kept: Path | None, tell: Tell) -> OpenedList:
    """Open a list's index, and make it first where there is none that fits.

    `kept` None: beside the list, where it is a large file. Raises LocalError for a list that cannot
    be opened, ListUnusable for one that cannot be understood.
    """
    with ListFile(path) as source:
        if not source.is_regular or (kept is None and source.stamp.size < SMALL_OCTETS):
            return OpenedList(path, _make_unkept(source, tell))
        place = kept or path.with_name(path.name + SUFFIX)
        if (found := _find_kept(place, source)) is not None:
            return OpenedList(path, found)
        try:
            return OpenedList(path, _make_kept(source, place, tell))
        except OSError as error:
            if kept is not None:
                raise LocalError(f"{place}: cannot be written: {error.strerror}") from error
            note = f"{place} cannot be written ({error.strerror}), so the index is lost: --index"
            return OpenedList(path, _make_unkept(source, tell), note)


class ListUnusable(Exception):  # noqa: N818 - a state of a file
    """A list that cannot be understood or read to its end; the message names it."""


def _find_kept(place: Path, source: ListFile) -> SerialIndex | None:
    """Give an index that is there and of this list as it is now."""
    with suppress(OSError, IndexUnusable), place.open("rb") as file:
        if not _is_trusted(os.fstat(file.fileno()), source):
            return None
        index = SerialIndex(file)
        if _is_of(index.description, os.fstat(file.fileno()).st_mtime_ns, source):
            return index
        index.__exit__()
    return None


def _is_trusted(status: os.stat_result, source: ListFile) -> bool:
    """Say whether somebody made it who may: in a folder for all others could leave one there."""
    owners = {os.geteuid(), 0, source.owner_and_mode()[0]}
    return stat.S_ISREG(status.st_mode) and status.st_uid in owners and not status.st_mode & 0o022


def _is_of(told: Description, made_ns: int, source: ListFile) -> bool:
    if told.stamp.size != source.stamp.size:
        return False
    if told.stamp == source.stamp and made_ns - source.stamp.ctime_ns > _SURE_NS:
        return True
    return told.digest == source.find_digest()


def _make_unkept(source: ListFile, tell: Tell) -> SerialIndex:
    try:
        with tempfile.TemporaryFile() as file:
            return _make(source, file, tell)
    except OSError as error:
        raise LocalError(f"no index can be made: {error.strerror}; set TMPDIR") from error


def _make_kept(source: ListFile, place: Path, tell: Tell) -> SerialIndex:
    """Make an index under another name, then rename it. Raises OSError."""
    descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    try:
        with os.fdopen(descriptor, "w+b") as file:
            index = _make(source, file, tell)
            os.fchmod(file.fileno(), 0o600 | source.owner_and_mode()[1] & 0o044)
        os.replace(name, place)  # noqa: PTH105 - a text and a path
        sync_folder(place.parent)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)  # noqa: PTH108 - as above
        raise
    return index


def _make(source: ListFile, file: BinaryIO, tell: Tell) -> SerialIndex:
    try:
        build(source, file, tell)
        return SerialIndex(file)
    except (SerialListError, ListDamaged, IndexUnusable) as error:
        raise ListUnusable(f"{source.path}: {error}") from error
