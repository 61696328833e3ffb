"""What kept reports say of one policy domain, added up: by day, by host, by sender, what is new.

RFC 8460 §4.2, §4.4. Pure: kept results and a day in, values out. Policies of several types may
count the same sessions, and are never added up; what a report does not tell is unknown, not zero.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby

from msgspec import Struct

from letterlock.protocols.tlsrpt.report import FailureDetails
from letterlock.storage.received_reports import KeptResult

NEW_DAYS = 7
"""A kind of failure is new for so long."""
REGULAR_DAYS = 10
REGULAR_OF = 14
"""Who reported on so many of so many days reports each day."""
LATE_DAYS = 3
"""After so many days without a report it has stopped: those on a day come on the next one, by RFC
8460 §4.1 at latest a day after that."""


class Sessions(Struct, frozen=True):
    """How sessions fared. `unknown`: how many results do not tell one of the counts."""

    successful: int = 0
    failed: int = 0
    unknown: int = 0

    @property
    def total(self) -> int:
        return self.successful + self.failed


class DayOfPolicy(Struct, frozen=True):
    """One day under policies of one type."""

    day: date
    type: str
    sessions: Sessions
    submitters: int


class FailureKind(Struct, frozen=True, order=True):
    """What failures are alike in. Texts are empty where it is not told."""

    type: str
    result_type: str
    host: str
    reason: str


class FailingKind(Struct, frozen=True):
    """Failures that are alike. `count` is at least so many; `senders` are addresses, some of them.

    `is_new`: not seen before the last NEW_DAYS days.
    """

    kind: FailureKind
    count: int
    is_count_known: bool
    first: date
    last: date
    submitters: tuple[str, ...]
    senders: tuple[str, ...]
    is_new: bool


class SubmitterDays(Struct, frozen=True):
    """Who reports. `silent_days`: since when nothing comes, of one that reported each day."""

    submitter: str
    days: int
    first: date
    last: date
    by_type: Mapping[str, Sessions]
    silent_days: int | None = None


class SeenPolicy(Struct, frozen=True):
    """A policy as senders saw it."""

    type: str
    strings: tuple[str, ...]
    first: date
    last: date
    submitters: tuple[str, ...]


class Summary(Struct, frozen=True):
    """All that is told of a policy domain. The most failures are first, the newest policy too."""

    domain: str
    since: date
    until: date
    reports: int
    totals: Mapping[str, Sessions]
    days: tuple[DayOfPolicy, ...]
    failures: tuple[FailingKind, ...]
    submitters: tuple[SubmitterDays, ...]
    policies: tuple[SeenPolicy, ...]


MAX_SENDERS = 20


def summarize(
    domain: str,
    results: Sequence[KeptResult],
    before: Iterable[KeptResult],
    since: date,
    until: date,
) -> Summary:
    """Add up results on days from `since` to before `until`, which is today or tomorrow.

    `before` are older ones with failures: a failure that they have is not new.
    """
    known = {kind for each in before for kind, _ in _list_failures(each)}
    return Summary(
        *(domain, since, until, len(results)),
        _add_by_type(results),
        tuple(list_days(results)),
        tuple(_list_failing(results, known, until)),
        tuple(_list_submitters(results, until)),
        tuple(_list_policies(results)),
    )


def add_up(results: Iterable[KeptResult]) -> Sessions:
    """Add up sessions of results; the caller sees to it that they are not the same ones."""
    successful = failed = unknown = 0
    for each in results:
        successful += each.successful or 0
        failed += each.failed or 0
        unknown += each.successful is None or each.failed is None
    return Sessions(successful, failed, unknown)


def _type(result: KeptResult) -> str:
    return result.type or ""


def _add_by_type(results: Iterable[KeptResult]) -> dict[str, Sessions]:
    ordered = sorted(results, key=_type)
    return {kind: add_up(group) for kind, group in groupby(ordered, _type)}


def list_days(results: Iterable[KeptResult]) -> Iterator[DayOfPolicy]:
    """Add up each day under policies of each type, in their order."""

    def key(result: KeptResult) -> tuple[date, str]:
        return result.day, _type(result)

    for (day, kind), group in groupby(sorted(results, key=key), key):
        found = list(group)
        yield DayOfPolicy(day, kind, add_up(found), len({each.submitter for each in found}))


def _list_failures(result: KeptResult) -> Iterator[tuple[FailureKind, FailureDetails | None]]:
    """Give what failed; where no detail tells, one kind without any."""
    # A count of zero says that nothing failed so.
    failures = [each for each in result.failures if each.count != 0]
    for each in failures:
        host, reason = each.receiving_mx_hostname or "", each.reason_code or ""
        yield FailureKind(_type(result), each.result_type or "", host, reason), each
    if result.failed and not failures:
        yield FailureKind(_type(result), "", "", ""), None


def _list_failing(
    results: Iterable[KeptResult], known: set[FailureKind], until: date
) -> list[FailingKind]:
    found: dict[FailureKind, list[tuple[KeptResult, FailureDetails | None]]] = {}
    for result in results:
        for kind, details in _list_failures(result):
            found.setdefault(kind, []).append((result, details))
    fresh = until - timedelta(NEW_DAYS)
    kinds = [_make_failing(kind, each, known, fresh) for kind, each in found.items()]
    return sorted(kinds, key=lambda each: (-each.count, each.kind))


def _make_failing(
    kind: FailureKind,
    found: Sequence[tuple[KeptResult, FailureDetails | None]],
    known: set[FailureKind],
    fresh: date,
) -> FailingKind:
    counts = [result.failed if each is None else each.count for result, each in found]
    days = [result.day for result, _ in found]
    senders = {each.sending_mta_ip for _, each in found if each and each.sending_mta_ip}
    return FailingKind(
        *(kind, sum(count or 0 for count in counts), None not in counts, min(days), max(days)),
        tuple(sorted({result.submitter for result, _ in found})),
        tuple(sorted(senders)[:MAX_SENDERS]),
        min(days) >= fresh and kind not in known,
    )


def _list_submitters(results: Iterable[KeptResult], until: date) -> list[SubmitterDays]:
    def key(result: KeptResult) -> str:
        return result.submitter

    found = []
    for submitter, group in groupby(sorted(results, key=key), key):
        of_one = list(group)
        days = sorted({each.day for each in of_one})
        silent = _find_silence(days, until)
        by_type = _add_by_type(of_one)
        found.append(SubmitterDays(submitter, len(days), days[0], days[-1], by_type, silent))
    return sorted(found, key=lambda each: (-each.days, each.submitter))


def _find_silence(days: Sequence[date], until: date) -> int | None:
    last = days[-1]
    regular = sum(last - timedelta(REGULAR_OF) < day for day in days) >= REGULAR_DAYS
    return find_silent_days(last, until) if regular else None


def find_silent_days(last: date, until: date) -> int | None:
    """Say for how many days nothing came since reports on a day; None: it may be on its way."""
    # The day itself, and the next one, on which its report comes.
    silent = (until - last).days - 2
    return silent if silent > LATE_DAYS else None


def _list_policies(results: Iterable[KeptResult]) -> list[SeenPolicy]:
    found: dict[tuple[str, tuple[str, ...]], list[KeptResult]] = {}
    for each in results:
        if each.strings:
            strings = normalize_policy(_type(each), each.strings)
            found.setdefault((_type(each), strings), []).append(each)
    seen = [
        SeenPolicy(
            *(kind, strings, min(each.day for each in group), max(each.day for each in group)),
            tuple(sorted({each.submitter for each in group})),
        )
        for (kind, strings), group in found.items()
    ]
    return sorted(seen, key=lambda each: (each.last, each.first, each.strings), reverse=True)


def normalize_policy(kind: str, strings: Iterable[str]) -> tuple[str, ...]:
    """Leave out what reporters write differently: blanks, the order of lines, hex digits' case."""
    lines = (" ".join(line.replace(":", ": ", 1).split()) for line in strings)
    if kind == "tlsa":
        return tuple(sorted(line.lower() for line in lines))
    return tuple(sorted(line for line in lines if line))
