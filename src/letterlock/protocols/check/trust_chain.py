"""Where a chain of trust breaks: from the root to a zone, to the zone below it, and to its records.

RFC 4035 §5 (what a validator does; §5.2: which zones are not signed), RFC 4509 §3 (digests). Facts
come from `protocols.dns.chain_links`, and `chain_breaks` says why one does not hold. It explains
what validators do, and decides no delivery: their word does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from letterlock.protocols.check.chain_breaks import (
    Break,
    Cause,
    believe,
    explain_denial,
    explain_no_answer,
    find_fault,
    find_record_fault,
    is_good,
    name_zone,
)
from letterlock.protocols.check.name_status import DnssecStatus
from letterlock.protocols.dns.chain_links import Link, Outcome
from letterlock.protocols.dns.denial import (
    DS,
    NS,
    SOA,
    TooManyIterationsError,
    find_types,
    is_opted_out,
    make_labels,
    proves_no_data,
    proves_no_name,
)
from letterlock.protocols.dns.dnssec_records import ROOT, DsRecord, KeyRecord, choose_ds, find_keys


@dataclass(frozen=True, slots=True)
class ZoneState:
    """A zone, as far as its keys are trusted. `broken` None: the chain comes down to it.

    `parent` None: the root. `ends`: when its keys' signature ends; None where none is good.
    """

    zone: str
    status: DnssecStatus
    parent: str | None = None
    broken: Break | None = None
    ds: tuple[DsRecord, ...] = ()
    keys: tuple[KeyRecord, ...] = ()
    ends: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecordState:
    """The records of a name and type, or that there are none; `zone` is where they should be."""

    name: str
    rdtype: str
    zone: str
    status: DnssecStatus
    outcome: Outcome
    broken: Break | None = None
    ends: datetime | None = None
    alias: str | None = None


class Cut(StrEnum):
    """What a question for a DS record tells of the zone below."""

    SIGNED = "signed"
    UNSIGNED = "unsigned"
    NONE = "none"
    """There is no zone of that name."""
    OPEN = "open"
    """It is not told whether there is one; if so, it is not signed."""


def judge_root(keys: Link, anchors: Sequence[DsRecord], now: datetime) -> ZoneState:
    """Judge the root by the anchors that are known here."""
    judged = _judge_keys(ROOT, None, tuple(anchors), keys, now)
    if judged.broken is None or judged.broken.cause is Cause.NO_ANSWER:
        return judged
    evidence = f"the root's keys can't be proved: {judged.broken.evidence}"
    broken = Break(Cause.ROOT_NOT_PROVED, ROOT, str(keys), evidence)
    return ZoneState(ROOT, DnssecStatus.UNDECIDED, broken=broken, keys=keys.keys)


def find_cut(parent: ZoneState, ds: Link, now: datetime) -> Cut | Break:
    """Say what a parent zone that is trusted says of a name; a Break: it could not be believed."""
    match ds.outcome:
        case Outcome.FAILED:
            return explain_no_answer(parent.zone, ds)
        case Outcome.RECORDS | Outcome.ALIAS:
            is_cut = ds.outcome is Outcome.RECORDS
            fault = find_fault(parent.zone, str(ds), ds.signatures, now)
            return fault or (Cut.SIGNED if is_cut else Cut.NONE)
        case Outcome.NODATA | Outcome.NXDOMAIN:
            try:
                cut = _find_denied_cut(ds, now)
            except TooManyIterationsError:
                return Cut.OPEN
            return cut or explain_denial(parent.zone, ds, now)
        case _:
            assert_never(ds.outcome)


def _find_denied_cut(ds: Link, now: datetime) -> Cut | None:
    """Say what is proved where there is no DS record; None: nothing."""
    name, denials = make_labels(ds.name), believe(ds, now)
    types = find_types(name, denials)
    if types is not None and DS not in types and SOA not in types:
        return Cut.UNSIGNED if NS in types else Cut.NONE
    if is_opted_out(name, denials):
        return Cut.OPEN
    is_denied = proves_no_data(name, DS, denials) or proves_no_name(name, denials)
    return Cut.NONE if is_denied else None


def judge_zone(parent: ZoneState, ds: Link, keys: Link, now: datetime) -> ZoneState:
    """Judge a zone below one that is trusted, whose DS records are signed, or proved to be none."""
    zone = ds.name
    if ds.outcome is not Outcome.RECORDS:
        return _judge_without_ds(parent, zone, keys)
    return _judge_keys(zone, parent.zone, ds.ds, keys, now)


def break_zone(parent: ZoneState, zone: str, broken: Break) -> ZoneState:
    """Give a zone of which the zone above says nothing that can be believed."""
    status = _STATUSES.get(broken.cause, DnssecStatus.BOGUS)
    return ZoneState(zone, status, parent.zone, broken)


def judge_record(zone: ZoneState, link: Link, now: datetime) -> RecordState:
    """Judge the answer for records that are in a zone."""
    broken, ends = zone.broken, None
    status = zone.status
    if zone.status is DnssecStatus.SECURE:
        broken = find_record_fault(zone.zone, link, now)
        if broken is not None:
            status = _STATUSES.get(broken.cause, DnssecStatus.BOGUS)
        else:
            good = [each for each in link.signatures if is_good(each, now)]
            ends = max((each.ends for each in good), default=None)
    return RecordState(
        link.name, link.rdtype, zone.zone, status, link.outcome, broken, ends, link.alias
    )


_STATUSES = {
    Cause.NO_ANSWER: DnssecStatus.UNDECIDED,
    Cause.ALGORITHM_UNSUPPORTED: DnssecStatus.UNDECIDED,
    Cause.TOO_MANY_ITERATIONS: DnssecStatus.INSECURE,
    Cause.OPTED_OUT: DnssecStatus.INSECURE,
}


def _judge_without_ds(parent: ZoneState, zone: str, keys: Link) -> ZoneState:
    if keys.keys:
        count = "a key" if len(keys.keys) == 1 else f"{len(keys.keys)} keys"
        evidence = f"{zone} has {count}, and {name_zone(parent.zone)} has no DS record of it"
        broken = Break(Cause.NO_DS, zone, f"DS of {zone}", evidence, keys.keys)
    else:
        evidence = f"{zone} is not signed: neither a key nor a DS record"
        broken = Break(Cause.UNSIGNED, zone, f"DS of {zone}", evidence)
    return ZoneState(zone, DnssecStatus.INSECURE, parent.zone, broken, keys=keys.keys)


def _judge_keys(
    zone: str, parent: str | None, ds: tuple[DsRecord, ...], keys: Link, now: datetime
) -> ZoneState:
    """Judge the keys of a zone by DS records that are trusted."""
    known = choose_ds(ds)
    if not known:
        names = ", ".join(dict.fromkeys(f"{each.algorithm}/{each.digest_type}" for each in ds))
        text = f"the DS records of {name_zone(zone)} are of algorithm and digest {names}: not known"
        broken = Break(Cause.ALGORITHM_UNSUPPORTED, zone, f"DS of {zone}", text)
        return ZoneState(zone, DnssecStatus.INSECURE, parent, broken, ds, keys.keys)
    trusted = find_keys(zone, known, keys.keys)
    by_trusted = [
        each
        for each in keys.signatures
        if any((each.tag, each.algorithm) == (key.tag, key.algorithm) for key in trusted)
    ]
    fault = _find_key_fault(zone, known, keys) if not trusted else None
    if fault is None and not by_trusted:
        fault = _explain_unsigned_keys(zone, keys, trusted)
    if fault is None:
        fault = find_fault(zone, str(keys), by_trusted, now)
    if fault is not None:
        status = _STATUSES.get(fault.cause, DnssecStatus.BOGUS)
        return ZoneState(zone, status, parent, fault, ds, keys.keys)
    ends = max(each.ends for each in by_trusted if is_good(each, now))
    return ZoneState(zone, DnssecStatus.SECURE, parent, None, ds, keys.keys, ends)


def _find_key_fault(zone: str, ds: tuple[DsRecord, ...], keys: Link) -> Break:
    """Say why no key is named by a DS record."""
    if keys.outcome is Outcome.FAILED:
        return explain_no_answer(zone, keys)
    wanted = ", ".join(str(tag) for tag in dict.fromkeys(each.tag for each in ds))
    if not keys.keys:
        text = f"{name_zone(zone)} has no keys, and a DS record of key {wanted}"
        return Break(Cause.KEYS_MISSING, zone, str(keys), text)
    there = ", ".join(str(each.tag) for each in keys.keys)
    text = f"the DS record is of key {wanted}, and {name_zone(zone)} has other keys: {there}"
    return Break(Cause.DS_WITHOUT_KEY, zone, f"DS of {zone}", text, keys.keys)


def _explain_unsigned_keys(zone: str, keys: Link, trusted: Sequence[KeyRecord]) -> Break:
    wanted = ", ".join(str(each.tag) for each in trusted)
    signed = ", ".join(str(each.tag) for each in keys.signatures) or "none"
    text = f"the keys of {name_zone(zone)} are not signed by key {wanted}, but by: {signed}"
    return Break(Cause.KEYS_NOT_SIGNED, zone, str(keys), text, tuple(trusted))
