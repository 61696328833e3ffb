"""Climbing for CAA records: which questions are asked, and what becomes of failures."""

import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import dns.flags
import dns.message
import dns.rcode
import pytest

from letterlock.base.domains import Domain
from letterlock.network.dns_cache import CachingResolver
from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.caa.relevant import LookupFailed, NoRecords, RecordSet
from letterlock.protocols.dns.answers import Answer, CaaRecord, Existence, Security
from letterlock.services.discover.caa import CaaFacts, CaaFinder
from tests.fakes import FakeClock, FixtureResolver
from tests.network.test_dns import framed, make_resolver, responding

NAME = Domain("a.b.example")
ISSUE = CaaRecord(0, b"issue", b"ca.example")
SECURE, INSECURE = Security.SECURE, Security.INSECURE
FAILED, BOGUS = Security.FAILED, Security.BOGUS


@pytest.fixture
def resolver() -> FixtureResolver:
    """Give DNS with a name and what is above it, without CAA records."""
    resolver = FixtureResolver()
    for name in ("a.b.example", "b.example", "example"):
        resolver.set(name, "CAA", security=SECURE)
        resolver.set(name, "SOA", security=SECURE)
    return resolver


async def find(
    resolver: FixtureResolver, name: Domain = NAME, *, may_lack_top: bool = False
) -> CaaFacts:
    return await CaaFinder(resolver, FakeClock(), may_lack_top=may_lack_top).find(name)


def asked(resolver: FixtureResolver, rdtype: str = "CAA") -> list[str]:
    return [name for name, each in resolver.asked if each == rdtype]


async def test_every_name_up_to_the_top_level_domain_is_asked_for(
    resolver: FixtureResolver,
) -> None:
    """RFC 8659 §3: and never the root. Rule 158"""
    facts = await find(resolver)
    assert facts.relevant == NoRecords(NAME, SECURE)
    assert [answer.name for answer in facts.lookups] == ["a.b.example", "b.example", "example"]
    assert resolver.asked == [(name, "CAA") for name in ("a.b.example", "b.example", "example")]


async def test_nothing_is_asked_above_the_first_set(resolver: FixtureResolver) -> None:
    """RFC 8659 §3: a failure there does not matter. Rules 158 and 161"""
    resolver.set("b.example", "CAA", ISSUE)
    resolver.fail("example", "CAA")
    facts = await find(resolver)
    assert facts.relevant == RecordSet(
        NAME, Domain("b.example"), (ISSUE,), INSECURE, 60, Domain("b.example")
    )
    assert asked(resolver) == ["a.b.example", "b.example"]


async def test_names_that_do_not_exist_are_climbed_over() -> None:
    """RFC 8659 §3; rule 160"""
    resolver = FixtureResolver()
    resolver.set("example", "CAA", ISSUE, security=SECURE)
    facts = await find(resolver)
    assert [answer.existence for answer in facts.lookups] == [
        Existence.NXDOMAIN,
        Existence.NXDOMAIN,
        Existence.RECORDS,
    ]
    assert isinstance(facts.relevant, RecordSet)


async def test_a_top_level_domain_that_does_not_exist_is_a_failure_unless_names_are_private() -> (
    None
):
    """RFC 8659 §3; rule 160"""
    name = Domain("mail.corp")
    facts = await find(FixtureResolver(), name)
    assert facts.relevant == LookupFailed(
        name, Domain("corp"), FAILED, "there is no such top-level domain"
    )
    private = await find(FixtureResolver(), name, may_lack_top=True)
    assert private.relevant == NoRecords(name, INSECURE)


@pytest.mark.parametrize("security", [FAILED, BOGUS])
@pytest.mark.parametrize("at", ["a.b.example", "b.example", "example"])
async def test_a_failure_ends_the_climb_and_names_where(
    resolver: FixtureResolver, security: Security, at: str
) -> None:
    """RFC 8659 §3, §6.4: never taken for no records, whatever stands above it. Rule 161"""
    resolver.fail(at, "CAA", security)
    facts = await find(resolver)
    assert isinstance(facts.relevant, LookupFailed)
    assert (facts.relevant.at, facts.relevant.security) == (at, security)
    assert asked(resolver)[-1] == at
    assert not facts.is_zone_unsigned


# What an authority might take for permission, and nothing here does: Baseline Requirements 3.2.2.8


