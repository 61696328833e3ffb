"""RFC 7671 §8.1: a clock that was set cuts no wait of a roll-over short, and lengthens none."""

from dataclasses import replace
from datetime import timedelta

import pytest

from letterlock.services.certify.rollover import PublishedTlsa
from letterlock.services.certify.waits import LONGEST, Waits
from letterlock.storage.certificates import RollOver, RollOverStage
from tests.fakes import START, FakeClock
from tests.services.certify.scene import ID

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SEEN = RollOver(RollOverStage.SEEN, b"pem", b"n" * 32, START, START + 2 * HOUR)


def step_clock(clock: FakeClock, step: timedelta) -> None:
    clock.set_wall(clock.now() + step)


@pytest.mark.parametrize("step", [2 * HOUR, 3650 * DAY])
@pytest.mark.parametrize("stage", [RollOverStage.SEEN, RollOverStage.SWITCHED])
def test_a_clock_set_forward_cuts_no_wait_short(stage: RollOverStage, step: timedelta) -> None:
    clock = FakeClock()
    waits = Waits(clock)
    seen = replace(SEEN, stage=stage)
    assert waits.correct(ID, seen) == seen
    clock.move(HOUR)
    step_clock(clock, step)
    corrected = waits.correct(ID, seen)
    assert corrected == replace(seen, ready=clock.now() + HOUR)
    clock.move(HOUR)
    assert waits.correct(ID, corrected) == corrected


@pytest.mark.parametrize("step", [2 * HOUR, 3650 * DAY])
def test_a_clock_set_back_lengthens_no_wait(step: timedelta) -> None:
    clock = FakeClock()
    waits = Waits(clock)
    waits.correct(ID, SEEN)
    clock.move(HOUR)
    step_clock(clock, -step)
    now = clock.now()
    assert waits.correct(ID, SEEN) == replace(SEEN, since=now, ready=now + HOUR)


def test_a_wait_that_began_by_a_wrong_clock_is_waited_for() -> None:
    """A machine without a clock of its own starts in the past, and is told the time later."""
    clock = FakeClock(START + 30 * DAY)
    waits = Waits(clock)
    waits.correct(ID, None)  # looked when no roll-over went on: what is seen now has just begun
    assert waits.correct(ID, SEEN) == replace(SEEN, ready=clock.now() + 2 * HOUR)


def test_after_a_restart_the_wall_clock_counts() -> None:
    clock = FakeClock(START + 2 * HOUR)
    assert Waits(clock).correct(ID, SEEN) == SEEN
    clock = FakeClock(START - DAY)
    now = clock.now()
    assert Waits(clock).correct(ID, SEEN) == replace(SEEN, since=now, ready=now + 2 * HOUR)


def test_what_is_tried_again_later_may_be() -> None:
    clock = FakeClock()
    waits = Waits(clock)
    waits.correct(ID, SEEN)
    clock.move(3 * HOUR)
    later = replace(SEEN, ready=clock.now() + DAY)
    assert waits.correct(ID, later) == later
    clock.move(DAY)
    assert waits.correct(ID, later) == later


def test_a_moment_that_only_a_wrong_clock_gives_is_replaced() -> None:
    clock = FakeClock()
    waits = Waits(clock)
    published = replace(SEEN, stage=RollOverStage.PUBLISHED, ready=None)
    assert waits.correct(ID, published) == published
    far = replace(published, ready=START + LONGEST + DAY)
    assert waits.correct(ID, far) == replace(far, ready=START)


def test_caches_have_what_was_there_before_for_its_own_ttl() -> None:
    """RFC 7671 §8.1: servers may give all records the TTL of the last change."""
    waits = Waits(FakeClock())
    before = PublishedTlsa("", ttl=DAY)
    assert waits.raise_ttl(ID, SEEN, before) == before
    assert waits.raise_ttl(ID, SEEN, replace(before, ttl=HOUR)) == before
    another = replace(SEEN, spki_sha256=b"x" * 32)
    assert waits.raise_ttl(ID, another, replace(before, ttl=HOUR)).ttl == HOUR
