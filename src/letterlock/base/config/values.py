"""What stands on the right of a key: durations, sizes, addresses, networks, and their bounds.

Each `parse_` function raises ValueError with a text that completes "must be ..."; the loader puts
file, line and key before it. Which key takes what is in `sections`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path
from typing import Annotated, Any
from unicodedata import normalize

from letterlock.base.domains import DomainError, parse_domain

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
"""An address or a network."""

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:\d{1,9}[wdhms])+\Z")
_DURATION_PART = re.compile(r"(\d+)([wdhms])")
_BYTES = {"B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}
_SIZE = re.compile(r"(\d{1,12}) ?(B|KiB|MiB|GiB)\Z")
# The name of an interface: Linux has at most 15 octets in it.
_ZONE = re.compile(r"[A-Za-z0-9._-]{1,15}\Z")
_PORT = re.compile(r"\d{1,5}\Z")
# `smtps:587` is a domain and a port.
IMPLICIT_TLS = re.compile(r"smtps:(?![0-9]+\Z)", re.IGNORECASE)
"""What stands in front of a next hop where TLS comes first."""
_POSTFIX_VERSION = re.compile(r"(\d{1,2})\.\d{1,3}(?:\.\d{1,3})?\Z")
_OLDEST_POSTFIX = 3
_HTTPS_URL = re.compile(r"https://[!-~]+\Z")
_MAX_URL_OCTETS = 2000
_FILE_MODE = re.compile(r"0?[0-7]{3}\Z")
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,31})?\Z")
MAX_PORT = 65535

# RFC 5321 §4.1.2 `Dot-string`, and UTF-8 (RFC 6531 §3.3); no quoted form: a mailbox is a folder.
_LOCAL_PART = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*\Z")
MAX_LOCAL_PART_OCTETS = 64


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to accept connections: an IP address and a port; port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return _format_endpoint(self.host, self.port)


@dataclass(frozen=True, slots=True)
class ResolverAddress:
    """Where to ask DNS: an IP address and a port."""

    host: str
    port: int = 53

    def __str__(self) -> str:
        return _format_endpoint(self.host, self.port)


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where mail goes next: a domain whose MX hosts are looked up, or one host.

    A host stands in brackets, as in Postfix: `[mx.example.com]:2525`. `port` is None when the
    text names none. `smtps:` in front: TLS comes first, as on port 465.
    """

    host: str
    port: int | None = None
    is_bracketed: bool = False
    is_implicit_tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if self.is_bracketed else self.host
        host = f"smtps:{host}" if self.is_implicit_tls else host
        return host if self.port is None else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class HopPolicy:
    """One entry of `[policy.hops]`, as written: `protocols.policy.table` says what it means.

    A wrong entry is not an error of the file: mail for its key waits, other mail goes. `where`
    names it as `file:line:key`. Paths in `tafile` are already absolute.
    """

    key: str
    fields: Mapping[str, Any]
    file: Path
    line: int

    @property
    def where(self) -> str:
        return f'{self.file}:{self.line}:policy.hops."{self.key}"'


@dataclass(frozen=True, slots=True)
class Between:
    """Bounds of a number; both belong to it."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Lasting:
    """Bounds of a duration; both belong to it."""

    least: timedelta
    most: timedelta


@dataclass(frozen=True, slots=True)
class Bytes:
    """A number of octets, given with a binary unit; both bounds belong to it."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """A text that a function checks and normalises; `kind` says for people what it is."""

    parse: Callable[[str], Any]
    kind: str


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that no error message, log line or listing shows."""


@dataclass(frozen=True, slots=True)
class InDataDir:
    """A relative path starts at `data_dir`, not at the folder of the configuration file."""


Count = Annotated[int, Between(1, 1_000_000)]
CountOrNone = Annotated[int, Between(0, 1_000_000)]
"""0 stands for "no limit"."""


def lasting(least: str, most: str) -> Lasting:
    """Make bounds from texts such as `1s`."""
    return Lasting(parse_duration(least), parse_duration(most))


