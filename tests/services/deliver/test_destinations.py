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
