"""What one answer adds to a chain of trust: its signatures, and what became of verifying them.

RFC 4035 §5.2 (DS and DNSKEY), §5.3 (signatures), §5.4 (denial). Facts alone: `check.trust_chain`
says where a chain breaks; asking and verifying is `network.dns_links`. Names are text without a
final dot, in lower case; `.` is the root.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from letterlock.protocols.dns.denial import Denying
from letterlock.protocols.dns.dnssec_records import DsRecord, KeyRecord


class Outcome(StrEnum):
    """What a question came to, whatever it is worth."""

    RECORDS = "records"
    ALIAS = "alias"
    NODATA = "nodata"
    NXDOMAIN = "nxdomain"
    FAILED = "failed"


class Proof(StrEnum):
    """What verifying a signature came to; its time is not looked at for that."""

    GOOD = "good"
    WRONG = "wrong"
    NO_KEY = "no key"
    """The zone has no key of its tag and algorithm."""
    UNSUPPORTED = "unsupported"
    """Its algorithm is not known here."""
    NOT_TRIED = "not tried"
    """There were too many."""


@dataclass(frozen=True, slots=True)
class SignatureSeen:
    """A signature (RFC 4034 §3.1); `labels` of its owner, without those that `*` stood for."""

    zone: str
    tag: int
    algorithm: int
    labels: int
    begins: datetime
    ends: datetime
    proof: Proof


@dataclass(frozen=True, slots=True)
class Denial:
    """A record that denies something, with its signatures."""

    record: Denying
    signatures: tuple[SignatureSeen, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """An answer to one question. `signatures` are of its records, or of the alias.

    `keys` and `ds` are its records, where those were asked for. `alias` is where the name leads.
    `reason` says in one line why it FAILED. `denials` prove what is not there.
    """

    name: str
    rdtype: str
    outcome: Outcome
    signatures: tuple[SignatureSeen, ...] = ()
    keys: tuple[KeyRecord, ...] = ()
    ds: tuple[DsRecord, ...] = ()
    alias: str | None = None
    denials: tuple[Denial, ...] = ()
    reason: str = ""

    @property
    def signers(self) -> frozenset[str]:
        """The zones that are said to have signed something of it."""
        seen = [*self.signatures, *(each for it in self.denials for each in it.signatures)]
        return frozenset(each.zone for each in seen)

    def __str__(self) -> str:
        return f"{self.rdtype} of {self.name}"
