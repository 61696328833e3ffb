"""What an authority does when a part of it fails, as docs/guide/authority.md says it.

RFC 8555 §6.5 (nonces), §7.5.1, RFC 8659 §3 (failure is never permission); Baseline Requirements
3.2.2.8.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from letterlock.network.zone_server import ZoneServer
from letterlock.protocols.acme.challenges import dns_value
from letterlock.protocols.acme.server.public_keys import make_public_key
from letterlock.services.ca.issuing import certifying
from letterlock.storage.ca.kept import WorkKind
from letterlock.storage.queue import StoreUnavailable
from tests.acme_http import Answered, Client
from tests.acme_requests import ACCOUNT_KEY
from tests.authority_running import InnerAuthority, InnerSettings, inner_authority
from tests.fakes import FakeClock
from tests.services.ca.test_working import until

THUMBPRINT = make_public_key(ACCOUNT_KEY.public_key()).thumbprint
ZONE = {"example.org": "@ A 127.0.0.1\nmx A 127.0.0.1"}


@dataclass
class Place:
    """A folder, a name server and a clock, over which authorities come and go."""

    folder: Path
    zone: ZoneServer
    settings: InnerSettings
    clock: FakeClock

    @asynccontextmanager
    async def authority(self) -> AsyncIterator[tuple[InnerAuthority, Client]]:
        async with inner_authority(self.folder, self.settings, self.clock) as inner:
            client = Client(inner)  # type: ignore[arg-type] # it asks and has nonces
            await client.open()
            yield inner, client

    def prove(self, token: str) -> None:
        """Publish what proves mx.example.org for the account of the tests."""
        text = dns_value(f"{token}.{THUMBPRINT}")
        self.zone.set("_acme-challenge.mx.example.org", "TXT", f'"{text}"')


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    zone = ZoneServer(ZONE)
    host, port = await zone.start()
    yield Place(tmp_path, zone, InnerSettings(f"{host}:{port}"), FakeClock())
    await zone.close()


async def begin(client: Client) -> tuple[Answered, dict[str, Any]]:
    """Order mx.example.org; gives the order and its challenge by dns-01."""
    order = await client.order("mx.example.org")
    (url,) = order.document["authorizations"]
    authorization = (await client.post(url)).document
    (challenge,) = (each for each in authorization["challenges"] if each["type"] == "dns-01")
    return order, challenge


async def wait_status(client: Client, url: str, *wanted: str) -> dict[str, Any]:
    """Look until it is as wanted."""
    found: dict[str, Any] = {}
    for _ in range(100):
        found = (await client.post(url)).document
        if found["status"] in wanted:
            return found
    raise AssertionError(f"not {wanted}: {found}")


async def test_all_goes_well_to_begin_with(place: Place) -> None:
    async with place.authority() as (inner, client):
        order, challenge = await begin(client)
        place.prove(challenge["token"])
        await client.post(challenge["url"], {})
        await wait_status(client, order.one("Location"), "ready")
        await client.finalize(order)
        done = await wait_status(client, order.one("Location"), "valid")
        assert (await client.post(done["certificate"])).body.startswith(b"-----BEGIN CERT")
        await until(lambda: any(text.startswith("issued ") for text in inner.log.texts))


async def test_what_a_killed_process_was_validating_is_taken_over(place: Place) -> None:
    async with place.authority() as (inner, client):
        order, challenge = await begin(client)
        place.prove(challenge["token"])
        for each in inner.assembled.runners:
            if each.kind is WorkKind.VALIDATION:
                # Stored and answered, and then nobody does it.
                each._tasks = None
        assert (await client.post(challenge["url"], {})).document["status"] == "processing"
        place_of_order = order.one("Location")
    place.clock.move(timedelta(minutes=10))
    async with place.authority() as (inner, client):
        await wait_status(client, place_of_order, "ready")
        await until(lambda: "mx.example.org by dns-01: valid" in inner.log.texts)


async def test_without_dns_nothing_becomes_valid(place: Place) -> None:
    async with place.authority() as (_, client):
        _, challenge = await begin(client)
        await place.zone.close()
        await client.post(challenge["url"], {})
        found = await wait_status(client, challenge["url"], "invalid")
        assert found["error"]["type"] == "urn:ietf:params:acme:error:dns"


async def test_without_dns_what_was_proved_is_not_issued_when_caa_is_too_old(
    place: Place,
) -> None:
    async with place.authority() as (_, client):
        order, challenge = await begin(client)
        place.prove(challenge["token"])
        await client.post(challenge["url"], {})
        await wait_status(client, order.one("Location"), "ready")
        place.clock.move(timedelta(hours=9))
        await place.zone.close()
        await client.finalize(order)
        assert (await client.post(order.one("Location"))).document["status"] == "processing"


async def test_a_clock_that_was_set_back_makes_caa_be_looked_up_again(place: Place) -> None:
    """What seems to have been looked up later than now has no known age."""
    async with place.authority() as (inner, client):
        order, challenge = await begin(client)
        place.prove(challenge["token"])
        await client.post(challenge["url"], {})
        await wait_status(client, order.one("Location"), "ready")
        place.clock.set_wall(place.clock.now() - timedelta(minutes=1))
        await client.finalize(order)
        await wait_status(client, order.one("Location"), "valid")
        records = await inner.store.list_records(0, 100, kind="caa")
        assert [each.subject for each in records] == [order.one("Location").rpartition("/")[2]]
        assert "a clock was set" in records[0].document


async def test_while_the_database_is_away_clients_are_told_when_to_ask_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.authority() as (inner, client):
        order, challenge = await begin(client)
        place.prove(challenge["token"])

        async def refuse(*_: object, **__: object) -> bool:
            raise StoreUnavailable("disk I/O error", is_full=True)

        with monkeypatch.context() as away:
            away.setattr(inner.store, "commit", refuse)
            answered = await client.post(challenge["url"], {})
            assert (answered.status, answered.find("Retry-After")) == (503, ["10"])
            assert answered.problem.type == "serverInternal"
        # Nothing of it was kept, and the same works again.
        assert (await client.post(challenge["url"])).document["status"] == "pending"
        await client.post(challenge["url"], {})
        await wait_status(client, order.one("Location"), "ready")


async def test_nothing_is_signed_while_the_audit_log_cannot_be_written(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Disk full: what was stored stays, what cannot be stored is not done."""
    async with place.authority() as (inner, client):
        order, challenge = await begin(client)
        place.prove(challenge["token"])
        await client.post(challenge["url"], {})
        await wait_status(client, order.one("Location"), "ready")
        real, signed = inner.store.commit, []
        monkeypatch.setattr(certifying, "sign", lambda *_: signed.append("a certificate"))
        calls = 0

        async def refuse_after_the_request(*changes: Any, **more: Any) -> bool:
            nonlocal calls
            calls += 1
            if calls == 1:
                return await real(*changes, **more)
            raise StoreUnavailable("database or disk is full", is_full=True)

        monkeypatch.setattr(inner.store, "commit", refuse_after_the_request)
        await client.finalize(order)
        await until(lambda: any("disk is full" in text for text in inner.log.texts))
        assert signed == []
