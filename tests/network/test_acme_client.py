"""RFC 8555 §6: requests to an ACME server, and what comes back."""

import asyncio
from datetime import timedelta

import pytest

from letterlock.network.acme_client import (
    DIRECTORY_SECONDS,
    MAX_NONCE_TRIES,
    MAX_NONCES,
    AcmeAnswer,
    AcmeClient,
    AcmeFailed,
)
from letterlock.network.http_exchange import HttpFailed, HttpFault, HttpResponse
from letterlock.protocols.acme.directory import Directory
from letterlock.protocols.acme.fields import parse_url
from letterlock.protocols.acme.jws import AccountKey, make_account_key
from tests.acme_server import BASE, FakeAcmeServer, refuse, respond
from tests.fakes import FakeClock

NEW_ACCOUNT = parse_url(f"{BASE}/new-account")
LOST = HttpFailed(HttpFault.UNREACHABLE, "ca.example: connection refused")


def make(server: FakeAcmeServer, clock: FakeClock | None = None) -> AcmeClient:
    return AcmeClient(server, server.directory_url, clock or FakeClock())


async def post(client: AcmeClient, key: AccountKey | None = None) -> AcmeAnswer | AcmeFailed:
    return await client.post(NEW_ACCOUNT, key or make_account_key(), {}, None)


async def test_the_directory_is_asked_for_once_in_a_while() -> None:
    """RFC 8555 §7.1.1."""
    server, clock = FakeAcmeServer(), FakeClock()
    client = make(server, clock)
    assert isinstance(await client.fetch_directory(), Directory)
    assert isinstance(await client.fetch_directory(), Directory)
    assert len(server.paths("directory")) == 1
    clock.move(timedelta(seconds=DIRECTORY_SECONDS))
    await client.fetch_directory()
    assert len(server.paths("directory")) == 2


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (LOST, "connection refused"),
        (respond(200, []), "directory: it is no JSON object"),
        (respond(503, None, retry_after="9"), "HTTP status 503"),
        (respond(301, None, location="https://elsewhere/"), "'https://elsewhere/', which is not"),
        (respond(304), "HTTP status 304"),
    ],
)
async def test_a_directory_that_can_not_be_had_is_a_value(
    reply: HttpResponse | HttpFailed, words: str
) -> None:
    """RFC 8555 §6.1: no redirect is followed; and the failure is not kept."""
    server = FakeAcmeServer()
    server.replies["directory"].append(reply)
    client = make(server)
    failed = await client.fetch_directory()
    assert isinstance(failed, AcmeFailed)
    assert words in failed.reason
    assert isinstance(await client.fetch_directory(), Directory)


async def test_the_nonce_of_an_answer_is_for_the_next_request() -> None:
    """RFC 8555 §6.5: a new one is fetched only when there is none."""
    server = FakeAcmeServer()
    client = make(server)
    key = make_account_key()
    for _ in range(3):
        assert isinstance(await post(client, key), AcmeAnswer)
    assert len(server.paths("new-nonce")) == 1
    assert len(set(server.nonces_used)) == 3


async def test_a_refused_nonce_is_followed_by_the_one_that_came_with_the_refusal() -> None:
    """RFC 8555 §6.5: and by no other, of those that are kept."""
    server = FakeAcmeServer(bad_nonces=5)
    client = make(server)
    assert isinstance(await post(client), AcmeAnswer)
    assert len(server.paths("new-nonce")) == 1
    numbers = [int(nonce.partition("-")[2]) for nonce in server.nonces_used]
    assert numbers == list(range(numbers[0], numbers[0] + 6))


async def test_nonces_that_are_all_refused_end_the_request() -> None:
    """RFC 8555 §6.5: bounded."""
    server = FakeAcmeServer(bad_nonces=1000)
    failed = await post(make(server))
    assert isinstance(failed, AcmeFailed)
    assert "nonces of its own were refused" in failed.reason
    assert len(server.nonces_used) == MAX_NONCE_TRIES


async def test_a_refusal_without_a_nonce_has_one_fetched() -> None:
    """RFC 8555 §6.5, §7.2."""
    server = FakeAcmeServer()
    client = make(server)
    stale = refuse("badNonce", 400)
    server.silent.append(stale)
    server.replies["new-account"].append(stale)
    assert isinstance(await post(client), AcmeAnswer)
    assert len(server.paths("new-nonce")) == 2


@pytest.mark.parametrize("value", [b"", b"a=", b"a b", b"x" * 2000, b"\xff"])
async def test_a_nonce_that_is_none_is_ignored(value: bytes) -> None:
    """RFC 8555 §6.5.1."""
    server = FakeAcmeServer(has_nonces=False)
    server.replies["new-nonce"].append(HttpResponse(200, ((b"replay-nonce", value),)))
    failed = await post(make(server))
    assert failed == AcmeFailed("ca.example: no nonce came")


@pytest.mark.parametrize("what", ["directory", "new-nonce", "new-account"])
async def test_a_connection_that_is_lost_is_a_value(what: str) -> None:
    server = FakeAcmeServer()
    server.replies[what].append(LOST)
    assert await post(make(server)) == AcmeFailed(LOST.reason, is_temporary=True)


async def test_a_certificate_that_is_not_of_today_leads_to_the_clock() -> None:
    """Where this machine's is wrong, nothing else is."""
    server = FakeAcmeServer()
    reason = "ca.example: CN=ca.example is not valid before 2027-01-01T00:00:00Z"
    server.replies["directory"].append(
        HttpFailed(HttpFault.NOT_TRUSTED, reason, is_about_time=True)
    )
    failed = await post(make(server))
    assert isinstance(failed, AcmeFailed)
    assert (
        failed.reason == f"{reason}; this machine's clock says 2026-03-01T12:00:00Z: is it right?"
    )


async def test_what_a_server_refuses_is_told_name_by_name() -> None:
    """RFC 8555 §6.6, §6.7, §6.7.1."""
    server = FakeAcmeServer()
    name = {"type": "dns", "value": "a.example"}
    sub = {"type": "urn:ietf:params:acme:error:caa", "detail": "no", "identifier": name}
    server.replies["new-account"].append(refuse("rateLimited", 429, sub, retry_after="60"))
    failed = await post(make(server))
    assert isinstance(failed, AcmeFailed)
    assert failed.lines == ("ca.example: rateLimited: it is rateLimited", "a.example: caa: no")
    assert failed.retry_after == timedelta(seconds=60)
    assert failed.is_about("rateLimited")
    assert failed.is_temporary


async def test_the_nonces_kept_are_few() -> None:
    server = FakeAcmeServer()
    client = make(server)
    answers = await asyncio.gather(*(post(client) for _ in range(30)))
    assert all(isinstance(each, AcmeAnswer) for each in answers)
    assert len(client._nonces) == MAX_NONCES


async def test_an_answer_without_a_nonce_keeps_none() -> None:
    """RFC 8555 §6.5: the next request has one fetched."""
    server = FakeAcmeServer()
    client = make(server)
    silent = respond(200, {})
    server.silent.append(silent)
    server.replies["new-account"].append(silent)
    assert isinstance(await post(client), AcmeAnswer)
    assert isinstance(await post(client), AcmeAnswer)
    assert len(server.paths("new-nonce")) == 2


async def test_a_location_that_is_no_url_is_none() -> None:
    """RFC 8555 §6.1."""
    server = FakeAcmeServer()
    server.replies["new-account"].append(respond(201, {}, location="http://ca.example/account/1"))
    answer = await post(make(server))
    assert isinstance(answer, AcmeAnswer)
    assert answer.location is None
