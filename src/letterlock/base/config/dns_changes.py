"""The settings of changing our own records in DNS, for `dns-01` and for TLSA records.

How sections are written says `sections`.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from letterlock.base.config.values import (
    MAX_PORT,
    Between,
    Parsed,
    lasting,
    parse_resolver_address,
)
from letterlock.base.domains import Domain, DomainError, parse_domain

DNS_PORT = 53

_HOST = re.compile(r"([^:\s]+)(?::([0-9]{1,5}))?\Z")

Wait = Annotated[timedelta, lasting("1s", "1h")]


class DnsChangeMethod(StrEnum):
    """How records are changed."""

    NONE = "none"
    UPDATE = "update"
    EXEC = "exec"
    LEXICON = "lexicon"


def parse_name_server(text: str) -> str:
    """Take a host or an address, with or without a port; gives it as `parse_endpoint` reads it."""
    with suppress(ValueError):
        return str(parse_resolver_address(text))
    found = _HOST.match(text)
    port = int(found[2] or DNS_PORT) if found else 0
    try:
        if found and 0 < port <= MAX_PORT:
            return f"{parse_domain(found[1])}:{port}"
    except DomainError:
        pass
    raise ValueError('a name server such as "ns1.example.org" or "192.0.2.53:5353"')


@dataclass(frozen=True, slots=True)
class DnsChangesSection:
    """Changing our own records in DNS: TXT for `dns-01`, TLSA when keys change."""

    method: DnsChangeMethod = DnsChangeMethod.NONE
    """`update` sends updates to the name server (RFC 2136); `exec` runs `hook`; `lexicon` asks a
    provider's API by that program, for TXT records only; `none` leaves it to you."""

    server: Annotated[str, Parsed(parse_name_server, "host, with or without a port")] | None = None
    """The name server that takes updates (`update`), a host or an address. Unset: the primary
    that the zone's SOA record names."""

    zone: Domain | None = None
    """The zone that is changed, where it can't be found by asking DNS: a zone of its own for
    `_acme-challenge` names that lead there by CNAME, say. Unset: the zone that each name is in."""

    key_file: Path | None = None
    """The TSIG key for updates, in a file that only the node's user can read: as `tsig-keygen` or
    Knot's `keymgr -t` write it, or one line `hmac-sha256:NAME:SECRET`. SHA-2 only."""

    key_name: Domain | None = None
    """The key's name, where `key_file` has nothing but the secret in base64."""

    hook: Path | None = None
    """The program for `exec`, run as the node's user, without a shell, and with no variables but
    PATH, LANG and LETTERLOCK_TTL: `HOOK present|cleanup NAME. VALUE` for TXT records, as lego's
    `exec` provider calls it, and `HOOK add|remove NAME. TYPE VALUE` for others."""

    hook_timeout: Wait = timedelta(minutes=1)
    """How long `hook` or `lexicon` may take; then it is killed."""

    provider: str | None = None
    """The provider for `lexicon`, by its name there, such as `desec` or `hetzner`."""

    provider_file: Path | None = None
    """Its options, in a file that only the node's user can read: TOML, such as
    `auth_token = "..."`. https://dns-lexicon.github.io lists what each provider wants."""

    propagation_timeout: Wait = timedelta(minutes=5)
    """How long to wait until every authoritative server has what was changed."""

    port: Annotated[int, Between(1, 65535)] = DNS_PORT
    """The port of authoritative servers. Other than 53 only where everything is one's own, as in a
    test."""

    def find_server(self) -> tuple[str, int] | None:
        """Give `server` as host and port."""
        if self.server is None:
            return None
        host, _, port = self.server.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)
