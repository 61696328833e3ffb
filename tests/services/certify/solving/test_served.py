"""Waiting for records at all servers: with a clock that only the waiting moves."""

from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address

import pytest

from letterlock.base.domains import Domain
from letterlock.network.dns_authority import NotSaid, Served
from letterlock.protocols.dns.answers import SoaRecord
from letterlock.services.certify.solving.served import ServedRecords
from letterlock.services.discover import authorities
from letterlock.services.discover.authorities import AuthorityFinder
from tests.fakes import FakeClock, FixtureResolver

NAME = Domain("_acme-challenge.example.org")
TLSA = "3 1 1 " + "ab" * 32

Answers = Callable[[str, float], Served | NotSaid]
"""What the server at an address says at a moment."""


class World:
    """Servers at 127.0.0.1 and so on, and the waiting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: Answers, count: int = 2) -> None:
        self.clock = FakeClock()
        self.asked: list[tuple[str, float]] = []
        resolver = FixtureResolver()
        hosts = [Domain(f"ns{number + 1}.example.org") for number in range(count)]
        resolver.set("example.org", "SOA", SoaRecord(hosts[0], 1, 60))
        resolver.set("example.org", "NS", *hosts)
        for number, host in enumerate(hosts):
            resolver.set(host, "A", ip_address(f"127.0.0.{number + 1}"))
        self.resolver = resolver

        async def ask(server: tuple[str, int], _name: Domain, _rdtype: str) -> Served | NotSaid:
            self.asked.append((server[0], self.clock.monotonic()))
            return answers(server[0], self.clock.monotonic())

        monkeypatch.setattr(authorities, "ask_authority", ask)
        self.served = ServedRecords(
            AuthorityFinder(resolver), self.clock, timedelta(minutes=1), self._pause
        )

    async def _pause(self, seconds: float) -> None:
        self.clock.move(timedelta(seconds=seconds))


def has(*values: str) -> Served:
    return Served(frozenset(values), 60)


async def test_it_is_over_when_the_last_server_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8555 §8.4; other values at the same name do no harm."""

    def answers(server: str, moment: float) -> Served | NotSaid:
        if server == "127.0.0.1":
            return has("mine", "of another")
        if moment < 5:
            return NotSaid("it says SERVFAIL")
        return has("old") if moment < 20 else has("old", "mine")

    world = World(monkeypatch, answers)
    assert await world.served.wait_until_served(NAME, "TXT", "mine") is None
    # At 0, 1, 3, 7, 15 and, the pause being at its longest, 25 seconds.
    assert world.clock.monotonic() == 25
    assert world.asked == [("127.0.0.1", 0), *(("127.0.0.2", at) for at in (0, 1, 3, 7, 15, 25))]


async def test_a_server_that_never_has_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, Served | NotSaid] = {
        "127.0.0.1": has("mine"),
        "127.0.0.2": has("other"),
        "127.0.0.3": NotSaid("it says REFUSED"),
    }
    world = World(monkeypatch, lambda server, _: said[server], 3)
    assert await world.served.wait_until_served(NAME, "TXT", "mine") == (
        f"TXT of {NAME}: ns2.example.org (127.0.0.2): the record is not there;"
        " ns3.example.org (127.0.0.3): it says REFUSED (waited 0:01:00)"
    )
    assert 50 < world.clock.monotonic() <= 60


async def test_few_of_many_servers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, lambda *_: has(), 8)
    failure = await world.served.wait_until_served(NAME, "TXT", "mine")
    assert failure is not None
    assert failure.count("the record is not there") == 5
    assert "; and 3 more (waited" in failure


async def test_a_record_of_any_type_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7671 §8.1; the value is compared in its one form."""
    world = World(monkeypatch, lambda *_: has(TLSA))
    name = Domain("_25._tcp.example.org")
    assert await world.served.wait_until_served(name, "TLSA", TLSA.upper()) is None
    with pytest.raises(ValueError, match="not the text of a TLSA record"):
        await world.served.wait_until_served(name, "TLSA", "mine")


async def test_a_zone_that_is_not_found_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, lambda *_: has("mine"))
    world.resolver.fail("example.org", "NS")
    failure = await world.served.wait_until_served(NAME, "TXT", "mine")
    assert failure == "NS of example.org: no answer"
    assert world.clock.monotonic() == 0
