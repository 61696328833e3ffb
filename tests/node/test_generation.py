"""How often changed certificates bring new workers."""

from datetime import timedelta

from letterlock.node.generation import PAUSES, QUIET_SECONDS, ReloadPace
from tests.fakes import FakeClock


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def test_the_first_change_is_used_at_once() -> None:
    assert ReloadPace(FakeClock()).may_reload()


def test_changes_in_a_row_are_gathered_for_longer_and_longer() -> None:
    clock = FakeClock()
    pace = ReloadPace(clock)
    for pause in (*PAUSES, PAUSES[-1]):
        pace.note_reload()
        if pause:
            assert not pace.may_reload()
            clock.move(seconds(pause - 0.1))
            assert not pace.may_reload()
            clock.move(seconds(0.1))
        assert pace.may_reload()


def test_after_a_quiet_hour_all_begins_anew() -> None:
    clock = FakeClock()
    pace = ReloadPace(clock)
    for _ in PAUSES:
        pace.note_reload()
    clock.move(seconds(QUIET_SECONDS + 1))
    pace.note_reload()
    assert pace.may_reload()
