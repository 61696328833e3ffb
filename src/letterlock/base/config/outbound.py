"""The settings of mail that goes out: delivering it, what TLS it must have, asking DNS.

How sections are written says `sections`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated

from letterlock.base.config.choices import (
    AddressFamily,
    ClearFallback,
    DefaultLevel,
    DnsBackend,
    Mechanism,
    PasswordsFor,
)
from letterlock.base.config.values import (
    Address,
    Between,
    Count,
    CountOrNone,
    HopPolicy,
    ListenAddress,
    NextHop,
    Parsed,
    ResolverAddress,
    lasting,
    parse_account,
    parse_file_mode,
    parse_postfix_version,
)
from letterlock.base.domains import Domain

SIGNED_NAME = Domain("com")
"""Not the root, whose NS records some resolvers give from their hints, without AD."""

BOGUS_NAME = Domain("dnssec-failed.org")
"""Kept by Comcast for tests of validators: its DS records match none of its keys."""

Port = Annotated[int, Between(1, 65535)]
Wait = Annotated[timedelta, lasting("1s", "1h")]


@dataclass(frozen=True, slots=True)
class DeliverTimeouts:
    """How long to wait for the other side. The defaults are RFC 5321 §4.5.3.2's least ones."""

    connect: Wait = timedelta(seconds=30)
    """For the connection to one address."""

    greeting: Wait = timedelta(minutes=5)
    """For the greeting (RFC 5321 §4.5.3.2.1)."""

    helo: Wait = timedelta(minutes=5)
    """For the reply to EHLO, HELO and STARTTLS."""

    handshake: Wait = timedelta(minutes=1)
    """For the TLS handshake."""

    mail: Wait = timedelta(minutes=5)
    """For the reply to MAIL (RFC 5321 §4.5.3.2.2)."""

    rcpt: Wait = timedelta(minutes=5)
    """For the reply to RCPT (RFC 5321 §4.5.3.2.3)."""

    data_init: Wait = timedelta(minutes=2)
    """For the reply to DATA (RFC 5321 §4.5.3.2.4)."""

    data_block: Wait = timedelta(minutes=3)
    """For each block of the message to be taken (RFC 5321 §4.5.3.2.5)."""

    data_end: Wait = timedelta(minutes=10)
    """For the reply to the message (RFC 5321 §4.5.3.2.6). Too short a time doubles mail."""

    quit: Wait = timedelta(seconds=30)
    """For the reply to QUIT and RSET; nothing is lost when it does not come."""


@dataclass(frozen=True, slots=True)
class DeliverSection:
    """Delivering mail to other servers."""

    port: Port = 25
    """The port of MX hosts. Other than 25 only where everything is one's own, as in a test."""

    relayhost: NextHop | None = None
    """Send everything that is not local there: `[host]:port`, or a domain whose MX is used. On
    port 465, and with `smtps:` in front, TLS comes first."""

    routes: Mapping[Domain, NextHop] = field(default_factory=dict)
    """Where mail for single domains goes instead of their MX:
    `{ "example.com" = "[mx.example.com]:2525" }`. They come before `relayhost`."""

    passwords: Path | None = None
    """Accounts at next hops, and of senders at relay hosts: a file in the form of Postfix's
    `smtp_sasl_password_maps`, read again when it changes. Only the node's user may read it (0600).
    While it cannot be read, mail to other hosts waits."""

    passwords_for: PasswordsFor = PasswordsFor.PROVED
    """Which hosts a password is said to: `proved`, whose certificate shows that they are the next
    hop, whatever level the policy has else (RFC 4954 §14); or `encrypted`, any host under TLS. With
    the latter, whoever can change packets on the way has the password."""

    mechanisms: tuple[Mechanism, ...] = tuple(Mechanism)
    """How to log in: the first of `SCRAM-SHA-256-PLUS`, `SCRAM-SHA-256`, `PLAIN` and `LOGIN` that
    stands here and that the server offers."""

    own_addresses: tuple[Address, ...] = ()
    """Addresses that bring mail to port 25 of this node though they are not on this machine: of a
    router or proxy. Mail is never sent there: it would run in circles (RFC 5321 §5.1)."""

    families: tuple[AddressFamily, ...] = (AddressFamily.IPV6, AddressFamily.IPV4)
    """The IP versions to use, the one to try first in front."""

    source_ipv4: IPv4Address | None = None
    """The address IPv4 connections come from. Unset: the system chooses."""

    source_ipv6: IPv6Address | None = None
    """The address IPv6 connections come from. Unset: the system chooses."""

    helo_ipv4: Domain | None = None
    """The name in EHLO over IPv4. Unset: `hostname`. It should be the address's reverse name."""

    helo_ipv6: Domain | None = None
    """The name in EHLO over IPv6. Unset: `hostname`. It should be the address's reverse name."""

    max_connections: Count = 100
    """The most connections at a time, of each worker."""

    max_connections_per_destination: Count = 10
    """The most connections at a time to one destination, over all workers."""

    max_rate_per_destination: CountOrNone = 0
    """The most messages in a minute to one destination. 0: no limit."""

    max_recipients_per_transaction: Count = 100
    """The most recipients in one transaction; more go in further ones (RFC 5321 §4.5.3.1.8)."""

    max_messages_per_connection: Count = 100
    """The most messages over one connection."""

    idle_connection: Annotated[timedelta, lasting("0s", "5m")] = timedelta(seconds=10)
    """How long an open connection is kept for the next message. `0s`: not at all."""

    clear_fallback: ClearFallback = ClearFallback.AT_ONCE
    """When mail may go in clear after TLS failed, where the level is `may`: `at-once`, `after` the
    message has waited for `clear_fallback_after`, or `never`. Other levels never do."""

    clear_fallback_after: Annotated[timedelta, lasting("0s", "5d")] = timedelta(minutes=5)
    """How long TLS is tried when `clear_fallback` is `after`."""

    max_hops: Annotated[int, Between(10, 1000)] = 100
    """A message with more Received lines than this runs in circles and is refused. RFC 5321 §6.3
    wants at least 100."""

    client_certificate: Path | None = None
    """A certificate to show when the other side asks for one: a PEM file. Off by default."""

    client_key: Path | None = None
    """The key of `client_certificate`."""

    timeouts: DeliverTimeouts = field(default_factory=DeliverTimeouts)
    """How long to wait for the other side."""


