"""Why a link of a chain of trust does not hold: its signatures, or the proof that nothing is there.

RFC 4035 §5.3 (signatures: one that is good is enough), §5.3.4 (wildcards), §5.4 (denial), RFC 9276
§3.2 (NSEC3 that nobody follows). That an alias comes from a wildcard rightly is not looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from letterlock.protocols.dns.chain_links import Link, Outcome, Proof, SignatureSeen
from letterlock.protocols.dns.denial import (
    Denying,
    TooManyIterationsError,
    is_opted_out,
    make_labels,
    proves_no_data,
    proves_no_name,
    proves_wildcard,
)
from letterlock.protocols.dns.dnssec_records import ROOT, KeyRecord
from letterlock.protocols.dns.messages import RDTYPES


class Cause(StrEnum):
    """Why a chain ends; the words stay."""

    UNSIGNED = "unsigned"
    """The zone has neither keys nor a DS record above it."""
    NO_DS = "no-ds"
    """It has keys, and nothing above it names one."""
    ALGORITHM_UNSUPPORTED = "algorithm-unsupported"
    """All its DS records are of algorithms or digests that are not known here."""
    TOO_MANY_ITERATIONS = "too-many-iterations"
    OPTED_OUT = "opted-out"
    """It is not told whether an unsigned zone is there: the zone lists none (RFC 5155 §6)."""
    DS_WITHOUT_KEY = "ds-without-key"
    KEYS_MISSING = "keys-missing"
    """A DS record is there, and no key at all."""
    KEYS_NOT_SIGNED = "keys-not-signed"
    """By none of the keys that a DS record names."""
    SIGNATURE_MISSING = "signature-missing"
    SIGNATURE_EXPIRED = "signature-expired"
    SIGNATURE_NOT_YET_VALID = "signature-not-yet-valid"
    SIGNATURE_WRONG = "signature-wrong"
    SIGNATURE_WITHOUT_KEY = "signature-without-key"
    """The key that signed is not among the zone's."""
    DENIAL_MISSING = "denial-missing"
    """Nothing proves that there is nothing."""
    NO_ANSWER = "no-answer"
    ROOT_NOT_PROVED = "root-not-proved"
    """The resolver passes no signatures on, or has another root."""


@dataclass(frozen=True, slots=True)
class Break:
    """Where and why a chain ends: in `zone`, at the records `what`; `evidence` is one line.

    `keys` are the zone's, where what is to be done depends on them.
    """

    cause: Cause
    zone: str
    what: str
    evidence: str
    keys: tuple[KeyRecord, ...] = ()


def find_fault(
    zone: str, what: str, signatures: Sequence[SignatureSeen], now: datetime
) -> Break | None:
    """Say why none of the signatures of records is good; None: one is."""
    if any(is_good(each, now) for each in signatures):
        return None
    if not signatures:
        return Break(Cause.SIGNATURE_MISSING, zone, what, f"{what} has no signature")
    # Each fault of each signature: told is the one that is the easiest to mend.
    faults = sorted(
        (_explain_signature(zone, what, each, now) for each in signatures),
        key=lambda each: _ORDER.index(each.cause),
    )
    return faults[0]


_ORDER = (
    Cause.SIGNATURE_EXPIRED,
    Cause.SIGNATURE_NOT_YET_VALID,
    Cause.SIGNATURE_WRONG,
    Cause.SIGNATURE_WITHOUT_KEY,
    Cause.ALGORITHM_UNSUPPORTED,
)


def find_record_fault(zone: str, link: Link, now: datetime) -> Break | None:
    """Say why an answer from a trusted zone can't be believed; None: it can."""
    match link.outcome:
        case Outcome.FAILED:
            return explain_no_answer(zone, link)
        case Outcome.RECORDS | Outcome.ALIAS:
            fault = find_fault(zone, str(link), link.signatures, now)
            return fault or _find_wildcard_fault(zone, link, now)
        case Outcome.NODATA | Outcome.NXDOMAIN:
            return _find_denial_fault(zone, link, now)
        case _:
            assert_never(link.outcome)


