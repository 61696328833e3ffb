"""Counters that worker processes share."""

import os

from letterlock.base.shared_counters import NamedCounters, SharedCounters


def test_a_total_is_the_sum_over_workers() -> None:
    counters = SharedCounters(3, b"secret", slots=64)
    slot = counters.slot("client 192.0.2.1")
    counters.add(0, slot)
    counters.add(2, slot, 5)
    counters.add(2, slot, -1)
    assert counters.total(slot) == 5
    assert counters.count(1, slot) == 6
    assert counters.cell(1, slot) == 1


def test_a_worker_that_is_gone_is_forgotten_and_the_others_are_not() -> None:
    counters = SharedCounters(2, b"secret", slots=64)
    slot = counters.slot("x")
    counters.add(0, slot, 3)
    counters.add(1, slot, 4)
    counters.clear_worker(0)
    assert counters.total(slot) == 4


def test_what_a_child_counts_its_parent_sees() -> None:
    counters = SharedCounters(2, b"secret", slots=64)
    slot = counters.slot("x")
    child = os.fork()
    if child == 0:
        counters.add(1, slot, 7)
        os._exit(0)
    os.waitpid(child, 0)
    assert counters.total(slot) == 7


def test_a_slot_depends_on_the_secret() -> None:
    """Else a client could choose an address that shares another's slot."""
    slots = {SharedCounters(1, bytes([n]), slots=1 << 16).slot("192.0.2.1") for n in range(20)}
    assert len(slots) > 10


def test_a_window_forgets_the_one_before() -> None:
    counters = SharedCounters(2, b"secret", slots=64)
    for worker in (0, 0, 1):
        counters.add_in_window(worker, 5, window=41)
    assert counters.total_in_window(5, window=41) == 3
    counters.add_in_window(1, 5, window=42)
    assert counters.total_in_window(5, window=42) == 1
    assert counters.count_in_window(0, 5, window=42) == 2


def test_named_counters_sum_by_name() -> None:
    counters = NamedCounters(["no_sni", "tls"], workers=2)
    counters.adder(0)("tls")
    counters.adder(1)("tls")
    counters.adder(1)("tls")
    assert counters.totals() == {"no_sni": 0, "tls": 3}
