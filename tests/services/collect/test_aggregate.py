"""Sessions are added up by all that a report tells apart, within bounds."""

from letterlock.protocols.tlsrpt.datagram import parse_datagram
from letterlock.protocols.tlsrpt.report import FailureDetails
from letterlock.services.collect import aggregate
from letterlock.services.collect.aggregate import NOT_TOLD_APART, DayCounts, DayLimits
from tests.protocols.tlsrpt.datagrams import FAILED_STS, make_datagram, make_policy


def count(counts: DayCounts, octets: bytes, times: int = 1) -> None:
    counts.add(parse_datagram(octets), times)


def test_sessions_are_told_apart_by_all_that_a_report_has() -> None:
    """RFC 8460 §4.2, §4.4; rule 240."""
    counts = DayCounts()
    count(counts, FAILED_STS.encode(), 3)
    count(counts, FAILED_STS.replace("198.51.100.7", "198.51.100.8").encode())
    count(counts, FAILED_STS.replace('"f":1}]}', '"f":0}]}').encode(), 2)
    count(counts, FAILED_STS.replace("86400", "86401").encode())
    count(counts, FAILED_STS.replace("a@example.net", "b@example.net").encode())
    assert counts.sessions == 8
    first, other_record = counts.list_results()
    assert (first.domain, other_record.domain) == ("example.net", "example.net")
    assert [(each.successful, each.failed) for each in first.policies] == [(2, 4), (0, 1)]
    # A session that was a success in the end may have had failures.
    told = [(each.receiving_ip, each.count) for each in first.policies[0].failures]
    assert told == [("198.51.100.7", 5), ("198.51.100.8", 1)]
    assert [each.failed for each in other_record.policies] == [1]


def test_sessions_of_several_policies_are_not_added_up() -> None:
    """RFC 8460 §4."""
    counts = DayCounts()
    count(counts, make_datagram("a.example", make_policy(1, {"c": 204}), make_policy(2)), 5)
    (results,) = counts.list_results()
    assert [(each.type, each.failed) for each in results.policies] == [("sts", 0), ("tlsa", 5)]
    assert counts.sessions == 5


def test_one_domains_results_alone() -> None:
    counts = DayCounts()
    for domain in ("b.example", "a.example"):
        count(counts, make_datagram(domain))
    assert counts.list_domains() == ["a.example", "b.example"]
    assert [each.domain for each in counts.list_results("b.example")] == ["b.example"]


def test_more_policies_than_there_may_be_are_not_counted_and_known() -> None:
    """Rule 241."""
    counts = DayCounts(DayLimits(policies=2))
    for name in ("a", "b", "c", "a"):
        count(counts, make_datagram(f"{name}.example"), 2)
    assert (counts.sessions, counts.beyond) == (6, 2)
    assert counts.list_domains() == ["a.example", "b.example"]


def test_more_text_than_there_may_be_is_not_kept() -> None:
    """Rule 241."""
    counts = DayCounts(DayLimits(octets=2000))
    for number in range(5):
        policy = make_policy(2, policy_string=["x" * 200, str(number)])
        count(counts, make_datagram("a.example", policy))
    assert (counts.sessions, counts.beyond) == (3, 2)


def test_more_failures_than_there_may_be_are_told_apart_no_further() -> None:
    """Rule 241: their number stays right."""
    counts = DayCounts()
    for number in range(aggregate.MAX_FAILURES_OF_POLICY + 5):
        failure = {"c": 204, "r": f"192.0.{number // 250}.{number % 250}"}
        count(counts, make_datagram("a.example", make_policy(2, failure)))
    (results,) = counts.list_results()
    (policy,) = results.policies
    assert policy.failed == aggregate.MAX_FAILURES_OF_POLICY + 5
    assert policy.failures[0] == FailureDetails(
        "certificate-expired", 5, reason_code=NOT_TOLD_APART
    )
    assert sum(each.count or 0 for each in policy.failures) == policy.failed


def test_what_is_stored_comes_back() -> None:
    counts, again = DayCounts(), DayCounts()
    count(counts, FAILED_STS.encode(), 3)
    count(counts, make_datagram("a.example"))
    for row in counts.list_rows():
        again.add_row(row)
    assert list(again.list_results()) == list(counts.list_results())
    small = DayCounts(DayLimits(policies=0))
    for row in counts.list_rows():
        small.add_row(row)
    assert small.list_domains() == []
