"""Every setting: one frozen dataclass for each section of letterlock.toml.

The text under each field is the documentation: the example file and the reference page are made
from it. Types and their markers (`values`) are what the loader checks; what holds between several
keys is in `checks`. A part of the program is given its own section, never the whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated

from letterlock.base.config.choices import (
    AddressFamily,
    BareNewline,
    ClearFallback,
    DefaultLevel,
    LogFormat,
    LogLevel,
    QueueEngine,
    TlsVersion,
)
from letterlock.base.config.values import (
    GIB,
    KIB,
    MIB,
    Address,
    Between,
    Bytes,
    HopPolicy,
    InDataDir,
    ListenAddress,
    Network,
    NextHop,
    Parsed,
    ResolverAddress,
    Secret,
    lasting,
    parse_address,
    parse_mailbox,
)
from letterlock.base.domains import Domain

Count = Annotated[int, Between(1, 1_000_000)]
CountOrNone = Annotated[int, Between(0, 1_000_000)]
Port = Annotated[int, Between(1, 65535)]
Wait = Annotated[timedelta, lasting("1s", "1h")]
Mailbox = Annotated[str, Parsed(parse_mailbox, "mailbox")]


@dataclass(frozen=True, slots=True)
class NodeSection:
    """The processes of this node."""

    workers: Annotated[int, Between(0, 256)] = 0
    """Processes that accept and deliver mail. 0 starts one for each core."""

    user: str | None = None
    """The user to run as once the ports are open. Needed only when started as root."""

    control_socket: Annotated[Path, InDataDir()] = Path("run/control")
    """Where the commands reach the running node. Each worker adds its number: `control.0`. A
    relative path starts at `data_dir`."""


@dataclass(frozen=True, slots=True)
class ReceiveSection:
    """Accepting mail from other servers (port 25)."""

    listen: tuple[ListenAddress, ...] = (ListenAddress("0.0.0.0", 25), ListenAddress("::", 25))  # noqa: S104 - a mail exchanger is public
    """Addresses and ports to accept mail on. IPv6 stands in brackets."""

    relay_from: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
    """Clients that may send to any domain: addresses or networks. All others may send to
    `domains` only. A network of a public size is refused: that would be an open relay."""

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
    """How long a session may last in all."""

    min_bytes_per_second: CountOrNone = 100
    """A client that sends a message more slowly than this for long is sent away. 0: no limit."""

    require_tls: bool = False
    """Refuse mail without STARTTLS. A public mail exchanger must not (RFC 3207 §4)."""


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

    postmaster: Mailbox | None = None
    """The mailbox that gets mail for postmaster and abuse, which every domain accepts
    (RFC 5321 §4.5.1, RFC 2142 §4). Unset: a mailbox named postmaster."""


@dataclass(frozen=True, slots=True)
class QueueSection:
    """Keeping mail until it is delivered."""

    engine: QueueEngine = QueueEngine.SQLITE
    """Where the queue is kept: `sqlite` in `data_dir`, or `postgres`, which several nodes share."""

    url: Annotated[str, Secret()] | None = field(default=None, repr=False)
    """The PostgreSQL database: `postgresql://user@host/name`. A password is better kept in
    `url_file`."""

    url_file: Path | None = None
    """A file whose first line is the `url`, for a password that only the node's user can read."""

    lifetime: Annotated[timedelta, lasting("1m", "30d")] = timedelta(days=5)
    """How long to try before the message is returned. RFC 5321 §4.5.4.1 wants 4 to 5 days."""

    delay_notice: Annotated[timedelta, lasting("0s", "30d")] = timedelta(hours=4)
    """After how long the sender is told once that the message waits. `0s`: never."""

    retry_min: Annotated[timedelta, lasting("1s", "1d")] = timedelta(minutes=5)
    """The gap before the second attempt; gaps grow from there."""

    retry_max: Annotated[timedelta, lasting("1s", "7d")] = timedelta(seconds=4000)
    """The longest gap between attempts."""

    keep_stories: Annotated[timedelta, lasting("0s", "365d")] = timedelta(days=7)
    """How long `queue show` can still tell what happened to a message that is gone."""

    lease: Annotated[timedelta, lasting("1m", "1d")] = timedelta(minutes=15)
    """How long one delivery may take before another worker may try; it is renewed on the way."""

    bounce_lifetime: Annotated[timedelta, lasting("1m", "30d")] = timedelta(days=5)
    """How long to try to return a message to its sender."""

    def read_url(self) -> str | None:
        """Give the database's address, from `url_file` if that is set; raises OSError."""
        if self.url_file is None:
            return self.url
        return self.url_file.read_text("utf-8").partition("\n")[0].strip()


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
    """Send everything that is not local there: `[host]:port`, or a domain whose MX is used."""

    routes: Mapping[Domain, NextHop] = field(default_factory=dict)
    """Where mail for single domains goes instead of their MX:
    `{ "example.com" = "[mx.example.com]:2525" }`. They come before `relayhost`."""

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

    max_hops: Annotated[int, Between(10, 1000)] = 50
    """With this many Received lines a message runs in circles and is returned
    (RFC 5321 §6.3)."""

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

    trust_files: tuple[Path, ...] = ()
    """PEM files with the certificate authorities to trust. Unset: the system's."""

    postfix_table: Path | None = None
    """A Postfix smtp_tls_policy_maps text file, read as it is. `hops` come before it."""

    hops: Mapping[str, HopPolicy] = field(default_factory=dict)
    """The table: a level, and what belongs to it, for each destination. The key is a domain, a
    parent (`.example.com`) or a next hop (`[mx.example.com]:587`). Mail for an entry that is wrong
    waits (4.7.5) until it is corrected; other mail goes."""


