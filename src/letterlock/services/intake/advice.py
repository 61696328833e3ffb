"""Is it safe to go from testing to enforce? What kept reports say for it, and against it.

RFC 8461 §3.2, §5 (modes): under `testing` mail goes even where the policy is not met, and senders
report that; under `enforce` the same sessions are mail that waits. Pure. Silence is no success: it
takes days, senders and sessions; and what met a policy with other MX hosts, or one of mode `none`,
says nothing of the policy that is to be enforced.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from letterlock.base.counts import format_count
from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.services.intake.summary import (
    FailingKind,
    SeenPolicy,
    Sessions,
    Summary,
    add_up,
    find_silent_days,
    normalize_policy,
    summarize,
)
from letterlock.storage.received_reports import POSTED, KeptResult

WINDOW_DAYS = 28
"""What is looked at: four weeks have every kind of day."""
MIN_DAYS = 14
MIN_SUBMITTERS = 2
MIN_SESSIONS = 100
_ENFORCE = "mode: enforce"
_NONE = "mode: none"
_OTHER_TYPES = frozenset((PolicyType.TLSA, PolicyType.NO_POLICY_FOUND))


class Verdict(StrEnum):
    """What to do."""

    ENFORCE = "enforce"
    """Reports speak for it, and none against it."""
    WAIT = "wait"
    MEND = "mend"
    """Sessions failed that would be mail that waits."""
    ENFORCED = "enforced"
    """Senders see an enforced policy already."""


class Advice(Struct, frozen=True):
    """A verdict with its evidence, all of sessions under MTA-STS from `since` to before `until`."""

    domain: str
    verdict: Verdict
    reasons: tuple[str, ...]
    since: date
    until: date
    days: int
    submitters: tuple[str, ...]
    sessions: Sessions
    failures: tuple[FailingKind, ...]
    policy: SeenPolicy | None
    """The last one that was seen, by who is proved if there is any."""


def advise(
    domain: str,
    results: Sequence[KeptResult],
    until: date,
    published: Sequence[str] | None = None,
) -> Advice:
    """Judge by the results of WINDOW_DAYS before `until`, which is today or tomorrow.

    `published` are the lines of the policy that this node publishes, if it does.
    """
    since = until - timedelta(WINDOW_DAYS)
    recent = [each for each in results if since <= each.day < until]
    of_policy = [each for each in recent if each.type == PolicyType.STS]
    summary = summarize(domain, of_policy, (), since, until)
    besides = summarize(domain, list(_list_besides(recent)), (), since, until).failures
    proved = [each for each in of_policy if not each.submitter.endswith(POSTED)]
    seen = summarize(domain, proved, (), since, until).policies
    # One that is told without its hosts is not all of it.
    whole = [each for each in seen if _NONE in each.strings or _find_hosts(each.strings)]
    policy = whole[0] if whole else None
    sessions, failures = add_up(of_policy), summary.failures + besides
    evidence = _find_evidence(proved, policy, len(of_policy) - len(proved))
    reasons = (
        *_list_lacks(summary, sessions, evidence, besides),
        *_judge_policy(policy, published),
    )
    if sessions.failed or failures:
        verdict = Verdict.MEND
    elif seen and _ENFORCE in seen[0].strings:
        verdict = Verdict.ENFORCED
    else:
        verdict = Verdict.WAIT if reasons else Verdict.ENFORCE
    return Advice(
        *(domain, verdict, reasons, since, until, len({each.day for each in of_policy})),
        tuple(sorted({each.submitter for each in of_policy})),
        *(sessions, failures, next(iter(seen or summary.policies), None)),
    )


def _list_besides(results: Iterable[KeptResult]) -> Iterator[KeptResult]:
    """Give what failed of MTA-STS and is told under another type of policy, or none.

    RFC 8460 §4.3.2.2: who cannot get a policy, or use it, may say that he found none.
    """
    for each in results:
        if each.type == PolicyType.STS:
            continue
        if each.type in _OTHER_TYPES:
            failures = [one for one in each.failures if (one.result_type or "").startswith("sts-")]
            if failures:
                yield replace(each, failed=None, failures=tuple(failures))
        elif each.failed or each.failures:
            # Nobody knows of what type it is.
            yield each


class _Evidence(Struct, frozen=True):
    """What speaks for it: of proved submitters, on the policy that was seen last."""

    days: int
    submitters: int
    successful: int
    posted: int
    """Reports that only speak against it, where something failed: anybody could post them."""
    others: int
    """Results that are of another policy than the one that was seen last."""
    last: date | None
    """The last day with a report."""


def _find_evidence(
    proved: Sequence[KeptResult], policy: SeenPolicy | None, posted: int
) -> _Evidence:
    of_last = list(_list_of_last(proved, policy))
    return _Evidence(
        len({each.day for each in of_last}),
        # One that nobody knows may be any of the others.
        len({each.submitter for each in of_last} - {""}),
        add_up(of_last).successful,
        posted,
        len(proved) - len(of_last),
        max((each.day for each in of_last), default=None),
    )


def _list_of_last(results: Sequence[KeptResult], policy: SeenPolicy | None) -> Iterator[KeptResult]:
    """Give the results under a policy that asks for the same MX hosts as this one.

    One that does not tell the hosts counts from the day on which that was seen first.
    """
    if policy is None:
        yield from results
        return
    hosts = _find_hosts(policy.strings)
    same, untold = [], []
    for each in results:
        lines = normalize_policy(PolicyType.STS, each.strings)
        told = _find_hosts(lines) or frozenset(map(str.lower, each.mx_hosts))
        if _NONE in lines:
            continue
        if not told:
            untold.append(each)
        elif told == hosts:
            same.append(each)
    first = min((each.day for each in same), default=date.max)
    yield from same
    yield from (each for each in untold if each.day >= first)


def _find_hosts(lines: Iterable[str]) -> frozenset[str]:
    """Give the patterns of a policy's lines, which are normalized."""
    return frozenset(line[4:].lower() for line in lines if line.startswith("mx: "))


