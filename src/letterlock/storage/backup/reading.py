"""Reading a backup: its members one after the other, and whether they are what the manifest says.

Of tar (POSIX.1-2001, pax) only what `writing` makes is read: plain files, each with its octets in
the archive. Links, folders, devices, sparse files and all else are refused, so that nothing leads
elsewhere, and nothing is larger than the archive. Blocks.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from letterlock.storage.backup.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    ArchiveError,
    Manifest,
    Part,
    parse_manifest,
    require_safe_name,
    show,
)

BLOCK = 512
MAX_PAX_BYTES = 64 * 1024
"""Of what describes one member beyond its header: names have at most 4 KiB."""
READ_BYTES = 1024 * 1024
_FILE, _PAX = b"0", b"x"


@dataclass(frozen=True, slots=True)
class Header:
    """One header of 512 octets."""

    name: str
    kind: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Member:
    """A member, open: `read` gives its octets in pieces, and must be read to its end."""

    name: str
    size: int
    read: Callable[[], Iterator[bytes]]


def parse_tar_header(block: bytes) -> Header | None:
    """Read a header; None for the block of zeros that ends an archive. Raises ArchiveError."""
    if block == bytes(BLOCK):
        return None
    if len(block) != BLOCK or block[257:263] != b"ustar\0":
        raise ArchiveError("it is damaged, or no backup: a header is not one of tar")
    told = sum(block[:148]) + 8 * 32 + sum(block[156:])
    if _parse_number(block[148:156]) != told:
        raise ArchiveError("it is damaged: the sum of a header is wrong")
    name = block[:100].rstrip(b"\0")
    if block[345:500].strip(b"\0"):
        name = block[345:500].rstrip(b"\0") + b"/" + name
    return Header(_decode(name), block[156:157], _parse_number(block[124:136]))


def parse_pax(octets: bytes) -> dict[str, str]:
    """Read the records of a pax header: `LENGTH key=value` a line. Raises ArchiveError."""
    found: dict[str, str] = {}
    at = 0
    while at < len(octets):
        number, space, _ = octets[at : at + 12].partition(b" ")
        length = int(number) if space and number.isdigit() else 0
        record = octets[at : at + length]
        key, equals, value = record[len(number) + 1 : -1].partition(b"=")
        if not equals or len(record) != length or not record.endswith(b"\n"):
            raise ArchiveError("it is damaged: a record of a header cannot be read")
        found[_decode(key)] = _decode(value)
        at += length
    return found


def list_members(file: BinaryIO) -> Iterator[Member]:
    """Give a backup's members, in their order. Raises ArchiveError, and OSError.

    What of a member was not read is passed over.
    """
    end = file.seek(0, os.SEEK_END)
    at = 0
    while (found := _find_member(file, at, end)) is not None:
        header, at = found
        require_safe_name(header.name)
        yield Member(header.name, header.size, _make_reader(file, at, header.size))
        at += _padded(header.size)


def load_manifest(file: BinaryIO) -> Manifest:
    """Give a backup's manifest, from its end. Raises ArchiveError and OSError."""
    last: Member | None = None
    for member in list_members(file):
        last = member
    if last is None or last.name != MANIFEST:
        raise ArchiveError("it is cut off: the manifest, which is its last part, is missing")
    if last.size > MAX_MANIFEST_BYTES:
        raise ArchiveError(f"{MANIFEST}: it is too large")
    return parse_manifest(b"".join(last.read()))


def check_archive(
    file: BinaryIO, on_progress: Callable[[str, int], None] = lambda _name, _octets: None
) -> Manifest:
    """Compare every part with the manifest; gives that. Raises ArchiveError and OSError."""
    manifest = load_manifest(file)
    for part, member in pair_members(file, manifest):
        for octets in read_checked(part, member):
            on_progress(part.name, len(octets))
    return manifest


def pair_members(file: BinaryIO, manifest: Manifest) -> Iterator[tuple[Part, Member]]:
    """Give each part with its member. Raises ArchiveError when they are not the same."""
    parts = iter(manifest.parts)
    for member in list_members(file):
        if member.name == MANIFEST:
            break
        part = next(parts, None)
        if part is None or part.name != member.name:
            raise ArchiveError(f"{show(member.name)}: the manifest does not have it there")
        if part.size != member.size:
            raise ArchiveError(f"{show(member.name)}: {member.size} octets, not {part.size}")
        yield part, member
    if (missing := next(parts, None)) is not None:
        raise ArchiveError(f"{show(missing.name)}: it is missing")


def read_checked(part: Part, member: Member) -> Iterator[bytes]:
    """Give a member's octets. Raises ArchiveError at their end when they are others."""
    digest = hashlib.sha256()
    for octets in member.read():
        digest.update(octets)
        yield octets
    if digest.hexdigest() != part.sha256:
        raise ArchiveError(f"{show(part.name)}: it is damaged, its SHA-256 is another")


def _find_member(file: BinaryIO, at: int, end: int) -> tuple[Header, int] | None:
    """Give the next member's header, and where its octets begin; None at the end."""
    long: dict[str, str] = {}
    while True:
        file.seek(at)
        block = file.read(BLOCK)
        if not block:
            raise ArchiveError("it is cut off: it has no end")
        header = parse_tar_header(block)
        if header is None:
            return None
        at += BLOCK
        size = _parse_size(long["size"]) if "size" in long else header.size
        if size > end - at:
            raise ArchiveError(f"{show(header.name)}: it is cut off there")
        if header.kind == _FILE:
            return Header(long.get("path", header.name), _FILE, size), at
        if header.kind != _PAX or long or size > MAX_PAX_BYTES:
            raise ArchiveError(f"{show(header.name)}: a backup has plain files only")
        long = parse_pax(file.read(size))
        at += _padded(size)


def _make_reader(file: BinaryIO, at: int, size: int) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        place, left = at, size
        while left:
            file.seek(place)
            octets = file.read(min(left, READ_BYTES))
            if not octets:
                raise ArchiveError("it is cut off: it became shorter")
            place, left = place + len(octets), left - len(octets)
            yield octets

    return read


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _parse_number(field: bytes) -> int:
    digits = field.strip(b"\0 ")
    if not digits or digits.strip(b"01234567"):
        raise ArchiveError("it is damaged: a number of a header cannot be read")
    return int(digits, 8)


def _parse_size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ArchiveError("it is damaged: a size cannot be read")
    return int(text)


def _decode(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")
