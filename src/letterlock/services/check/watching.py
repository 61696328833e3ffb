"""What changes at a domain that is checked again and again: only what lasts, and each thing once.

A difference counts when it was seen in so many looks in a row: one probe that was lost is none.
What a look did not see (a host that did not answer, a lookup or a CRL that failed) has not ended,
and a verdict that cannot be told has not changed. Lookups that never were answered from here, as
behind many a firewall, hide nothing. The comparing is that of `comparing`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Any

from letterlock.protocols.check.chain_breaks import Cause
from letterlock.protocols.check.chain_findings import DISAGREES, NOT_VALIDATING
from letterlock.protocols.check.facts import State
from letterlock.protocols.check.findings import FindingId, Severity
from letterlock.services.check.comparing import compare
from letterlock.services.check.revoked import RevocationState

FINDING_PARTS = ("id", "severity", "where", "evidence", "fix")

Document = Mapping[str, Any]

UNDECIDABLE = "undecidable"
LOOKUP_FAILED = "lookup-failed"
"""The id of what is told where a lookup is not answered any more: what hangs on it is not seen."""
_UNSEEN = frozenset({State.BLOCKED, State.UNREACHABLE, State.NOT_TESTED})
_LOOKED_UP = ("tlsa-", "dane-", "mta-sts-", "caa-", "certificate-revoked", "rrsig-")
"""Findings at addresses that rest on lookups too begin so."""
_CHAIN_ENDS = frozenset(
    f"dnssec-{cause}" for cause in Cause if cause not in (Cause.UNSIGNED, Cause.OPTED_OUT)
)
_CHAIN_UNSEEN = frozenset(f"dnssec-{cause}" for cause in (Cause.NO_ANSWER, Cause.ROOT_NOT_PROVED))
"""Where a chain ends so, what is wrong below is not seen."""
_VERDICT_SEVERITIES = {
    "defer": Severity.CRITICAL,
    "bounce": Severity.CRITICAL,
    "clear": Severity.WARNING,
}


class Event(StrEnum):
    """What happened to a finding, or to a verdict."""

    BEGINS = "begins"
    CHANGES = "changes"
    ENDS = "ends"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to be told.

    `what` is the id of a finding at `where`, or of a kind of sender, and then `where` is empty.
    `before` and `now` are severities or outcomes; None: it was not there, or is no longer.
    """

    domain: str
    time: str
    event: Event
    what: str
    where: str
    severity: Severity
    before: str | None
    now: str | None
    evidence: str = ""
    fix: str = ""


