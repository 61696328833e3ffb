"""CAA at finalize: N names give N looks of their own, and one that is forbidden ends the order."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.base.domains import Domain
from letterlock.protocols.acme.identifiers import ChallengeType, parse_identifier
from letterlock.protocols.caa.decide import CaaDecision
from letterlock.protocols.caa.rechecks import CaaCheck, ProvedName, RecheckRule, make_issuance
from letterlock.protocols.dns.answers import Answer, CaaRecord, Security
from letterlock.services.ca.caa_rechecks import LOOKS_AT_ONCE, CaaRechecker
from letterlock.services.discover.caa import CaaFinder, check_caa
from tests.fakes import FakeClock, FixtureResolver

ISSUERS, ACCOUNTS = ("ca.example",), ("https://ca.example/acct/1",)
ALLOWS = CaaRecord(0, b"issue", b"ca.example")
FORBIDS = CaaRecord(0, b"issue", b"other.example")
HUNDRED = [f"n{number}.example" for number in range(100)]


def proved(
    text: str, clock: FakeClock, age: timedelta | None, method: ChallengeType = "dns-01"
) -> ProvedName:
    identifier = parse_identifier(text)
    issuance = make_issuance(identifier, ISSUERS, ACCOUNTS, method)
    check = None
    if issuance is not None and age is not None:
        check = CaaCheck(issuance, CaaDecision.ALLOW, clock.now() - age)
    return ProvedName(identifier, issuance, check)


def make_resolver(*names: str) -> FixtureResolver:
    resolver = FixtureResolver()
    resolver.set("example", "CAA")
    for name in names:
        resolver.set(name, "CAA", ALLOWS)
    return resolver


def make(
    resolver: FixtureResolver, clock: FakeClock, *, patience: timedelta = timedelta(minutes=2)
) -> CaaRechecker:
    return CaaRechecker(CaaFinder(resolver, clock), clock, RecheckRule(), patience=patience)


async def test_a_hundred_names_that_are_due_are_asked_for_each_by_its_own_name() -> None:
    """Baseline Requirements 3.2.2.8: the test that was missing in 2020. Rule 226"""
    clock, resolver = FakeClock(), make_resolver(*HUNDRED)
    names = [proved(name, clock, timedelta(hours=8)) for name in HUNDRED]
    done = await make(resolver, clock).recheck(names)
    assert done.problem is None
    assert sorted(resolver.asked) == sorted((name, "CAA") for name in HUNDRED)
    assert [str(answer.verdict.issuance) for answer in done.answers] == HUNDRED
    assert all(name.check and name.check.began == clock.now() for name in done.names)
    again = await make(resolver, clock).recheck(done.names)
    assert (again.due, again.problem, len(resolver.asked)) == ((), None, 100)


@pytest.mark.parametrize("forbidden", [0, 1, 50, 98, 99])
async def test_one_record_on_any_of_a_hundred_names_refuses_the_order(forbidden: int) -> None:
    """RFC 8659 §3"""
    clock, resolver = FakeClock(), make_resolver(*HUNDRED)
    resolver.set(HUNDRED[forbidden], "CAA", FORBIDS)
    done = await make(resolver, clock).recheck([proved(name, clock, None) for name in HUNDRED])
    assert done.problem is not None
    assert done.problem.type == "caa"
    assert done.problem.detail.startswith(f"{HUNDRED[forbidden]}: ")


async def test_a_hundred_forbidden_names_are_told_each_once() -> None:
    """RFC 8555 §6.7.1: 100 errors about one name was what the mistake of 2020 looked like."""
    clock, resolver = FakeClock(), make_resolver()
    for name in HUNDRED:
        resolver.set(name, "CAA", FORBIDS)
    done = await make(resolver, clock).recheck([proved(name, clock, None) for name in HUNDRED])
    assert done.problem is not None
    told = [each.identifier.value for each in done.problem.subproblems if each.identifier]
    assert told == HUNDRED


async def test_what_is_young_and_what_is_an_address_is_not_asked_for() -> None:
    clock, resolver = FakeClock(), make_resolver("old.example")
    names = [
        proved("young.example", clock, timedelta(hours=6)),
        proved("old.example", clock, timedelta(hours=7)),
        proved("192.0.2.1", clock, None, "http-01"),
    ]
    done = await make(resolver, clock).recheck(names)
    assert resolver.asked == [("old.example", "CAA")]
    assert done.names[0] is names[0]
    assert done.names[2] is names[2]


async def test_the_method_and_the_account_are_those_of_the_validation() -> None:
    """RFC 8657 §3, §4; rule 225"""
    clock, resolver = FakeClock(), make_resolver()
    limited = b"ca.example; validationmethods=dns-01; accounturi=https://ca.example/acct/1"
    for name in ("dns.example", "http.example"):
        resolver.set(name, "CAA", CaaRecord(0, b"issue", limited))
    names = [
        proved("dns.example", clock, None, "dns-01"),
        proved("http.example", clock, None, "http-01"),
    ]
    done = await make(resolver, clock).recheck(names)
    assert done.problem is not None
    assert done.problem.detail.startswith("http.example: ")
    assert not done.problem.subproblems


@pytest.mark.parametrize("security", [Security.FAILED, Security.BOGUS])
async def test_what_cannot_be_looked_up_refuses(security: Security) -> None:
    """RFC 8659 §6.4: failure is never permission, whatever was known before."""
    clock, resolver = FakeClock(), make_resolver("a.example")
    resolver.fail("b.example", "CAA", security)
    names = [proved(name, clock, timedelta(hours=8)) for name in ("a.example", "b.example")]
    done = await make(resolver, clock).recheck(names)
    assert done.problem is not None
    assert done.problem.type == "dns"
    assert done.problem.detail.startswith("b.example: ")


class SlowResolver(FixtureResolver):
    """Lets time pass with each question, and counts how many wait at once."""

    def __init__(self, clock: FakeClock, step: timedelta) -> None:
        super().__init__()
        self._clock, self._step = clock, step
        self.waiting = self.most = 0

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await asyncio.sleep(0)
        self.waiting -= 1
        self._clock.move(self._step)
        return await super().ask(name, rdtype)


async def test_an_order_is_not_looked_at_for_longer_than_its_time() -> None:
    clock = FakeClock()
    resolver = SlowResolver(clock, timedelta(seconds=1))
    for name in HUNDRED:
        resolver.set(name, "CAA", ALLOWS)
    rechecker = make(resolver, clock, patience=timedelta(seconds=40))
    done = await rechecker.recheck([proved(name, clock, None) for name in HUNDRED])
    assert resolver.most <= LOOKS_AT_ONCE
    assert 40 <= len(resolver.asked) <= 40 + LOOKS_AT_ONCE
    assert done.problem is not None
    assert done.problem.type == "dns"
    assert len(done.problem.subproblems) == 100 - len(resolver.asked)


async def test_looks_that_took_longer_than_they_count_are_not_used() -> None:
    clock = FakeClock()
    resolver = SlowResolver(clock, timedelta(hours=4))
    for name in ("a.example", "b.example"):
        resolver.set(name, "CAA", ALLOWS)
    rechecker = make(resolver, clock, patience=timedelta(days=1))
    done = await rechecker.recheck([proved(n, clock, None) for n in ("a.example", "b.example")])
    assert done.problem is not None
    assert done.problem.type == "serverInternal"


# Any order, any ages, any zones

ZONES = st.dictionaries(
    st.sampled_from([*(f"n{number}.example" for number in range(8)), "example"]),
    st.sampled_from(["allows", "forbids", "failed", "bogus", "wildcards-only", "nobody-else"]),
)
NAMES = st.lists(
    st.sampled_from(
        [f"{asterisk}n{number}.example" for number in range(8) for asterisk in ("", "*.")]
        + ["192.0.2.1"]
    ),
    unique=True,
    max_size=12,
)
RECORDS = {
    "allows": (ALLOWS,),
    "forbids": (FORBIDS,),
    "wildcards-only": (CaaRecord(0, b"issuewild", b"ca.example"), FORBIDS),
    "nobody-else": (ALLOWS, CaaRecord(0, b"issuewild", b";")),
}


@settings(max_examples=150)
@given(NAMES, ZONES, st.lists(st.none() | st.integers(0, 10), min_size=12, max_size=12))
async def test_an_order_passes_where_the_command_would_allow_each_name_that_is_due(
    texts: list[str], zones: dict[str, str], ages: list[int | None]
) -> None:
    """The same decision as `caa check`, for just those names, and never one look for two."""
    clock, resolver = FakeClock(), make_resolver()
    for name, kind in zones.items():
        if kind in RECORDS:
            resolver.set(name, "CAA", *RECORDS[kind])
        else:
            resolver.fail(name, "CAA", Security(kind))
    names = [
        proved(text, clock, timedelta(hours=age) if age is not None else None)
        for text, age in zip(texts, ages, strict=False)
    ]
    done = await make(resolver, clock).recheck(names)
    due = [
        name.issuance
        for name, age in zip(names, ages, strict=False)
        if name.issuance is not None and (age is None or age >= 7)
    ]
    assert [each.issuance for each in done.due] == due
    asked = [name for name, rdtype in resolver.asked if rdtype == "CAA" and name != "example"]
    assert sorted(asked) == sorted(issuance.name for issuance in due)
    alone = [(await check_caa(CaaFinder(resolver, clock), issuance)).verdict for issuance in due]
    assert [answer.verdict for answer in done.answers] == alone
    refused = [str(each.issuance) for each in alone if each.decision is not CaaDecision.ALLOW]
    if done.problem is None:
        assert refused == []
    elif done.problem.subproblems:
        told = [each.identifier.value for each in done.problem.subproblems if each.identifier]
        assert told == refused
    else:
        (only,) = refused
        assert done.problem.detail.startswith(f"{only}: ")
