"""Failures in reports on one domain that are to be told: by kind, by host, when first seen.

Rules A2 to A5. Pure. A failure is mended when one who told of it met the same type of policy on a
later day, and did not tell of it: silence proves nothing. RFC 8460 §4.3 (result types).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from letterlock.base.counts import format_count
from letterlock.protocols.tlsrpt.meanings import find_meaning
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.services.alert.conditions import (
    ACTIVE_DAYS,
    Condition,
    Found,
    clean,
    join,
    make_text,
    name_days,
    name_some,
    name_type,
    start_of,
)
from letterlock.services.intake.summary import FailingKind, Summary
from letterlock.storage.alerts import AlertKey, AlertText, Rule
from letterlock.storage.received_reports import KeptResult

MAX_KINDS = 5000
"""Of failures of a domain, those seen first: a report may have any number of them."""
_SEVERE = frozenset(
    {
        ResultType.STS_WEBPKI_INVALID,
        ResultType.STS_POLICY_INVALID,
        ResultType.TLSA_INVALID,
        ResultType.DNSSEC_INVALID,
        ResultType.DANE_REQUIRED,
    }
)


@dataclass(frozen=True, slots=True)
class Good:
    """When somebody met a type of policy; `sessions` are those of the last day."""

    first: date
    last: date
    sessions: int


class GoodDays:
    """Who met which type of policy when."""

    def __init__(self, results: Iterable[KeptResult]) -> None:
        self._found: dict[tuple[str, str], Good] = {}
        for each in results:
            if each.successful:
                self._add((each.submitter, each.type or ""), each.day, each.successful)

    def find_later(self, kinds: Iterable[FailingKind]) -> tuple[str, Good] | None:
        """Find who told of failures, and met the policy on a later day than the last of them."""
        failing = list(kinds)
        last = max(each.last for each in failing)
        found = [
            (who, good) for each in failing for who, good in self._list(each) if good.last > last
        ]
        return max(found, key=lambda each: each[1].last, default=None)

    def find_earlier(self, kinds: Iterable[FailingKind]) -> tuple[str, Good] | None:
        """Find who told of failures, and met the policy on a day before the first of them."""
        failing = list(kinds)
        first = min(each.first for each in failing)
        found = [
            (who, good) for each in failing for who, good in self._list(each) if good.first < first
        ]
        return min(found, key=lambda each: each[1].first, default=None)

    def _add(self, key: tuple[str, str], day: date, sessions: int) -> None:
        before = self._found.get(key)
        if before is None:
            self._found[key] = Good(day, day, sessions)
            return
        if day >= before.last:
            sessions += before.sessions if day == before.last else 0
            self._found[key] = Good(before.first, day, sessions)
        elif day < before.first:
            self._found[key] = Good(day, before.last, before.sessions)

    def _list(self, failing: FailingKind) -> Iterator[tuple[str, Good]]:
        for who in failing.submitters:
            if (good := self._found.get((who, failing.kind.type))) is not None:
                yield who, good


def find_failures(summary: Summary, good: GoodDays, today: date) -> Found:
    """Find what is to be told of failures of a domain, and what is mended."""
    groups: dict[tuple[Rule, str], list[FailingKind]] = {}
    failing = sorted(summary.failures, key=lambda each: each.first)[:MAX_KINDS]
    for each in failing:
        if (key := _find_rule(each, good)) is not None:
            groups.setdefault(key, []).append(each)
    named = [_judge(summary, *key, kinds, good, today) for key, kinds in groups.items()]
    told = {(kind.kind.result_type, kind.kind.host) for kinds in groups.values() for kind in kinds}
    others = [
        _judge(summary, Rule.FIRST_SEEN, _name_kind(each), [each], good, today)
        for each in failing
        if (each.kind.result_type, each.kind.host) not in told
    ]
    return join((*named, *others))


def _find_rule(failing: FailingKind, good: GoodDays) -> tuple[Rule, str] | None:
    """Say by which rule failures are told whenever they are seen, and what is the same alert."""
    kind = failing.kind
    subject = clean(f"{kind.result_type} {kind.host}".strip())
    if kind.result_type in _SEVERE:
        return Rule.SEVERE, subject
    if kind.result_type == ResultType.CERTIFICATE_EXPIRED:
        return Rule.EXPIRY, subject
    is_plain = kind.result_type == ResultType.STARTTLS_NOT_SUPPORTED
    if is_plain and kind.host and good.find_earlier([failing]) is not None:
        return Rule.DOWNGRADE, subject
    return None


def _name_kind(failing: FailingKind) -> str:
    kind = failing.kind
    return clean(" ".join(filter(None, (kind.type, kind.result_type, kind.host, kind.reason))))


def _judge(
    summary: Summary,
    rule: Rule,
    subject: str,
    kinds: Sequence[FailingKind],
    good: GoodDays,
    today: date,
) -> Found:
    """Say if failures that are one alert go on, or are mended; neither: nobody tells any more."""
    key = AlertKey(rule, summary.domain, subject)
    later = good.find_later(kinds)
    if later is not None:
        who, seen = later
        sessions = format_count(seen.sessions, "session")
        text = f"{who or 'somebody'} met the policy in {sessions} on {seen.last}"
        return Found(mended={key: clean(text)})
    last = max(each.last for each in kinds)
    if last <= today - timedelta(ACTIVE_DAYS):
        return Found()
    may_begin = rule is not Rule.FIRST_SEEN or all(each.is_new for each in kinds)
    condition = Condition(key, _word(summary, rule, kinds, good), may_begin=may_begin)
    return Found((condition,))


def _word(summary: Summary, rule: Rule, kinds: Sequence[FailingKind], good: GoodDays) -> AlertText:
    kind = kinds[0].kind
    meaning = find_meaning(kind.result_type) if kind.result_type else None
    what = f"{kind.result_type or 'failures of a kind not told'}"
    if kind.host:
        what += f" at {kind.host}"
    evidence = [_tell(each, len(summary.submitters)) for each in kinds]
    earlier = good.find_earlier(kinds) if rule is Rule.DOWNGRADE else None
    if earlier is not None:
        who, seen = earlier
        evidence.append(f"{who or 'somebody'} met the policy before, first on {seen.first}")
    look = f"letterlock tlsrpt summary {summary.domain} --probe"
    usual = meaning.remedy if meaning is not None else "ask the sender, at its contact"
    what += f": {meaning.what}" if meaning is not None else ""
    since = min(each.first for each in kinds)
    return make_text(what, start_of(since), evidence, f"{usual}; what is there now: {look}")


def _tell(failing: FailingKind, submitters: int) -> str:
    kind = failing.kind
    reason = f" ({kind.reason})" if kind.reason else ""
    least = "" if failing.is_count_known else "at least "
    who = f"{name_some(failing.submitters)} ({len(failing.submitters)} of {submitters} senders)"
    days = name_days(failing.first, failing.last)
    sessions = format_count(failing.count, "session")
    return f"{days}: {least}{sessions} under {name_type(kind.type)}{reason}, by {who}"
