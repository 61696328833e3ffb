"""A day's counts become reports: one about each domain, and about each host with TLSA records.

RFC 8460 §4.1 (a day of UTC), §4.4; §1.1: the policy domain of DANE is the TLSA base domain, whose
owner may ask for reports too, and hears of all domains whose mail went there. A report is bounded:
what is beyond is added up in a policy without its text, or in a failure without its host.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.report import FailureDetails, PolicyResult
from letterlock.protocols.tlsrpt.results import DomainResults, make_report
from letterlock.protocols.tlsrpt.sessions import AppliedPolicy
from letterlock.protocols.tlsrpt.writing import format_report
from letterlock.services.collect.aggregate import NOT_TOLD_APART, DayCounts, PolicyRow

MAX_POLICIES = 100
"""In one report; the rest is added up, by its type and domain."""
MAX_FAILURES = 5000
"""In one report, so that none has more than some 2 MB; the rest is added up by result type."""
_DIGEST_OCTETS = 12


class Topic(NamedTuple):
    """Whom a report is about. `record` is their TLSRPT record, "" where it is looked up later."""

    domain: str
    record: str = ""


@dataclass(frozen=True, slots=True)
class Submitter:
    """Who reports. `installation` tells those apart who report under one domain."""

    organization: str
    contact: str
    installation: str

    @property
    def domain(self) -> str:
        """RFC 8460 §5.1, §5.3: that of `contact`, in file name and header fields."""
        return self.contact.rpartition("@")[2]

    def make_report_id(self, source: str, day: date, topic: Topic) -> str:
        """Make an identifier: the same each time for the same report, and no other's."""
        what = "\0".join((self.installation, source, *topic)).encode()
        digest = blake2b(what, digest_size=_DIGEST_OCTETS).hexdigest()
        return f"{day.isoformat()}.{digest}@{self.domain}"


class DayReports:
    """What one day's counts come to, by whom the reports are about."""

    def __init__(self, day: date, counts: DayCounts) -> None:
        self.day = day
        self.beyond = counts.beyond
        """Sessions that are in no report: they were more than is kept of a day."""
        self._results: dict[Topic, DomainResults] = {}
        self._at_hosts: dict[Topic, list[tuple[Topic, PolicyResult]]] = defaultdict(list)
        for results in counts.list_results():
            topic = Topic(results.domain, results.record)
            self._results[topic] = results
            for policy in results.policies:
                if policy.type == PolicyType.TLSA and policy.domain not in (None, topic.domain):
                    self._at_hosts[Topic(policy.domain or "")].append((topic, policy))

    @property
    def topics(self) -> list[Topic]:
        """All that a report can be about, sorted."""
        return sorted({*self._results, *self._at_hosts})

    def list_guests(self, topic: Topic) -> list[Topic]:
        """Give those whose sessions a report tells because `topic` is their host."""
        return list(dict.fromkeys(guest for guest, _ in self._at_hosts.get(topic, ())))

    def find(self, topic: Topic, left_out: Collection[Topic] = ()) -> tuple[PolicyResult, ...]:
        """Give what a report about somebody tells; of its guests, those in `left_out` not."""
        own = self._results.get(topic)
        policies = own.policies if own is not None else ()
        guests = [
            policy for guest, policy in self._at_hosts.get(topic, ()) if guest not in left_out
        ]
        if guests:
            policies = _add_up(topic, (*policies, *guests))
        return bound_policies(policies)

    def compose(
        self, topic: Topic, submitter: Submitter, report_id: str, left_out: Collection[Topic] = ()
    ) -> bytes | None:
        """Give a report as JSON; None: there is nothing to tell."""
        policies = self.find(topic, left_out)
        if not policies:
            return None
        results = DomainResults(*topic, policies)
        report = make_report(
            results, self.day, submitter.organization, submitter.contact, report_id
        )
        return format_report(report)


def bound_policies(policies: Sequence[PolicyResult]) -> tuple[PolicyResult, ...]:
    """Keep what had most sessions and most failures, and add up the rest."""
    if len(policies) > MAX_POLICIES:
        ranked = sorted(policies, key=lambda each: -_count(each))
        kept, rest = ranked[: MAX_POLICIES // 2], ranked[MAX_POLICIES // 2 :]
        bare = [msgspec.structs.replace(each, strings=(), mx_hosts=()) for each in rest]
        policies = (*kept, *_add_up(Topic(""), bare)[: MAX_POLICIES // 2])
    left = MAX_FAILURES
    bounded = []
    for policy in policies:
        each = _bound_failures(policy, left)
        left -= len(each.failures)
        bounded.append(each)
    return tuple(bounded)


def _bound_failures(policy: PolicyResult, left: int) -> PolicyResult:
    """Keep the first ones, which are the most frequent."""
    if len(policy.failures) <= left:
        return policy
    rest: dict[str | None, int] = defaultdict(int)
    for failure in policy.failures[left:]:
        rest[failure.result_type] += failure.count or 0
    added = tuple(
        FailureDetails(kind, count, reason_code=NOT_TOLD_APART) for kind, count in rest.items()
    )
    return msgspec.structs.replace(policy, failures=(*policy.failures[: max(0, left)], *added))


def _add_up(topic: Topic, policies: Iterable[PolicyResult]) -> tuple[PolicyResult, ...]:
    """Make one of those that are the same policy."""
    counts = DayCounts()
    for each in policies:
        kind = PolicyType(each.type or "")
        policy = AppliedPolicy(kind, each.domain or "", each.strings, each.mx_hosts)
        failures = [
            (msgspec.structs.replace(failure, count=None), failure.count or 0)
            for failure in each.failures
        ]
        row = PolicyRow(*topic, policy, _count(each), each.failed or 0, failures)
        counts.add_row(row)
    return tuple(policy for results in counts.list_results() for policy in results.policies)


def _count(policy: PolicyResult) -> int:
    return (policy.successful or 0) + (policy.failed or 0)
