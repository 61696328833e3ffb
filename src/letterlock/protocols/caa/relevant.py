"""The relevant record set: which lookups a name needs, and what they come to.

RFC 8659 §3. Climbing is of the name itself, never of an alias's target (§7). A lookup that failed,
or was never made, is not "no records" (§5.1, §6.1 to §6.4).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Answer, CaaRecord, Existence, Security
from letterlock.protocols.dns.chains import weaker

RDTYPE = "CAA"


@dataclass(frozen=True, slots=True)
class RecordSet:
    """The relevant record set: no doubles, and in an order that is not the answer's (RFC 2181 §5).

    `security` is that of the weakest lookup on the way, `ttl` in seconds that of the last.
    `owner` is where an alias led, mostly `found_at` itself.
    """

    name: Domain
    found_at: Domain
    records: tuple[CaaRecord, ...]
    security: Security
    ttl: int
    owner: Domain


@dataclass(frozen=True, slots=True)
class NoRecords:
    """Nothing from the name up to its top-level domain."""

    name: Domain
    security: Security


@dataclass(frozen=True, slots=True)
class LookupFailed:
    """Nobody knows what stands at `at`. `security` says whether it was forged, or not answered."""

    name: Domain
    at: Domain
    security: Security
    reason: str


Relevant = RecordSet | NoRecords | LookupFailed
"""Each knows the name that it is for: what was found for one name says nothing of another."""


def list_climb(name: Domain) -> Iterator[Domain]:
    """Give the names to ask for, from the name itself up to its top-level domain.

    A name has at most 127 labels, so there are never more. For a wildcard, `name` is without its
    asterisk.
    """
    labels = name.split(".")
    for start in range(len(labels)):
        yield Domain(".".join(labels[start:]))


def ends_climb(answer: Answer) -> bool:
    """Tell whether there is no need to climb further: there are records, or nobody knows."""
    return not answer.is_answer or answer.existence is Existence.RECORDS


def find_relevant(
    name: Domain, lookups: Sequence[Answer], *, may_lack_top: bool = False
) -> Relevant:
    """Say what the lookups for a name come to, in the order of `list_climb`.

    Lookups of other names count for nothing: what they are there instead of was not looked up. The
    records at the end of a climb may be all that there are. A top-level domain that does not exist
    is a failure (ours; RFC 8659 §3 would climb past it), unless names are private: `may_lack_top`.
    """
    security = Security.SECURE
    for at, answer in zip_longest(list_climb(name), lookups[: name.count(".") + 1]):
        if answer is None or (answer.name, answer.rdtype) != (at, RDTYPE):
            return LookupFailed(name, at, Security.FAILED, "it was not looked up")
        if not answer.is_answer:
            return LookupFailed(name, at, answer.security, answer.reason)
        security = weaker(security, answer.security)
        if answer.existence is Existence.RECORDS:
            return _read_records(name, at, answer, security)
        if answer.existence is Existence.NXDOMAIN and "." not in at and not may_lack_top:
            reason = "there is no such top-level domain"
            return LookupFailed(name, at, Security.FAILED, reason)
    return NoRecords(name, security)


def _read_records(
    name: Domain, at: Domain, answer: Answer, security: Security
) -> RecordSet | LookupFailed:
    records = [record for record in answer.records if isinstance(record, CaaRecord)]
    if not records or len(records) != len(answer.records):
        return LookupFailed(name, at, Security.FAILED, "it has records that cannot be read")
    ordered = sorted(set(records), key=_order)
    return RecordSet(name, at, tuple(ordered), security, answer.ttl, answer.owner or at)


def _order(record: CaaRecord) -> tuple[bytes, int, bytes, bytes]:
    return record.tag.lower(), record.flags, record.tag, record.value
