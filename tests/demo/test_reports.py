"""What the demo holds for a report that arrived: its claims are no better than this."""

from dataclasses import dataclass
from datetime import timedelta

import msgspec
import pytest

from letterlock.demo.reports import are_proved, compare_by
from letterlock.protocols.tlsrpt.report import FailureDetails, PolicyResult
from letterlock.storage.received_reports import (
    KeptResult,
    ListedReport,
    ReportFacts,
    Standing,
    Way,
)
from tests.fakes import START


def listed(domain: str) -> ListedReport:
    return ListedReport(
        *(1, START.date(), START + timedelta(days=1), Way.MAIL, Standing.COUNTED),
        *("sender.example", "", ReportFacts(domains=(domain,), policies=1), 0),
    )


GOOD = listed("listed.example")
OTHER = listed("unlisted.example")


def test_one_report_about_each_in_any_order() -> None:
    assert are_proved([GOOD, OTHER])
    assert are_proved([OTHER, GOOD])


@dataclass(frozen=True)
class Changed:
    """Something else that might stand in the list."""

    what: str
    value: object


@pytest.mark.parametrize(
    "changed",
    [
        Changed("standing", Standing.UNAUTHENTICATED),
        Changed("standing", Standing.REFUSED),
        Changed("way", Way.IMPORT),
        Changed("submitter", "another.example"),
        Changed("facts", ReportFacts(domains=())),
        Changed("facts", ReportFacts(domains=("listed.example", "unlisted.example"))),
    ],
    ids=str,
)
def test_a_report_that_is_not_proved_or_came_another_way_is_none(changed: Changed) -> None:
    """RFC 8460 §3: without a signature that proves it, it must be ignored."""
    wrong = msgspec.structs.replace(OTHER, **{changed.what: changed.value})
    assert not are_proved([GOOD, wrong])


@pytest.mark.parametrize("kept", [[], [GOOD], [GOOD, GOOD], [GOOD, OTHER, OTHER]], ids=len)
def test_none_is_missing_and_none_is_there_twice(kept: list[ListedReport]) -> None:
    assert not are_proved(kept)


def test_both_ends_are_compared_by_counts_and_failures() -> None:
    """What one counted and what the other kept are of different types, and the same here."""
    failure = FailureDetails("certificate-expired", 1, receiving_mx_hostname="mx.a.example")
    counted = PolicyResult("sts", "a.example", ("mode: enforce",), (), 1, 1, (failure,))
    kept = KeptResult(START.date(), "b.example", "sts", (), (), 1, 1, (failure,))
    assert compare_by([counted]) == compare_by([kept])
    for other in (
        msgspec.structs.replace(kept, failed=2),
        msgspec.structs.replace(kept, successful=None),
        msgspec.structs.replace(kept, failures=()),
        msgspec.structs.replace(kept, type="tlsa"),
    ):
        assert compare_by([counted]) != compare_by([other])