@pytest.mark.parametrize(
    ("states", "is_unsigned"),
    [
        ((INSECURE, SECURE, SECURE), True),
        ((INSECURE, INSECURE, SECURE), True),
        ((FAILED, INSECURE, SECURE), True),
        ((INSECURE, FAILED, SECURE), True),
        ((SECURE, SECURE, SECURE), False),
        ((FAILED, SECURE, SECURE), False),
        ((FAILED, FAILED, SECURE), False),
        ((FAILED, FAILED, FAILED), False),
        ((INSECURE, INSECURE, INSECURE), False),
        ((INSECURE, INSECURE, FAILED), False),
        ((INSECURE, BOGUS, SECURE), False),
        ((BOGUS, INSECURE, SECURE), False),
    ],
)
async def test_a_zone_is_proved_unsigned_by_an_insecure_answer_below_a_secure_one(
    resolver: FixtureResolver, states: tuple[Security, ...], is_unsigned: bool
) -> None:
    """RFC 4035 §4.3"""
    resolver.fail(NAME, "CAA")
    for name, state in zip(("a.b.example", "b.example", "example"), states, strict=True):
        resolver.put(Answer(Domain(name), "SOA", state))
    facts = await find(resolver)
    assert isinstance(facts.relevant, LookupFailed)
    assert facts.is_zone_unsigned is is_unsigned


async def test_nothing_is_proved_about_a_bogus_zone(resolver: FixtureResolver) -> None:
    """RFC 8659 §6.4"""
    resolver.fail(NAME, "CAA", BOGUS)
    assert not (await find(resolver)).is_zone_unsigned
    assert asked(resolver, "SOA") == []


# Bounds


class SlowResolver:
    """Lets time pass with every question."""

    def __init__(self, clock: FakeClock, step: timedelta) -> None:
        self._clock = clock
        self._step = step
        self.asked = 0

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        self.asked += 1
        self._clock.move(self._step)
        return Answer(name, rdtype, SECURE, Existence.NODATA)


async def test_a_long_name_is_not_climbed_longer_than_its_time() -> None:
    clock = FakeClock()
    slow = SlowResolver(clock, timedelta(seconds=10))
    name = Domain(".".join("a" * 127))
    facts = await CaaFinder(slow, clock, patience=timedelta(seconds=30)).find(name)
    assert slow.asked == 3
    assert isinstance(facts.relevant, LookupFailed)
    assert facts.relevant.reason == "the time for this name has run out"
    assert facts.relevant.at.count(".") == 123


async def test_a_parent_of_many_names_is_asked_for_once(resolver: FixtureResolver) -> None:
    """By the resolver that keeps answers, for their TTL."""
    clock = FakeClock()
    resolver.set("example", "CAA", ISSUE)
    resolver.set("b.example", "TXT", b"")
    finder = CaaFinder(CachingResolver(resolver, clock), clock)
    resolver.put(Answer(Domain("b.example"), "CAA", SECURE, Existence.NODATA, ttl=30))
    for number in range(5):
        await finder.find(Domain(f"n{number}.b.example"))
    assert asked(resolver).count("b.example") == asked(resolver).count("example") == 1
    clock.move(timedelta(seconds=31))
    await finder.find(Domain("n5.b.example"))
    assert asked(resolver).count("b.example") == 2
    assert asked(resolver).count("example") == 1


# Over the wire

ZONES = {
    "example": """
        @            NS    ns
        big          CAA   0 issue "ca.example"
        alias        CNAME big.example.
        to-nothing   CNAME nothing.example.
        to-plain     CNAME plain.other.example.
        x.ent        A     192.0.2.1
        set          CAA   0 issue ";"
        below.set    A     192.0.2.1
        odd          CAA   128 tbs "Unknown"
        odd          CAA   0 ISSUE "CA.example"
    """,
    "other.example": '@ CAA 0 issue "other.example"\nplain A 192.0.2.1',
}


@asynccontextmanager
async def over_the_wire(zones: dict[str, str]) -> AsyncIterator[CaaFinder]:
    server = ZoneServer(zones)
    address = await server.start()
    yield CaaFinder(make_resolver(address), FakeClock())
    await server.close()


