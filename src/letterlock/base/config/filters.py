"""The settings of filters: programs that see each message before it is taken.

How sections are written says `sections`.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from letterlock.base.config.values import MAX_PORT, Network, Parsed, lasting, parse_ip_address
from letterlock.base.domains import DomainError, parse_domain

_KIND = 'an address such as "unix:/run/rspamd/milter.sock" or "inet:localhost:8891"'
_RSPAMD_KIND = 'an address such as "http://localhost:11333" or "unix:/run/rspamd/worker.sock"'
_RSPAMD_PORT = 11333
_MAX_PATH_OCTETS = 107
"""The kernel takes no longer one."""
_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}\Z")


class FilteredMail(StrEnum):
    """Which way a message came; each filter says from which it takes mail."""

    OUTSIDE = "outside"
    """Port 25, whoever the client is."""
    SUBMISSION = "submission"
    """An account that is logged in."""
    LOCAL = "local"
    """A program of this machine, by sendmail(1)."""


class FilterDefault(StrEnum):
    """What is done with mail while a filter fails."""

    TEMPFAIL = "tempfail"
    ACCEPT = "accept"
    REJECT = "reject"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class _Place:
    """A unix socket's `path`, or else `host` and `port`."""

    path: str | None = None
    host: str = ""
    port: int = 0

    _begin: ClassVar[str]
    """How it is written before a host."""

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self._begin}{host}:{self.port}"


class MilterAddress(_Place):
    """Where a milter listens."""

    __slots__ = ()
    _begin = "inet:"


def parse_milter_address(text: str) -> MilterAddress:
    """Parse Postfix's `unix:/path` or `inet:host:port`. Raises ValueError."""
    kind, _, rest = text.partition(":")
    if kind in {"unix", "local"} and rest.startswith("/"):
        return MilterAddress(path=_take_path(rest, _KIND))
    host, colon, port = rest.rpartition(":")
    if kind not in {"inet", "inet6"} or not colon or not _is_port(port):
        raise ValueError(_KIND)
    return MilterAddress(host=_parse_host(host), port=int(port))


def _take_path(text: str, kind: str) -> str:
    if len(text.encode()) > _MAX_PATH_OCTETS or not text.isprintable():
        raise ValueError(f"{kind}, whose path has at most {_MAX_PATH_OCTETS} octets, all printable")
    return text


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= MAX_PORT


def _parse_host(text: str) -> str:
    """Parse a name, which is looked up each time, or an address: IPv6 in brackets."""
    try:
        if text.startswith("[") and text.endswith("]"):
            return str(parse_ip_address(text))
        return parse_domain(text)
    except (DomainError, ValueError) as error:
        raise ValueError(_KIND) from error


@dataclass(frozen=True, slots=True)
class Milter:
    """A filter that speaks sendmail's milter protocol."""

    address: MilterAddress
    """Where it listens, as Postfix writes it: `unix:/run/rspamd/milter.sock`,
    `inet:localhost:8891`, `inet:[::1]:8891`."""

    mail: tuple[FilteredMail, ...] = (
        FilteredMail.OUTSIDE,
        FilteredMail.SUBMISSION,
        FilteredMail.LOCAL,
    )
    """Which mail it sees: `outside`, that which comes to port 25; `submission`, that of accounts;
    `local`, that of programs of this machine."""

    default_action: FilterDefault = FilterDefault.TEMPFAIL
    """What is done with mail while it fails: `tempfail`, the client comes again (451); `accept`, it
    is taken unfiltered; `reject` (550); `quarantine`, it is taken and held in the queue."""

    connect_timeout: Annotated[timedelta, lasting("1s", "10m")] = timedelta(seconds=30)
    """How long connecting may take, and the negotiation after it."""

    command_timeout: Annotated[timedelta, lasting("1s", "10m")] = timedelta(seconds=30)
    """How long it may take to answer about a client, sender or recipient."""

    content_timeout: Annotated[timedelta, lasting("1s", "1h")] = timedelta(minutes=5)
    """How long it may take to answer about a message, or a piece of one."""


class RspamdPlace(_Place):
    """Where rspamd's worker listens."""

    __slots__ = ()
    _begin = "http://"


def parse_rspamd_place(text: str) -> RspamdPlace:
    """Parse `http://host:port` or `unix:/path`. Raises ValueError."""
    if text.startswith("unix:/"):
        return RspamdPlace(path=_take_path(text.removeprefix("unix:"), _RSPAMD_KIND))
    try:
        url = urlsplit(text)
        port = _RSPAMD_PORT if url.port is None else url.port
        host = url.hostname or ""
        host = str(parse_ip_address(host)) if ":" in host else parse_domain(host)
    except (DomainError, ValueError) as error:
        raise ValueError(_RSPAMD_KIND) from error
    is_plain = url.scheme == "http" and url.path in {"", "/"} and "@" not in url.netloc
    if not is_plain or url.query or url.fragment or not port:
        raise ValueError(_RSPAMD_KIND)
    return RspamdPlace(host=host, port=port)


def parse_field_name(text: str) -> str:
    """Take the name of a header field (RFC 5322 §2.2). Raises ValueError."""
    if not _FIELD_NAME.match(text):
        raise ValueError('the name of a header field, such as "X-Spam"')
    return text


@dataclass(frozen=True, slots=True)
class Rspamd:
    """An rspamd that is asked over HTTP, by its own protocol."""

    url: RspamdPlace
    """Where its normal worker listens: `http://localhost:11333`, `unix:/run/rspamd/worker.sock`.
    There is no TLS: it is on this machine, or in a network of your own."""

    mail: tuple[FilteredMail, ...] = (
        FilteredMail.OUTSIDE,
        FilteredMail.SUBMISSION,
        FilteredMail.LOCAL,
    )
    """Which mail it sees, as for a milter."""

    default_action: FilterDefault = FilterDefault.TEMPFAIL
    """What is done with mail while it fails, as for a milter."""

    timeout: Annotated[timedelta, lasting("1s", "10m")] = timedelta(seconds=60)
    """How long it may take about one message, from connecting to its answer."""

    spam_header: Annotated[str, Parsed(parse_field_name, "field name")] = "X-Spam"
    """The header field that says `Yes` of spam that is delivered (its action `add header`)."""

    settings_id: str | None = None
    """The id of settings of rspamd's that are to count for this mail."""


@dataclass(frozen=True, slots=True)
class FilterSection:
    """Programs that see each message before it is taken: milters, and rspamd over HTTP."""

    milters: tuple[Milter, ...] = ()
    """Each is asked in the order of the list, and sees what the one before left of the message."""

    rspamd: tuple[Rspamd, ...] = ()
    """Each is asked after the milters, in the order of the list."""

    exempt: tuple[Network, ...] = ()
    """Clients whose mail no filter sees: addresses and networks, such as those of your own other
    mail servers. Nothing is asked about them, and nothing of theirs is refused."""
