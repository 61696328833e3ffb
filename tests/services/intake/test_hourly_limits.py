"""So much an hour: at once or one by one, and never more for long."""

from datetime import timedelta

import pytest

from letterlock.services.intake import hourly_limits
from letterlock.services.intake.hourly_limits import HourlyLimit
from tests.fakes import FakeClock


def test_who_has_taken_all_waits_until_there_is_one_again() -> None:
    clock = FakeClock()
    limit = HourlyLimit(60, clock)
    for _ in range(60):
        assert limit.find_wait("a") == 0
        limit.take("a")
    assert limit.find_wait("a") == 60
    assert limit.find_wait("b") == 0
    clock.move(timedelta(seconds=59))
    assert limit.find_wait("a") == 1
    clock.move(timedelta(seconds=1))
    assert limit.find_wait("a") == 0


def test_what_costs_more_has_to_be_waited_for_longer() -> None:
    clock = FakeClock()
    limit = HourlyLimit(60, clock)
    limit.take("a", 120)
    assert limit.find_wait("a") == 61 * 60
    clock.move(timedelta(hours=5))
    limit.take("a", 60)
    assert limit.find_wait("a") == 60


def test_what_was_found_is_taken_as_any_other() -> None:
    limit = HourlyLimit(2, FakeClock())
    for _ in range(2):
        assert limit.find_wait("a") == 0
        limit.take_found("a")
    assert limit.find_wait("a") == 1800


def test_few_are_known_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hourly_limits, "MAX_KEYS", 2)
    limit = HourlyLimit(1, FakeClock())
    for key in ("a", "b"):
        limit.take(key)
    limit.find_wait("a")
    limit.take("c")
    assert [limit.find_wait(key) > 0 for key in ("a", "c")] == [True, True]
    assert limit.find_wait("b") == 0