def _find_wildcard_fault(zone: str, link: Link, now: datetime) -> Break | None:
    """RFC 4035 §5.3.4: what `*` stands for needs proof that nothing closer is there."""
    name = make_labels(link.name)
    good = [each for each in link.signatures if is_good(each, now)]
    if any(each.labels >= len(name) for each in good) or link.outcome is Outcome.ALIAS:
        return None
    try:
        if proves_wildcard(name, good[0].labels, believe(link, now)):
            return None
    except TooManyIterationsError:
        return _too_many(zone, link)
    text = f"{link} comes from a wildcard, and nothing proves that it may"
    return Break(Cause.DENIAL_MISSING, zone, str(link), text)


def _find_denial_fault(zone: str, link: Link, now: datetime) -> Break | None:
    name, denials = make_labels(link.name), believe(link, now)
    try:
        # An answer NXDOMAIN whose name is there has still nothing of the type.
        is_proved = (
            link.outcome is Outcome.NXDOMAIN and proves_no_name(name, denials)
        ) or proves_no_data(name, RDTYPES[link.rdtype], denials)
        if is_proved and is_opted_out(name, denials):
            return _explain_opted_out(zone, link)
        if is_proved:
            return None
    except TooManyIterationsError:
        return _too_many(zone, link)
    return explain_denial(zone, link, now)


def explain_denial(zone: str, link: Link, now: datetime) -> Break:
    """Say why it is not proved that there is nothing."""
    for each in link.denials:
        if fault := find_fault(zone, f"the proof that there is no {link}", each.signatures, now):
            return fault
    there = "the NSEC records don't prove" if link.denials else "no NSEC record proves"
    text = f"{there} that there is no {link}"
    return Break(Cause.DENIAL_MISSING, zone, str(link), text)


def believe(link: Link, now: datetime) -> list[Denying]:
    """Give the records that deny something and are signed."""
    return [
        each.record
        for each in link.denials
        if any(is_good(signature, now) for signature in each.signatures)
    ]


def is_good(signature: SignatureSeen, now: datetime) -> bool:
    """Tell whether a signature holds now."""
    return signature.proof is Proof.GOOD and signature.begins <= now <= signature.ends


def _explain_signature(zone: str, what: str, seen: SignatureSeen, now: datetime) -> Break:
    """Say what is wrong with a signature that is not good."""
    by = f"by key {seen.tag}"
    if seen.proof is Proof.UNSUPPORTED:
        text = f"{what} is signed by algorithm {seen.algorithm}, which is not known"
        return Break(Cause.ALGORITHM_UNSUPPORTED, zone, what, text)
    if seen.proof is Proof.NO_KEY:
        text = f"{what} is signed {by} of {name_zone(seen.zone)}, which {name_zone(zone)} lacks"
        return Break(Cause.SIGNATURE_WITHOUT_KEY, zone, what, text)
    if seen.ends < now:
        text = f"the signature of {what} {by} ended at {_format(seen.ends)}"
        return Break(Cause.SIGNATURE_EXPIRED, zone, what, text)
    if seen.begins > now:
        text = f"the signature of {what} {by} begins at {_format(seen.begins)} only"
        return Break(Cause.SIGNATURE_NOT_YET_VALID, zone, what, text)
    text = f"the signature of {what} {by} does not fit what it signs"
    return Break(Cause.SIGNATURE_WRONG, zone, what, text)


def explain_no_answer(zone: str, link: Link) -> Break:
    """Say why there is no answer."""
    return Break(Cause.NO_ANSWER, zone, str(link), f"{link}: {link.reason}")


def _explain_opted_out(zone: str, link: Link) -> Break:
    """RFC 5155 §9.2: such a denial is not secure."""
    text = f"{name_zone(zone)} does not list unsigned zones: one may be there (NSEC3 opt-out)"
    return Break(Cause.OPTED_OUT, zone, str(link), text)


def _too_many(zone: str, link: Link) -> Break:
    text = f"{name_zone(zone)} hashes names so often (NSEC3) that nobody follows"
    return Break(Cause.TOO_MANY_ITERATIONS, zone, str(link), text)


def name_zone(zone: str) -> str:
    """Give a zone's name for people."""
    return "the root" if zone == ROOT else zone


def _format(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
