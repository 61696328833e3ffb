"""Header fields that we write."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.header_fields import (
    FOLD_AT_OCTETS,
    MAX_LINE_OCTETS,
    format_date,
    format_field,
    format_message_id,
    make_safe,
)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain text", "plain text"),
        ("a\r\nBcc: x@example.com", "a  Bcc: x@example.com"),
        ("a\tb", "a b"),
        ("a\x00b\x1b[2J\x7f", "a?b?[2J?"),
        ("grün", "gr?n"),
        ("a\u2028b\x85c", "a?b?c"),
    ],
)
def test_text_from_outside_stays_on_its_line(text: str, safe: str) -> None:
    assert make_safe(text) == safe


def test_text_may_be_utf8_where_the_message_is() -> None:
    """RFC 6532 §3.2."""
    assert make_safe("grün\u2028\u202e\ud800", may_be_utf8=True) == "grün???"


def test_long_text_is_cut_and_shows_it() -> None:
    assert make_safe("x" * 20, max_characters=10) == "xxxxxxx..."


@given(st.text(), st.booleans())
def test_no_line_end_survives(text: str, may_be_utf8: bool) -> None:
    safe = make_safe(text, may_be_utf8=may_be_utf8)
    assert len(safe.splitlines()) <= 1
    assert safe.isprintable()


def test_a_short_field_stays_on_one_line() -> None:
    assert format_field("Subject", "hello world") == "Subject: hello world\r\n"


def test_a_long_field_is_folded_before_spaces() -> None:
    """RFC 5322 §2.2.3."""
    field = format_field("Subject", " ".join(["word"] * 40))
    lines = field.removesuffix("\r\n").split("\r\n")
    assert len(lines) == 3
    assert all(len(line) <= FOLD_AT_OCTETS for line in lines)
    assert field.replace("\r\n", "") == "Subject: " + " ".join(["word"] * 40)


@given(st.text(st.characters(min_codepoint=32, exclude_characters="\x7f"), max_size=2000))
def test_every_line_of_a_field_is_short_enough(value: str) -> None:
    """RFC 5322 §2.1.1, §2.2.3: no line is too long, or of spaces alone."""
    safe = make_safe(value, may_be_utf8=True, max_characters=2000)
    lines = format_field("X", safe).removesuffix("\r\n").split("\r\n")
    assert all(len(line.encode()) <= MAX_LINE_OCTETS for line in lines)
    assert all(line.startswith(" ") and line.strip() for line in lines[1:])


@given(st.lists(st.text("abc", max_size=500)).map(" ".join))
def test_unfolding_gives_the_value_again(value: str) -> None:
    """RFC 5322 §2.2.3: unfolding removes the CRLF and nothing else."""
    assert format_field("X", value).replace("\r\n", "").rstrip() == f"X: {value}".rstrip()


@pytest.mark.parametrize("spaces", [77, 199, 200, 1000])
@pytest.mark.parametrize("first", ["a", ""])
def test_no_line_of_a_field_is_white_space_alone(first: str, spaces: int) -> None:
    """RFC 5322 §3.2.2: such a line would end the header section for some readers."""
    field = format_field("Diagnostic-Code", first + " " * spaces + "b" * 300 + " " * spaces + "c")
    assert all(line.strip() for line in field.removesuffix("\r\n").split("\r\n"))


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC), "Sun, 01 Mar 2026 12:00:05 +0000"),
        (
            datetime(2026, 12, 31, 1, 2, 3, tzinfo=timezone(timedelta(hours=-8))),
            "Thu, 31 Dec 2026 01:02:03 -0800",
        ),
        (datetime(2026, 3, 1, 12, 0, 5), "Sun, 01 Mar 2026 12:00:05 +0000"),  # noqa: DTZ001 - the rule under test
    ],
)
def test_a_date_has_a_numeric_offset(moment: datetime, text: str) -> None:
    """RFC 5322 §3.3, RFC 5321 §4.4."""
    assert format_date(moment) == text


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_a_date_is_read_back(moment: datetime) -> None:
    moment = moment.replace(tzinfo=UTC, microsecond=0)
    assert parsedate_to_datetime(format_date(moment)) == moment


def test_a_message_id_has_time_token_and_host() -> None:
    """RFC 5322 §3.6.4."""
    now = datetime(2026, 3, 1, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    assert format_message_id("abc", "mx1.example.org", now) == (
        "<20260301120000.abc@mx1.example.org>"
    )
