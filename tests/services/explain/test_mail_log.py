"""What a mail log says of a domain, in the shape that Postfix and we write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.domains import Domain
from letterlock.services.explain.mail_log import (
    MAX_RELAYS,
    MAX_STATUSES,
    LoggedDelivery,
    LogSummary,
    summarize_log,
)

NAME = Domain("example.org")
MX = "mx.example.org[192.0.2.1]:25"
POSTFIX = f"""\
Nov 22 02:39:05 mx1 postfix/smtp[123]: Verified TLS connection established to {MX}: TLSv1.3 with \
cipher TLS_AES_256_GCM_SHA384 (256/256 bits)
Nov 22 02:39:05 mx1 postfix/smtp[123]: 4bX: to=<bob@Example.ORG>, orig_to=<x@other.example>, \
relay={MX}, delay=1, delays=0/0/1/0, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 1)
Nov 22 02:39:07 mx1 postfix/smtp[124]: Untrusted TLS connection reused to {MX}: TLSv1.3
Nov 22 02:39:07 mx1 postfix/smtp[124]: 4bY: to=<bob@example.org>, relay={MX}, delay=1, \
dsn=4.7.5, status=deferred (Server certificate not verified (once) again)
Nov 22 02:39:08 mx1 postfix/smtp[124]: Trusted TLS connection established to o.example[1]:25: x
Nov 22 02:39:08 mx1 postfix/smtp[124]: 4bZ: to=<bob@sub.example.org>, relay=none, status=bounced (x)
Nov 22 02:39:09 mx1 postfix/smtp[124]: 4c0: to=<bob@other.example>, orig_to=<bob@example.org>, \
relay=none, status=bounced (no)
""".splitlines()


def test_deliveries_and_the_tls_of_their_hosts_are_counted() -> None:
    summary = summarize_log(POSTFIX, NAME)
    reason = "Server certificate not verified (once) again"
    trouble = LoggedDelivery("Nov 22 02:39:07", MX, "deferred", reason)
    assert summary == LogSummary(
        {"sent": 1, "deferred": 1}, {"Verified": 1, "Untrusted": 1}, trouble, trouble
    )


def test_the_last_attempt_and_the_last_trouble_are_told_apart() -> None:
    summary = summarize_log([*POSTFIX, POSTFIX[1]], NAME)
    assert summary.last is not None
    assert summary.last_trouble is not None
    assert (summary.last.status, summary.last_trouble.status) == ("sent", "deferred")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "to=<bob@example.org>",
        "to=<bob@example.org>, status=sent",
        "from=<bob@example.org>, relay=none, status=sent (x)",
        "to=<bob@example.org.evil.example>, relay=none, status=sent (x)",
        "to=<example.org>, relay=none, status=sent (x)",
    ],
)
def test_other_lines_say_nothing(line: str) -> None:
    assert summarize_log([line], NAME) == LogSummary({}, {})


def test_lines_of_other_shapes_have_their_time() -> None:
    line = "2026-11-22T02:39:05.1+01:00 mx1 x: to=<bob@example.org>, status=bounced (no)"
    summary = summarize_log([line], NAME)
    expected = LoggedDelivery("2026-11-22T02:39:05.1+01:00", "none", "bounced", "no")
    assert summary.last == expected


def test_a_log_made_to_fill_the_memory_does_not() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    many = (
        line
        for number in range(MAX_RELAYS + 10)
        for line in (
            f"Verified TLS connection established to mx{number}: x",
            f"to=<a@example.org>, relay=mx{number}, status={letters[number % 26]} (x)",
        )
    )
    summary = summarize_log(many, NAME)
    assert summary.tls == {"Verified": MAX_RELAYS}
    assert len(summary.deliveries) == MAX_STATUSES


@given(st.lists(st.text() | st.text().map(POSTFIX[1].__add__)))
def test_any_text_is_counted_or_passed_over(lines: list[str]) -> None:
    summary = summarize_log(lines, NAME)
    assert sum(summary.deliveries.values()) <= len(lines)
    assert (summary.last is None) == (not summary.deliveries)