def parse_duration(text: str) -> timedelta:
    """Parse `5d`, `90s`, `1h30m`: units w, d, h, m, s, the larger first, each once."""
    if not _DURATION.match(text) or not text.isascii():
        raise ValueError('a duration such as "30s", "5m", "4h" or "1h30m"')
    parts = _DURATION_PART.findall(text)
    units = [unit for _, unit in parts]
    if units != [unit for unit in _SECONDS if unit in units]:
        raise ValueError('a duration with each unit once, the larger first, such as "1h30m"')
    try:
        return timedelta(seconds=sum(int(number) * _SECONDS[unit] for number, unit in parts))
    except OverflowError:
        raise ValueError('a duration that somebody lives to see, such as "30d"') from None


def format_duration(duration: timedelta) -> str:
    """Format whole seconds as `parse_duration` reads them; a fraction is dropped."""
    seconds = int(duration.total_seconds())
    text = ""
    for unit in "dhms":
        number, seconds = divmod(seconds, _SECONDS[unit])
        text += f"{number}{unit}" if number else ""
    return text or "0s"


def parse_size(text: str) -> int:
    """Parse `50MiB`: a whole number and B, KiB, MiB or GiB; gives octets."""
    found = _SIZE.match(text)
    if not found or not text.isascii():
        raise ValueError('a size such as "512KiB" or "50MiB"')
    return int(found[1]) * _BYTES[found[2]]


def format_size(octets: int) -> str:
    """Format octets in the largest unit that leaves no rest."""
    for unit in ("GiB", "MiB", "KiB"):
        if octets and octets % _BYTES[unit] == 0:
            return f"{octets // _BYTES[unit]}{unit}"
    return f"{octets}B"


def parse_listen_address(text: str) -> ListenAddress:
    """Parse `192.0.2.1:25` or `[2001:db8::1]:25`."""
    host, port = _split_endpoint(text)
    if port is None:
        raise ValueError('an address with a port, such as "0.0.0.0:25" or "[::]:25"')
    return ListenAddress(_parse_ip(host), port)


def parse_resolver_address(text: str) -> ResolverAddress:
    """Parse `HOST` or `HOST:PORT`; the host is an IP address."""
    try:
        return ResolverAddress(str(_read_address(text)))
    except ValueError:
        host, port = _split_endpoint(text)
    if port == 0:
        raise ValueError("a port from 1 to 65535")
    return ResolverAddress(_parse_ip(host), 53 if port is None else port)


def parse_ip_address(text: str) -> Address:
    """Parse `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`."""
    try:
        return _read_address(text.removeprefix("[").removesuffix("]"))
    except ValueError as error:
        raise ValueError('an IP address such as "192.0.2.1" or "2001:db8::1"') from error


def parse_network(text: str) -> Network:
    """Parse an address or a network in CIDR form; bits beyond the prefix must be zero."""
    try:
        address = text.removeprefix("[").removesuffix("]")
        _check_zone(address.partition("/")[0])
        return ip_network(address)
    except ValueError as error:
        if "host bits" in str(error):
            raise ValueError(f'"{ip_network(text, strict=False)}": bits stand beyond it') from error
        raise ValueError(
            'an address or network such as "192.0.2.0/24" or "2001:db8::/32"'
        ) from error


def parse_next_hop(text: str) -> NextHop:
    """Parse `example.com`, `[mx.example.com]` or `[mx.example.com]:2525`; also `[192.0.2.1]`."""
    prefix = IMPLICIT_TLS.match(text)
    text = text[prefix.end() :] if prefix is not None else text
    host, port = _split_endpoint(text)
    if port == 0:
        raise ValueError("a next hop with a port from 1 to 65535")
    is_bracketed = text.startswith("[")
    address = host.removeprefix("IPv6:")
    if _is_address(address):
        literal = str(_read_address(address))
        return NextHop(literal, port, is_bracketed=True, is_implicit_tls=prefix is not None)
    kind = 'a domain, or a host in brackets, such as "[mx.example.com]:25"'
    try:
        domain = parse_domain(host)
    except DomainError as error:
        raise ValueError(kind) from error
    if _is_address(domain):
        raise ValueError(f"{kind}: an address has no final dot")
    hop = NextHop(domain, port, is_bracketed, is_implicit_tls=prefix is not None)
    if hop.is_implicit_tls and not IMPLICIT_TLS.match(str(hop)):
        raise ValueError(f"{kind}: a port has no final dot")
    return hop


