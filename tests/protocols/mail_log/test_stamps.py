"""Times in logs, of which some have no year and no zone."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.mail_log.stamps import read_stamp

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
PLUS_ONE = timezone(timedelta(hours=1))


def utc(*parts: int, micro: int = 0) -> datetime:
    year, month, day, hour, minute, second = parts
    return datetime(year, month, day, hour, minute, second, micro, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nov 22 14:59:59", utc(2026, 11, 22, 13, 59, 59)),
        ("Nov  2 14:59:59", utc(2026, 11, 2, 13, 59, 59)),
        ("Nov 23 15:30:00", utc(2026, 11, 23, 14, 30, 0)),
        ("Nov 24 15:30:00", utc(2025, 11, 24, 14, 30, 0)),
        ("Dec 31 23:59:59", utc(2025, 12, 31, 22, 59, 59)),
        ("Feb 29 12:00:00", utc(2024, 2, 29, 11, 0, 0)),
        ("Nov 22 14:59:60", utc(2026, 11, 22, 13, 59, 59)),
        ("2026-11-22T02:39:05Z", utc(2026, 11, 22, 2, 39, 5)),
        ("2026-11-22T02:39:05.25+05:30", utc(2026, 11, 21, 21, 9, 5, micro=250_000)),
        ("2026-11-22T02:39:05", utc(2026, 11, 22, 1, 39, 5)),
        ("2026-11-22 02:39:05", utc(2026, 11, 22, 1, 39, 5)),
        ("2026-11-22 02:39:05.123 -0200", utc(2026, 11, 22, 4, 39, 5)),
        ("@1700000000000001", utc(2023, 11, 14, 22, 13, 20, micro=1)),
        ("Nov 31 12:00:00", None),
        ("Abc 22 12:00:00", None),
        ("Nov 22 25:00:00", None),
        ("@", None),
        ("@99999999999999999999999", None),
        ("2026-13-22 02:39:05", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_stamp_is_read(text: str, expected: datetime | None) -> None:
    assert read_stamp(text, NOW, PLUS_ONE) == expected


@given(st.integers(0, 362 * 86_400))
def test_a_stamp_without_a_year_is_of_the_last_twelve_months(age: int) -> None:
    moment = NOW - timedelta(seconds=age)
    assert read_stamp(f"{moment:%b %e %H:%M:%S}", NOW, UTC) == moment


@given(st.text())
def test_any_text_gives_a_time_or_none(text: str) -> None:
    read_stamp(text, NOW, UTC)
