"""A name from its challenge to its CAA records, from all places.

RFC 8555 §8, RFC 8659 §3, RFC 8657 §3, §4; Baseline Requirements 3.2.2.8, 3.2.2.9.
"""

import pytest

from letterlock.protocols.acme.challenges import dns_value
from letterlock.protocols.acme.identifiers import ChallengeType
from letterlock.protocols.acme.validation.quorums import REGIONS, QuorumRules
from letterlock.protocols.caa.rechecks import ProvedName, RecheckRule, find_due, make_issuance
from letterlock.protocols.dns.answers import CaaRecord, Security
from letterlock.services.ca.validating.perspectives import Perspectives
from letterlock.services.ca.validating.validate import Validation, Validator
from tests.fakes import FakeClock
from tests.services.ca.validating.scene import BOUNDS, PROOF, Scene, expect

ISSUERS, ACCOUNTS = ("ca.example",), ("https://ca.example/acct/1",)
LIMITED = CaaRecord(
    0, b"issue", b"ca.example; validationmethods=dns-01; accounturi=https://ca.example/acct/1"
)


def make_places(count: int) -> list[Scene]:
    """Give places from which all is in order."""
    places = [Scene() for _ in range(count)]
    for scene in places:
        scene.resolver.set("example", "CAA")
        scene.resolver.set("a.example", "CAA", LIMITED)
        scene.resolver.set("_acme-challenge.a.example", "TXT", dns_value(PROOF).encode())
    return places


async def validate(
    places: list[Scene], *, name: str = "a.example", accounts: tuple[str, ...] = ACCOUNTS
) -> Validation:
    primary, *remotes = (
        scene.perspective(f"p{number}", REGIONS[number]) for number, scene in enumerate(places)
    )
    perspectives = Perspectives(primary, remotes, QuorumRules(min_remotes=len(remotes)))
    validator = Validator(perspectives, FakeClock(), BOUNDS)
    expected = expect(name, "dns-01")
    issuance = make_issuance(expected.identifier, ISSUERS, accounts, "dns-01")
    return await validator.validate(expected, issuance)


@pytest.mark.parametrize("name", ["a.example", "*.a.example"])
async def test_a_name_that_all_see_alike_is_valid_and_its_look_at_caa_is_kept(name: str) -> None:
    found = await validate(make_places(4), name=name)
    assert found.problem is None
    assert str(found.control.quorum) == "3/3"
    assert found.caa is not None
    assert str(found.caa.quorum) == "3/3"
    expected = expect(name, "dns-01")
    issuance = make_issuance(expected.identifier, ISSUERS, ACCOUNTS, "dns-01")
    proved = ProvedName(expected.identifier, issuance, found.check)
    assert find_due([proved], FakeClock().now(), RecheckRule()) == ()


async def test_caa_is_not_looked_at_where_the_proof_is_missing() -> None:
    places = make_places(4)
    places[0].resolver.set("_acme-challenge.a.example", "TXT", b"other")
    found = await validate(places)
    assert found.problem is not None
    assert found.problem.type == "incorrectResponse"
    assert found.caa is None
    assert found.check is None
    assert all(rdtype != "CAA" for scene in places for _, rdtype in scene.resolver.asked)


async def test_the_proof_and_caa_have_a_quorum_each() -> None:
    """One place may differ about the proof, and another one about CAA. Rule 238"""
    places = make_places(4)
    places[1].resolver.set("_acme-challenge.a.example", "TXT", b"other")
    places[2].resolver.fail("a.example", "CAA")
    assert (await validate(places)).problem is None
    places[3].resolver.fail("a.example", "CAA", Security.BOGUS)
    found = await validate(places)
    assert found.problem is not None
    assert found.problem.type == "dns"
    assert found.control.problem is None
    assert "(1 of 3 remote perspectives agree: 1 may differ)" in found.problem.detail


@pytest.mark.parametrize("accounts", [("https://ca.example/acct/2",), ()])
async def test_caa_is_judged_by_the_account_that_asks(accounts: tuple[str, ...]) -> None:
    """RFC 8657 §3"""
    found = await validate(make_places(1), accounts=accounts)
    assert found.problem is not None
    assert found.problem.type == "caa"
    assert found.problem.detail.startswith("a.example: CAA 0 issue")


async def test_caa_is_judged_by_the_method_that_is_used() -> None:
    """RFC 8657 §4: and by no other."""
    expected = expect("a.example", "dns-01")
    perspectives = Perspectives(make_places(1)[0].perspective(), [], QuorumRules())
    validator = Validator(perspectives, FakeClock(), BOUNDS)
    other: ChallengeType = "http-01"
    issuance = make_issuance(expected.identifier, ISSUERS, ACCOUNTS, other)
    with pytest.raises(ValueError, match="not to be issued by dns-01"):
        await validator.validate(expected, issuance)
    with pytest.raises(ValueError, match="nobody says"):
        await validator.validate(expected, None)


async def test_addresses_have_no_caa() -> None:
    """Baseline Requirements 3.2.2.8"""
    scene = make_places(1)[0]
    validator = Validator(Perspectives(scene.perspective(), [], QuorumRules()), FakeClock(), BOUNDS)
    found = await validator.validate(expect("127.0.0.1", "http-01"), None)
    assert found.caa is None
    assert found.problem is not None
    assert found.problem.type == "connection"
    assert scene.resolver.asked == []
