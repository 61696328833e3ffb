"""A day's sessions, added up: by domain and record, policy, MX host, address and result.

RFC 8460 §4.2-4.4. In memory, and bounded: what would be too much for it is told apart no further,
or not counted, and how much that is is known. What is counted is the journal's business.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

import msgspec
from msgspec import Struct

from letterlock.protocols.tlsrpt.report import FailureDetails, PolicyResult
from letterlock.protocols.tlsrpt.results import DomainResults
from letterlock.protocols.tlsrpt.sessions import AppliedPolicy, Session

MAX_FAILURES_OF_POLICY = 1000
"""Different ones; what is more is counted by its result type alone."""
NOT_TOLD_APART = "more-than-1000-different-failures"
"""The reason code of what is counted by its result type alone."""
_USUAL_COST = 400
"""Octets of memory for an entry without its texts."""


class DayLimits(Struct, frozen=True):
    """What one day may take: entries of domain, record and policy; octets of all texts."""

    policies: int = 200_000
    octets: int = 256 * 1024 * 1024


USUAL_LIMITS = DayLimits()

Key = tuple[str, str, AppliedPolicy]
"""Domain, record, policy."""


class PolicyRow(Struct, array_like=True):
    """What is kept of one policy of a domain; the form in which it is stored, too."""

    domain: str
    record: str
    policy: AppliedPolicy
    total: int
    failed: int
    failures: list[tuple[FailureDetails, int]]


class _Counts:
    """Sessions of one policy. `failures` are without their counts, and have them as values."""

    __slots__ = ("failed", "failures", "total")

    def __init__(self) -> None:
        self.total = 0
        self.failed = 0
        self.failures: dict[FailureDetails, int] = {}


class DayCounts:
    """The counts of one day.

    `sessions` are those in them. Not in them: `refused` (what came was no result),
    `dropped` (they came faster than they could be taken), `beyond` (more than the limits allow).
    """

    def __init__(self, limits: DayLimits = USUAL_LIMITS) -> None:
        self._limits = limits
        self._policies: dict[Key, _Counts] = {}
        self._octets = 0
        self.sessions = 0
        self.refused = 0
        self.dropped = 0
        self.beyond = 0

    def add(self, session: Session, count: int = 1) -> None:
        """Count a session, or several that came to the same."""
        is_counted = False
        for outcome in session.outcomes:
            counts = self._find((session.domain, session.record, outcome.policy))
            if counts is None:
                continue
            is_counted = True
            counts.total += count
            if outcome.is_failed:
                counts.failed += count
            for failure in outcome.failures:
                self._add_failure(counts, failure, count)
        if is_counted:
            self.sessions += count
        else:
            self.beyond += count

    def add_row(self, row: PolicyRow) -> None:
        """Add what was stored; the sessions in it are not added to `sessions`."""
        counts = self._find((row.domain, row.record, row.policy))
        if counts is None:
            return
        counts.total += row.total
        counts.failed += row.failed
        for failure, count in row.failures:
            self._add_failure(counts, failure, count)

    def list_rows(self) -> Iterator[PolicyRow]:
        """Give all that is to be stored."""
        for (domain, record, policy), counts in self._policies.items():
            failures = list(counts.failures.items())
            yield PolicyRow(domain, record, policy, counts.total, counts.failed, failures)

    def list_domains(self) -> list[str]:
        """Give the domains, sorted."""
        return sorted({domain for domain, _, _ in self._policies})

    def list_results(self, domain: str | None = None) -> Iterator[DomainResults]:
        """Give what the day came to, sorted: one value for each domain and record of it."""
        keys = sorted(
            (key for key in self._policies if domain is None or key[0] == domain), key=_order
        )
        for (name, record), group in groupby(keys, lambda key: key[:2]):
            policies = tuple(_make_result(key[2], self._policies[key]) for key in group)
            yield DomainResults(name, record, policies)

    def _find(self, key: Key) -> _Counts | None:
        counts = self._policies.get(key)
        if counts is None:
            size = _USUAL_COST + sum(map(len, _list_texts(key)))
            is_full = len(self._policies) >= self._limits.policies
            if is_full or self._octets + size > self._limits.octets:
                return None
            self._octets += size
            counts = self._policies[key] = _Counts()
        return counts

    def _add_failure(self, counts: _Counts, failure: FailureDetails, count: int) -> None:
        known = counts.failures.get(failure)
        if known is None:
            size = _USUAL_COST + sum(map(len, _list_failure_texts(failure)))
            is_full = len(counts.failures) >= MAX_FAILURES_OF_POLICY
            if is_full or self._octets + size > self._limits.octets:
                # As many of these as there are result types.
                failure = FailureDetails(failure.result_type, reason_code=NOT_TOLD_APART)
                known = counts.failures.get(failure)
            else:
                self._octets += size
        counts.failures[failure] = (known or 0) + count


def _list_texts(key: Key) -> Iterable[str]:
    domain, record, policy = key
    return domain, record, policy.domain, *policy.strings, *policy.mx_hosts


def _order(key: Key) -> tuple[object, ...]:
    domain, record, policy = key
    return domain, record, policy.type, policy.domain, policy.strings, policy.mx_hosts


def _make_result(policy: AppliedPolicy, counts: _Counts) -> PolicyResult:
    failures = (
        msgspec.structs.replace(failure, count=count) for failure, count in counts.failures.items()
    )
    return PolicyResult(
        policy.type,
        policy.domain,
        policy.strings,
        policy.mx_hosts,
        counts.total - counts.failed,
        counts.failed,
        tuple(sorted(failures, key=_order_failure)),
    )


def _order_failure(failure: FailureDetails) -> tuple[object, ...]:
    return (-(failure.count or 0), *_list_failure_texts(failure))


def _list_failure_texts(failure: FailureDetails) -> Iterator[str]:
    for name in failure.__struct_fields__:
        if name != "count":
            yield getattr(failure, name) or ""
