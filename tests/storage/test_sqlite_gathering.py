"""What waits for a commit: what goes together, in which order, and who is kept waiting."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from letterlock.storage.sqlite.gathering import MAX_BATCH, PACE_SECONDS, Gathering


class FakeLoop:
    """The loop's time and its calls to come; `turn` makes those that are due."""

    def __init__(self) -> None:
        self.now = 100.0
        self._calls: list[tuple[float, FakeHandle]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, call: Callable[[], None]) -> "FakeHandle":
        return self.call_later(0, call)

    def call_later(self, seconds: float, call: Callable[[], None]) -> "FakeHandle":
        handle = FakeHandle(call)
        self._calls.append((self.now + seconds, handle))
        return handle

    def turn(self, seconds: float = 0) -> None:
        self.now += seconds
        due = [each for each in self._calls if each[0] <= self.now]
        self._calls = [each for each in self._calls if each[0] > self.now]
        for _, handle in due:
            handle.run()


class FakeHandle:
    def __init__(self, call: Callable[[], None]) -> None:
        self.run = call

    def cancel(self) -> None:
        self.run = lambda: None


class Work:
    """A gathering on a loop, and the batches that it handed over."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.batches: list[list[int]] = []
        loop = cast("asyncio.AbstractEventLoop", self.loop)
        self.gathering: Gathering[int] = Gathering(loop, self.batches.append)

    def add(self, *items: int) -> None:
        for item in items:
            self.gathering.add(item)

    def take(self) -> list[int]:
        """Give the one batch that was handed over, and say that it is done."""
        (batch,) = self.batches
        self.batches.clear()
        self.gathering.note_done()
        return batch

    def be_busy(self) -> None:
        """Have had batches of several."""
        for _ in range(5):
            self.add(1, 2, 3)
            self.loop.turn(PACE_SECONDS)
            self.take()


@pytest.fixture
def work() -> Work:
    return Work()


def test_what_comes_in_one_turn_of_the_loop_goes_together(work: Work) -> None:
    work.add(1, 2)
    assert work.batches == []
    work.loop.turn()
    assert work.take() == [1, 2]


def test_what_comes_while_a_batch_is_at_work_is_the_next_one_in_order(work: Work) -> None:
    work.add(1)
    work.loop.turn()
    work.add(2, 3)
    work.loop.turn(1)
    assert work.take() == [1]
    work.loop.turn()
    assert work.take() == [2, 3]


def test_who_is_alone_is_never_kept_waiting(work: Work) -> None:
    for item in range(20):
        work.add(item)
        work.loop.turn()
        assert work.take() == [item]


def test_while_much_comes_batches_begin_apart(work: Work) -> None:
    work.be_busy()
    work.add(1)
    work.loop.turn(PACE_SECONDS / 3)
    work.add(2)
    work.loop.turn(PACE_SECONDS / 3)
    assert work.batches == []
    work.loop.turn(PACE_SECONDS / 2)
    assert work.take() == [1, 2]


def test_what_is_late_enough_is_not_kept_waiting_though_much_comes(work: Work) -> None:
    work.be_busy()
    work.loop.turn(PACE_SECONDS)
    work.add(1)
    work.loop.turn()
    assert work.take() == [1]


def test_who_is_alone_again_is_soon_not_kept_waiting(work: Work) -> None:
    work.be_busy()
    for item in range(30):
        work.add(item)
        work.loop.turn(PACE_SECONDS)
        work.take()
    work.add(1)
    work.loop.turn()
    assert work.take() == [1]


def test_a_batch_is_bounded_and_a_full_one_does_not_wait(work: Work) -> None:
    work.be_busy()
    items = list(range(MAX_BATCH + 3))
    work.add(*items)
    work.loop.turn(PACE_SECONDS)
    assert work.take() == items[:MAX_BATCH]
    work.loop.turn(PACE_SECONDS)
    assert work.take() == items[MAX_BATCH:]


def test_the_end_waits_for_nothing(work: Work) -> None:
    work.be_busy()
    items = list(range(MAX_BATCH + 3))
    work.add(*items)
    work.gathering.finish()
    assert work.batches == [items[:MAX_BATCH], items[MAX_BATCH:]]
    work.loop.turn(PACE_SECONDS)
    assert sum(map(len, work.batches)) == len(items)
