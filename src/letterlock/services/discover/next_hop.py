"""Next hops: a recipient's domain, or what the operator wrote in `relayhost` and `routes`.

RFC 5321 §4.1.3 (address literals), RFC 8314 §3.3 (implicit TLS). Brackets mean one
host, whose MX is not looked up.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from letterlock.base.config.values import IMPLICIT_TLS
from letterlock.base.domains import Domain, DomainError, parse_domain

DEFAULT_PORT = 25
IMPLICIT_TLS_PORT = 465
"""Nobody expects STARTTLS there (RFC 8314 §7.3)."""

_SERVICES = {"smtp": 25, "submission": 587, "submissions": 465, "smtps": 465}
_NEXT_HOP = re.compile(
    r"(?:\[(?P<host>[^\[\]]+)\]|(?P<domain>[^\[\]:]+))(?::(?P<port>[0-9]{1,5}|[a-z]+))?"
)
_MAX_CHARACTERS = 300


class NextHopError(ValueError):
    """A text is no next hop; the message says why."""


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where mail goes next. Exactly one of `domain` and `address` is not None.

    `key` is the text as written, in lower case with A-labels and without `smtps:` and `IPv6:`: what
    the policy table is asked for. `is_implicit_tls`: TLS comes first, without STARTTLS (RFC 8314
    §3.3).
    """

    key: str
    domain: Domain | None
    address: IPv4Address | IPv6Address | None
    port: int
    is_bracketed: bool
    is_port_given: bool
    is_implicit_tls: bool = False

    def __str__(self) -> str:
        return self.key


def parse_next_hop(text: str, default_port: int = DEFAULT_PORT) -> NextHop:
    """Parse `example.com`, `example.com:2525`, `[mx.example.com]`, `[192.0.2.1]:2525`.

    Also `[IPv6:2001:db8::1]` and `[2001:db8::1]`; a port may be `smtp`, `submission`, `smtps`.
    `smtps:` in front, or port 465, means implicit TLS. Raises NextHopError.
    """
    prefix = IMPLICIT_TLS.match(text)
    if prefix is not None:
        text, default_port = text[prefix.end() :], IMPLICIT_TLS_PORT
    parts = _NEXT_HOP.fullmatch(text.lower()) if len(text) <= _MAX_CHARACTERS else None
    if parts is None:
        raise NextHopError(f"{text[:80]!r} is neither a domain nor a host in brackets")
    host, port_text = parts["host"], parts["port"]
    port = default_port if port_text is None else _parse_port(port_text)
    name = host or parts["domain"]
    address = _find_address(name)
    if address and not host:
        raise NextHopError(f"an address must stand in brackets: [{name}]")
    domain = None if address else _parse_domain(name)
    words = domain or str(address)
    return NextHop(
        key=(f"[{words}]" if host else words) + (f":{port_text}" if port_text else ""),
        domain=domain,
        address=address,
        port=port,
        is_bracketed=bool(host),
        is_port_given=port_text is not None,
        is_implicit_tls=prefix is not None or port == IMPLICIT_TLS_PORT,
    )


def _parse_port(text: str) -> int:
    port = _SERVICES.get(text, 0) if text.isalpha() else int(text)
    if not 1 <= port <= 0xFFFF:
        raise NextHopError(f"{text!r} is not a port")
    return port


def _parse_domain(text: str) -> Domain:
    try:
        domain = parse_domain(text)
    except DomainError as error:
        raise NextHopError(str(error)) from error
    if _find_address(domain):
        raise NextHopError(f"{text!r} is an address that ends in a dot")
    return domain


def _find_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.removeprefix("ipv6:"))
    except ValueError:
        return None
