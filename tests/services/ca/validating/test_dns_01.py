"""dns-01 through resolvers: what proves a name, and what does not.

RFC 8555 §8.4; Baseline Requirements 3.2.2.4.7.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain
from letterlock.network.dns import Backend
from letterlock.network.dns_cache import CachingResolver
from letterlock.network.libunbound import LibunboundResolver
from letterlock.network.zone_server import ZoneServer
from letterlock.network.zone_signing import make_key
from letterlock.protocols.acme.challenges import dns_value
from letterlock.protocols.acme.validation.proofs import Expected
from letterlock.protocols.dns.answers import Security
from letterlock.services.ca.validating.hosts import ValidationBounds
from letterlock.services.ca.validating.looks import look_at_challenge
from letterlock.services.ca.validating.outcomes import Looked
from letterlock.services.ca.validating.perspectives import Perspective
from tests.dnssec_lab.lab import require_libunbound
from tests.dnssec_lab.test_answers import Asking, asking
from tests.dnssec_lab.zones import KEY_AUTHORIZATION
from tests.fakes import FakeClock
from tests.network.test_dns import make_resolver
from tests.services.ca.validating.scene import BOUNDS, PROOF, Scene, expect

__all__ = ["asking"]  # a fixture

VALUE = dns_value(PROOF)
OWNER = "_acme-challenge.a.example"


async def look(scene: Scene, name: str = "a.example") -> Looked:
    return await look_at_challenge(expect(name, "dns-01"), scene.perspective(), BOUNDS)


@pytest.mark.parametrize("name", ["a.example", "*.a.example"])
@pytest.mark.parametrize("others", [[], [b"stale"], [b"", b"x" * 3000]])
async def test_one_record_of_several_proves_a_name_and_its_wildcard(
    name: str, others: list[bytes]
) -> None:
    scene = Scene()
    scene.resolver.set(OWNER, "TXT", *others, VALUE.encode(), security=Security.SECURE)
    looked = await look(scene, name)
    assert looked.is_passed
    assert scene.resolver.asked == [(OWNER, "TXT")]
    assert looked.steps == (f"{OWNER} TXT: {len(others) + 1} records (secure)",)
    assert scene.dialer.dialed == []


@pytest.mark.parametrize(
    ("security", "problem"),
    [
        (Security.BOGUS, f"dns: {OWNER} TXT: DNSSEC validation failed: DNSSEC validation failed"),
        (Security.FAILED, f"dns: {OWNER} TXT: no answer"),
    ],
)
async def test_what_cannot_be_looked_up_proves_nothing(security: Security, problem: str) -> None:
    """Baseline Requirements 3.2.2.4: bogus answers are failures."""
    scene = Scene()
    scene.resolver.fail(OWNER, "TXT", security)
    looked = await look(scene)
    assert looked.problem is not None
    assert f"{looked.problem.type}: {looked.problem.detail}" == problem


async def test_what_is_there_instead_is_told() -> None:
    """RFC 8555 §6.7"""
    scene = Scene()
    looked = await look(scene)
    assert looked.problem is not None
    assert looked.problem.type == "incorrectResponse"
    assert looked.problem.detail == f"{OWNER}: there is no TXT record; wanted is {VALUE!r}"
    scene.resolver.set(OWNER, "TXT", b"\x1b[2J\r\n<b>", b"\xffother")
    looked = await look(scene)
    assert looked.problem is not None
    assert "'\\x1b[2J\\r\\n<b>' and 1 more" in looked.problem.detail
    assert looked.problem.detail.isprintable()


async def test_a_name_too_long_for_its_record_cannot_be_proved() -> None:
    scene = Scene()
    looked = await look(scene, ".".join(["a" * 60] * 4))
    assert looked.problem is not None
    assert looked.problem.type == "dns"
    assert scene.resolver.asked == []


async def test_addresses_are_not_proved_by_dns_01() -> None:
    """RFC 8738 §7"""
    scene = Scene()
    looked = await look(scene, "192.0.2.1")
    assert looked.problem is not None
    assert looked.problem.detail == "192.0.2.1 cannot be proved by dns-01"
    assert scene.resolver.asked == []


class HangingBackend:
    """Never answers."""

    address = "nobody"
    is_trusted = True

    async def ask(self, name: Domain, rdtype: str) -> None:
        del name, rdtype
        await asyncio.Event().wait()


async def test_a_resolver_that_hangs_costs_the_time_that_it_may() -> None:
    backend = cast("Backend", HangingBackend())
    here = Perspective("here", "ARIN", backend, Scene().dialer)
    bounds = replace(BOUNDS, seconds=0.1)
    looked = await look_at_challenge(expect("a.example", "dns-01"), here, bounds)
    assert looked.problem is not None
    assert looked.problem.type == "dns"
    assert looked.problem.detail == "a.example: no proof within 0.1 seconds"


# Over the wire

ZONES = {
    "a.example": f"""
        _acme-challenge    CNAME a.proofs.example.
        _acme-challenge.in TXT   "stale"
        _acme-challenge.in TXT   "{VALUE[:20]}" "{VALUE[20:]}"
    """,
    "proofs.example": f'a TXT "{VALUE}"',
}


@asynccontextmanager
async def over_the_wire() -> AsyncIterator[tuple[ZoneServer, Perspective]]:
    server = ZoneServer(ZONES)
    address = await server.start()
    yield server, Perspective("here", "ARIN", make_resolver(address), Scene().dialer)
    await server.close()


@pytest.mark.parametrize("name", ["a.example", "in.a.example"])
async def test_aliases_are_followed_and_pieces_joined(name: str) -> None:
    """RFC 8555 §8.4: so a zone can be delegated to who proves. Rule 231"""
    async with over_the_wire() as (_, here):
        looked = await look_at_challenge(expect(name, "dns-01"), here, BOUNDS)
    assert looked.is_passed, looked
    (lookup,) = looked.lookups
    assert [link.target for link in lookup.cnames] == (
        ["a.proofs.example"] if name == "a.example" else []
    )


async def test_who_looked_too_early_sees_the_record_in_the_next_try() -> None:
    """No negative answer is kept; one that is would hide the record for 60 s. Rule 231"""
    async with over_the_wire() as (server, here):
        server.set("_acme-challenge.late.a.example", "TXT")
        expected = expect("late.a.example", "dns-01")
        caching = CachingResolver(here.resolver, FakeClock())
        keeps = replace(here, resolver=cast("Backend", caching))
        for perspective in (here, keeps):
            assert not (await look_at_challenge(expected, perspective, BOUNDS)).is_passed
        server.set("_acme-challenge.late.a.example", "TXT", f'"{VALUE}"')
        assert (await look_at_challenge(expected, here, BOUNDS)).is_passed
        assert not (await look_at_challenge(expected, keeps, BOUNDS)).is_passed


# By real validating resolvers


@pytest.mark.peer("nsd", "unbound", "ldns")
@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("nsec3.example", Security.SECURE),
        ("unsigned.example", Security.INSECURE),
        ("island.example", Security.INSECURE),
        ("to-unsigned.secure.example", Security.INSECURE),
        ("bogus.example", "dns"),
        ("expired.example", "dns"),
        ("wrong-ds.example", "dns"),
        ("to-bogus.secure.example", "dns"),
        ("lame.example", "dns"),
        ("secure.example", "incorrectResponse"),
    ],
)
async def test_forged_records_prove_nothing(
    asking: Asking, name: str, outcome: Security | str
) -> None:
    """Baseline Requirements 3.2.2.4: DNSSEC validation up to the root. Rule 232"""
    expected = replace(expect(name, "dns-01"), key_authorization=KEY_AUTHORIZATION)
    with asking() as resolver:
        here = Perspective("here", "ARIN", cast("Backend", resolver), Scene().dialer)
        looked = await look_at_challenge(expected, here, ValidationBounds())
    found: Security | str = looked.problem.type if looked.problem else looked.lookups[0].security
    assert found == outcome, looked


async def look_until_proved(expected: Expected, here: Perspective) -> None:
    """Look again and again: the library counts in seconds, and a second of 0 is not over yet."""
    async with asyncio.timeout(60):
        while not (await look_at_challenge(expected, here, BOUNDS)).is_passed:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # it tells nobody when it forgets


@pytest.mark.parametrize("max_age", [timedelta(0), None])
async def test_a_resolver_of_our_own_can_keep_nothing(
    tmp_path: Path, max_age: timedelta | None
) -> None:
    """Neither that there was nothing, nor what there was before. Rule 231"""
    require_libunbound()
    key, now = make_key(), SystemClock().now()
    anchor = tmp_path / "anchor.key"
    anchor.write_text(f"example. IN DS {key.make_ds('example.')}\n")
    zone = 'ns A 127.0.0.1\n_acme-challenge.b TXT "of the last time"'
    server = ZoneServer({"example": zone}, keys={"example": key}, now=now)
    resolver = LibunboundResolver(anchor, forward=await server.start(), max_age=max_age)
    here = Perspective("here", "ARIN", resolver, Scene().dialer)
    for name in ("a.example", "b.example"):
        expected = expect(name, "dns-01")
        before = await look_at_challenge(expected, here, BOUNDS)
        assert before.lookups[0].security is Security.SECURE
        server.set(f"_acme-challenge.{name}", "TXT", f'"{VALUE}"')
        if max_age is None:  # their TTL is 60 s
            assert not (await look_at_challenge(expected, here, BOUNDS)).is_passed
        else:
            await look_until_proved(expected, here)
    resolver.close()
    await server.close()


def test_what_is_expected_is_of_the_moment_of_the_request() -> None:
    """RFC 8555 §8.3: a later change of the account's key does not change it."""
    assert Expected(expect("a.example", "dns-01").identifier, "dns-01", "t", "t.k") == (
        replace(expect("a.example", "dns-01"), token="t", key_authorization="t.k")
    )
