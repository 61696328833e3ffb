"""Where a report goes: a `rua` as an address of mail, or as a server to POST to.

RFC 8460 §3 (two schemes), RFC 6068 §2 (mailto: what stands behind `?` is left out), RFC 3986 §3.
An https URI is used as it is published: an encoded octet is not the same as a bare one. Addresses
are in ASCII, with a dot-atom before the at sign.
"""

import re
from ipaddress import IPv6Address, ip_address

from msgspec import Struct

from letterlock.base.domains import Domain, DomainError, parse_domain

MAX_URI_CHARACTERS = 2000
MAX_DESTINATIONS = 10
"""Of one record: more are left out."""
HTTPS_PORT = 443

_DOT_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
# RFC 5321 §4.5.3.1.1: 64 octets.
_ADDRESS = re.compile(rf"(?=[^@]{{1,64}}@)(?P<local>{_DOT_ATOM})@(?P<domain>[^@\[\]\s]+)\Z")
_ENCODED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_HTTPS = re.compile(
    r"//(?:(?P<user>[^/?#@]*)@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#@:\[\]]+)(?::(?P<port>\d{0,5}))?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?:#.*)?\Z"
)


class DestinationError(ValueError):
    """A URI is none to which a report can be sent; the text is one line."""


class MailDestination(Struct, frozen=True):
    """An address; its domain is in A-labels."""

    address: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


class HttpsDestination(Struct, frozen=True):
    """A server, and what is asked of it: `target` is a path with its query."""

    host: str
    port: int
    target: str


Destination = MailDestination | HttpsDestination


def parse_destination(uri: str) -> Destination:
    """Parse a URI of a record. Raises DestinationError."""
    if len(uri) > MAX_URI_CHARACTERS:
        raise DestinationError(f"longer than {MAX_URI_CHARACTERS} characters")
    scheme, _, rest = uri.partition(":")
    match scheme.lower():
        case "mailto":
            return _parse_mailto(rest)
        case "https":
            return _parse_https(rest)
        case _:
            raise DestinationError("neither mailto nor https")


def _parse_mailto(rest: str) -> MailDestination:
    # RFC 6068 §2: what is encoded is UTF-8, such as a domain in U-labels.
    address = _ENCODED.sub(
        lambda found: bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "replace"),
        rest.partition("?")[0],
    )
    found = _ADDRESS.match(address)
    if found is None:
        raise DestinationError(f"not one mail address: {address[:80]!a}")
    try:
        return MailDestination(f"{found['local']}@{_parse_host_name(found['domain'])}")
    except DomainError as error:
        raise DestinationError(f"not a mail address: {error}") from None


def _parse_https(rest: str) -> HttpsDestination:
    found = (
        _HTTPS.match(rest) if rest.isascii() and rest.isprintable() and " " not in rest else None
    )
    if found is None:
        raise DestinationError("no server in it")
    if found["user"] is not None:
        raise DestinationError("it has a user in it")
    port = int(found["port"] or HTTPS_PORT)
    if not 1 <= port <= 0xFFFF:
        raise DestinationError(f"{port} is no port")
    target = (found["path"] or "/") + (found["query"] or "")
    return HttpsDestination(_parse_host(found["host"]), port, target)


def _parse_host(text: str) -> str:
    try:
        if text.startswith("["):
            return str(IPv6Address(text[1:-1]))
        return _parse_host_name(text)
    except (DomainError, ValueError) as error:
        raise DestinationError(f"no host: {error}") from None


def _parse_host_name(text: str) -> Domain | str:
    if ":" in text or text[-1:].isdigit():
        try:
            return str(ip_address(text))
        except ValueError:
            pass
    return parse_domain(text)
