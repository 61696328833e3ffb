"""The settings of mail that comes in: sessions, our own certificates, local mailboxes.

How sections are written says `sections`.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from letterlock.base.config.choices import BareNewline, TlsVersion
from letterlock.base.config.values import (
    GIB,
    KIB,
    MIB,
    Between,
    Bytes,
    Count,
    CountOrNone,
    InDataDir,
    ListenAddress,
    Network,
    Parsed,
    lasting,
    parse_mailbox,
)

Mailbox = Annotated[str, Parsed(parse_mailbox, "mailbox")]

_TOKEN = re.compile(r"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]{1,200}\Z")


def parse_authserv_id(text: str) -> str:
    """Take the name of who adds Authentication-Results (RFC 8601 §2.5), as a token of RFC 2045."""
    if not _TOKEN.match(text):
        raise ValueError('a name such as "mx.example.org", without spaces')
    return text


AuthservId = Annotated[str, Parsed(parse_authserv_id, "authserv-id")]


@dataclass(frozen=True, slots=True)
class ReceiveSection:
    """Accepting mail from other servers (port 25)."""

    listen: tuple[ListenAddress, ...] = (ListenAddress("0.0.0.0", 25), ListenAddress("::", 25))  # noqa: S104 - a mail exchanger is public
    """Addresses and ports to accept mail on. IPv6 stands in brackets."""

    relay_from: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
    """Clients that may send to any domain: addresses or networks. All others may send to
    `domains` only. A network of a public size is refused: that would be an open relay."""

    proxy_from: tuple[Network, ...] = ()
    """Proxies that tell who their clients are, by the PROXY protocol (HAProxy's `send-proxy-v2`):
    addresses or networks. Whoever is listed must tell, before anything else, and is closed
    otherwise; so list nothing that is a client by itself."""

    xclient_from: tuple[Network, ...] = ()
    """Clients that may say who is behind them with XCLIENT (nginx's mail proxy, tests): addresses
    or networks. They may say anything, so list only what is yours."""

    xforward_from: tuple[Network, ...] = ()
    """Clients that may tell with XFORWARD where a message came from (a Postfix that hands its mail
    on): for the log and `queue show`, and for no rights."""

    bare_newline: BareNewline = BareNewline.REJECT
    """What to do with a message that has CR or LF alone: `reject` it (550), or `normalize` each
    to CRLF. Such messages are how smuggling works (RFC 5321 §2.3.8)."""

    bare_newline_exceptions: tuple[Network, ...] = ()
    """Clients whose bare newlines are normalized although `bare_newline` says `reject`."""

    max_message_bytes: Annotated[int, Bytes(64 * KIB, 2 * GIB)] = 50 * MIB
    """The largest message that is accepted; EHLO announces it (RFC 1870 §4)."""

    max_recipients: Annotated[int, Between(100, 100_000)] = 1000
    """The most recipients in one transaction. RFC 5321 §4.5.3.1.8 wants at least 100."""

    max_connections: Count = 2000
    """The most connections at a time, over all workers."""

    max_connections_per_client: Count = 50
    """The most connections at a time from one address (IPv6: one /64)."""

    max_connection_rate_per_client: CountOrNone = 120
    """The most new connections from one address (IPv6: one /64) in a minute. 0: no limit."""

    max_errors: Count = 20
    """After this many errors in one session the client is sent away with 421."""

    idle_timeout: Annotated[timedelta, lasting("10s", "1h")] = timedelta(minutes=5)
    """How long to wait for the next command. RFC 5321 §4.5.3.2.7 wants at least 5 minutes."""

    session_timeout: Annotated[timedelta, lasting("1m", "1d")] = timedelta(hours=1)
    """How long a session may last in all. A message that has begun to come is let come to its end,
    if it comes as fast as `min_bytes_per_second` says."""

    min_bytes_per_second: CountOrNone = 100
    """A client that sends a message more slowly than this for long is sent away. 0: no limit."""

    require_tls: bool = False
    """Refuse mail without STARTTLS. A public mail exchanger must not (RFC 3207 §4)."""

    requiretls: bool = True
    """Offer REQUIRETLS to clients under TLS (RFC 8689): mail sent so never goes on without TLS, to
    a host that was not proved, or to one that does not offer REQUIRETLS itself; it bounces."""

    authserv_ids: tuple[AuthservId, ...] = ()
    """The names in Authentication-Results fields that are ours: what your filters and other mail
    servers write there, before the first `;`. A field with one of them that comes from outside is
    forged, and taken out (RFC 8601 §5). Unset: `hostname`."""

    results_from: tuple[Network, ...] = ()
    """Your other mail servers, whose Authentication-Results are kept. From all others, accounts and
    `relay_from` too, those in our name are taken out."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """One certificate of ours: two PEM files."""

    certificate: Path
    """The certificate and its chain, the leaf first."""

    key: Path
    """The private key. Nobody but the node's user should be able to read it."""


@dataclass(frozen=True, slots=True)
class TlsSection:
    """TLS towards those who send to us (STARTTLS)."""

    certificates: tuple[CertificateFiles, ...] = ()
    """Our certificates, chosen by the name the client asks for (SNI). The first is shown to
    clients that ask for no name or for one we don't have. An RSA and an ECDSA certificate for the
    same name stand beside each other. Without any, STARTTLS is not offered."""

    min_version: TlsVersion = TlsVersion.TLS_1_2
    """The oldest version that is accepted: `TLSv1.2` or `TLSv1.3`."""

    session_tickets: bool = True
    """Let clients resume sessions (RFC 5077, RFC 8446 §4.6.1)."""

    ciphers: str | None = None
    """An OpenSSL cipher list for TLS 1.2. Unset: the ones RFC 9325 §4.2 recommends."""


@dataclass(frozen=True, slots=True)
class LocalSection:
    """Mailboxes on this node, kept as Maildir."""

    mail_dir: Annotated[Path, InDataDir()] = Path("mail")
    """Where mailboxes are: that of user@domain is `mail_dir/domain/user`. A relative path starts
    at `data_dir`."""

    mailboxes: tuple[Mailbox, ...] = ()
    """Who gets mail here: `alice` at every one of `domains`, `bob@example.org` only there. All
    others get 550 when they are named. Upper and lower case are the same."""

    lmtp: str | None = None
    """The mail store that keeps the mailboxes instead, by LMTP: `unix:/run/dovecot/lmtp` or
    `inet:127.0.0.1:24`. `mailboxes` says who gets mail here all the same. Unset: Maildir."""

    postmaster: Mailbox | None = None
    """The mailbox that gets mail for postmaster, abuse and mailer-daemon (who writes bounces),
    which every domain accepts (RFC 5321 §4.5.1, RFC 2142 §4, RFC 3464 §2). Unset: a mailbox named
    postmaster."""
