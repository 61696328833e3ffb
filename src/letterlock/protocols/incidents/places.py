"""Where certificates are shown: hosts and ports as an operator writes them.

RFC 3986 §3.2.2 (an IPv6 address stands in brackets before a port), RFC 8314 §3 (465, 587, 993),
RFC 3207 (STARTTLS on 25 and 587). Of another port nobody says what is spoken there: it is tried.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address

from letterlock.base.domains import Domain, DomainError
from letterlock.protocols.tls.server_name import parse_server_name

MAX_PLACE_CHARACTERS = 300


class Speech(StrEnum):
    """How a certificate comes to be shown."""

    TLS = "tls"
    STARTTLS = "starttls"
    UNKNOWN = "unknown"
    """TLS is tried first, then SMTP."""


PORTS = {
    443: Speech.TLS,
    25: Speech.STARTTLS,
    465: Speech.TLS,
    587: Speech.STARTTLS,
    993: Speech.TLS,
}
"""Those that are asked where no port is given."""

_PLACE = re.compile(r"(?:\[(?P<ip>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:]+))(?::(?P<port>[0-9]{1,5}))?")


class PlaceError(ValueError):
    """A text is no host or host and port; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """A host; `port` None: all of PORTS."""

    host: Domain | IPv4Address | IPv6Address
    port: int | None

    @property
    def ports(self) -> tuple[int, ...]:
        return tuple(PORTS) if self.port is None else (self.port,)


def parse_place(text: str) -> Place:
    """Parse `HOST`, `HOST:PORT`, `192.0.2.1:25`, `[2001:db8::1]:25`. Raises PlaceError."""
    text = text.strip()
    if len(text) > MAX_PLACE_CHARACTERS:
        raise PlaceError(f"{text[:80]!r}... is too long for a host")
    if (bare := _find_address(text)) is not None:
        return Place(bare, None)
    found = _PLACE.fullmatch(text)
    if found is None:
        raise PlaceError(f"{text[:80]!r} is neither HOST nor HOST:PORT ([2001:db8::1]:25 for IPv6)")
    port = None if found["port"] is None else int(found["port"])
    if port is not None and not 0 < port <= 0xFFFF:
        raise PlaceError(f"{found['port']!r} is not a port")
    return Place(_parse_host(found["ip"] or found["name"], is_address=bool(found["ip"])), port)


def find_speech(port: int) -> Speech:
    """Say what is spoken on a port."""
    return PORTS.get(port, Speech.UNKNOWN)


def _parse_host(text: str, *, is_address: bool) -> Domain | IPv4Address | IPv6Address:
    address = _find_address(text)
    if address is not None:
        return address
    if is_address:
        raise PlaceError(f"{text[:80]!r} is not an address")
    try:
        return parse_server_name(text)
    except DomainError as error:
        raise PlaceError(str(error)) from error


def _find_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A zone (fe80::1%eth0) is this machine's business.
    return None if isinstance(address, IPv6Address) and address.scope_id else address
