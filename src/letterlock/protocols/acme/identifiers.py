"""What a certificate is asked for: domain names, wildcards, addresses.

RFC 8555 §7.1.3, §7.1.4 (dns; wildcards only in orders), RFC 8738 §3 (ip), §6 (SNI of addresses).
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal

from letterlock.base.domains import parse_domain
from letterlock.protocols.acme.fields import Fields, format_line

DNS = "dns"
IP = "ip"
WILDCARD = "*."

_SHOWN_CHARACTERS = 253


@dataclass(frozen=True, slots=True, order=True)
class Identifier:
    """One name or address. `type` is a server's word, so not only `dns` and `ip` are seen."""

    type: str
    value: str

    def __str__(self) -> str:
        return format_line(self.value, _SHOWN_CHARACTERS)

    @property
    def is_wildcard(self) -> bool:
        return self.type == DNS and self.value.startswith(WILDCARD)

    @property
    def base(self) -> str:
        """The name without the asterisk: what is validated (RFC 8555 §7.1.4)."""
        return self.value.removeprefix(WILDCARD)

    def address(self) -> IPv4Address | IPv6Address | None:
        """Give the address; None for a name."""
        return ip_address(self.value) if self.type == IP else None


def parse_identifier(text: str) -> Identifier:
    """Read a name (in Unicode too), a wildcard or an address as an operator writes it.

    Raises ValueError for what is neither.
    """
    try:
        ip = ip_address(text)
    except ValueError:
        base = parse_domain(text.removeprefix(WILDCARD))
        if _is_address(base):
            raise ValueError(f"{text}: an address has no dot behind it and no wildcard") from None
        return Identifier(DNS, f"{WILDCARD if text.startswith(WILDCARD) else ''}{base}")
    if isinstance(ip, IPv6Address) and (ip.ipv4_mapped or ip.scope_id):
        # RFC 5952 §5 writes the first in two ways, and the second means something here only.
        raise ValueError(f"{text}: no certificate can be had for such an address")
    return Identifier(IP, str(ip))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def read_identifier(fields: Fields) -> Identifier:
    """Read an identifier in a server's object. Raises ObjectError."""
    kind, value = fields.required_text("type"), fields.required_text("value").lower()
    if kind == IP:
        try:
            value = str(ip_address(value))
        except ValueError as error:
            raise fields.fault("its value is no address") from error
    return Identifier(kind, value)


def format_identifier(identifier: Identifier) -> dict[str, str]:
    """Make the object (RFC 8555 §7.1.3)."""
    return {"type": identifier.type, "value": identifier.value}


def make_server_name(identifier: Identifier) -> str:
    """Give the SNI that a validator sends (RFC 8737 §3; for addresses RFC 8738 §6)."""
    ip = identifier.address()
    return identifier.value if ip is None else ip.reverse_pointer


ChallengeType = Literal["http-01", "dns-01", "tls-alpn-01"]


def find_usable(identifier: Identifier) -> tuple[ChallengeType, ...]:
    """Give the challenges that can prove it.

    RFC 8738 §7: no dns-01 for addresses. Wildcards only by dns-01, as authorities have it
    (Baseline Requirements 3.2.2.4.19, 3.2.2.4.20).
    """
    if identifier.type == IP:
        return ("http-01", "tls-alpn-01")
    if identifier.is_wildcard:
        return ("dns-01",)
    return ("http-01", "dns-01", "tls-alpn-01")