def _judge_policy(policy: SeenPolicy | None, published: Sequence[str] | None) -> Iterator[str]:
    """Name what is wrong with the policy that reports are about."""
    if policy is None:
        return
    if _NONE in policy.strings:
        yield "the policy that senders saw last has mode: none"
    elif published is not None and _find_hosts(published) != _find_hosts(policy.strings):
        yield "the policy that is published now has other MX hosts than the last one that was seen"


def _list_lacking(evidence: _Evidence) -> Iterator[str]:
    if evidence.days < MIN_DAYS:
        yield f"reports on {format_count(evidence.days, 'day')}; {MIN_DAYS} are needed"
    if evidence.submitters < MIN_SUBMITTERS:
        senders = format_count(evidence.submitters, "sender")
        yield f"reports of {senders}; {MIN_SUBMITTERS} are needed"
    if evidence.successful < MIN_SESSIONS:
        sessions = format_count(evidence.successful, "session")
        yield f"{sessions} met the policy; {MIN_SESSIONS} are needed"


def _list_lacks(
    summary: Summary, sessions: Sessions, evidence: _Evidence, besides: Sequence[FailingKind]
) -> Iterator[str]:
    """Name what speaks against it, or what there is too little of."""
    if sessions.failed:
        yield f"{format_count(sessions.failed, 'session')} failed: that mail would wait"
    elif summary.failures:
        yield "failures are told, and not in how many sessions: that mail may wait"
    if besides:
        types = sorted({each.kind.type or "a type that is not told" for each in besides})
        yield f"failures that may be of MTA-STS are told under {', '.join(types)}"
    if not summary.reports:
        yield f"no report on MTA-STS in {WINDOW_DAYS} days: is there a TLSRPT record, and a policy?"
        return
    lacks = list(_list_lacking(evidence))
    yield from lacks
    if lacks and evidence.others:
        others = format_count(evidence.others, "result")
        yield f"{others} more of a policy with other MX hosts, or of mode: none, than the last one"
    if lacks and evidence.posted:
        yield f"{evidence.posted} results more were posted: anybody can, so they prove nothing"
    if sessions.unknown:
        untold = format_count(sessions.unknown, "result does", "results do")
        yield f"{untold} not tell how many sessions failed, or how many were fine"
    if silent := [each.submitter for each in summary.submitters if each.silent_days is not None]:
        yield f"no report any more from {', '.join(silent)}"
    last = evidence.last
    if last is not None and find_silent_days(last, summary.until) is not None:
        yield f"no report on a day after {last.isoformat()}: what came since is not known"
