"""What TLS one hop must have: the value that decides, and is shown with, every delivery.

Levels are those of Postfix's `smtp_tls_policy_maps`, so that a table of theirs means the same here.
What the recipient's side publishes (RFC 7672, RFC 8461) is demanded beside the level: several
demands can hold at once, and then each must be met.
"""

from dataclasses import dataclass
from enum import StrEnum

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.mta_sts.policy import MtaStsMode
from letterlock.protocols.tlsrpt.findings import Finding
from letterlock.protocols.tlsrpt.result_types import ResultType


class Level(StrEnum):
    """How strict TLS is on a hop, weakest first."""

    NONE = "none"
    MAY = "may"
    ENCRYPT = "encrypt"
    FINGERPRINT = "fingerprint"
    DANE = "dane"
    DANE_ONLY = "dane-only"
    VERIFY = "verify"
    SECURE = "secure"

    @property
    def is_tls_required(self) -> bool:
        """Nothing may leave in clear."""
        return self not in (Level.NONE, Level.MAY)

    @property
    def is_authenticated(self) -> bool:
        """Nothing may leave to a peer that did not prove who it is."""
        return self.is_tls_required and self is not Level.ENCRYPT


class Source(StrEnum):
    """Where a requirement comes from."""

    TABLE = "table"
    DEFAULT = "default"
    OPPORTUNISTIC = "opportunistic"
    DANE = "dane"
    MTA_STS = "mta-sts"
    REQUIRETLS = "requiretls"
    PASSWORD = "password"  # noqa: S105 - its name
    """A password of ours is said on this hop."""


@dataclass(frozen=True, slots=True)
class DaneDemand:
    """The host's certificates must match its TLSA records; there is a usable one at least.

    `names` are for DANE-TA. `is_of_domain` False: neither DNSSEC nor an MTA-STS policy that counts
    says that the host is the domain's; it can be proved, and the delivery is to that host, not to
    the domain (RFC 7672 §2.2.1). `is_enforced` False: what is wrong is recorded, and mail goes.
    """

    records: tuple[TlsaRecord, ...]
    names: tuple[str, ...]
    is_of_domain: bool = True
    is_enforced: bool = True


@dataclass(frozen=True, slots=True)
class MtaStsDemand:
    """The host's certificate must lead to a trusted authority, and be for one of `names`.

    `is_listed`: a pattern of the policy lists the host, as it must for the demand to be enforced.
    `is_enforced` False: what is wrong is recorded, and mail goes.
    """

    domain: Domain
    mode: MtaStsMode
    names: tuple[str, ...]
    is_listed: bool = True
    is_enforced: bool = True


@dataclass(frozen=True, slots=True)
class Requirement:
    """What must hold on the connection to one MX host before any MAIL command.

    `names`: reference identifiers, any of which the certificate must hold; `.example.com` stands
    for every name below it. `fingerprints`: `sha256:` + lower-case hex without colons, of
    certificate or SPKI. `trust_files`: PEM files that replace the system's trust anchors.
    `sni` is None only when the host is an address (RFC 6066 §3). `source` is where the level comes
    from, `sources` holds all that are to be met. `findings`: what is wrong with the published
    policy itself, found before there is a connection.
    """

    level: Level
    source: Source
    reason: str
    sni: str | None
    names: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    trust_files: tuple[str, ...] = ()
    min_version: str = "TLSv1.2"
    max_version: str | None = None
    ciphers: str | None = None
    """An OpenSSL cipher list for TLS 1.2 and below; None: the recommended ones (RFC 9325 §4.2)."""
    sources: tuple[Source, ...] = ()
    dane: DaneDemand | None = None
    mta_sts: MtaStsDemand | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def tlsa(self) -> tuple[TlsaRecord, ...]:
        """The TLSA records that count, if any."""
        return self.dane.records if self.dane is not None else ()

    @property
    def is_testing(self) -> bool:
        """An MTA-STS policy in mode testing: verified, recorded, and mail goes (RFC 8461 §5)."""
        return self.mta_sts is not None and self.mta_sts.mode is MtaStsMode.TESTING


@dataclass(frozen=True, slots=True)
class HostUnusable:
    """Mail must not go to this host now, whatever its TLS: the next one is tried.

    When no host is left, mail waits; `is_permanent`: it is returned (RFC 8689 §4.2.1). `findings`
    may be empty then: REQUIRETLS is no policy that is reported.
    """

    source: Source
    reason: str
    findings: tuple[Finding, ...] = ()
    is_permanent: bool = False
    level: Level = Level.VERIFY
    """What it would have had to meet."""

    @property
    def result_type(self) -> ResultType | None:
        """Give the first fault's name."""
        return self.findings[0].result_type if self.findings else None

    @property
    def may_be_outdated(self) -> bool:
        """Another MTA-STS policy of the domain could let mail go there (RFC 8461 §5.1)."""
        return self.source is Source.MTA_STS or self.is_permanent


@dataclass(frozen=True, slots=True)
class RequirementInvalid:
    """What holds for this hop can't be known or used: mail for it waits (4.7.5), not lowered.

    `where` is file:line:key of a wrong entry of the table, or what could not be read; `reason` says
    what is wrong with it.
    """

    where: str
    reason: str


Decision = Requirement | HostUnusable | RequirementInvalid
