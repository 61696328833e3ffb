"""RFC 7671 §8.1, RFC 7672 §2.2.3: our TLSA records as each server of the zone has them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address

from letterlock.base.domains import Domain
from letterlock.network.zone_records import ZoneRecord
from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.dns.answers import (
    Answer,
    Existence,
    Security,
    SoaRecord,
)
from letterlock.services.certify.rollover import PublishedTlsa
from letterlock.services.certify.tlsa_zone import TTL, OwnTlsaRecords
from letterlock.services.discover.authorities import AuthorityFinder
from letterlock.services.publish.records import make_tlsa
from tests.fakes import FixtureResolver

NAME = "mx1.example.org"
BASE = Domain(f"_25._tcp.{NAME}")
ALIASED = Domain("_25._tcp.mx2.example.org")
ONE, OTHER = make_tlsa(b"1" * 32), make_tlsa(b"2" * 32)
HEAD = "@ SOA ns1 hostmaster 1 60 60 60 60\n@ NS ns1\n@ NS ns2\nns1 A 127.0.0.1\nns2 A 127.0.0.2\n"


@dataclass
class FakeChanger:
    """Notes changes."""

    done: list[tuple[str, ZoneRecord]] = field(default_factory=list)

    async def add(self, record: ZoneRecord) -> str | None:
        self.done.append(("add", record))
        return None

    async def remove(self, record: ZoneRecord) -> str | None:
        self.done.append(("remove", record))
        return "REFUSED"


@dataclass
class World:
    """A zone at two servers, and the resolver that leads there."""

    first: ZoneServer
    second: ZoneServer
    resolver: FixtureResolver
    port: int
    changer: FakeChanger = field(default_factory=FakeChanger)

    def records(self, *, is_ours: bool = True) -> OwnTlsaRecords:
        finder = AuthorityFinder(self.resolver, self.port)
        return OwnTlsaRecords(self.resolver, finder, self.changer if is_ours else None)


@asynccontextmanager
async def making_world() -> AsyncIterator[World]:
    first, second = ZoneServer({"example.org": HEAD}), ZoneServer({"example.org": HEAD})
    _, port = await first.start("127.0.0.1")
    await second.start("127.0.0.2", port)
    resolver = FixtureResolver()
    zone = Domain("example.org")
    resolver.set(zone, "SOA", SoaRecord(Domain("ns1.example.org"), 1, 60))
    resolver.set(zone, "NS", Domain("ns1.example.org"), Domain("ns2.example.org"))
    resolver.set("ns1.example.org", "A", ip_address("127.0.0.1"))
    resolver.set("ns2.example.org", "A", ip_address("127.0.0.2"))
    for name in (NAME, "mx2.example.org", "_tcp.mx1.example.org", "_tcp.mx2.example.org", BASE):
        resolver.set(name, "SOA")
    resolver.set(BASE, "TLSA")
    try:
        yield World(first, second, resolver, port)
    finally:
        await first.close()
        await second.close()


async def test_what_every_server_has_is_told_from_what_some_have() -> None:
    async with making_world() as world:
        world.first.set(BASE, "TLSA", str(ONE), str(OTHER), ttl=300)
        world.second.set(BASE, "TLSA", str(ONE), ttl=60)
        seen = await world.records().look(NAME)
        both = frozenset((ONE, OTHER))
        assert seen == PublishedTlsa(BASE, frozenset((ONE,)), both, timedelta(seconds=300))


async def test_a_server_that_does_not_answer_is_a_doubt_and_no_mismatch() -> None:
    async with making_world() as world:
        world.first.set(BASE, "TLSA", str(ONE))
        world.second.fail(BASE, "REFUSED")
        seen = await world.records().look(NAME)
        assert seen.everywhere == seen.anywhere == {ONE}
        assert "ns2.example.org" in seen.doubt
        assert not seen.fault


async def test_where_no_server_can_be_asked_the_resolver_has_to_do() -> None:
    async with making_world() as world:
        for server in (world.first, world.second):
            server.fail(BASE, "REFUSED")
        world.resolver.set(BASE, "TLSA", ONE, security=Security.SECURE)
        seen = await world.records().look(NAME)
        assert seen.everywhere == seen.anywhere == {ONE}
        assert seen.doubt
        assert not seen.fault


async def test_a_resolver_that_says_nothing_leaves_all_unknown() -> None:
    async with making_world() as world:
        world.resolver.fail(BASE, "TLSA")
        seen = await world.records().look(NAME)
        assert seen.fault
        assert not seen.anywhere


async def test_an_alias_is_followed_in_looks_and_in_changes() -> None:
    async with making_world() as world:
        world.resolver.put(
            Answer(ALIASED, "TLSA", Security.SECURE, Existence.NODATA, owner=BASE, ttl=60)
        )
        world.first.set(BASE, "TLSA", str(ONE))
        world.second.set(BASE, "TLSA", str(ONE))
        records = world.records()
        assert (await records.look("mx2.example.org")).everywhere == {ONE}
        assert await records.add("mx2.example.org", OTHER) is None
        assert await records.remove("mx2.example.org", ONE) == "REFUSED"
        seconds = int(TTL.total_seconds())
        assert world.changer.done == [
            ("add", ZoneRecord(BASE, "TLSA", str(OTHER), seconds)),
            ("remove", ZoneRecord(BASE, "TLSA", str(ONE), seconds)),
        ]


async def test_what_is_no_mx_host_has_no_records() -> None:
    async with making_world() as world:
        records = world.records()
        for name in ("*.example.org", "192.0.2.1", "2001:db8::1"):
            assert await records.look(name) == PublishedTlsa("")
            assert "not ours to change" in (await records.add(name, ONE) or "")


async def test_without_a_changer_the_operator_changes_them() -> None:
    async with making_world() as world:
        assert world.records().is_ours_to_change
        records = world.records(is_ours=False)
        assert not records.is_ours_to_change
        assert "not ours to change" in (await records.remove(NAME, ONE) or "")
