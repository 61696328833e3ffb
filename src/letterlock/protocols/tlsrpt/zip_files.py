"""Zip archives, as far as reports come in them: their directory, stored and deflated files.

APPNOTE.TXT (PKWARE) §4.3, §4.4. No encryption, no zip64, no archive in several parts. What is for
one system only (`__MACOSX`), and folders, are passed over.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from letterlock.protocols.tlsrpt.limits import MAX_REPORT_OCTETS, MAX_ZIP_ENTRIES
from letterlock.protocols.tlsrpt.report import Fault, ReportError

_LOCAL = b"PK\x03\x04"
_CENTRAL = b"PK\x01\x02"
_END = b"PK\x05\x06"
ZIP_STARTS = (_LOCAL, _END)
"""How an archive begins, with files in it or without."""
_END_OCTETS = 22
_MAX_COMMENT = 0xFFFF
_CENTRAL_HEADER = struct.Struct("<4s6H3L5H2L")
_LOCAL_OCTETS = 30
_ENCRYPTED = 0x1
_STORED, _DEFLATED = 0, 8


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file's row in the directory; `offset` is that of its own header."""

    name: bytes
    flags: int
    method: int
    checksum: int
    packed: int
    size: int
    offset: int


def is_zip(octets: bytes) -> bool:
    """Say whether something begins as an archive does, with files in it or without."""
    return octets.startswith(ZIP_STARTS)


def read_zip(octets: bytes) -> list[bytes]:
    """Give the files of an archive, in the order of its directory. Raises ReportError."""
    files, left = [], MAX_REPORT_OCTETS
    for entry in _read_directory(octets):
        if entry.name.endswith(b"/") or entry.name.startswith(b"__MACOSX/"):
            continue
        file = _read_file(octets, entry, left)
        left -= len(file)
        files.append(file)
    if not files:
        raise ReportError(Fault.NO_REPORT, "the zip archive is empty")
    return files


def _read_directory(octets: bytes) -> Iterator[_Entry]:
    end = octets.rfind(_END, max(0, len(octets) - _END_OCTETS - _MAX_COMMENT))
    if end < 0 or len(octets) < end + _END_OCTETS:
        raise _damaged("its directory is missing")
    count, _, at = struct.unpack_from("<H2L", octets, end + 10)
    if count > MAX_ZIP_ENTRIES:
        raise ReportError(Fault.TOO_LARGE, f"more than {MAX_ZIP_ENTRIES} files in the zip archive")
    for _ in range(count):
        if octets[at : at + 4] != _CENTRAL or at + _CENTRAL_HEADER.size > len(octets):
            raise _damaged("its directory is broken")
        row = _CENTRAL_HEADER.unpack_from(octets, at)
        name_octets, extra_octets, comment_octets = row[10:13]
        name = octets[at + _CENTRAL_HEADER.size :][:name_octets] if name_octets < 1000 else b""
        yield _Entry(name, row[3], row[4], row[7], row[8], row[9], row[16])
        at += _CENTRAL_HEADER.size + name_octets + extra_octets + comment_octets


def _read_file(octets: bytes, entry: _Entry, max_octets: int) -> bytes:
    if entry.flags & _ENCRYPTED:
        raise ReportError(Fault.ENCRYPTED, "a file in the zip archive needs a password")
    if entry.size > max_octets:
        raise _too_large()
    at = entry.offset
    if octets[at : at + 4] != _LOCAL or at + _LOCAL_OCTETS > len(octets):
        raise _damaged("a file is not where its directory says")
    start = at + _LOCAL_OCTETS + sum(struct.unpack_from("<2H", octets, at + 26))
    packed = octets[start : start + entry.packed]
    if entry.method == _STORED:
        file = packed
    elif entry.method == _DEFLATED:
        file = _inflate(packed, entry.size)
    else:
        raise _damaged(f"packed by method {entry.method}, which is not known here")
    if len(file) != entry.size or zlib.crc32(file) != entry.checksum:
        raise _damaged("a file is not as long as it was, or not the same")
    return file


def _inflate(packed: bytes, size: int) -> bytes:
    try:
        # One octet more than there should be: too much is seen, and not kept.
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)
    except zlib.error as error:
        raise _damaged(str(error)) from None


def _damaged(why: str) -> ReportError:
    return ReportError(Fault.DAMAGED, f"the zip archive cannot be unpacked: {why}")


def _too_large() -> ReportError:
    return ReportError(Fault.TOO_LARGE, f"more than {MAX_REPORT_OCTETS >> 20} MiB unpacked")
