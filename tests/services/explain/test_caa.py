"""Many names checked for CAA: in order, few at a time, each by its own lookups."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.caa.decide import CaaDecision, Issuance
from letterlock.protocols.dns.answers import Answer, CaaRecord, Security
from letterlock.services.discover.caa import CaaAnswer, CaaFinder
from letterlock.services.explain.caa import NAMES_AT_ONCE, check_all, describe_answer
from tests.fakes import FakeClock, FixtureResolver


class HeldResolver(FixtureResolver):
    """Holds every answer back until it is let, and counts who waits."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = asyncio.Event()
        self.waiting = 0
        self.most = 0
        self.is_full = asyncio.Event()

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        if self.waiting == NAMES_AT_ONCE:
            self.is_full.set()
        await self.may_answer.wait()
        self.waiting -= 1
        return await super().ask(name, rdtype)


def issuances(count: int) -> Iterator[Issuance]:
    for number in range(count):
        name = Domain(f"n{number}.example")
        yield Issuance(name, is_wildcard=False, issuers=("ca.example",))


async def test_answers_come_in_order_and_few_names_are_looked_up_at_a_time() -> None:
    resolver = HeldResolver()
    resolver.set("example", "CAA")
    resolver.set("n70.example", "CAA", CaaRecord(0, b"issue", b";"))
    taken: list[Issuance] = []
    told: list[CaaAnswer] = []

    def take() -> Iterator[Issuance]:
        for issuance in issuances(150):
            taken.append(issuance)
            yield issuance

    checking = asyncio.ensure_future(
        check_all(CaaFinder(resolver, FakeClock()), take(), told.append)
    )
    await resolver.is_full.wait()
    assert len(taken) == NAMES_AT_ONCE + 1
    resolver.may_answer.set()
    await checking
    assert resolver.most == NAMES_AT_ONCE
    names = [answer.verdict.issuance.name for answer in told]
    assert names == [f"n{number}.example" for number in range(150)]
    denied = [answer for answer in told if answer.verdict.decision is CaaDecision.DENY]
    assert [answer.verdict.issuance.name for answer in denied] == ["n70.example"]


async def test_what_cannot_be_told_ends_the_checking() -> None:
    resolver = HeldResolver()
    resolver.may_answer.set()

    def refuse(_: CaaAnswer) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await check_all(CaaFinder(resolver, FakeClock()), issuances(100), refuse)
    assert len({name for name, _ in resolver.asked}) <= NAMES_AT_ONCE + 2


async def describe(resolver: FixtureResolver) -> dict[str, object]:
    told: list[CaaAnswer] = []
    await check_all(CaaFinder(resolver, FakeClock()), issuances(1), told.append)
    (answer,) = told
    return describe_answer(answer)


async def test_a_failure_is_described_with_where_it_was() -> None:
    """RFC 8659 §3; Baseline Requirements 3.2.2.8"""
    resolver = FixtureResolver()
    resolver.fail("n0.example", "CAA")
    resolver.set("n0.example", "SOA")
    resolver.set("example", "SOA", security=Security.SECURE)
    document = await describe(resolver)
    assert document["decision"] == "error"
    assert (document["failed_at"], document["found_at"]) == ("n0.example", None)
    assert document["unsigned_zone"] is True
    assert document["dnssec"] == "failed"
    assert document["lookups"] == [
        {
            "name": "n0.example",
            "dnssec": "failed",
            "existence": None,
            "records": 0,
            "aliases": [],
            "ttl": None,
            "reason": "no answer",
        }
    ]


async def test_a_wildcard_is_looked_up_from_the_name_without_its_asterisk() -> None:
    """RFC 8659 §3, §4.3: what is at the asterisk and below the name does not count. Rule 171"""
    resolver = FixtureResolver()
    resolver.set("example", "CAA")
    resolver.set("n0.example", "CAA", CaaRecord(0, b"issuewild", b"ca.example"))
    for name in ("*.n0.example", "below.n0.example"):
        resolver.set(name, "CAA", CaaRecord(0, b"issue", b";"))
    (issuance,) = issuances(1)
    told: list[CaaAnswer] = []
    wildcard = replace(issuance, is_wildcard=True)
    await check_all(CaaFinder(resolver, FakeClock()), [wildcard], told.append)
    assert told[0].verdict.decision is CaaDecision.ALLOW
    assert resolver.asked == [("n0.example", "CAA")]


async def test_odd_octets_are_described_readably() -> None:
    """RFC 8659 §4.1"""
    resolver = FixtureResolver()
    resolver.set("n0.example", "CAA", CaaRecord(0, b"a\xff", b"x\xfe\n"))
    document = await describe(resolver)
    assert document["record"] == {"flags": 0, "tag": "a\\xff", "value": "x\\xfe\n"}
    assert (document["decision"], document["cause"]) == ("error", "malformed-tag")
