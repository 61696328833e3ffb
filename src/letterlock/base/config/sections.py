"""Every setting: one frozen dataclass for each section of letterlock.toml, and the file as a whole.

The text under each field is the documentation: the example file and the reference page are made
from it. Types and their markers (`values`) are what the loader checks; what holds between several
keys is in `checks`. A part of the program is given its own section, never the whole. The sections
of mail that comes in are in `inbound`, `submission` and `filters`, those of mail that goes out in
`outbound`, those of what our domains publish in `publishing`, of counting a Postfix's sessions in
`collecting`, of an inbound test in `inbound_hosts`, and of an authority of our own in `authority`.
"""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from letterlock.base.config.authority import CaSection
from letterlock.base.config.bounce import BounceSection
from letterlock.base.config.certificates import CertificatesSection
from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.collecting import TlsrptSection
from letterlock.base.config.dkim import DkimSection
from letterlock.base.config.dns_changes import DnsChangesSection
from letterlock.base.config.filters import FilterSection
from letterlock.base.config.inbound import LocalSection, ReceiveSection, TlsSection
from letterlock.base.config.inbound_hosts import InboundSection
from letterlock.base.config.logs import LogSection
from letterlock.base.config.maps import MapsSection
from letterlock.base.config.outbound import (
    DeliverSection,
    DnsSection,
    MtaStsSection,
    PolicySection,
    PolicyServiceSection,
)
from letterlock.base.config.publishing import PublishingSection
from letterlock.base.config.sending import SendSection
from letterlock.base.config.submission import SubmissionSection
from letterlock.base.config.values import (
    Between,
    InDataDir,
    Parsed,
    Secret,
    lasting,
    parse_address,
)
from letterlock.base.domains import Domain


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
    send: SendSection = field(default_factory=SendSection)
    submission: SubmissionSection = field(default_factory=SubmissionSection)
    filter: FilterSection = field(default_factory=FilterSection)
    tls: TlsSection = field(default_factory=TlsSection)
    certificates: CertificatesSection = field(default_factory=CertificatesSection)
    dns_changes: DnsChangesSection = field(default_factory=DnsChangesSection)
    local: LocalSection = field(default_factory=LocalSection)
    maps: MapsSection = field(default_factory=MapsSection)
    queue: QueueSection = field(default_factory=QueueSection)
    bounce: BounceSection = field(default_factory=BounceSection)
    deliver: DeliverSection = field(default_factory=DeliverSection)
    policy: PolicySection = field(default_factory=PolicySection)
    mta_sts: MtaStsSection = field(default_factory=MtaStsSection)
    dkim: DkimSection = field(default_factory=DkimSection)
    publishing: PublishingSection = field(default_factory=PublishingSection)
    policy_service: PolicyServiceSection = field(default_factory=PolicyServiceSection)
    tlsrpt: TlsrptSection = field(default_factory=TlsrptSection)
    inbound: InboundSection = field(default_factory=InboundSection)
    ca: CaSection = field(default_factory=CaSection)
    dns: DnsSection = field(default_factory=DnsSection)
    log: LogSection = field(default_factory=LogSection)

    def __post_init__(self) -> None:
        """Make paths below `data_dir` whole; those that are absolute stay as they are."""
        socket = self.data_dir / self.node.control_socket
        object.__setattr__(self, "node", replace(self.node, control_socket=socket))
        drop_dir = self.data_dir / self.send.drop_dir
        object.__setattr__(self, "send", replace(self.send, drop_dir=drop_dir))
        mail_dir = self.data_dir / self.local.mail_dir
        object.__setattr__(self, "local", replace(self.local, mail_dir=mail_dir))
        key_dir = self.data_dir / self.dkim.key_dir
        object.__setattr__(self, "dkim", replace(self.dkim, key_dir=key_dir))
        journal_dir = self.data_dir / self.tlsrpt.journal_dir
        posts = self.tlsrpt.posts
        posts = replace(posts, key_file=self.data_dir / posts.key_file)
        tlsrpt = replace(self.tlsrpt, journal_dir=journal_dir, posts=posts)
        object.__setattr__(self, "tlsrpt", tlsrpt)
        ca_folder = self.data_dir / self.ca.folder
        object.__setattr__(self, "ca", replace(self.ca, folder=ca_folder))

    @property
    def queue_dir(self) -> Path:
        """Where the SQLite shards of the queue are."""
        return self.data_dir / "queue"

    @property
    def node_database(self) -> Path:
        """Where what all processes of the node share is kept, with SQLite."""
        return self.data_dir / "node.sqlite"

    @property
    def inbound_dir(self) -> Path:
        """Where inbound tests are, and what was seen in them."""
        return self.data_dir / "inbound"

    @property
    def certificates_dir(self) -> Path:
        """Where the certificates that the node got are, for its own processes."""
        return self.data_dir / "certificates"
