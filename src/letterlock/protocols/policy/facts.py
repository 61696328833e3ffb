"""What the DNS and HTTPS say of the TLS that one host or domain wants: facts, without judgement.

RFC 7672 §2 (TLSA records of an MX host), RFC 8461 §3 (the policy of a domain). Finding them is in
`services.discover`; `decide` says what follows from them.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Security, TlsaRecord
from letterlock.protocols.mta_sts.policy import MtaStsPolicy
from letterlock.protocols.tlsrpt.result_types import ResultType


class TlsaStatus(StrEnum):
    """What is known of a host's TLSA records."""

    USABLE = "usable"
    """DNSSEC vouches for records, and one of them at least can be used."""
    UNUSABLE = "unusable"
    """DNSSEC vouches for records, and none of them can be used."""
    NONE = "none"
    """DNSSEC vouches that there are none."""
    INSECURE = "insecure"
    """The host's zone is not signed: whether there are records was not asked, or means nothing."""
    FAILED = "failed"
    """A lookup on the way to the records failed or was bogus: there may be records."""


@dataclass(frozen=True, slots=True)
class TlsaFacts:
    """The TLSA records of one host.

    `base_domain` is where they were found, without `_port._tcp` (RFC 7672 §2.2.3); None without
    records. `reason` is one line for people. `owner` is the name that holds them, behind an alias
    of `_port._tcp`; `ttl` what the resolver had left of their time, in seconds; `is_bogus`: the
    lookup that FAILED was answered, and the answer did not validate. Nothing is decided by these.
    """

    status: TlsaStatus
    base_domain: Domain | None = None
    records: tuple[TlsaRecord, ...] = ()
    reason: str = ""
    owner: Domain | None = field(default=None, compare=False)
    ttl: int | None = field(default=None, compare=False)
    is_bogus: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class MtaStsFacts:
    """The MTA-STS policy of one domain.

    `record` and `id` are what `_mta-sts.DOMAIN` says now. `policy` is what holds now: fetched, or
    cached and still valid; None when there is none. `error` says what went wrong with the last
    look, and `result_type` names it for reports; both can be set although a policy holds.
    """

    domain: Domain
    record: str | None = None
    id: str | None = None
    policy: MtaStsPolicy | None = None
    policy_text: str | None = None
    fetched: datetime | None = None
    expires: datetime | None = None
    error: str | None = None
    result_type: ResultType | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """What was found out for one MX host of a next hop; None: it was not looked up.

    `mx_security` is the state of the MX records that named the host (with the aliases that led to
    them); None where none did: the next hop is the host, or has no MX. `expanded_domain` is the
    next hop behind its aliases, where it is one.
    """

    tlsa: TlsaFacts | None = None
    mta_sts: MtaStsFacts | None = None
    mx_security: Security | None = None
    expanded_domain: Domain | None = None

    @property
    def is_silent(self) -> bool:
        """Nothing was looked up that could ask for anything."""
        return self.tlsa is None and self.mta_sts is None


NOTHING_PUBLISHED = Published()
