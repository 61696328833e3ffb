"""Concurrency and rate for each destination."""

from functools import partial

import pytest

from letterlock.services.deliver import destinations as module
from letterlock.services.deliver.destinations import Destinations


def nothing() -> None:
    """Begin work that nobody looks at."""


def test_a_destination_is_saturated_by_its_number_of_claims() -> None:
    destinations = Destinations(max_at_once=2)
    destinations.begin("a.example", nothing, 0)
    assert destinations.saturated(0) == []
    destinations.begin("a.example", nothing, 0)
    destinations.begin("b.example", nothing, 0)
    assert destinations.saturated(0) == ["a.example"]
    destinations.end("a.example")
    assert destinations.saturated(0) == []


def test_a_rate_is_counted_over_a_minute() -> None:
    destinations = Destinations(max_at_once=10, max_rate=2)
    for now in (0.0, 10.0):
        destinations.begin("a.example", nothing, now)
        destinations.end("a.example")
    assert destinations.saturated(20.0) == ["a.example"]
    assert destinations.next_free(20.0) == 40.0
    assert destinations.saturated(60.0) == []
    assert destinations.saturated(70.1) == []
    assert destinations.next_free(70.1) is None


def test_a_batch_never_takes_one_destination_over_its_limit() -> None:
    destinations = Destinations(max_at_once=3)
    assert destinations.room(0) == 3
    destinations.begin("a.example", nothing, 0)
    destinations.begin("a.example", nothing, 0)
    destinations.begin("b.example", nothing, 0)
    assert destinations.room(0) == 1
    destinations.begin("a.example", nothing, 0)
    # It is saturated, and so not in the batch: the next one counts.
    assert destinations.room(0) == 2


def test_nor_over_its_rate() -> None:
    destinations = Destinations(max_at_once=10, max_rate=3)
    assert destinations.room(0) == 3
    destinations.begin("a.example", nothing, 0)
    destinations.end("a.example")
    assert destinations.room(0) == 2
    assert destinations.room(60) == 3


def test_one_out_of_reach_has_no_more_claimed_while_one_is_at_work() -> None:
    destinations = Destinations(max_at_once=3)
    destinations.begin("dead.example", nothing, 0)
    destinations.note_reached("dead.example", is_reached=False)
    assert destinations.saturated(0) == ["dead.example"]
    # The others are claimed as ever.
    assert destinations.room(0) == 3
    destinations.end("dead.example")
    assert destinations.saturated(0) == []
    destinations.begin("dead.example", nothing, 0)
    destinations.note_reached("dead.example", is_reached=True)
    assert destinations.saturated(0) == []


def test_what_is_out_of_reach_is_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNREACHED", 1)
    destinations = Destinations(max_at_once=3)
    for name in ("old.example", "new.example"):
        destinations.begin(name, nothing, 0)
        destinations.note_reached(name, is_reached=False)
    assert destinations.saturated(0) == ["new.example"]


def test_what_was_claimed_ahead_begins_when_another_ends() -> None:
    destinations = Destinations(max_at_once=1, ahead=2)
    begun: list[int] = []
    assert destinations.room(0) == 3
    for number in range(3):
        destinations.begin("a.example", partial(begun.append, number), 0)
    assert begun == [0]
    assert destinations.saturated(0) == ["a.example"]
    assert not destinations.has_free(["a.example"], 0)
    destinations.end("a.example")
    destinations.end("a.example")
    assert begun == [0, 1, 2]
    # Nothing waits any more: it is time to claim the next ones, before this one ends.
    assert destinations.saturated(0) == []
    assert destinations.has_free(["a.example"], 0)
    assert destinations.room(0) == 2
    destinations.end("a.example")
    assert destinations.room(0) == 3


def test_nothing_is_claimed_ahead_where_a_rate_is_kept() -> None:
    destinations = Destinations(max_at_once=1, max_rate=5, ahead=20)
    assert destinations.room(0) == 1
    destinations.begin("a.example", nothing, 0)
    assert destinations.saturated(0) == ["a.example"]
    assert not destinations.has_free(["a.example"], 0)
    assert destinations.has_free(["a.example", "b.example"], 0)


def test_over_its_rate_nothing_is_free() -> None:
    destinations = Destinations(max_at_once=5, max_rate=1)
    destinations.begin("a.example", nothing, 0)
    destinations.end("a.example")
    assert not destinations.has_free(["a.example"], 1)
    assert destinations.has_free(["a.example"], 61)
