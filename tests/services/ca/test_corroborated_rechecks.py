"""CAA again before a signature, from everywhere.

Baseline Requirements 3.2.2.8, 3.2.2.9; RFC 8659 §3.
"""

import pytest

from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.validation.quorums import REGIONS, QuorumRules
from letterlock.protocols.caa.rechecks import ProvedName, RecheckRule, make_issuance
from letterlock.protocols.dns.answers import CaaRecord, Security
from letterlock.services.ca.audit_entries import describe_recheck
from letterlock.services.ca.caa_rechecks import CaaRechecker, Rechecked
from letterlock.services.ca.corroborated_rechecks import CorroboratedRechecker
from letterlock.services.ca.validating.perspectives import Perspectives
from letterlock.services.discover.caa import CaaFinder
from tests.fakes import FakeClock
from tests.services.ca.validating.scene import Scene

NAMES = ("a.example", "b.example", "*.c.example")
ALLOWS, FORBIDS = (CaaRecord(0, b"issue", each) for each in (b"ca.example", b"other.example"))


def make_places(count: int) -> list[Scene]:
    places = [Scene() for _ in range(count)]
    for scene in places:
        scene.resolver.set("example", "CAA")
        for name in NAMES:
            scene.resolver.set(name.removeprefix("*."), "CAA", ALLOWS)
    return places


async def recheck(places: list[Scene], *names: str) -> Rechecked:
    clock = FakeClock()
    primary, *remotes = (
        scene.perspective(f"p{number}", REGIONS[number]) for number, scene in enumerate(places)
    )
    perspectives = Perspectives(primary, remotes, QuorumRules(len(remotes)))
    inner = CaaRechecker(CaaFinder(primary.resolver, clock), clock, RecheckRule())
    rechecker = CorroboratedRechecker(inner, perspectives, clock)
    identifiers = [parse_identifier(name) for name in names or NAMES]
    return await rechecker.recheck(
        [
            ProvedName(each, make_issuance(each, ("ca.example",), ("https://x/1",), "dns-01"))
            for each in identifiers
        ]
    )


async def test_what_all_see_alike_is_issued_and_every_look_is_logged() -> None:
    """Rule 238"""
    places = make_places(3)
    found = await recheck(places)
    assert found.problem is None
    assert len(found.remotes) == 2 * len(NAMES)
    for scene in places:
        asked = {name for name, rdtype in scene.resolver.asked if rdtype == "CAA"}
        assert asked >= {"a.example", "b.example", "c.example"}
    logged = describe_recheck("an-order", found)
    seen = [(each.name, each.perspective) for each in logged.looks]
    assert set(seen) == {(name, place) for name in NAMES for place in (None, "p1", "p2")}
    assert len(seen) == len(set(seen))


async def test_one_of_two_to_five_may_see_otherwise() -> None:
    places = make_places(4)
    places[1].resolver.set("a.example", "CAA", FORBIDS)
    assert (await recheck(places)).problem is None
    places[2].resolver.set("a.example", "CAA", FORBIDS)
    found = await recheck(places)
    assert found.problem is not None
    assert found.problem.type == "caa"
    assert found.problem.detail.startswith("a.example: seen from other places: ")


async def test_several_names_have_a_problem_each_and_none_has_two() -> None:
    """RFC 8555 §6.7.1; what forbids and what is not known are told apart."""
    places = make_places(3)
    for scene in places[1:]:
        scene.resolver.set("a.example", "CAA", FORBIDS)
        scene.resolver.fail("c.example", "CAA", Security.BOGUS)
    found = await recheck(places)
    assert found.problem is not None
    assert found.problem.type == "compound"
    assert [(str(each.identifier), each.type) for each in found.problem.subproblems] == [
        ("a.example", "caa"),
        ("*.c.example", "dns"),
    ]


@pytest.mark.parametrize("names", [("a.example",), NAMES])
async def test_what_is_forbidden_here_is_asked_nowhere_else(names: tuple[str, ...]) -> None:
    places = make_places(3)
    places[0].resolver.set("a.example", "CAA", FORBIDS)
    found = await recheck(places, *names)
    assert found.problem is not None
    assert found.remotes == ()
    assert places[1].resolver.asked == []
