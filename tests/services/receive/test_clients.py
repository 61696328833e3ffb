"""Limits per client and in all."""

from datetime import timedelta

import pytest

from letterlock.base.client_keys import client_key
from letterlock.base.shared_counters import SharedCounters
from letterlock.services.receive.clients import ClientLimits, Clients
from tests.fakes import FakeClock


def make_clients(limits: ClientLimits, clock: FakeClock | None = None) -> Clients:
    counters = SharedCounters(2, b"secret", slots=1 << 12)
    return Clients(limits, counters, 0, clock or FakeClock())


def test_a_client_has_so_many_connections_and_gets_room_when_it_leaves() -> None:
    clients = make_clients(ClientLimits(connections_per_client=2))
    assert clients.admit("192.0.2.1") is None
    assert clients.admit("192.0.2.1") is None
    refusal = clients.admit("192.0.2.1")
    assert refusal is not None
    assert (refusal.code, refusal.status) == (421, "4.7.0")
    assert clients.admit("192.0.2.2") is None
    clients.leave("192.0.2.1")  # the refused one
    clients.leave("192.0.2.1")
    assert clients.admit("192.0.2.1") is None


def test_all_clients_together_have_so_many() -> None:
    clients = make_clients(ClientLimits(connections=3))
    assert [clients.admit(f"192.0.2.{n}") is None for n in range(4)] == [True, True, True, False]


def test_the_rate_is_for_a_minute() -> None:
    clock = FakeClock()
    clients = make_clients(ClientLimits(connection_rate_per_client=2), clock)
    answers = []
    for _ in range(3):
        answers.append(clients.admit("192.0.2.1") is None)
        clients.leave("192.0.2.1")
    clock.move(timedelta(seconds=61))
    answers.append(clients.admit("192.0.2.1") is None)
    assert answers == [True, True, False, True]


def test_workers_share_what_they_count() -> None:
    counters = SharedCounters(2, b"secret", slots=1 << 12)
    limits = ClientLimits(connections_per_client=1)
    first, second = (Clients(limits, counters, n, FakeClock()) for n in (0, 1))
    assert first.admit("192.0.2.1") is None
    assert second.admit("192.0.2.1") is not None


@pytest.mark.parametrize(
    ("ip", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("unknown", "unknown"),
    ],
)
def test_an_ipv6_client_is_its_64_bit_network(ip: str, key: str) -> None:
    assert client_key(ip) == key
