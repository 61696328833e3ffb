"""Two processes over one database: whoever is asked, the answer is the same, and given once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.protocols.acme import requests
from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.server.rate_limits import Limit
from letterlock.services.ca.requests.limits import RequestLimits
from letterlock.storage.ca.kept import WorkKind
from tests.acme_http import BASE, HOUR, Answered, Client, World, with_rules
from tests.acme_requests import OTHER_KEY
from tests.acme_store import WatchedStore
from tests.fakes import FakeClock

NEW_ORDER = f"{BASE}/new-order"
LIMIT = Limit("new orders", 3, 3, HOUR)


@pytest.fixture
async def worlds(store: WatchedStore, tmp_path: Path) -> AsyncIterator[tuple[World, World]]:
    other = WatchedStore(tmp_path / "authority.db", FakeClock())
    await other.open()
    rules = [
        with_rules(owner=owner, limits=RequestLimits(orders_per_account=LIMIT)) for owner in "ab"
    ]
    yield World(store, rules[0]), World(other, rules[1])
    await other.close()


async def both(worlds: tuple[World, World], url: str, bodies: Sequence[bytes]) -> list[Answered]:
    """Ask each process at the same time, one after another with so many requests."""
    asked = [worlds[number % 2].ask("POST", url, body) for number, body in enumerate(bodies)]
    return list(await asyncio.gather(*asked))


async def test_a_nonce_is_spent_in_one_of_them(worlds: tuple[World, World]) -> None:
    """RFC 8555 §6.5"""
    client = Client(worlds[0])
    await client.open()
    assert client.url is not None
    for _ in range(5):
        body = await client.sign(client.url, None)
        found = await both(worlds, client.url, [body] * 4)
        assert sorted(each.status for each in found) == [200, 400, 400, 400]


async def test_one_key_gets_one_account(worlds: tuple[World, World]) -> None:
    """RFC 8555 §11.1"""
    client = Client(worlds[0])
    url, payload = f"{BASE}/new-account", {"termsOfServiceAgreed": True}
    bodies = [await client.sign(url, payload, has_key=True) for _ in range(6)]
    found = await both(worlds, url, bodies)
    assert sorted(each.status for each in found) == [200] * 5 + [201]
    assert len({each.one("Location") for each in found}) == 1


async def test_a_limit_holds_over_all_of_them(worlds: tuple[World, World]) -> None:
    """RFC 8555 §6.6"""
    client = Client(worlds[0])
    await client.open()
    payload = {"identifiers": [{"type": "dns", "value": "a.example"}]}
    bodies = [await client.sign(NEW_ORDER, payload) for _ in range(8)]
    found = await both(worlds, NEW_ORDER, bodies)
    assert sorted(each.status for each in found) == [201] * 3 + [429] * 5


async def test_work_begins_once(worlds: tuple[World, World]) -> None:
    """What several ask for at a time is done once, by who was first."""
    client = Client(worlds[0])
    await client.open()
    order = await client.order("a.example")
    (url,) = order.document["authorizations"]
    (challenge, *_) = (await client.post(url)).document["challenges"]
    bodies = [await client.sign(challenge["url"], {}) for _ in range(4)]
    found = await both(worlds, challenge["url"], bodies)
    assert [each.document["status"] for each in found] == ["processing"] * 4
    begun = [(world, claimed) for world in worlds for claimed in world.begun.values()]
    ((world, claimed),) = begun
    assert claimed.lease.owner == world.rules.owner
    await world.validate(url.rpartition("/")[2])
    csr = requests.make_signing_request(OTHER_KEY, [parse_identifier("a.example")])
    payload = requests.format_finalization(csr)
    place = order.document["finalize"]
    bodies = [await client.sign(place, payload) for _ in range(4)]
    found = await both(worlds, place, bodies)
    assert sorted(each.status for each in found) == [200, 403, 403, 403]
    assert [kind for each in worlds for kind, _ in each.begun] == [WorkKind.ISSUANCE]


async def test_an_account_is_closed_in_all_of_them(worlds: tuple[World, World]) -> None:
    first = Client(worlds[0])
    await first.open()
    second = Client(worlds[1], first.key, first.url)
    assert first.url is not None
    assert (await second.post(first.url)).status == 200
    await first.post(first.url, {"status": "deactivated"})
    assert (await second.post(first.url)).status == 401
    assert (await Client(worlds[1], ec.generate_private_key(ec.SECP256R1())).open()).status == 201
