"""transport(5): which way mail for a recipient takes.

Of Postfix's transports those that mean something here: `smtp` and `relay` to a next hop, `smtps`
to one where TLS comes first (as Postfix's example of that name), `lmtp`, `local` and `virtual` into
a mailbox, `discard`, `error` and `retry`. Others make a wrong entry:
mail for it waits. What a next hop is decides who calls.
"""

import re
from dataclasses import dataclass
from functools import partial

from letterlock.protocols.smtp.paths import AddressError, parse_mailbox
from letterlock.protocols.tables.lines import Table, TableError, gather_pairs, quote, shorten
from letterlock.protocols.tables.lookup import (
    WILDCARD,
    normal_address_key,
    normal_domain,
)
from letterlock.protocols.tables.relay import NextHopCheck

LMTP_PORT = 24
"""postconf(5), `lmtp_tcp_port`."""

_SMTP = ("smtp", "relay")
_SMTPS = "smtps"
_MAILBOX = ("local", "virtual")
_FAILING = {"error": "5.0.0", "retry": "4.0.0"}
# RFC 3463 §2: class, subject, detail; of the class only what an error can have.
_STATUS = re.compile(r"([45]\.[0-9]{1,3}\.[0-9]{1,3})(?:[ \t]+|\Z)")
_INET = re.compile(
    r"(?:\[(?P<literal>[^\[\]\s]+)\]|(?P<host>[^\[\]:\s,]+))(?::(?P<port>[0-9]{1,5}))?"
)
_MAX_SOCKET_OCTETS = 107
"""Of a path in `sockaddr_un`, without its NUL."""


@dataclass(frozen=True, slots=True)
class UsualWay:
    """As if the recipient stood in no table."""


@dataclass(frozen=True, slots=True)
class ToNextHop:
    """By SMTP to a next hop, as text; None: to the recipient's own domain."""

    next_hop: str | None


@dataclass(frozen=True, slots=True)
class LmtpSocket:
    """A unix socket that takes LMTP."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class LmtpHost:
    """A host, by name or address, that takes LMTP."""

    host: str
    port: int

    def __str__(self) -> str:
        return (
            f"inet:[{self.host}]:{self.port}"
            if ":" in self.host
            else f"inet:{self.host}:{self.port}"
        )


@dataclass(frozen=True, slots=True)
class ToLmtp:
    """By LMTP (RFC 2033)."""

    server: LmtpSocket | LmtpHost


@dataclass(frozen=True, slots=True)
class ToMailbox:
    """Into a mailbox of ours."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Nowhere: it counts as delivered."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Back to the sender, or, with a status of class 4, kept waiting."""

    status: str
    reason: str


Way = UsualWay | ToNextHop | ToLmtp | ToMailbox | Discard | Fail
TransportTable = Table[Way]


def parse_transport(content: bytes, file: str, check: NextHopCheck) -> TransportTable:
    """Read a transport table; never raises. `file` is its name in `where`."""
    return gather_pairs(content, file, _read_key, partial(_read_way, check))


def _read_key(text: str) -> str:
    if text == WILDCARD:
        return text
    if text.startswith("@"):
        raise TableError(f"{shorten(text)} matches nothing: a domain stands without @ here")
    if "@" in text:
        return normal_address_key(text)
    if text.startswith("."):
        return "." + normal_domain(text[1:])
    return normal_domain(text)


def _read_way(check: NextHopCheck, key: str, text: str) -> Way:
    del key
    name, colon, rest = text.partition(":")
    if not colon:
        raise TableError(f"{shorten(text)} is not transport:nexthop")
    if name in _FAILING:
        return _read_failure(_FAILING[name], rest.strip())
    if name == "discard":
        return Discard(rest.strip() or "discarded by the transport table")
    if name == "lmtp":
        return ToLmtp(parse_lmtp_server(rest))
    if name in _MAILBOX:
        return ToMailbox()
    if name and name not in _SMTP and name != _SMTPS:
        raise TableError(f"there is no transport {quote(name)} here")
    if name == _SMTPS:
        rest = f"{_SMTPS}:{rest}"
    if not rest:
        return ToNextHop(None) if name else UsualWay()
    try:
        check(rest)
    except ValueError as error:
        raise TableError(str(error)) from error
    return ToNextHop(rest)


def _read_failure(status: str, text: str) -> Fail:
    given = _STATUS.match(text)
    if given is not None:
        # Whose name it is says whether mail waits; a status of the other class changes that not.
        status, text = status[0] + given[1][1:], text[given.end() :]
    return Fail(status, text or "mail for this address is not taken")


def parse_lmtp_server(text: str) -> LmtpSocket | LmtpHost:
    """Read `unix:/path`, `inet:host:port` or `host:port`. Raises TableError."""
    kind, _, rest = text.partition(":")
    if kind == "unix":
        if not rest.startswith("/") or len(rest.encode()) > _MAX_SOCKET_OCTETS or "\0" in rest:
            raise TableError(f"unix: needs the whole path of a socket, not {quote(rest)}")
        return LmtpSocket(rest)
    parts = _INET.fullmatch(rest if kind == "inet" else text)
    port = int(parts["port"] or LMTP_PORT) if parts is not None else 0
    if parts is None or not 1 <= port <= 0xFFFF:
        raise TableError(f"{quote(text)} is neither unix:/path nor inet:host:port")
    literal = parts["literal"]
    if literal is None or not _is_address(literal):
        return LmtpHost(normal_domain(literal or parts["host"]), port)
    return LmtpHost(literal.lower().removeprefix("ipv6:"), port)


def _is_address(text: str) -> bool:
    tag = "IPv6:" if ":" in text and text[:5].lower() != "ipv6:" else ""
    try:
        parse_mailbox(f"x@[{tag}{text}]")
    except AddressError:
        return False
    return True
