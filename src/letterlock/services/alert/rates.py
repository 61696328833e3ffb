"""Days on which too large a share of the sessions with a domain failed.

Rule A1. Pure. Policies of several types may count the same sessions (RFC 8460 §4.2), and are judged
apart; so are reports that were posted: anybody can, and nobody is to talk away what others tell.
Days with few sessions are not judged.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from math import sqrt
from statistics import median

from letterlock.base.config.alerting import AlertsSection
from letterlock.base.counts import format_count
from letterlock.services.alert.conditions import (
    ACTIVE_DAYS,
    BASE_DAYS,
    Condition,
    Found,
    join,
    make_text,
    name_type,
    start_of,
)
from letterlock.services.intake.summary import DayOfPolicy, list_days
from letterlock.storage.alerts import AlertKey, Rule
from letterlock.storage.received_reports import POSTED, KeptResult

MIN_DAYS = 7
"""Of those that a day is compared with, there must be so many."""
MIN_FAILED = 10
"""Fewer failed sessions are no deviation, however good the days before were."""


def find_rates(
    domain: str, results: Iterable[KeptResult], limits: AlertsSection, today: date
) -> Found:
    """Judge the last day of each type that has enough sessions."""
    proved: list[KeptResult] = []
    posted: list[KeptResult] = []
    for each in results:
        (posted if each.submitter.endswith(POSTED) else proved).append(each)
    return join(
        (
            _find_in(domain, list_days(proved), "", limits, today),
            _find_in(domain, list_days(posted), POSTED, limits, today),
        )
    )


def _find_in(
    domain: str, days: Iterable[DayOfPolicy], whose: str, limits: AlertsSection, today: date
) -> Found:
    """Judge the days of some reports; `whose` is what their alerts are told apart by."""
    by_type: dict[str, list[DayOfPolicy]] = {}
    for each in days:
        if each.sessions.total >= limits.min_sessions and each.day <= today:
            by_type.setdefault(each.type, []).append(each)
    return join(
        _judge(AlertKey(Rule.RATE, domain, f"{kind}{whose}"), whose, of_type, limits, today)
        for kind, of_type in by_type.items()
    )


def _judge(
    key: AlertKey, whose: str, days: Sequence[DayOfPolicy], limits: AlertsSection, today: date
) -> Found:
    *before, last = days
    if last.day <= today - timedelta(ACTIVE_DAYS):
        return Found()
    since, told = last.day, _describe(last)
    reason = _find_reason(last, before, limits)
    if reason is None:
        return Found(mended={key: told})
    for each in reversed(before):
        if not _is_high(each, limits):
            break
        since = each.day
    kind = f"{name_type(last.type)}{whose}"
    total = format_count(last.sessions.total, "session")
    what = f"{last.sessions.failed} of {total} under {kind} failed"
    remedy = f"letterlock tlsrpt summary {key.domain} --probe names hosts, senders and what helps"
    return Found((Condition(key, make_text(what, start_of(since), (told, reason), remedy)),))


def _find_reason(
    last: DayOfPolicy, before: Sequence[DayOfPolicy], limits: AlertsSection
) -> str | None:
    """Say why a day is told; None: it is as it should be."""
    if _is_high(last, limits):
        return f"that is more than {limits.failure_percent}%"
    first = last.day - timedelta(BASE_DAYS)
    shares = [_share(each) for each in before if each.day >= first]
    if not limits.sigma or len(shares) < MIN_DAYS or last.sessions.failed < MIN_FAILED:
        return None
    middle = median(shares)
    spread = sqrt(sum((each - middle) ** 2 for each in shares) / len(shares))
    # Where no session failed before, there is chance all the same: that of as many sessions.
    total = last.sessions.total
    spread = max(spread, sqrt(max(middle, 1 / total) / total))
    if _share(last) <= middle + limits.sigma * spread:
        return None
    days = f"the median of {len(shares)} days before is {middle:.2%}"
    return f"{days}, and this day is more than {limits.sigma} standard deviations above it"


def _is_high(each: DayOfPolicy, limits: AlertsSection) -> bool:
    return each.sessions.failed * 100 > limits.failure_percent * each.sessions.total


def _share(each: DayOfPolicy) -> float:
    return each.sessions.failed / each.sessions.total


def _describe(each: DayOfPolicy) -> str:
    sessions = each.sessions
    share = f"{sessions.failed / sessions.total:.2%}"
    total = format_count(sessions.total, "session")
    return f"{each.day}: {sessions.failed} of {total} failed, {share}"
