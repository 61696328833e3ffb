"""What kept reports say, added up: honest about what is not told, and about the same sessions."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from letterlock.protocols.tlsrpt.report import MAX_COUNT
from letterlock.services.intake.summary import Sessions, Summary, summarize
from letterlock.storage.received_reports import KeptResult
from tests.services.intake.results import ENFORCED, EXPIRED, TESTING, TODAY, UNTIL, kept

SINCE = TODAY - timedelta(30)


def add_up(*results: KeptResult, before: tuple[KeptResult, ...] = ()) -> Summary:
    return summarize("example.org", results, before, SINCE, UNTIL)


def test_types_of_policies_are_not_added_up() -> None:
    """RFC 8460 §4: the same sessions may be counted under each."""
    found = add_up(kept(failed=2), kept(type="tlsa", strings=()), kept(submitter="ms.example"))
    assert found.totals == {"sts": Sessions(20, 2), "tlsa": Sessions(10, 0)}
    assert [(each.type, each.submitters) for each in found.days] == [("sts", 2), ("tlsa", 1)]


def test_what_is_not_told_is_unknown_and_not_zero() -> None:
    found = add_up(kept(successful=None), kept(failed=None), kept(type=None))
    assert found.totals == {"sts": Sessions(10, 0, 2), "": Sessions(10)}


def test_failures_that_are_alike_are_one_kind() -> None:
    other = replace(EXPIRED, sending_mta_ip="192.0.2.2", count=None)
    found = add_up(
        kept(9, failed=3, failures=(EXPIRED,)),
        kept(2, "ms.example", failed=1, failures=(other,)),
        kept(1, failed=2),
    )
    first, untold = found.failures
    assert (first.count, first.is_count_known) == (3, False)
    assert first.last - first.first == timedelta(7)
    assert first.submitters == ("google.example", "ms.example")
    assert first.senders == ("192.0.2.1", "192.0.2.2")
    assert (untold.kind.result_type, untold.count, untold.is_count_known) == ("", 2, True)


def test_a_failure_is_new_when_only_the_last_week_has_it() -> None:
    failing = kept(2, failed=3, failures=(EXPIRED,))
    assert add_up(failing).failures[0].is_new
    assert not add_up(failing, before=(kept(99, failed=1, failures=(EXPIRED,)),)).failures[0].is_new
    old = kept(7, failed=3, failures=(EXPIRED,))
    assert not add_up(failing, old).failures[0].is_new
    elsewhere = replace(EXPIRED, receiving_mx_hostname="mx2.example.org")
    assert add_up(failing, before=(kept(99, failed=1, failures=(elsewhere,)),)).failures[0].is_new


def test_who_reported_each_day_and_ceased_is_told() -> None:
    stopped = [kept(days) for days in range(6, 20)]
    found = add_up(*stopped, *(kept(days, "ms.example") for days in range(1, 15)))
    assert [(each.submitter, each.silent_days) for each in found.submitters] == [
        ("google.example", 5), ("ms.example", None)
    ]  # fmt: skip


def test_who_reports_now_and_then_has_not_stopped() -> None:
    """Ten of fourteen days are the least."""
    assert add_up(*(kept(days) for days in range(6, 15))).submitters[0].silent_days is None
    assert add_up(*(kept(days) for days in range(6, 16))).submitters[0].silent_days == 5


def test_a_report_of_yesterday_may_still_come() -> None:
    regular = [kept(days) for days in range(4, 24)]
    assert add_up(*regular).submitters[0].silent_days is None


def test_policies_are_the_same_however_they_are_written() -> None:
    other = tuple(reversed([line.replace(": ", ":  ") for line in TESTING]))
    found = add_up(
        kept(9), kept(8, "ms.example", strings=other), kept(1, strings=ENFORCED), kept(strings=())
    )
    newest, oldest = found.policies
    assert "mode: enforce" in newest.strings
    assert oldest.submitters == ("google.example", "ms.example")
    assert (TODAY - oldest.first, TODAY - oldest.last) == (timedelta(9), timedelta(8))


def test_tlsa_records_are_the_same_in_either_case_of_their_digits() -> None:
    strings = ("3 1 1 AB", "2 0 1 cd")
    found = add_up(
        kept(type="tlsa", strings=strings),
        kept(type="tlsa", strings=tuple(each.swapcase() for each in reversed(strings))),
    )
    assert [each.strings for each in found.policies] == [("2 0 1 cd", "3 1 1 ab")]


_COUNTS = st.none() | st.integers(0, MAX_COUNT)


@given(
    st.lists(
        st.builds(
            kept,
            st.integers(0, 29),
            st.sampled_from(["a.example", "b.example"]),
            successful=_COUNTS,
            failed=_COUNTS,
            failures=st.sampled_from([(), (EXPIRED,), (EXPIRED, replace(EXPIRED, count=None))]),
            type=st.sampled_from(["sts", "tlsa", None]),
        )
    )
)
def test_days_and_senders_come_to_the_totals(results: list[KeptResult]) -> None:
    found = add_up(*results)
    for kind, total in found.totals.items():
        of_kind = [each.sessions for each in found.days if each.type == kind]
        of_senders = [each.by_type[kind] for each in found.submitters if kind in each.by_type]
        for parts in (of_kind, of_senders):
            assert sum(each.successful for each in parts) == total.successful
            assert sum(each.failed for each in parts) == total.failed
            assert sum(each.unknown for each in parts) == total.unknown
    assert found.reports == len(results)