def parse_address(text: str) -> str:
    """Parse a mail address; gives its domain in A-labels."""
    local, at, domain = text.rpartition("@")
    if not at or not _is_local_part(local):
        raise ValueError('a mail address such as "postmaster@example.org"')
    try:
        return f"{local}@{parse_domain(domain)}"
    except DomainError as error:
        raise ValueError(f"a mail address: {error}") from error


def parse_mailbox(text: str) -> str:
    """Parse `alice` or `bob@example.org`; gives lower case, and the domain in A-labels.

    A mailbox is a folder's name: no slash, and no dot where it begins.
    """
    # RFC 6532 §3.1: NFC. Addresses are compared in it too (`protocols.smtp.paths`).
    local, at, domain = normalize("NFC", text.lower()).partition("@")
    if not _is_local_part(local) or "/" in local:
        raise ValueError('a mailbox such as "alice" or "bob@example.org", without "/"')
    try:
        return f"{local}@{parse_domain(domain)}" if at else local
    except DomainError as error:
        raise ValueError(f"a mailbox: {error}") from error


def parse_postfix_version(text: str) -> str:
    """Check `3.7` or `3.10.5`."""
    found = _POSTFIX_VERSION.match(text) if text.isascii() else None
    if found is None or int(found[1]) < _OLDEST_POSTFIX:
        raise ValueError('a version of Postfix from 3.0 on, such as "3.7" or "3.10.5"')
    return text


def parse_https_url(text: str) -> str:
    """Check an https URL with a host; what it is good for shows when it is asked."""
    if len(text) > _MAX_URL_OCTETS or not _HTTPS_URL.match(text):
        raise ValueError('a URL such as "https://acme.example/directory"')
    return text


def parse_certificate_name(text: str) -> str:
    """Parse a domain, `*.` and a domain, or an IP address; gives A-labels in lower case."""
    if _is_address(text) and "%" not in text:
        return str(ip_address(text))
    wildcard, base = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    try:
        domain = parse_domain(base)
    except DomainError as error:
        raise ValueError(f"a name, a wildcard, or an IP address: {error}") from error
    if "." not in domain:
        raise ValueError("a name with more than one label: no authority signs others")
    return f"{wildcard}{domain}"


def parse_file_mode(text: str) -> str:
    """Check `0660`; gives four octal digits."""
    if not _FILE_MODE.match(text):
        raise ValueError('a mode in octal digits, such as "0660"')
    return text.rjust(4, "0")


def parse_account(text: str) -> str:
    """Check `user` or `user:group`; whether they exist is not looked at."""
    if not _ACCOUNT.match(text):
        raise ValueError('a user, or user and group, such as "postfix" or "root:postfix"')
    return text


def parse_group(text: str) -> str:
    """Check the name of a group; whether it exists is not looked at."""
    if ":" in text or not _ACCOUNT.match(text):
        raise ValueError('a group such as "ssl-cert"')
    return text


def _read_address(text: str) -> Address:
    """Read an address; raises ValueError."""
    _check_zone(text)
    return ip_address(text)


def _check_zone(address: str) -> None:
    """Raise ValueError for a zone that is none (`%eth0`): Python takes any text for one."""
    _, percent, zone = address.partition("%")
    if percent and not _ZONE.match(zone):
        raise ValueError("a zone is the name of an interface")


def _is_address(text: str) -> bool:
    try:
        _read_address(text)
    except ValueError:
        return False
    return True


def _is_local_part(text: str) -> bool:
    return bool(_LOCAL_PART.match(text)) and len(text.encode()) <= MAX_LOCAL_PART_OCTETS


def _format_endpoint(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parse_ip(text: str) -> str:
    try:
        return str(_read_address(text))
    except ValueError as error:
        raise ValueError("an IP address, IPv6 in brackets, with or without a port") from error


def _split_endpoint(text: str) -> tuple[str, int | None]:
    """Split `host:port` or `[host]:port`; the port is None when there is none."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError('an address in brackets, such as "[::]:25"')
        return host, _parse_port(rest[1:]) if rest else None
    host, colon, port = text.partition(":")
    return host, _parse_port(port) if colon else None


def _parse_port(text: str) -> int:
    if not _PORT.match(text) or not text.isascii() or int(text) > MAX_PORT:
        raise ValueError(f"an address with a port from 0 to {MAX_PORT}")
    return int(text)
