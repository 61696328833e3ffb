"""RFC 8460 §4.4: a report becomes JSON, always the same, and is read as what it was."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.protocols.tlsrpt.reading import parse_report
from letterlock.protocols.tlsrpt.report import (
    MAX_COUNT,
    FailureDetails,
    PolicyResult,
    ReadReport,
    Report,
)
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.protocols.tlsrpt.writing import format_moment, format_report

FEW = 20 if settings().max_examples <= 100 else settings().max_examples
COUNTS = st.integers(0, MAX_COUNT)
LABELS = st.sampled_from(["a", "b-c", "xn--bcher-kva", "1", "_x", "example"])
DOMAINS = st.lists(LABELS, min_size=2, max_size=4).map(".".join)
# What real texts are made of; a text with a zero or half a character cannot be one.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
LINES = TEXTS.filter(lambda text: not text.endswith(("\r", "\n")))
ADDRESSES = st.sampled_from(["192.0.2.1", "2001:db8::1", "2001:db8:0:1:1:1:1:1", "::"])
MOMENTS = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(microsecond=0))


@st.composite
def failures(draw: st.DrawFn) -> FailureDetails:
    return FailureDetails(
        draw(st.sampled_from([each.value for each in ResultType])),
        draw(COUNTS),
        draw(st.none() | ADDRESSES),
        draw(st.none() | DOMAINS),
        draw(st.none() | TEXTS),
        draw(st.none() | ADDRESSES),
        draw(st.none() | st.just("https://x.example/?a=b")),
        draw(st.none() | TEXTS),
    )


@st.composite
def results(draw: st.DrawFn) -> PolicyResult:
    kind = draw(st.sampled_from(["sts", "tlsa", "no-policy-found"]))
    # One line that begins with a bracket would be JSON in a text.
    lines = draw(st.lists(LINES.filter(lambda line: "[" not in line), max_size=3))
    return PolicyResult(
        kind,
        draw(DOMAINS),
        tuple(lines) if kind != "no-policy-found" else (),
        tuple(draw(st.lists(DOMAINS, max_size=2))) if kind == "sts" else (),
        draw(COUNTS),
        draw(COUNTS),
        tuple(draw(st.lists(failures(), max_size=3))),
    )


@st.composite
def reports(draw: st.DrawFn) -> Report:
    start, end = sorted((draw(MOMENTS), draw(MOMENTS)))
    contact = f"tlsrpt@{draw(DOMAINS)}"
    policies = tuple(draw(st.lists(results(), min_size=1, max_size=3)))
    return Report(draw(TEXTS), draw(TEXTS), start, end, contact, policies)


@settings(max_examples=FEW)
@given(reports())
def test_what_is_written_is_read_as_the_same_without_repairs(report: Report) -> None:
    """Rule 184."""
    octets = format_report(report)
    assert parse_report(octets) == ReadReport(report, (), octets)
    assert format_report(report) == octets


REPORT = Report(
    "Company-X",
    "5065427c",
    datetime(2026, 4, 1, tzinfo=UTC),
    datetime(2026, 4, 1, 23, 59, 59, tzinfo=UTC),
    "sts-reporting@company-x.example",
    (
        PolicyResult(
            "sts",
            "company-y.example",
            ("version: STSv1",),
            ("*.company-y.example",),
            1,
            2,
            (FailureDetails("certificate-expired", 2, "192.0.2.1"),),
        ),
        PolicyResult("no-policy-found", "company-y.example", ("left out",), (), 0, 0),
    ),
)


def test_the_members_are_those_of_the_rfc_in_its_order() -> None:
    """RFC 8460 §4.4."""
    assert (
        format_report(REPORT)
        == json.dumps(
            {
                "organization-name": "Company-X",
                "date-range": {
                    "start-datetime": "2026-04-01T00:00:00Z",
                    "end-datetime": "2026-04-01T23:59:59Z",
                },
                "contact-info": "sts-reporting@company-x.example",
                "report-id": "5065427c",
                "policies": [
                    {
                        "policy": {
                            "policy-type": "sts",
                            "policy-domain": "company-y.example",
                            "policy-string": ["version: STSv1"],
                            "mx-host": ["*.company-y.example"],
                        },
                        "summary": {
                            "total-successful-session-count": 1,
                            "total-failure-session-count": 2,
                        },
                        "failure-details": [
                            {
                                "result-type": "certificate-expired",
                                "failed-session-count": 2,
                                "sending-mta-ip": "192.0.2.1",
                            }
                        ],
                    },
                    {
                        "policy": {
                            "policy-type": "no-policy-found",
                            "policy-domain": "company-y.example",
                        },
                        "summary": {
                            "total-successful-session-count": 0,
                            "total-failure-session-count": 0,
                        },
                        "failure-details": [],
                    },
                ],
            },
            separators=(",", ":"),
        ).encode()
    )


def test_moments_are_written_in_utc_in_whole_seconds() -> None:
    """RFC 3339 §5.6."""
    moment = datetime(2026, 4, 1, 2, 0, 0, 999999, timezone(timedelta(hours=2)))
    assert format_moment(moment) == "2026-04-01T00:00:00Z"


@pytest.mark.parametrize(
    "changes",
    [
        {"organization_name": None},
        {"report_id": ""},
        {"start": None},
        {"end": None},
        {"contact_info": None},
        {"policies": (PolicyResult(None, "x.example", (), (), 1, 1),)},
        {"policies": (PolicyResult("sts", None, (), (), 1, 1),)},
        {"policies": (PolicyResult("sts", "x.example", (), (), None, 1),)},
        {"policies": (PolicyResult("sts", "x.example", (), (), 1, None),)},
        {"policies": (PolicyResult("sts", "x.example", (), (), 1, 1, (FailureDetails("x"),)),)},
        {"policies": (PolicyResult("sts", "x", (), (), 1, 1, (FailureDetails(None, 1),)),)},
    ],
)
def test_what_is_unknown_cannot_be_written(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="has"):
        format_report(msgspec.structs.replace(REPORT, **changes))