@dataclass(frozen=True, slots=True)
class DnsSection:
    """Asking DNS."""

    resolver: ResolverAddress | None = None
    """The resolver to ask: `HOST` or `HOST:PORT`. Unset: the first of /etc/resolv.conf."""

    trust_ad: bool = False
    """Believe the resolver's DNSSEC result (the AD bit) although it is not on this machine. Only
    where nobody can change packets on the way. One on loopback is always believed."""

    timeout: Annotated[timedelta, lasting("1s", "1m")] = timedelta(seconds=5)
    """How long to wait for one answer."""

    attempts: Annotated[int, Between(1, 10)] = 2
    """How often to ask before giving up."""


@dataclass(frozen=True, slots=True)
class LogSection:
    """The mail log, on standard error."""

    format: LogFormat = LogFormat.POSTFIX
    """`postfix`: lines in Postfix's shape, for the tools that read those. `json`: one document a
    line."""

    level: LogLevel = LogLevel.NORMAL
    """`verbose` also writes out the certificates that the other side showed."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file. Four keys must be given; everything else has a safe default."""

    hostname: Domain
    """The name of this host: in the greeting, in EHLO and in every Received line. It should be
    what the MX record and the address's reverse name say."""

    domains: tuple[Domain, ...]
    """The domains whose mail ends here, in the mailboxes of `[local]`."""

    contact: Annotated[str, Parsed(parse_address, "mail address")]
    """Who is responsible for this node: a mail address."""

    data_dir: Path
    """Where queue, mailboxes and sockets are: on a local disk, writable for the node's user."""

    node: NodeSection = field(default_factory=NodeSection)
    receive: ReceiveSection = field(default_factory=ReceiveSection)
    tls: TlsSection = field(default_factory=TlsSection)
    local: LocalSection = field(default_factory=LocalSection)
    queue: QueueSection = field(default_factory=QueueSection)
    deliver: DeliverSection = field(default_factory=DeliverSection)
    policy: PolicySection = field(default_factory=PolicySection)
    dns: DnsSection = field(default_factory=DnsSection)
    log: LogSection = field(default_factory=LogSection)

    def __post_init__(self) -> None:
        """Make paths below `data_dir` whole; those that are absolute stay as they are."""
        socket = self.data_dir / self.node.control_socket
        object.__setattr__(self, "node", replace(self.node, control_socket=socket))
        mail_dir = self.data_dir / self.local.mail_dir
        object.__setattr__(self, "local", replace(self.local, mail_dir=mail_dir))

    @property
    def queue_dir(self) -> Path:
        """Where the SQLite shards of the queue are."""
        return self.data_dir / "queue"
