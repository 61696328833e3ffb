"""PROXY headers of version 2: a block of octets with addresses, and what else there is to tell.

The PROXY protocol §2.2. What is told by types that are not in `_Type` is skipped, as it asks.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from ipaddress import ip_address

from letterlock.protocols.proxy.crc32c import crc32c
from letterlock.protocols.proxy.headers import (
    Endpoint,
    HeaderError,
    HeaderFault,
    ProxiedTls,
    ProxyHeader,
    make_endpoint,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FIXED_OCTETS = 16
MAX_OCTETS = 8192
"""The whole of a header that we take. Some proxies add the client's whole certificate."""
MAX_TLVS = 64

_VERSION = 2
_LOCAL, _PROXY = 0, 1
_UNSPECIFIED, _IPV4, _IPV6, _UNIX = range(4)
_STREAM = 1
_ADDRESS_OCTETS = {_IPV4: 4, _IPV6: 16}
_UNIX_OCTETS = 216
_TLV = struct.Struct(">BH")
_SSL = struct.Struct(">BI")
_FLAG_TLS, _FLAG_CERTIFICATE = 1, 6


class _Type(IntEnum):
    ALPN = 0x01
    AUTHORITY = 0x02
    CRC32C = 0x03
    SSL = 0x20
    SSL_VERSION = 0x21
    SSL_CN = 0x22
    SSL_CIPHER = 0x23


def find_length(fixed: bytes) -> int:
    """Give the length of a whole header, from its first FIXED_OCTETS. Raises HeaderError."""
    if fixed[12] >> 4 != _VERSION:
        raise HeaderError(HeaderFault.UNKNOWN_VERSION)
    length = FIXED_OCTETS + int.from_bytes(fixed[14:16], "big")
    if length > MAX_OCTETS:
        raise HeaderError(HeaderFault.TOO_LONG)
    return length


def parse_binary_header(octets: bytes) -> ProxyHeader:
    """Parse a whole header. Raises HeaderError."""
    command, family, protocol = octets[12] & 15, octets[13] >> 4, octets[13] & 15
    if command == _LOCAL:
        # Whatever else it says is to be discarded (§2.2).
        return ProxyHeader(is_local=True)
    if command != _PROXY:
        raise HeaderError(HeaderFault.UNKNOWN_COMMAND)
    if family > _UNIX or protocol not in (_UNSPECIFIED, _STREAM):
        raise HeaderError(HeaderFault.UNKNOWN_FAMILY)
    if _UNSPECIFIED in (family, protocol):
        # Where its addresses end is not known then, so the rest is not looked at.
        return ProxyHeader()
    return _read_block(octets, family)


def format_binary_header(header: ProxyHeader, *, has_checksum: bool = False) -> bytes:
    """Give a header with all that it says; `has_checksum` adds one (§2.2.3)."""
    source, destination = header.source, header.destination
    if header.is_local:
        return _join(_LOCAL, 0, b"")
    if source is None or destination is None:
        return _join(_PROXY, 0, b"")
    ends = (ip_address(source.ip), ip_address(destination.ip))
    if ends[0].version != ends[1].version:
        raise ValueError("both ends must be of one family")
    family = _IPV4 if ends[0].version == 4 else _IPV6
    block = ends[0].packed + ends[1].packed + struct.pack(">HH", source.port, destination.port)
    if header.alpn is not None:
        block += _tlv(_Type.ALPN, header.alpn)
    if header.authority is not None:
        block += _tlv(_Type.AUTHORITY, header.authority.encode())
    if header.tls is not None:
        block += _tlv(_Type.SSL, _format_tls(header.tls))
    if not has_checksum:
        return _join(_PROXY, family << 4 | _STREAM, block)
    whole = _join(_PROXY, family << 4 | _STREAM, block + _tlv(_Type.CRC32C, bytes(4)))
    return whole[:-4] + crc32c(whole).to_bytes(4, "big")