@dataclass(frozen=True, slots=True)
class PolicySection:
    """What TLS must hold on the way out."""

    default_level: DefaultLevel = DefaultLevel.MAY
    """The level for destinations that no entry names: `none`, `may`, `encrypt`, `verify`,
    `secure`, `dane` or `dane-only`, as in Postfix's smtp_tls_security_level."""

    dane: bool = True
    """Hold hosts to their TLSA records where DNSSEC vouches for them (RFC 7672)."""

    mta_sts: bool = True
    """Hold domains to the MTA-STS policies that they publish (RFC 8461)."""

    trust_files: tuple[Path, ...] = ()
    """PEM files with the certificate authorities to trust. Unset: the system's."""

    postfix_table: Path | None = None
    """A Postfix smtp_tls_policy_maps text file, read as it is. `hops` come before it."""

    hops: Mapping[str, HopPolicy] = field(default_factory=dict)
    """The table: a level, and what belongs to it, for each destination. The key is a domain, a
    parent (`.example.com`) or a next hop (`[mx.example.com]:587`). Mail for an entry that is wrong
    waits (4.7.5) until it is corrected; other mail goes."""


@dataclass(frozen=True, slots=True)
class MtaStsSection:
    """Fetching the MTA-STS policies of other domains."""

    max_fetches: Annotated[int, Between(1, 1000)] = 20
    """The most policies fetched at a time, by each worker. More wait for their turn. Policies that
    are kept are refreshed beside these, as many at a time."""

    port: Port = 443
    """The port of policy hosts. Other than 443 only where everything is one's own, as in a test."""

    private_addresses: bool = False
    """Fetch from loopback, private and other addresses that are not the Internet's too. Whoever
    publishes a record could then have this node connect to hosts inside its own network."""


@dataclass(frozen=True, slots=True)
class PolicyServiceSection:
    """Telling a Postfix which TLS its mail needs: `letterlock policy serve`, or with `serve`."""

    enabled: bool = False
    """Answer from `letterlock serve` too. `letterlock policy serve` answers whatever stands
    here."""

    listen: tuple[ListenAddress, ...] = (ListenAddress("127.0.0.1", 8461),)
    """Where Postfix asks: `socketmap:inet:127.0.0.1:8461:postfix`, or `tcp:127.0.0.1:8461`. What
    is answered is no secret, but everybody who asks makes work."""

    socket: Path | None = None
    """A Unix socket to be asked at too: `socketmap:unix:letterlock/policy:postfix` where this is
    `/var/spool/postfix/letterlock/policy`. Debian's Postfix sees nothing outside that folder."""

    socket_mode: Annotated[str, Parsed(parse_file_mode, "mode")] = "0666"
    """The mode of `socket`: who may ask."""

    socket_owner: Annotated[str, Parsed(parse_account, "user or user:group")] | None = None
    """Whom `socket` belongs to. Only root can give it away."""

    postfix_version: Annotated[str, Parsed(parse_postfix_version, "version of Postfix")] = "3.4"
    """The Postfix that asks: what `postconf mail_version` says, or an older one. An attribute that
    it does not know would stop its mail. From 3.10 on it is told all that it reports (TLSRPT), from
    3.10.5 on which hosts the MTA-STS policy lists."""

    has_dnssec: bool = True
    """The Postfix that asks has `smtp_dns_support_level = dnssec` and a resolver that validates.
    Without, mail that DANE protects waits unless the keys can be told to Postfix."""

    max_connections: Count = 2000
    """The most connections at a time. One more ends the one that is idle for longest."""


@dataclass(frozen=True, slots=True)
class DnsSection:
    """Asking DNS. DANE needs answers that DNSSEC vouches for."""

    backend: DnsBackend = DnsBackend.STUB
    """`stub` asks one resolver, and believes what it says of DNSSEC if it is on this machine.
    `libunbound` validates by itself; it needs the library libunbound8."""

    resolver: ResolverAddress | None = None
    """The resolver to ask: `HOST` or `HOST:PORT`. Unset: the first of /etc/resolv.conf; with
    libunbound the name servers of the Internet themselves."""

    trust_ad: bool = False
    """Believe the resolver's DNSSEC result (the AD bit) although it is not on this machine. Only
    where nobody can change packets on the way. One on loopback is always believed."""

    timeout: Annotated[timedelta, lasting("1s", "1m")] = timedelta(seconds=5)
    """How long to wait for one answer."""

    attempts: Annotated[int, Between(1, 10)] = 2
    """How often to ask before giving up."""

    trust_anchor: Path | None = None
    """The root's key, for libunbound and `check --dnssec`, as DS or DNSKEY records. Unset: the one
    of the system (Debian's dns-root-data), and for `check --dnssec` those of 2017 and 2024."""

    signed_name: Domain = SIGNED_NAME
    """A signed domain: at the start its NS records are asked for, to see whether answers are
    validated."""

    bogus_name: Domain = BOGUS_NAME
    """A domain whose signatures are wrong on purpose: it must not resolve."""
