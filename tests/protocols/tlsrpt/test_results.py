"""A day's counts become a report about that day."""

from datetime import date

import pytest

from letterlock.protocols.tlsrpt.reading import parse_report
from letterlock.protocols.tlsrpt.results import DomainResults, make_report
from letterlock.protocols.tlsrpt.writing import format_report
from tests.protocols.tlsrpt.datagrams import FETCHED_RESULTS


def test_a_report_is_about_a_day_of_utc() -> None:
    """RFC 8460 §4.1, §4.4; rule 243."""
    report = make_report(FETCHED_RESULTS, date(2026, 2, 28), "Example", "a@example.com", "1")
    written = format_report(report)
    assert (
        b'"start-datetime":"2026-02-28T00:00:00Z","end-datetime":"2026-02-28T23:59:59Z"' in written
    )
    read = parse_report(written)
    assert (read.report, read.repairs) == (report, ())


@pytest.mark.parametrize(
    ("record", "destinations"),
    [
        ("v=TLSRPTv1; rua=mailto:a@b.example, https://c.example/", 2),
        ("v=TLSRPTv1; rua=ftp://b.example", 0),
        ("v=TLSRPTv1; rua=", 0),
        ("nothing of the kind", 0),
    ],
)
def test_the_record_says_where_it_goes(record: str, destinations: int) -> None:
    """RFC 8460 §3."""
    assert len(DomainResults("a.example", record, ()).destinations) == destinations