@pytest.mark.parametrize(
    ("name", "found_at", "values"),
    [
        ("big.example", "big.example", [b"ca.example"]),
        ("x.big.example", "big.example", [b"ca.example"]),
        # RFC 8659 §3: aliases are followed; §7: what is above their targets does not count.
        ("alias.example", "alias.example", [b"ca.example"]),
        ("x.alias.example", "alias.example", [b"ca.example"]),
        ("to-plain.example", None, []),
        ("to-nothing.example", None, []),
        # RFC 8659 §3: an empty name in between has nothing, and what is above it counts.
        ("ent.example", None, []),
        ("x.ent.example", None, []),
        ("below.set.example", "set.example", [b";"]),
        ("odd.example", "odd.example", [b"CA.example", b"Unknown"]),
        ("nothing.example", None, []),
    ],
)
async def test_records_are_found_over_the_wire(
    name: str, found_at: str | None, values: list[bytes]
) -> None:
    """RFC 8659 §3, §7; rules 159 and 160"""
    async with over_the_wire(ZONES) as finder:
        relevant = (await finder.find(Domain(name))).relevant
    if found_at is None:
        assert relevant == NoRecords(Domain(name), INSECURE)
    else:
        assert isinstance(relevant, RecordSet)
        assert relevant.found_at == found_at
        assert [record.value for record in relevant.records] == values


async def test_a_set_too_large_for_udp_comes_whole_by_tcp() -> None:
    """RFC 2181 §9: a truncated set is never used; the record that forbids is behind the limit.

    Rule 163.
    """
    lines = [f'big CAA 0 issue "ca{number}.{"a" * 60}.example"' for number in range(100)]
    zones = {"example": "\n".join([*lines, 'big CAA 128 zzz "forbids"'])}
    async with over_the_wire(zones) as finder:
        relevant = (await finder.find(Domain("big.example"))).relevant
    assert isinstance(relevant, RecordSet)
    assert len(relevant.records) == 101
    assert CaaRecord(128, b"zzz", b"forbids") in relevant.records


Reply = Callable[[dns.message.Message], bytes]


def raw(*rdatas: bytes) -> Reply:
    """Give a server's answer with records that dnspython would not write."""

    def answer(query: dns.message.Message) -> bytes:
        response = bytearray(dns.message.make_response(query).to_wire())
        response[7] = len(rdatas)
        position = 12 + len(query.question[0].name.to_wire() or b"") + 4
        records = b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", 257, 1, 60, len(rdata)) + rdata for rdata in rdatas
        )
        return bytes(response[:position] + records + response[position:])

    return answer


def refuse(rcode: dns.rcode.Rcode) -> Reply:
    def answer(query: dns.message.Message) -> bytes:
        response = dns.message.make_response(query)
        response.set_rcode(rcode)
        return response.to_wire()

    return answer


def truncate(query: dns.message.Message) -> bytes:
    response = dns.message.make_response(query)
    response.flags |= dns.flags.TC
    return response.to_wire()


def drop_qr(query: dns.message.Message) -> bytes:
    """RFC 8659 §6.2: at least one server answers so."""
    return query.to_wire()


async def find_from(by_udp: Reply, by_tcp: Reply | None = None) -> Answer:
    """Let a server answer everything so; gives the first lookup."""

    def answer_udp(query: dns.message.Message) -> list[bytes]:
        return [by_udp(query)]

    def answer_tcp(query: dns.message.Message) -> list[bytes]:
        return [framed(by_tcp(query))] if by_tcp else []

    async with responding(answer_udp, answer_tcp) as (_, address):
        finder = CaaFinder(make_resolver(address), FakeClock())
        facts = await finder.find(Domain("example"))
    assert isinstance(facts.relevant, LookupFailed), facts
    return facts.lookups[0]


@pytest.mark.parametrize(
    "by_udp",
    [
        refuse(dns.rcode.SERVFAIL),
        refuse(dns.rcode.REFUSED),
        refuse(dns.rcode.NOTIMP),
        refuse(dns.rcode.FORMERR),
        drop_qr,
        raw(b""),
        raw(b"\0"),
        raw(b"\0\5issueca.example", b"\0\xffissue"),
        truncate,
    ],
)
async def test_what_is_no_answer_is_a_failure(by_udp: Reply) -> None:
    """RFC 8659 §6.1, §6.2, RFC 2181 §9: refusals, malformed and truncated responses

    Rules 163 and 165.
    """
    assert (await find_from(by_udp)).security in (FAILED, BOGUS)


async def test_a_response_truncated_by_tcp_too_is_a_failure() -> None:
    """RFC 2181 §9; rule 163"""
    assert (await find_from(truncate, truncate)).security is FAILED
