"""PROXY headers of version 1: one line of text.

The PROXY protocol §2.1.
"""

import re
from ipaddress import IPv4Address, IPv6Address

from letterlock.protocols.proxy.headers import (
    MAX_PORT,
    Endpoint,
    HeaderError,
    HeaderFault,
    ProxyHeader,
    make_endpoint,
)

PREFIX = b"PROXY "
MAX_OCTETS = 107
"""With CRLF (§2.1)."""

# No leading zeros, and exactly one space (§2.1). An address is judged by `ipaddress`.
_LINE = re.compile(
    rb"PROXY TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})\Z"
)
# Anything may stand behind UNKNOWN, and is not looked at.
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: .*)?\Z", re.DOTALL)


def parse_text_header(line: bytes) -> ProxyHeader:
    """Parse a line without its CRLF. Raises HeaderError."""
    if _UNKNOWN.match(line):
        return ProxyHeader()
    match = _LINE.match(line)
    if match is None:
        raise HeaderError(HeaderFault.MALFORMED)
    kind = IPv4Address if match[1] == b"4" else IPv6Address
    try:
        source, destination = (
            _make_end(kind, match[index].decode(), int(match[index + 2])) for index in (2, 3)
        )
    except ValueError:
        raise HeaderError(HeaderFault.MALFORMED) from None
    return ProxyHeader(source, destination)


def format_text_header(header: ProxyHeader) -> bytes:
    """Give a header as version 1 can say it: addresses only, and only those of one family."""
    source, destination = header.source, header.destination
    if source is None or destination is None:
        return b"PROXY UNKNOWN\r\n"
    family = 6 if ":" in source.ip else 4
    if (":" in destination.ip) != (family == 6):
        raise ValueError("both ends must be of one family")
    ports = f"{source.port} {destination.port}"
    return f"PROXY TCP{family} {source.ip} {destination.ip} {ports}\r\n".encode()


def _make_end(kind: type[IPv4Address | IPv6Address], text: str, port: int) -> Endpoint:
    if port > MAX_PORT:
        raise ValueError("no port")
    return make_endpoint(str(kind(text)), port)
