"""Is it safe to go from testing to enforce? What kept reports say for it, and against it.

RFC 8461 §3.2, §5 (modes): under `testing` mail goes even where the policy is not met, and senders
report that; under `enforce` the same sessions are mail that waits. Pure. Silence is no success: it
takes days, senders and sessions.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from enum import StrEnum

from msgspec import Struct

from letterlock.base.counts import format_count
from letterlock.services.intake.summary import (
    FailingKind,
    SeenPolicy,
    Sessions,
    Summary,
    add_up,
    summarize,
)
from letterlock.storage.received_reports import POSTED, KeptResult

WINDOW_DAYS = 28
"""What is looked at: four weeks have every kind of day."""
MIN_DAYS = 14
MIN_SUBMITTERS = 2
MIN_SESSIONS = 100


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
    """The last one that was seen."""


def advise(domain: str, results: Sequence[KeptResult], until: date) -> Advice:
    """Judge by the results of WINDOW_DAYS before `until`, which is today or tomorrow."""
    since = until - timedelta(WINDOW_DAYS)
    of_policy = [each for each in results if each.type == "sts" and since <= each.day < until]
    summary = summarize(domain, of_policy, (), since, until)
    policy = summary.policies[0] if summary.policies else None
    days = len({each.day for each in of_policy})
    sessions = add_up(of_policy)
    reasons = tuple(_list_lacks(summary, sessions, _find_evidence(of_policy)))
    if sessions.failed or summary.failures:
        verdict = Verdict.MEND
    elif policy is not None and "mode: enforce" in policy.strings:
        verdict = Verdict.ENFORCED
    else:
        verdict = Verdict.WAIT if reasons else Verdict.ENFORCE
    return Advice(
        *(domain, verdict, reasons, since, until, days),
        tuple(sorted({each.submitter for each in of_policy})),
        *(sessions, summary.failures, policy),
    )


class _Evidence(Struct, frozen=True):
    """What speaks for it: of reports whose submitter is proved."""

    days: int
    submitters: int
    successful: int
    posted: int
    """Reports that only speak against it, where something failed: anybody could post them."""


def _find_evidence(results: Sequence[KeptResult]) -> _Evidence:
    proved = [each for each in results if not each.submitter.endswith(POSTED)]
    return _Evidence(
        len({each.day for each in proved}),
        len({each.submitter for each in proved}),
        add_up(proved).successful,
        len(results) - len(proved),
    )


def _list_lacking(evidence: _Evidence) -> Iterator[str]:
    if evidence.days < MIN_DAYS:
        yield f"reports on {format_count(evidence.days, 'day')}; {MIN_DAYS} are needed"
    if evidence.submitters < MIN_SUBMITTERS:
        senders = format_count(evidence.submitters, "sender")
        yield f"reports of {senders}; {MIN_SUBMITTERS} are needed"
    if evidence.successful < MIN_SESSIONS:
        sessions = format_count(evidence.successful, "session")
        yield f"{sessions} met the policy; {MIN_SESSIONS} are needed"


def _list_lacks(summary: Summary, sessions: Sessions, evidence: _Evidence) -> Iterator[str]:
    """Name what speaks against it, or what there is too little of."""
    if not summary.reports:
        yield f"no report on MTA-STS in {WINDOW_DAYS} days: is there a TLSRPT record, and a policy?"
        return
    if sessions.failed or summary.failures:
        yield f"{format_count(sessions.failed, 'session')} failed: that mail would wait"
    lacks = list(_list_lacking(evidence))
    yield from lacks
    if lacks and evidence.posted:
        yield f"{evidence.posted} results more were posted: anybody can, so they prove nothing"
    if sessions.unknown:
        yield f"{sessions.unknown} results do not tell how many sessions failed"
    if silent := [each.submitter for each in summary.submitters if each.silent_days is not None]:
        yield f"no report any more from {', '.join(silent)}"