def _read_block(octets: bytes, family: int) -> ProxyHeader:
    """Read the addresses of a connection, and what is told behind them."""
    size = _ADDRESS_OCTETS.get(family)
    start = FIXED_OCTETS + (_UNIX_OCTETS if size is None else 2 * size + 4)
    if len(octets) < start:
        raise HeaderError(HeaderFault.MALFORMED)
    told = dict(_split_tlvs(octets, start))
    _check_sum(octets, told.get(_Type.CRC32C))
    alpn = told.get(_Type.ALPN)
    authority = told.get(_Type.AUTHORITY)
    source, destination = _read_ends(octets, size) if size is not None else (None, None)
    return ProxyHeader(
        source,
        destination,
        tls=_read_tls(octets, told.get(_Type.SSL)),
        alpn=None if alpn is None else octets[alpn],
        authority=None if authority is None else octets[authority].decode("utf-8", "replace"),
    )


def _read_ends(octets: bytes, size: int) -> tuple[Endpoint, Endpoint]:
    """Read both addresses, of so many octets, and their ports."""
    middle, end = FIXED_OCTETS + size, FIXED_OCTETS + 2 * size
    ports = struct.unpack_from(">HH", octets, end)
    return (
        make_endpoint(octets[FIXED_OCTETS:middle], ports[0]),
        make_endpoint(octets[middle:end], ports[1]),
    )


def _split_tlvs(octets: bytes, start: int, end: int | None = None) -> Iterator[tuple[int, slice]]:
    """Give each type with where its value is. Raises HeaderError."""
    end = len(octets) if end is None else end
    for _ in range(MAX_TLVS):
        if start == end:
            return
        if end - start < _TLV.size:
            break
        kind, length = _TLV.unpack_from(octets, start)
        start += _TLV.size
        if length > end - start:
            break
        yield kind, slice(start, start + length)
        start += length
    raise HeaderError(HeaderFault.MALFORMED)


def _check_sum(octets: bytes, place: slice | None) -> None:
    if place is None:
        return
    told = octets[place]
    if len(told) != 4:
        raise HeaderError(HeaderFault.MALFORMED)
    if crc32c(octets[: place.start] + bytes(4) + octets[place.stop :]) != int.from_bytes(
        told, "big"
    ):
        raise HeaderError(HeaderFault.WRONG_CHECKSUM)


def _read_tls(octets: bytes, place: slice | None) -> ProxiedTls | None:
    """Read what is told of TLS; None: there was none (§2.2.6)."""
    if place is None:
        return None
    if place.stop - place.start < _SSL.size:
        raise HeaderError(HeaderFault.MALFORMED)
    flags, fault = _SSL.unpack_from(octets, place.start)
    told = {
        kind: octets[where].decode("utf-8", "replace")
        for kind, where in _split_tlvs(octets, place.start + _SSL.size, place.stop)
    }
    if not flags & _FLAG_TLS:
        return None
    return ProxiedTls(
        told.get(_Type.SSL_VERSION, ""),
        told.get(_Type.SSL_CIPHER, ""),
        told.get(_Type.SSL_CN, ""),
        is_verified=bool(flags & _FLAG_CERTIFICATE) and fault == 0,
    )


def _format_tls(tls: ProxiedTls) -> bytes:
    flags = _FLAG_TLS | (_FLAG_CERTIFICATE if tls.is_verified or tls.common_name else 0)
    told = (
        (_Type.SSL_VERSION, tls.version),
        (_Type.SSL_CIPHER, tls.cipher),
        (_Type.SSL_CN, tls.common_name),
    )
    block = b"".join(_tlv(kind, text.encode()) for kind, text in told if text)
    return _SSL.pack(flags, 0 if tls.is_verified else 1) + block


def _tlv(kind: int, value: bytes) -> bytes:
    return _TLV.pack(kind, len(value)) + value


def _join(command: int, family: int, block: bytes) -> bytes:
    return SIGNATURE + struct.pack(">BBH", _VERSION << 4 | command, family, len(block)) + block
