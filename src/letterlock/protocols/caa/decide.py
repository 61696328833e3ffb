"""Whether an authority may issue a certificate for a name, by the relevant CAA records.

RFC 8659 §3 (what restricts), §4.1 (tags, flags), §4.2 (issue), §4.3 (issuewild), §4.5 (critical),
RFC 8657 (limits to accounts and methods), RFC 9495 §4 (issuemail is not about TLS). Not knowing is
never permission: the Baseline Requirements (3.2.2.8) would let an authority issue after a failed
lookup where it is outside its control, was tried again, and the zone is proved to be unsigned;
nothing here does.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from letterlock.base.domains import Domain
from letterlock.protocols.caa.issue_values import MalformedValue, parse_issue_value
from letterlock.protocols.caa.limits import ACCOUNT_URI, VALIDATION_METHODS, find_unmet_limits
from letterlock.protocols.caa.relevant import LookupFailed, NoRecords, RecordSet, Relevant
from letterlock.protocols.dns.answers import CaaRecord

CRITICAL = 128
"""RFC 8659 §4.1: bit 0. The other bits are reserved, and say nothing."""

_RESERVED_ONE = 1
_TAG = re.compile(rb"[A-Za-z0-9]+")
_IGNORED = {
    b"iodef": "it says where to report to, not who may issue",
    b"issuemail": "it is about certificates for mail addresses (S/MIME)",
}
_MAX_SHOWN = 200


class CaaDecision(StrEnum):
    """May it issue? ERROR: it is not known, which is no permission."""

    ALLOW = "allow"
    DENY = "deny"
    ERROR = "error"


class CaaCause(StrEnum):
    """What a decision rests on."""

    NO_RECORDS = "no-records"
    NO_RESTRICTION = "no-restriction"
    """There are records, and none is about certificates of this kind."""
    AUTHORIZED = "authorized"
    OTHER_ISSUER = "other-issuer"
    OTHER_LIMITS = "other-limits"
    """The authority is named, for other accounts or methods (RFC 8657)."""
    UNKNOWN_CRITICAL = "unknown-critical"
    UNKNOWN_LIMITS = "unknown-limits"
    """It depends on an account or a method that was not told."""
    MALFORMED_TAG = "malformed-tag"
    """A tag that RFC 8659 §4.1 rules out: authorities differ in what they make of it."""
    LOOKUP_FAILED = "lookup-failed"


class Effect(StrEnum):
    """What one record does for one issuance."""

    ALLOWS = "allows"
    OTHER_ISSUER = "other-issuer"
    OTHER_LIMITS = "other-limits"
    UNKNOWN_LIMITS = "unknown-limits"
    FORBIDS = "forbids"
    UNREADABLE = "unreadable"
    IGNORED = "ignored"


_RESTRICTING = (Effect.UNKNOWN_LIMITS, Effect.OTHER_LIMITS, Effect.OTHER_ISSUER)
"""Those that restrict issuance and do not allow this one: what is nearest to it comes first."""


@dataclass(frozen=True, slots=True)
class Issuance:
    """A certificate that an authority would issue, as far as one of its names goes.

    `name` is without an asterisk. `issuers` are the domains by which records name the authority
    (ACME's caaIdentities). `accounts` are all URIs of the account that asks; none: not known.
    `method` is the validation method, as RFC 8657 §4 has it; None: not known.
    """

    name: Domain
    is_wildcard: bool
    issuers: tuple[str, ...]
    accounts: tuple[str, ...] = ()
    method: str | None = None

    def __str__(self) -> str:
        return f"*.{self.name}" if self.is_wildcard else self.name


@dataclass(frozen=True, slots=True)
class JudgedRecord:
    """A record, what it does, and why. `notes` are about other authorities' ways."""

    record: CaaRecord
    effect: Effect
    reason: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CaaVerdict:
    """The decision. `record` is the one that decided, of several alike the first; None: none did.

    `judged` are all records of the set.
    """

    issuance: Issuance
    relevant: Relevant
    decision: CaaDecision
    cause: CaaCause
    reason: str
    record: CaaRecord | None = None
    judged: tuple[JudgedRecord, ...] = ()

    @property
    def found_at(self) -> Domain | None:
        """Where the records are; None: there are none, or nobody knows."""
        return self.relevant.found_at if isinstance(self.relevant, RecordSet) else None

    @property
    def ignored(self) -> tuple[JudgedRecord, ...]:
        return tuple(each for each in self.judged if each.effect is Effect.IGNORED)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know besides, one line each."""
        return tuple(dict.fromkeys(note for each in self.judged for note in each.notes))


def decide(relevant: Relevant, issuance: Issuance) -> CaaVerdict:
    """Decide on one name. Raises ValueError when `relevant` is that of another."""
    if relevant.name != issuance.name:
        raise ValueError(f"{relevant.name} was looked up, not {issuance.name}")
    match relevant:
        case NoRecords():
            reason = f"there are no CAA records for {issuance.name}: any authority may issue"
            return _conclude(relevant, issuance, CaaCause.NO_RECORDS, reason)
        case LookupFailed(_, at, _, why):
            reason = f"CAA of {at} is not known: {why}; there may be records that forbid it"
            return _conclude(relevant, issuance, CaaCause.LOOKUP_FAILED, reason)
        case RecordSet():
            return _decide_by_records(relevant, issuance)
        case _:
            assert_never(relevant)


_DECISIONS = {
    CaaCause.NO_RECORDS: CaaDecision.ALLOW,
    CaaCause.NO_RESTRICTION: CaaDecision.ALLOW,
    CaaCause.AUTHORIZED: CaaDecision.ALLOW,
    CaaCause.OTHER_ISSUER: CaaDecision.DENY,
    CaaCause.OTHER_LIMITS: CaaDecision.DENY,
    CaaCause.UNKNOWN_CRITICAL: CaaDecision.DENY,
    CaaCause.UNKNOWN_LIMITS: CaaDecision.ERROR,
    CaaCause.MALFORMED_TAG: CaaDecision.ERROR,
    CaaCause.LOOKUP_FAILED: CaaDecision.ERROR,
}


def _conclude(relevant: Relevant, issuance: Issuance, cause: CaaCause, reason: str) -> CaaVerdict:
    return CaaVerdict(issuance, relevant, _DECISIONS[cause], cause, reason)


def _decide_by_records(found: RecordSet, issuance: Issuance) -> CaaVerdict:
    has_issuewild = any(record.tag.lower() == b"issuewild" for record in found.records)
    counted = b"issuewild" if issuance.is_wildcard and has_issuewild else b"issue"
    judged = tuple(_judge(record, counted, issuance) for record in found.records)
    cause, deciding = _weigh(judged)
    if deciding is None:
        reason = f"the CAA records at {found.found_at} do not restrict certificates for {issuance}"
    else:
        reason = f"CAA {shorten(deciding.record)} at {found.found_at}: {deciding.reason}"
        others = sum(each.effect in _RESTRICTING for each in judged) - 1
        if deciding.effect in _RESTRICTING and others:
            reason += f" (and {others} more that {'does' if others == 1 else 'do'} not allow it)"
    return CaaVerdict(
        issuance=issuance,
        relevant=found,
        decision=_DECISIONS[cause],
        cause=cause,
        reason=reason,
        record=deciding.record if deciding else None,
        judged=judged,
    )


def shorten(record: CaaRecord) -> str:
    """Give a record for a line of text."""
    text = str(record)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _weigh(judged: tuple[JudgedRecord, ...]) -> tuple[CaaCause, JudgedRecord | None]:
    """Say what all records come to together; their order does not matter.

    One that forbids forbids whatever else there is (RFC 8659 §4.5); one that allows allows (§4.2).
    What cannot be read spoils a permission, and does not spoil a refusal.
    """
    first = {each.effect: each for each in reversed(judged)}
    if forbids := first.get(Effect.FORBIDS):
        return CaaCause.UNKNOWN_CRITICAL, forbids
    is_restricted = any(effect in first for effect in _RESTRICTING)
    if Effect.ALLOWS in first or not is_restricted:
        if unreadable := first.get(Effect.UNREADABLE):
            return CaaCause.MALFORMED_TAG, unreadable
        if allows := first.get(Effect.ALLOWS):
            return CaaCause.AUTHORIZED, allows
        return CaaCause.NO_RESTRICTION, None
    effect = next(effect for effect in _RESTRICTING if effect in first)
    return CaaCause(effect.value), first[effect]


def _judge(record: CaaRecord, counted: bytes, issuance: Issuance) -> JudgedRecord:
    """Say what a record does. `counted` is the tag that restricts certificates of this kind."""
    tag = record.tag.lower()
    if tag == counted:
        return _judge_issue(record, issuance)
    if tag in (b"issue", b"issuewild"):
        reason = "it is for wildcards only"
        if tag == b"issue":
            reason = "for wildcards there is issuewild, which takes its place"
        return JudgedRecord(record, Effect.IGNORED, reason)
    if tag in _IGNORED:
        return JudgedRecord(record, Effect.IGNORED, _IGNORED[tag])
    if record.flags & CRITICAL:
        reason = "it is critical, and its tag is not known here: nobody may issue"
        return JudgedRecord(record, Effect.FORBIDS, reason)
    if not _TAG.fullmatch(record.tag):
        reason = "its tag is none: letters and digits only, and at least one"
        return JudgedRecord(record, Effect.UNREADABLE, reason)
    notes: tuple[str, ...] = ()
    if record.flags & _RESERVED_ONE:
        notes = (f"{shorten(record)}: some authorities take flags 1 for critical, and refuse",)
    return JudgedRecord(
        record, Effect.IGNORED, "its tag is not known, and it is not critical", notes
    )


def _judge_issue(record: CaaRecord, issuance: Issuance) -> JudgedRecord:
    value = parse_issue_value(record.value)
    if isinstance(value, MalformedValue):
        reason = f"it is malformed ({value.reason}), and allows nobody"
        return JudgedRecord(record, Effect.OTHER_ISSUER, reason)
    if not value.issuer:
        return JudgedRecord(record, Effect.OTHER_ISSUER, "it names nobody, and allows nobody")
    if value.issuer.lower() not in {issuer.lower() for issuer in issuance.issuers}:
        asked = " or ".join(issuance.issuers) or "an authority without a name for CAA"
        reason = f"it allows {value.issuer[:_MAX_SHOWN]}, not {asked}"
        return JudgedRecord(record, Effect.OTHER_ISSUER, reason)
    notes = tuple(_note(record, value.issuer, issuance, [name for name, _ in value.parameters]))
    unmet = find_unmet_limits(value, issuance.accounts, issuance.method)
    if not unmet:
        return JudgedRecord(record, Effect.ALLOWS, f"it allows {value.issuer}", notes)
    sure = [limit for limit in unmet if not limit.is_open]
    effect = Effect.OTHER_LIMITS if sure else Effect.UNKNOWN_LIMITS
    reason = ", and ".join(limit.reason for limit in sure or unmet)
    return JudgedRecord(record, effect, reason, notes)


def _note(
    record: CaaRecord, issuer: str, issuance: Issuance, parameters: list[str]
) -> Iterator[str]:
    shown = shorten(record)
    if issuer not in issuance.issuers:
        yield f"{shown}: some authorities compare their name exactly, and refuse"
    for name in parameters:
        if name.lower() not in (ACCOUNT_URI, VALIDATION_METHODS):
            yield f"{shown}: what {name[:_MAX_SHOWN]} means is for the authority to say"
        elif not name.islower():
            yield f"{shown}: some authorities know {name.lower()} in lower case only"
