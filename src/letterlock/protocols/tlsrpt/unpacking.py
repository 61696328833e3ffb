"""What reports are packed in: gzip as RFC 8460 has it, zlib and zip as some reporters have it.

RFC 8460 §5.2, §6.3; RFC 1952. What is packed is told by its first octets, whatever its type and its
file name say. All is bounded: what would become too large is refused before it is kept. Zip itself
is in `zip_files`.
"""

import zlib

from letterlock.protocols.tlsrpt.limits import (
    MAX_GZIP_MEMBERS,
    MAX_PACKED_LAYERS,
    MAX_REPORT_OCTETS,
    MAX_REPORTS,
)
from letterlock.protocols.tlsrpt.report import Fault, ReportError
from letterlock.protocols.tlsrpt.zip_files import ZIP_STARTS, is_zip, read_zip

_GZIP = b"\x1f\x8b"
_ZLIB: tuple[bytes, ...] = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_STREAMS = (_GZIP, *_ZLIB)
_PACKED = (*_STREAMS, *ZIP_STARTS)
_EITHER_HEADER = 32 + zlib.MAX_WBITS
_KEPT_AT_ONCE = 1024 * 1024
_CHUNK = 64 * 1024

Unpacked = tuple[bytes, tuple[str, ...]]
"""What was packed, and what was unusual on the way."""


def is_packed(octets: bytes) -> bool:
    """Say whether something begins as gzip, zlib or zip does."""
    return octets.startswith(_PACKED)


def unpack(octets: bytes) -> list[Unpacked]:
    """Unpack what may be packed, in all its layers; what is not comes back as it is.

    A zip archive may hold several reports. Raises ReportError.
    """
    found: list[Unpacked] = []
    waiting: list[tuple[bytes, tuple[str, ...], int]] = [(octets, (), 0)]
    while waiting:
        packed, notes, layers = waiting.pop(0)
        if len(packed) > MAX_REPORT_OCTETS:
            raise ReportError(Fault.TOO_LARGE, f"more than {MAX_REPORT_OCTETS >> 20} MiB")
        if not is_packed(packed):
            found.append((packed, notes))
            continue
        if layers == MAX_PACKED_LAYERS:
            raise ReportError(Fault.TOO_LARGE, f"packed more than {MAX_PACKED_LAYERS} times")
        if layers:
            notes = (*notes, "packed twice")
        waiting += [
            (unpacked, (*notes, *more), layers + 1) for unpacked, more in _unpack_layer(packed)
        ]
        if len(waiting) + len(found) > MAX_REPORTS:
            raise ReportError(Fault.TOO_LARGE, f"more than {MAX_REPORTS} files in an archive")
    return found


def _unpack_layer(octets: bytes) -> list[Unpacked]:
    if is_zip(octets):
        return [(unpacked, ("in a zip archive, not gzip",)) for unpacked in read_zip(octets)]
    if not octets.startswith(_GZIP):
        return [_unpack_members(octets, ("zlib, not gzip",))]
    return [_unpack_members(octets, ())]


def _unpack_members(octets: bytes, notes: tuple[str, ...]) -> Unpacked:
    """Unpack the members of a gzip file, one behind the other (RFC 1952 §2.2)."""
    pieces: list[bytes] = []
    size = members = 0
    rest = octets
    while rest.startswith(_STREAMS) and (members == 0 or rest.startswith(_GZIP)):
        members += 1
        if members > MAX_GZIP_MEMBERS:
            raise ReportError(Fault.TOO_LARGE, f"more than {MAX_GZIP_MEMBERS} gzip members")
        piece, rest = inflate(rest, _EITHER_HEADER, MAX_REPORT_OCTETS - size)
        pieces.append(piece)
        size += len(piece)
    if rest.strip(b"\0\r\n"):
        notes = (*notes, "octets behind the gzip data are left out")
    return b"".join(pieces), notes


def inflate(octets: bytes, window_bits: int, max_octets: int) -> tuple[bytes, bytes]:
    """Unpack one stream; gives what was in it, and what stands behind it. Raises ReportError.

    A large one is unpacked twice: first only to learn that it is not too large.
    """
    try:
        stream = zlib.decompressobj(window_bits)
        kept = stream.decompress(octets, min(_KEPT_AT_ONCE, max_octets + 1))
        if not stream.eof and len(kept) <= max_octets:
            max_octets = _measure(octets, window_bits, max_octets)
            stream = zlib.decompressobj(window_bits)
            # Room for all of it: its end, behind which the checksum is looked at, is reached.
            kept = stream.decompress(octets, max_octets + 1)
    except zlib.error as error:
        raise ReportError(Fault.DAMAGED, f"it cannot be unpacked: {error}") from None
    if len(kept) > max_octets:
        raise _too_large()
    return kept, stream.unused_data


def _measure(octets: bytes, window_bits: int, max_octets: int) -> int:
    """Give what a stream unpacks to, without keeping it. Raises ReportError."""
    stream = zlib.decompressobj(window_bits)
    size, waiting = 0, octets
    while not stream.eof:
        piece = len(stream.decompress(waiting, _CHUNK))
        waiting = stream.unconsumed_tail
        size += piece
        if size > max_octets:
            raise _too_large()
        if not piece and not waiting and not stream.eof:
            raise ReportError(Fault.DAMAGED, "it cannot be unpacked: it ends too early")
    return size


def _too_large() -> ReportError:
    return ReportError(Fault.TOO_LARGE, f"more than {MAX_REPORT_OCTETS >> 20} MiB unpacked")
