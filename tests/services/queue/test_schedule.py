"""When a message is tried again, warned about, given up."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from letterlock.services.queue.schedule import Schedule
from tests.fakes import START

SCHEDULE = Schedule()


def test_gaps_double_up_to_the_longest() -> None:
    """RFC 5321 §4.5.4.1: the first gaps are short, the later ones over half an hour."""
    expires = START + timedelta(days=5)
    gaps = []
    for attempts in range(1, 7):
        due = SCHEDULE.next_attempt(attempts, START, expires, jitter=0.0)
        assert due is not None
        gaps.append((due - START).total_seconds())
    assert gaps == [300, 600, 1200, 2400, 4000, 4000]


@given(st.integers(0, 10_000), st.floats(0, 1), st.integers(0, 5 * 86400 - 1))
def test_the_next_try_is_later_and_not_after_the_end(
    attempts: int, jitter: float, age: int
) -> None:
    expires = START + timedelta(days=5)
    now = START + timedelta(seconds=age)
    due = SCHEDULE.next_attempt(attempts, now, expires, jitter)
    assert due is not None
    assert now < due <= expires


def test_a_last_try_is_made_at_the_end_of_the_lifetime_and_none_after() -> None:
    expires = START + timedelta(days=5)
    late = expires - timedelta(seconds=1)
    assert SCHEDULE.next_attempt(50, late, expires, 0.5) == expires
    assert SCHEDULE.next_attempt(50, expires, expires, 0.5) is None


def test_bounces_have_a_lifetime_of_their_own() -> None:
    schedule = Schedule(lifetime=timedelta(days=5), bounce_lifetime=timedelta(days=1))
    assert schedule.expires(START, "a@example.org") == START + timedelta(days=5)
    assert schedule.expires(START, "") == START + timedelta(days=1)


def test_a_delay_notice_is_due_once_and_can_be_switched_off() -> None:
    soon, late = START + timedelta(hours=3), START + timedelta(hours=4)
    assert not SCHEDULE.is_delay_notice_due(START, soon, is_sent=False)
    assert SCHEDULE.is_delay_notice_due(START, late, is_sent=False)
    assert not SCHEDULE.is_delay_notice_due(START, late, is_sent=True)
    off = Schedule(delay_notice=timedelta(0))
    assert not off.is_delay_notice_due(START, late, is_sent=False)
