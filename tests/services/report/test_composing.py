"""A day's counts become reports: about domains, and about hosts with TLSA records."""

import json
from collections.abc import Sequence
from datetime import date

from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.reading import parse_report
from letterlock.protocols.tlsrpt.report import FailureDetails, PolicyResult
from letterlock.protocols.tlsrpt.sessions import AppliedPolicy, Outcome, Session
from letterlock.services.collect.aggregate import NOT_TOLD_APART, DayCounts
from letterlock.services.report.composing import (
    MAX_FAILURES,
    MAX_POLICIES,
    DayReports,
    Submitter,
    Topic,
    bound_policies,
)

DAY = date(2026, 3, 1)
SUBMITTER = Submitter("Example Org", "tls@out.example", "mx.out.example")
STS = AppliedPolicy(PolicyType.STS, "a.example", ("version: STSv1",), ("mx.a.example",))
HOSTED = AppliedPolicy(PolicyType.TLSA, "mx.host.example", ("3 1 1 00",))
EXPIRED = FailureDetails("certificate-expired", receiving_mx_hostname="mx.host.example")


def session(domain: str, *outcomes: Outcome, record: str = "") -> Session:
    return Session(domain, record, outcomes)


def good(policy: AppliedPolicy) -> Outcome:
    return Outcome(policy, is_failed=False)


def bad(policy: AppliedPolicy) -> Outcome:
    return Outcome(policy, is_failed=True, failures=(EXPIRED,))


def make_day(*sessions: tuple[Session, int]) -> DayReports:
    counts = DayCounts()
    for each, count in sessions:
        counts.add(each, count)
    return DayReports(DAY, counts)


def count(policies: Sequence[PolicyResult]) -> list[tuple[str | None, int | None, int | None]]:
    return [(each.domain, each.successful, each.failed) for each in policies]


def test_a_report_tells_all_policies_of_a_domain() -> None:
    """RFC 8460 §4.4: a day of UTC, from 00:00:00 to 23:59:59; rules 184, 200."""
    day = make_day((session("a.example", good(STS), bad(HOSTED)), 3))
    octets = day.compose(Topic("a.example"), SUBMITTER, "1@out.example")
    assert octets is not None
    read = parse_report(octets)
    assert read.repairs == ()
    document = json.loads(octets)
    assert document["date-range"] == {
        "start-datetime": "2026-03-01T00:00:00Z", "end-datetime": "2026-03-01T23:59:59Z"
    }  # fmt: skip
    assert document["organization-name"] == "Example Org"
    assert document["contact-info"] == "tls@out.example"
    assert document["report-id"] == "1@out.example"
    assert count(read.report.policies) == [("a.example", 3, 0), ("mx.host.example", 0, 3)]


def test_a_host_with_tlsa_records_hears_of_all_its_domains() -> None:
    """RFC 8460 §1.1: the policy domain of DANE is the TLSA base domain."""
    day = make_day(
        (session("a.example", good(STS), good(HOSTED)), 2),
        (session("b.example", bad(HOSTED)), 5),
    )
    host = Topic("mx.host.example")
    assert day.topics == [Topic("a.example"), Topic("b.example"), host]
    assert day.list_guests(host) == [Topic("a.example"), Topic("b.example")]
    (policy,) = day.find(host)
    assert (policy.successful, policy.failed, policy.failures[0].count) == (2, 5, 5)
    assert b"a.example" not in (day.compose(host, SUBMITTER, "1@out.example") or b"a.example")


def test_a_host_does_not_hear_twice_of_what_a_domain_tells_the_same_place() -> None:
    day = make_day((session("a.example", good(HOSTED)), 2), (session("b.example", good(HOSTED)), 5))
    host = Topic("mx.host.example")
    assert count(day.find(host, [Topic("a.example")])) == [("mx.host.example", 5, 0)]
    assert day.compose(host, SUBMITTER, "1@out.example", day.list_guests(host)) is None


def test_a_host_that_takes_mail_in_its_own_name_has_one_report() -> None:
    own = session("mx.host.example", good(HOSTED))
    day = make_day((own, 1), (session("a.example", good(HOSTED)), 2))
    assert count(day.find(Topic("mx.host.example"))) == [("mx.host.example", 3, 0)]


def test_two_records_of_a_day_make_two_reports() -> None:
    """What a Postfix saw then counts."""
    day = make_day((session("a.example", good(STS), record="1"), 1),
                   (session("a.example", good(STS), record="2"), 2))  # fmt: skip
    assert day.topics == [Topic("a.example", "1"), Topic("a.example", "2")]
    assert count(day.find(Topic("a.example", "2"))) == [("a.example", 2, 0)]


def test_nothing_counted_is_no_report() -> None:
    assert make_day().compose(Topic("a.example"), SUBMITTER, "1@out.example") is None


def test_an_identifier_is_the_same_each_time_and_nobody_elses() -> None:
    """RFC 8460 §4.4: unique; §5.3: a dot-atom, and the submitter's domain."""
    topic = Topic("a.example")
    report_id = SUBMITTER.make_report_id("queue", DAY, topic)
    assert report_id == SUBMITTER.make_report_id("queue", DAY, topic)
    assert report_id.startswith("2026-03-01.")
    assert report_id.endswith("@out.example")
    other = Submitter("Example Org", "tls@out.example", "mx2.out.example")
    others = {
        SUBMITTER.make_report_id("queue", date(2026, 3, 2), topic),
        SUBMITTER.make_report_id("collected@x", DAY, topic),
        SUBMITTER.make_report_id("queue", DAY, Topic("a.example", "v=TLSRPTv1")),
        other.make_report_id("queue", DAY, topic),
    }
    assert len(others | {report_id}) == 5


def test_policies_beyond_the_bound_are_added_up_and_no_session_is_lost() -> None:
    """RFC 8460 §7: who changes a policy with each session makes no report without end."""
    policies = [
        PolicyResult("sts", "a.example", (f"x: {number}",), ("mx.a.example",), number, 1)
        for number in range(MAX_POLICIES * 3)
    ]
    bounded = bound_policies(policies)
    assert len(bounded) <= MAX_POLICIES
    assert sum(each.successful or 0 for each in bounded) == sum(range(MAX_POLICIES * 3))
    assert sum(each.failed or 0 for each in bounded) == MAX_POLICIES * 3
    assert [each.strings for each in bounded if not each.strings] == [()]
    assert bounded[0].strings == (f"x: {MAX_POLICIES * 3 - 1}",)


def test_failures_beyond_the_bound_are_added_up_by_their_result() -> None:
    """RFC 8460 §7."""
    failures = tuple(
        FailureDetails(f"kind-{number % 2}", 2, receiving_ip=f"192.0.2.{number}")
        for number in range(MAX_FAILURES)
    )
    policies = [
        PolicyResult("sts", domain, (), (), 0, 2 * MAX_FAILURES, failures)
        for domain in ("a.example", "b.example")
    ]
    first, second = bound_policies(policies)
    assert first.failures == failures
    assert [(each.result_type, each.count, each.reason_code) for each in second.failures] == [
        ("kind-0", MAX_FAILURES, NOT_TOLD_APART), ("kind-1", MAX_FAILURES, NOT_TOLD_APART)
    ]  # fmt: skip
