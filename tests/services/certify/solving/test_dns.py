"""dns-01: records come before the authority is told, and go afterwards."""

from datetime import timedelta
from ipaddress import ip_address

import pytest

from letterlock.base.domains import Domain
from letterlock.network.dns_authority import Served
from letterlock.network.zone_records import ZoneRecord
from letterlock.protocols.acme.challenges import dns_value
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.dns.answers import Answer, Existence, Security, SoaRecord
from letterlock.services.certify.solvers import Proof
from letterlock.services.certify.solving.dns import DnsSolver
from letterlock.services.certify.solving.served import ServedRecords
from letterlock.services.discover import authorities
from letterlock.services.discover.authorities import AuthorityFinder
from tests.fakes import FakeClock, FakeLog, FixtureResolver

NAME = Domain("_acme-challenge.example.org")
TARGET = Domain("example-org.acme.example.net")


class World:
    """One zone with one server that has at once what is changed, unless it is slow for good."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.records: list[ZoneRecord] = []
        self.failure: str | None = None
        self.is_slow = False
        self.log = FakeLog()
        self.resolver = FixtureResolver()
        for zone in ("example.org", "acme.example.net"):
            self.resolver.set(zone, "SOA", SoaRecord(Domain("ns1.example.org"), 1, 60))
            self.resolver.set(zone, "NS", Domain("ns1.example.org"))
        self.resolver.set("ns1.example.org", "A", ip_address("127.0.0.1"))

        async def ask(_server: tuple[str, int], name: Domain, rdtype: str) -> Served:
            found = [each for each in self.records if (each.name, each.rdtype) == (name, rdtype)]
            return Served(frozenset(each.value for each in found if not self.is_slow))

        monkeypatch.setattr(authorities, "ask_authority", ask)
        clock = FakeClock()

        async def pause(seconds: float) -> None:
            clock.move(timedelta(seconds=seconds))

        finder = AuthorityFinder(self.resolver)
        served = ServedRecords(finder, clock, timedelta(minutes=1), pause)
        self.solver = DnsSolver(self, finder, served, self.log)

    async def add(self, record: ZoneRecord) -> str | None:
        if self.failure is None and record not in self.records:
            self.records.append(record)
        return self.failure

    async def remove(self, record: ZoneRecord) -> str | None:
        if self.failure is None and record in self.records:
            self.records.remove(record)
        return self.failure

    @property
    def values(self) -> list[tuple[Domain, str]]:
        return [(each.name, each.value) for each in self.records]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def proof(name: str, token: str = "t") -> Proof:
    return Proof(parse_identifier(name), token, f"{token}.thumbprint")


async def test_a_wildcard_and_its_base_are_two_values_at_one_name(world: World) -> None:
    """RFC 8555 §8.4."""
    base, wildcard = proof("example.org", "one"), proof("*.example.org", "two")
    assert await world.solver.present(base) is None
    assert await world.solver.present(wildcard) is None
    one, two = (dns_value(each.key_authorization) for each in (base, wildcard))
    assert world.values == [(NAME, one), (NAME, two)]
    await world.solver.cleanup(base)
    assert world.values == [(NAME, two)]
    await world.solver.cleanup(wildcard)
    assert world.values == []


async def test_the_record_is_where_an_alias_leads(world: World) -> None:
    """RFC 8555 §8.4 with RFC 1034 §3.6.2: whoever asks for TXT records follows it."""
    answer = Answer(NAME, "TXT", Security.INSECURE, Existence.NXDOMAIN, owner=TARGET)
    world.resolver.put(answer)
    assert await world.solver.present(proof("example.org")) is None
    assert [name for name, _ in world.values] == [TARGET]
    world.is_slow = True
    failure = await world.solver.present(proof("*.example.org", "two"))
    assert failure is not None
    assert failure.startswith(f"TXT of {TARGET}: ns1.example.org (127.0.0.1): the record is not")
    assert failure.endswith(f"(its alias leads to {TARGET})")


async def test_what_two_orders_need_stays_until_both_are_over(world: World) -> None:
    """One authorization, and so one value, may be in two orders (RFC 8555 §7.4)."""
    same = proof("example.org")
    assert await world.solver.present(same) is None
    assert await world.solver.present(same) is None
    await world.solver.cleanup(same)
    assert world.values
    await world.solver.cleanup(same)
    assert world.values == []


async def test_what_is_presented_in_part_is_taken_away(world: World) -> None:
    world.is_slow = True
    failure = await world.solver.present(proof("example.org"))
    assert failure is not None
    assert "the record is not there (waited 0:01:00)" in failure
    assert world.values
    await world.solver.cleanup(proof("example.org"))
    assert world.values == []


async def test_what_goes_wrong_is_told(world: World) -> None:
    world.failure = f"TXT {NAME}: 127.0.0.1:53: REFUSED: no"
    assert await world.solver.present(proof("example.org")) == world.failure
    await world.solver.cleanup(proof("example.org"))
    world.resolver.fail(NAME, "TXT")
    failure = await world.solver.present(proof("example.org", "two"))
    assert failure == f"TXT of {NAME}: no answer"
    assert world.log.texts == []


async def test_a_record_that_is_left_behind_is_logged(world: World) -> None:
    assert await world.solver.present(proof("example.org")) is None
    world.failure = "no"
    await world.solver.cleanup(proof("example.org"))
    assert world.log.texts == ["warning: a record of dns-01 is left behind: no"]


async def test_what_was_never_presented_needs_no_cleaning(world: World) -> None:
    world.failure = "would be told"
    await world.solver.cleanup(proof("example.org"))
    assert world.log.texts == []
