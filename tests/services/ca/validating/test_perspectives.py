"""The same look from several places: who is asked when, who may differ, and what is kept.

Baseline Requirements 3.2.2.9, 5.4.1.
"""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.validation.quorums import REGIONS, QuorumRules, count_may_differ
from letterlock.services.ca.validating.perspectives import (
    Corroboration,
    Perspective,
    Perspectives,
)
from tests.services.ca.validating.scene import FixtureBackend, Scene


@dataclass(frozen=True)
class Sight:
    problem: Problem | None


FINE = Sight(None)
WRONG = Sight(Problem("connection", "nobody there"))


def place(number: int) -> Perspective:
    return Scene().perspective(f"p{number}", REGIONS[number % len(REGIONS)])


async def corroborate(
    *sights: Sight, rules: QuorumRules | None = None, asked: list[str] | None = None
) -> Corroboration[Sight]:
    """Let the first see from here and the others from afar."""
    primary, *remotes = (place(number) for number in range(len(sights)))

    async def look(perspective: Perspective) -> Sight:
        if asked is not None:
            asked.append(perspective.name)
        await asyncio.sleep(0)
        return sights[int(perspective.name[1:])]

    return await Perspectives(primary, remotes, rules or QuorumRules()).corroborate(look)


async def test_nobody_else_is_asked_where_it_fails_here() -> None:
    asked: list[str] = []
    found = await corroborate(WRONG, FINE, FINE, asked=asked)
    assert asked == ["p0"]
    assert (found.problem, found.remotes, found.quorum) == (WRONG.problem, (), None)


async def test_remote_perspectives_look_at_once_and_each_is_kept() -> None:
    """Baseline Requirements 5.4.1: every result with its perspective, and the count. Rule 237"""
    asked: list[str] = []
    found = await corroborate(FINE, FINE, WRONG, FINE, FINE, asked=asked)
    assert asked == ["p0", "p1", "p2", "p3", "p4"]
    assert found.problem is None
    assert [(each.perspective, each.seen) for each in found.remotes] == [
        ("p1", FINE),
        ("p2", WRONG),
        ("p3", FINE),
        ("p4", FINE),
    ]
    assert str(found.quorum) == "3/4"
    assert found.primary.region == REGIONS[0]


async def test_remote_looks_do_not_wait_for_each_other() -> None:
    met = asyncio.Barrier(3)

    async def look(perspective: Perspective) -> Sight:
        if perspective.name != "p0":
            await met.wait()
        return FINE

    perspectives = Perspectives(place(0), [place(1), place(2), place(3)], QuorumRules())
    async with asyncio.timeout(60):
        assert (await perspectives.corroborate(look)).problem is None


async def test_too_many_that_differ_are_the_problem() -> None:
    found = await corroborate(FINE, FINE, WRONG, WRONG, FINE)
    assert found.problem == Problem(
        "connection",
        "seen from other places: nobody there (2 of 4 remote perspectives agree: 1 may differ)",
    )


async def test_an_authority_may_do_without_others_or_must_have_them() -> None:
    assert (await corroborate(FINE)).problem is None
    found = await corroborate(FINE, FINE, FINE, rules=QuorumRules(4))
    assert found.problem == Problem(
        "serverInternal", "2 remote perspectives were asked, and at least 4 must be"
    )


def test_perspectives_have_names_of_their_own() -> None:
    with pytest.raises(ValueError, match="one name: p1, p2, p1"):
        Perspectives(place(1), [place(2), place(1)], QuorumRules())


def test_the_primary_perspective_knows_what_dnssec_says() -> None:
    """Baseline Requirements 3.2.2.4, RFC 8657 §5.6: a remote one may do without. Rule 232"""
    here, there = place(0), place(1)
    assert isinstance(there.resolver, FixtureBackend)
    there.resolver.is_trusted = False
    Perspectives(here, [there], QuorumRules())
    Perspectives(there, [here], QuorumRules(), may_lack_dnssec=True)
    with pytest.raises(ValueError, match="p1: the word of a table on DNSSEC does not count"):
        Perspectives(there, [here], QuorumRules())


@given(st.lists(st.booleans(), min_size=1, max_size=9))
async def test_what_the_rules_ask_for_is_what_passes(passes: list[bool]) -> None:
    sights = [FINE if passed else WRONG for passed in passes]
    found = await corroborate(*sights, rules=QuorumRules(min_regions=1))
    differing = passes[1:].count(False)
    is_met = differing <= count_may_differ(len(passes) - 1) and (len(passes) < 3 or any(passes[1:]))
    assert (found.problem is None) is (passes[0] and is_met)


async def test_each_perspective_asks_by_its_own_ways_only() -> None:
    """No answer is shared: what one place is told, another is not believed to have been."""
    places = [Scene() for _ in range(3)]

    async def look(perspective: Perspective) -> Sight:
        await perspective.resolver.ask("a.example", "TXT")  # type: ignore[arg-type]
        return FINE

    first, *others = (
        scene.perspective(f"p{number}", REGIONS[number]) for number, scene in enumerate(places)
    )
    await Perspectives(first, others, QuorumRules()).corroborate(look)
    assert [scene.resolver.asked for scene in places] == [[("a.example", "TXT")]] * 3
