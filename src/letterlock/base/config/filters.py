"""The settings of filters: programs that see each message before it is taken.

How sections are written says `sections`.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from letterlock.base.config.values import MAX_PORT, Network, lasting, parse_ip_address
from letterlock.base.domains import DomainError, parse_domain

_KIND = 'an address such as "unix:/run/rspamd/milter.sock" or "inet:localhost:8891"'
_MAX_PATH_OCTETS = 107
"""The kernel takes no longer one."""


class FilteredMail(StrEnum):
    """Which way mail came that a filter is to see."""

    OUTSIDE = "outside"
    SUBMISSION = "submission"
    LOCAL = "local"


class FilterDefault(StrEnum):
    """What is done with mail while a filter fails."""

    TEMPFAIL = "tempfail"
    ACCEPT = "accept"
    REJECT = "reject"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class MilterAddress:
    """Where a milter listens: a unix socket's `path`, or else `host` and `port`."""

    path: str | None = None
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"inet:{host}:{self.port}"


def parse_milter_address(text: str) -> MilterAddress:
    """Parse Postfix's `unix:/path` or `inet:host:port`. Raises ValueError."""
    kind, _, rest = text.partition(":")
    if kind in {"unix", "local"} and rest.startswith("/"):
        if len(rest.encode()) > _MAX_PATH_OCTETS:
            raise ValueError(f"{_KIND}, whose path has at most {_MAX_PATH_OCTETS} octets")
        return MilterAddress(path=rest)
    host, colon, port = rest.rpartition(":")
    if kind not in {"inet", "inet6"} or not colon or not _is_port(port):
        raise ValueError(_KIND)
    return MilterAddress(host=_parse_host(host), port=int(port))


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


@dataclass(frozen=True, slots=True)
class FilterSection:
    """Programs that see each message before it is taken: milters."""

    milters: tuple[Milter, ...] = ()
    """Each is asked in the order of the list, and sees what the one before left of the message."""

    exempt: tuple[Network, ...] = ()
    """Clients whose mail no filter sees: addresses and networks, such as those of your own other
    mail servers. Nothing is asked about them, and nothing of theirs is refused."""
