"""Making an index of serial numbers: parted in memory, sorted part by part, written once.

Of three million entries 75 MB are in memory, whatever order they come in.
"""

import hashlib
import os
import zlib
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from letterlock.protocols.incidents.lists import Listed, SerialListReader
from letterlock.protocols.incidents.serials import MAX_SERIAL_OCTETS
from letterlock.storage.serial_lists.layout import (
    HEADER_OCTETS,
    MANY_ENTRIES,
    MAX_PLACE_OCTETS,
    Description,
    Header,
    Layout,
    format_header,
)
from letterlock.storage.serial_lists.source import ListDamaged, ListFile, Tell

_PARTS = 256
_RECORD_OCTETS = MAX_SERIAL_OCTETS + MAX_PLACE_OCTETS


def build(source: ListFile, output: BinaryIO, tell: Tell) -> Header:
    """Write the index of a list to an empty file; gives its header.

    Raises SerialListError, ListDamaged (it changed meanwhile, too) and LocalError, and OSError
    where the output can't be written.
    """
    reader, digest = SerialListReader(), hashlib.sha256()
    sorter = Sorter()
    for block in _read_ahead(source.read_with_digest(tell, digest)):
        sorter.add(reader.receive(block))
    sorter.add(reader.finish())
    if source.has_changed():
        raise ListDamaged("it was changed while it was read; wait until it is whole")
    assert reader.form is not None
    description = Description(
        reader.form,
        reader.unreadable,
        tuple(reader.faults),
        reader.issuer,
        source.stamp,
        digest.hexdigest(),
    )
    return sorter.write(output, description)


def _read_ahead(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack the next block on another core while one is looked at."""
    with ThreadPoolExecutor(1, "unpacking") as thread:
        coming = thread.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = thread.submit(next, blocks, None)
            yield block


class Sorter:
    """Gathers entries, and writes them in the order of their buckets."""

    def __init__(self) -> None:
        self._parts = [bytearray() for _ in range(_PARTS)]
        self._count = 0
        self._largest = self._last_place = 0

    def add(self, listed: Sequence[Listed]) -> None:
        """Take entries; of a serial number that comes twice the first place counts."""
        if not listed:
            return
        parts = self._parts
        for place, serial in listed:
            octets = serial.to_bytes(MAX_SERIAL_OCTETS, "little")
            parts[octets[0]] += octets + place.to_bytes(MAX_PLACE_OCTETS)
        self._count += len(listed)
        self._largest = max(self._largest, *(serial for _, serial in listed))
        self._last_place = listed[-1][0]

    def write(self, output: BinaryIO, description: Description) -> Header:
        """Write it all. Raises OSError."""
        plan = self._plan(self._count)
        fan = array("I", [0])
        assert fan.itemsize == 4
        output.seek(HEADER_OCTETS)
        checksum = 0
        for number, part in enumerate(self._parts):
            octets = b"".join(_sort(part, plan, fan))
            self._parts[number] = bytearray()
            checksum = zlib.crc32(octets, checksum)
            output.write(octets)
        layout = Layout(fan[-1], plan.serial_octets, plan.place_octets, plan.bucket_octets)
        end = HEADER_OCTETS + layout.entries * layout.entry_octets
        octets = bytes(layout.fan_start - end) + fan.tobytes()
        header = Header(layout, description, zlib.crc32(octets, checksum))
        output.write(octets)
        output.seek(0)
        output.write(format_header(header))
        output.flush()
        os.fsync(output.fileno())
        return header

    def _plan(self, entries: int) -> Layout:
        bucket_octets = 2 if entries >= MANY_ENTRIES else 1
        serial_octets = max(bucket_octets, _count_octets(self._largest))
        return Layout(entries, serial_octets, _count_octets(self._last_place), bucket_octets)


def _sort(part: bytearray, plan: Layout, fan: "array[int]") -> Iterator[bytes]:
    """Give a part's entries in order; `fan` gets where each of its buckets ends."""
    whole = bytes(part)
    records = [whole[at : at + _RECORD_OCTETS] for at in range(0, len(whole), _RECORD_OCTETS)]
    records.sort()
    bucket_octets, serial_octets = plan.bucket_octets, plan.serial_octets
    place_start = _RECORD_OCTETS - plan.place_octets
    counts = [0] * (_PARTS if bucket_octets > 1 else 1)
    last = b""
    for record in records:
        serial = record[:serial_octets]
        if serial == last:
            continue
        last = serial
        counts[record[1] if bucket_octets > 1 else 0] += 1
        yield record[bucket_octets:serial_octets] + record[place_start:]
    total = fan[-1]
    for count in counts:
        total += count
        fan.append(total)


def _count_octets(number: int) -> int:
    return max(1, (number.bit_length() + 7) // 8)