Key = str
"""A finding's id and place, or the name of a kind of sender."""
Place = tuple[str, str]
"""A host, and one of its addresses, of which not all was seen."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What is known of a domain: what was told last, and what waits to be seen more often.

    `findings` and `verdicts` are as in its documents; None: it was not looked at well enough yet.
    `waiting`: what was seen otherwise (None: not at all), and how many times in a row. `blind`:
    lookups that were not answered at the beginning.
    """

    findings: tuple[dict[str, str], ...] | None = None
    verdicts: tuple[dict[str, str], ...] = ()
    waiting: dict[Key, tuple[str | None, int]] = field(default_factory=dict)
    looks: int = 0
    blind: tuple[str, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Nothing waits to be seen again soon."""
        return self.findings is not None and not self.waiting


@dataclass(frozen=True, slots=True)
class Rules:
    """When something is told: after so many looks; of these findings nothing is."""

    times: int
    silent: frozenset[str] = frozenset()


def observe(
    watched: Watched, document: Document, rules: Rules, time: str
) -> tuple[Watched, tuple[Change, ...]]:
    """Take one look into account; gives what is to be told.

    With the first look that saw everything nothing is told: what is there then is what was known.
    """
    if watched.findings is None:
        looks = watched.looks + 1
        blind = tuple(_list_unanswered(document))
        if looks < rules.times and (_list_unseen(document) or blind or document["no_route"]):
            return Watched(looks=looks), ()
        seen = _reduce(Watched(findings=(), blind=blind), document, rules)
        return Watched(tuple(seen["findings"]), tuple(seen["verdicts"]), blind=blind), ()
    # What was told and is silenced now goes without a word.
    findings = tuple(each for each in watched.findings if each["id"] not in rules.silent)
    watched = replace(watched, findings=findings)
    seen = _reduce(watched, document, rules)
    told = {"findings": list(findings), "verdicts": list(watched.verdicts)}
    waiting, changes = {}, []
    reasons = {each["sender"]: each["reason"] for each in seen["verdicts"]}
    make = partial(Change, document["domain"], time)
    for change in _list_changes(make, compare(told, seen), reasons):
        key = _name(change.what, change.where)
        value, count = watched.waiting.get(key, (None, 0))
        count = count + 1 if value == change.now else 1
        if count >= rules.times:
            changes.append(change)
        else:
            waiting[key] = change.now, count
    confirmed = {_name(each.what, each.where) for each in changes}
    return Watched(
        tuple(_settle(told["findings"], seen["findings"], confirmed, _finding_key)),
        tuple(_settle(told["verdicts"], seen["verdicts"], confirmed, _verdict_key)),
        waiting,
        blind=watched.blind,
    ), tuple(changes)


def _settle(
    told: list[dict[str, Any]],
    seen: list[dict[str, Any]],
    confirmed: set[Key],
    key: Callable[[Document], Key],
) -> Iterator[dict[str, Any]]:
    """Take over what was confirmed, and leave all else as it was told."""
    yield from (each for each in told if key(each) not in confirmed)
    yield from (each for each in seen if key(each) in confirmed)


def _finding_key(finding: Document) -> Key:
    return _name(finding["id"], finding["where"])


def _verdict_key(verdict: Document) -> Key:
    return _name(verdict["sender"], "")


def _name(what: str, where: str) -> Key:
    return f"{what} {where}".rstrip()


def _reduce(watched: Watched, document: Document, rules: Rules) -> dict[str, list[dict[str, Any]]]:
    """Give what a look says, and what it says nothing about as it was."""
    findings = [
        {part: str(each[part]) for part in FINDING_PARTS}
        for each in document["findings"]
        if _is_told_of(each) and each["id"] not in rules.silent
    ]
    lost = {
        subject: text
        for subject, text in _list_unanswered(document).items()
        if subject not in watched.blind
    }
    if LOOKUP_FAILED not in rules.silent:
        findings += [_describe_lost(subject, text) for subject, text in lost.items()]
    keys = {_finding_key(each) for each in findings}
    found = {each["id"] for each in document["findings"]} if _has_chains(document) else None
    unseen, without_crl = _list_unseen(document), set(_list_without_crl(document))
    for each in watched.findings or ():
        is_hidden = document["no_route"] is not None or (bool(lost) and _rests_on_lookups(each))
        is_hidden &= each["id"] != LOOKUP_FAILED
        is_hidden |= any(_hides(place, each) for place in unseen)
        is_hidden |= each["id"] == FindingId.REVOKED and each["where"] in without_crl
        is_hidden |= _is_chain_unseen(each["id"], found)
        if is_hidden and _finding_key(each) not in keys:
            findings.append(each)
    known = {each["sender"]: each["outcome"] for each in watched.verdicts}
    verdicts = []
    for each in document["verdicts"]:
        outcome = each["outcome"]
        if outcome == UNDECIDABLE:
            outcome = known.get(each["sender"], UNDECIDABLE)
        verdicts.append({"sender": each["sender"], "outcome": outcome, "reason": each["reason"]})
    return {"findings": findings, "verdicts": verdicts}


def _is_told_of(finding: Document) -> bool:
    return bool(finding["severity"] != Severity.INFO) or finding["id"] == FindingId.BLOCKED


def _list_unseen(document: Document) -> list[Place]:
    return [
        (host["name"] or address["ip"], address["ip"])
        for host in document["hosts"]
        for address in host["addresses"]
        if address["state"] in _UNSEEN
        or any(probe["state"] == State.BLOCKED for probe in address["probes"])
    ]


def _list_without_crl(document: Document) -> Iterator[str]:
    """Give the hosts of which a CRL could not be had: whether it has them is not seen."""
    for each in document.get("revocation", ()):
        if each["state"] == RevocationState.NOT_TOLD and each["crl"] is not None:
            yield each["host"]


def _has_chains(document: Document) -> bool:
    return bool(document.get("dnssec", {}).get("zones"))


def _is_chain_unseen(name: str, found: set[str] | None) -> bool:
    """Say whether it is not known that something wrong with a chain has ended.

    `found` are the ids of all that was found; None: chains were not followed (`--dnssec`).
    """
    if name not in {DISAGREES, NOT_VALIDATING, *_CHAIN_ENDS}:
        return False
    if found is None:
        return True
    # The resolver's own word is there all the same, or it is known why it counts for nothing.
    hidden_by = {DISAGREES: {NOT_VALIDATING, *_CHAIN_UNSEEN}, NOT_VALIDATING: set[str]()}
    return bool(found & hidden_by.get(name, _CHAIN_UNSEEN))


def _hides(place: Place, finding: Document) -> bool:
    """Say whether a place would have to be seen to know that a finding has ended."""
    # That it does not answer has ended when it puts us off, and the other way round.
    if finding["id"] in (FindingId.UNREACHABLE, FindingId.BLOCKED):
        return False
    host, ip = place
    where, address = str(finding["where"]), f"{host}[{ip}]"
    return where in {address, host} or where.startswith(f"{address} ")


def _rests_on_lookups(finding: Document) -> bool:
    """Say if a lookup is behind it; the rest is what a connection to an address shows."""
    is_at_address = str(finding["where"]).endswith("]") or "] " in str(finding["where"])
    return not is_at_address or str(finding["id"]).startswith(_LOOKED_UP)


def _list_unanswered(document: Document) -> dict[str, str]:
    """Give what was looked up in vain, and why."""
    return {text.partition(": ")[0]: text for text in document["undecided"]}


def _describe_lost(subject: str, text: str) -> dict[str, str]:
    severity, evidence = str(Severity.NOTICE), text.partition(": ")[2]
    parts = (LOOKUP_FAILED, severity, subject, evidence, "")
    return dict(zip(FINDING_PARTS, parts, strict=True))


def _list_changes(
    make: Callable[..., Change], difference: Document, reasons: Mapping[str, str]
) -> Iterator[Change]:
    for each in difference["new"]:
        now = Severity(each["severity"])
        yield make(Event.BEGINS, *_place(each), now, None, now, each["evidence"], each["fix"])
    for each in difference["changed"]:
        now = Severity(each["severity"])
        told = each["before"], now, each["evidence"], each["fix"]
        yield make(Event.CHANGES, *_place(each), now, *told)
    for each in difference["gone"]:
        before = Severity(each["severity"])
        yield make(Event.ENDS, *_place(each), before, before, None, each["evidence"])
    for each in difference["verdicts"]:
        severity = _VERDICT_SEVERITIES.get(each["now"], Severity.NOTICE)
        outcomes = each["before"], each["now"]
        yield make(Event.CHANGES, each["sender"], "", severity, *outcomes, reasons[each["sender"]])


def _place(finding: Document) -> tuple[str, str]:
    return finding["id"], finding["where"]
