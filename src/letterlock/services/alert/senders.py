"""Senders that stopped reporting, or see another policy than the published one, or none.

Rules A6 to A8. Pure. RFC 8461 §3.2: a policy that is held is good for its max_age, so an old one is
no fault until that is over; RFC 8460 §4.1: a report on a day comes on the next one.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from statistics import median_high

from msgspec import Struct

from letterlock.base.counts import format_count
from letterlock.services.alert.conditions import (
    ACTIVE_DAYS,
    Condition,
    Found,
    clean,
    join,
    make_text,
    name_days,
    name_some,
    start_of,
)
from letterlock.services.intake.summary import SeenPolicy, SubmitterDays, Summary
from letterlock.storage.alerts import AlertKey, AlertText, Rule
from letterlock.storage.received_reports import Arrival, KeptResult

_REPORT_DAYS = 2
"""The day itself, and the next one, on which its report comes."""
_LONGEST_DELAY = 14
"""What was imported long after its day says nothing of its sender."""
_MAX_AGE = timedelta(days=366)
"""RFC 8461 §3.2 allows no more."""


class PublishedPolicy(Struct, frozen=True):
    """The MTA-STS policy that this node publishes, as `normalize_policy` gives it; since when.

    `held` are those that it served before, and that somebody may hold still.
    """

    strings: tuple[str, ...]
    since: datetime
    held: tuple[tuple[str, ...], ...] = ()


def find_delays(arrivals: Iterable[Arrival]) -> dict[str, int]:
    """Say how many days, with the day itself, a report of each sender takes: the median."""
    days: dict[str, list[int]] = {}
    for each in arrivals:
        taken = (each.received.date() - each.day).days + 1
        days.setdefault(each.submitter, []).append(taken)
    return {
        who: max(_REPORT_DAYS, min(median_high(taken), _LONGEST_DELAY))
        for who, taken in days.items()
    }


def find_silent(
    summary: Summary, delays: Mapping[str, int], silent_days: int, today: date
) -> Found:
    """Find who reported each day and has stopped; where all have, that is one alert."""

    def is_late(submitter: SubmitterDays) -> bool:
        delay = delays.get(submitter.submitter, _REPORT_DAYS)
        return (today - submitter.last).days + 1 - delay > silent_days

    reporting = [each for each in summary.submitters if not is_late(each)]
    silent = [each for each in summary.submitters if each.silent_days is not None and is_late(each)]
    everybody = AlertKey(Rule.SILENCE, summary.domain)
    mended = {_silence_of(summary, each): f"it reported on {each.last}" for each in reporting}
    if reporting:
        last = max(reporting, key=lambda each: each.last)
        mended[everybody] = clean(f"{last.submitter or 'somebody'} reported on {last.last}")
        return Found(tuple(_word_silence(summary, each) for each in silent), mended)
    if not silent:
        return Found()
    each_one = tuple(_word_silence(summary, each, may_begin=False) for each in silent)
    return Found((_word_all_silent(everybody, silent), *each_one))


def _silence_of(summary: Summary, submitter: SubmitterDays) -> AlertKey:
    return AlertKey(Rule.SILENCE, summary.domain, clean(submitter.submitter))


def _word_silence(
    summary: Summary, submitter: SubmitterDays, *, may_begin: bool = True
) -> Condition:
    who = submitter.submitter or "somebody"
    what = f"{who} has stopped reporting"
    told = f"it reported on {format_count(submitter.days, 'day')}, the last {submitter.last}"
    others = len(summary.submitters) - 1
    remedy = (
        "silence is no success: see if its mail still comes, and if its reports are refused: "
        "letterlock tlsrpt list"
    )
    text = make_text(
        what,
        start_of(submitter.last + timedelta(days=1)),
        (told, f"others that reported in that time: {others}"),
        remedy,
    )
    return Condition(_silence_of(summary, submitter), text, may_begin=may_begin)


def _word_all_silent(key: AlertKey, silent: Sequence[SubmitterDays]) -> Condition:
    last = max(each.last for each in silent)
    names = name_some(each.submitter for each in silent)
    remedy = (
        f"look at the TLSRPT record of {key.domain} and at the mailbox or server that it names: "
        f"letterlock dns check {key.domain}"
    )
    evidence = (f"the last report is on {last}", f"who reported each day: {names}")
    text = make_text(
        "all who reported have stopped", start_of(last + timedelta(days=1)), evidence, remedy
    )
    return Condition(key, text)


def find_stale(summary: Summary, published: PublishedPolicy | None, today: date) -> Found:
    """Find policies that senders saw for longer than they may hold an old one."""
    if published is None:
        return Found()
    key = AlertKey(Rule.STALE_POLICY, summary.domain)
    seen = [each for each in summary.policies if each.type == "sts"]
    right = [each for each in seen if each.strings == published.strings]
    stale = [each for each in seen if _is_stale(each, published, right, today)]
    if stale:
        return Found((Condition(key, _word_stale(summary, stale, published)),))
    if right:
        last = max(right, key=lambda each: each.last)
        who = name_some(last.submitters)
        return Found(mended={key: clean(f"{who} saw the published policy on {last.last}")})
    return Found()


def _is_stale(
    seen: SeenPolicy, published: PublishedPolicy, right: Sequence[SeenPolicy], today: date
) -> bool:
    if seen.strings in (published.strings, *published.held):
        return False
    if seen.last <= today - timedelta(ACTIVE_DAYS):
        return False
    if seen.last <= (published.since + _find_max_age(seen)).date():
        return False
    return not any(
        each.last > seen.last and set(each.submitters) & set(seen.submitters) for each in right
    )


def _find_max_age(seen: SeenPolicy) -> timedelta:
    for line in seen.strings:
        name, _, value = line.partition(": ")
        if name.lower() == "max_age" and value.isascii() and value.isdigit():
            return min(timedelta(seconds=int(value[:9])), _MAX_AGE)
    return timedelta(0)


def _word_stale(
    summary: Summary, stale: Sequence[SeenPolicy], published: PublishedPolicy
) -> AlertText:
    first = min(each.first for each in stale)
    submitters = [who for each in stale for who in each.submitters]
    what = f"{name_some(submitters)} saw an MTA-STS policy that is not the published one"
    evidence = [f"{name_days(each.first, each.last)}: {'; '.join(each.strings)}" for each in stale]
    evidence.append(f"published since {published.since:%Y-%m-%d}: {'; '.join(published.strings)}")
    remedy = (
        f"find who serves it, by what the name mta-sts.{summary.domain} leads to: an old server, a "
        "cache, or somebody else"
    )
    return make_text(what, start_of(max(first, published.since.date())), evidence, remedy)


def find_policy_gone(summary: Summary, results: Sequence[KeptResult], today: date) -> Found:
    """Find who reported on the MTA-STS policy of a domain, and now finds no policy there."""
    days: dict[str, dict[str, list[date]]] = {}
    for each in results:
        if each.type in ("sts", "no-policy-found"):
            days.setdefault(each.submitter, {}).setdefault(each.type, []).append(each.day)
    found = []
    for who, of_type in days.items():
        key = AlertKey(Rule.NO_POLICY, summary.domain, clean(who))
        with_policy = max(of_type.get("sts", ()), default=None)
        without = [
            day
            for day in of_type.get("no-policy-found", ())
            if with_policy is not None and day > with_policy
        ]
        if with_policy is None:
            continue
        if not without:
            found.append(Found(mended={key: f"it saw the policy on {with_policy}"}))
        elif max(without) > today - timedelta(ACTIVE_DAYS):
            found.append(Found((_word_gone(key, with_policy, without),)))
    return join(found)


def _word_gone(key: AlertKey, with_policy: date, without: Sequence[date]) -> Condition:
    what = f"{key.subject or 'somebody'} finds no MTA-STS policy any more"
    evidence = (
        f"it saw one until {with_policy}",
        f"without one: {name_days(min(without), max(without))}",
    )
    remedy = (
        f"look at the record _mta-sts.{key.domain} and at https://mta-sts.{key.domain}/: "
        f"letterlock check {key.domain}"
    )
    return Condition(key, make_text(what, start_of(min(without)), evidence, remedy))
