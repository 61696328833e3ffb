"""Concurrency and rate for each destination."""

from letterlock.services.deliver.destinations import Destinations


def test_a_destination_is_saturated_by_its_number_of_claims() -> None:
    destinations = Destinations(max_at_once=2)
    destinations.begin("a.example", 0)
    assert destinations.saturated(0) == []
    destinations.begin("a.example", 0)
    destinations.begin("b.example", 0)
    assert destinations.saturated(0) == ["a.example"]
    destinations.end("a.example")
    assert destinations.saturated(0) == []


def test_a_rate_is_counted_over_a_minute() -> None:
    destinations = Destinations(max_at_once=10, max_rate=2)
    for now in (0.0, 10.0):
        destinations.begin("a.example", now)
        destinations.end("a.example")
    assert destinations.saturated(20.0) == ["a.example"]
    assert destinations.next_free(20.0) == 40.0
    assert destinations.saturated(60.0) == []
    assert destinations.saturated(70.1) == []
    assert destinations.next_free(70.1) is None


def test_a_batch_never_takes_one_destination_over_its_limit() -> None:
    destinations = Destinations(max_at_once=3)
    assert destinations.room(0) == 3
    destinations.begin("a.example", 0)
    destinations.begin("a.example", 0)
    destinations.begin("b.example", 0)
    assert destinations.room(0) == 1
    destinations.begin("a.example", 0)
    # It is saturated, and so not in the batch: the next one counts.
    assert destinations.room(0) == 2


def test_nor_over_its_rate() -> None:
    destinations = Destinations(max_at_once=10, max_rate=3)
    assert destinations.room(0) == 3
    destinations.begin("a.example", 0)
    destinations.end("a.example")
    assert destinations.room(0) == 2
    assert destinations.room(60) == 3
