"""How an index of serial numbers lies in a file: a header, sorted entries, and their buckets.

A serial number's lowest octets are its bucket, as these differ however an authority counts: random
or in turn. An entry has the other octets, lowest first, and where the list has it. Ours alone: an
index that another version made, or another kind of machine, is made anew.
"""

import hashlib
import json
import sys
from base64 import b64decode, b64encode
from dataclasses import dataclass

from letterlock.protocols.incidents.lists import Fault, ListForm
from letterlock.protocols.incidents.serials import MAX_SERIAL_OCTETS
from letterlock.storage.serial_lists.source import Stamp

MAGIC = b"LLSERIAL"
VERSION = 1
HEADER_OCTETS = 4096
MANY_ENTRIES = 1 << 16
"""From here on two octets choose the bucket."""
MAX_PLACE_OCTETS = 4

_DIGEST_OCTETS = 32
_LENGTH_OCTETS = 4
_START = len(MAGIC) + _DIGEST_OCTETS + _LENGTH_OCTETS
_FAN_OCTETS = 4


class IndexUnusable(Exception):  # noqa: N818 - a state of a file
    """A file is no index, or not a whole one; the message says why."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes in octets, but `entries`, which is a count."""

    entries: int
    serial_octets: int
    place_octets: int
    bucket_octets: int

    @property
    def rest_octets(self) -> int:
        return self.serial_octets - self.bucket_octets

    @property
    def entry_octets(self) -> int:
        return self.rest_octets + self.place_octets

    @property
    def fan_start(self) -> int:
        end = HEADER_OCTETS + self.entries * self.entry_octets
        return end + -end % _FAN_OCTETS

    @property
    def fan_octets(self) -> int:
        return ((1 << (8 * self.bucket_octets)) + 1) * _FAN_OCTETS

    @property
    def total_octets(self) -> int:
        return self.fan_start + self.fan_octets

    def has_sense(self) -> bool:
        return (
            self.bucket_octets in (1, 2)
            and self.bucket_octets <= self.serial_octets <= MAX_SERIAL_OCTETS
            and 1 <= self.place_octets <= MAX_PLACE_OCTETS
            and 0 <= self.entries < 1 << 32
        )


@dataclass(frozen=True, slots=True)
class Description:
    """What an index says of the list that it was made from. `issuer` is of a CRL, DER."""

    form: ListForm
    unreadable: int
    faults: tuple[Fault, ...]
    issuer: bytes | None
    stamp: Stamp
    digest: str


@dataclass(frozen=True, slots=True)
class Header:
    """The first octets of an index. `checksum` is the CRC-32 of all that follows them."""

    layout: Layout
    description: Description
    checksum: int


def format_header(header: Header) -> bytes:
    """Write a header of HEADER_OCTETS."""
    layout, told = header.layout, header.description
    text = json.dumps(
        {
            "version": VERSION,
            "byteorder": sys.byteorder,
            "entries": layout.entries,
            "serial_octets": layout.serial_octets,
            "place_octets": layout.place_octets,
            "bucket_octets": layout.bucket_octets,
            "total_octets": layout.total_octets,
            "checksum": header.checksum,
            "form": told.form,
            "unreadable": told.unreadable,
            "faults": [[fault.line, fault.reason] for fault in told.faults],
            "issuer": None if told.issuer is None else b64encode(told.issuer).decode("ascii"),
            "stamp": [told.stamp.size, told.stamp.mtime_ns, told.stamp.ctime_ns, told.stamp.inode],
            "digest": told.digest,
        }
    ).encode("ascii")
    length = len(text).to_bytes(_LENGTH_OCTETS)
    octets = MAGIC + hashlib.sha256(length + text).digest() + length + text
    assert len(octets) <= HEADER_OCTETS
    return octets.ljust(HEADER_OCTETS, b"\0")


def read_header(octets: bytes) -> Header:
    """Read the first octets of an index. Raises IndexUnusable."""
    length = int.from_bytes(octets[_START - _LENGTH_OCTETS : _START])
    text = octets[_START : _START + length]
    if octets[: len(MAGIC)] != MAGIC or len(text) != length:
        raise IndexUnusable("no index of serial numbers")
    digest = octets[len(MAGIC) : len(MAGIC) + _DIGEST_OCTETS]
    if hashlib.sha256(octets[_START - _LENGTH_OCTETS : _START] + text).digest() != digest:
        raise IndexUnusable("its header is damaged")
    try:
        found = json.loads(text)
        if (found["version"], found["byteorder"]) != (VERSION, sys.byteorder):
            raise IndexUnusable("another version made it, or another machine")
        return _make_header(found)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise IndexUnusable("its header says what cannot be") from error


def _make_header(found: dict[str, object]) -> Header:
    numbers = ("entries", "serial_octets", "place_octets", "bucket_octets")
    layout = Layout(*(_take_number(found[name]) for name in numbers))
    if not layout.has_sense() or found["total_octets"] != layout.total_octets:
        raise ValueError
    issuer, faults, stamp = found["issuer"], found["faults"], found["stamp"]
    if not isinstance(faults, list) or not isinstance(stamp, list):
        raise TypeError
    description = Description(
        ListForm(str(found["form"])),
        _take_number(found["unreadable"]),
        tuple(Fault(_take_number(line), str(reason)) for line, reason in faults),
        None if issuer is None else b64decode(str(issuer)),
        Stamp(*map(_take_number, stamp)),
        str(found["digest"]),
    )
    return Header(layout, description, _take_number(found["checksum"]))


def _take_number(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise TypeError
    return value
