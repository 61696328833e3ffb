"""RFC 9112, RFC 9525 §6: one request over HTTPS. Bad responses are in `test_https`."""

from datetime import timedelta
from ipaddress import ip_address

import pytest

from letterlock.base.clock import Clock, SystemClock
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.http_exchange import (
    HttpBounds,
    HttpFailed,
    HttpFault,
    HttpRequest,
    HttpResponse,
)
from letterlock.network.https_client import HttpsClient
from letterlock.protocols.pki.anchors import TrustAnchors
from tests.fakes import FakeClock, FixtureResolver
from tests.network.certificates import NOW, authority, issue
from tests.policy_host import Conduct, policy_host, respond

HOST = "ca.example"
BOUNDS = HttpBounds(30.0, 1000, 10_000)


def make(resolver: FixtureResolver | None = None, clock: Clock | None = None) -> HttpsClient:
    resolver = resolver or FixtureResolver()
    resolver.set(HOST, "A", ip_address("127.0.0.1"))
    return HttpsClient(
        resolver,
        ClientContexts(),
        lambda: TrustAnchors.from_pem(authority().pem),
        clock or SystemClock(),
        has_private_addresses=True,
    )


async def test_a_request_has_its_headers_and_its_body() -> None:
    """RFC 9112 §3.2 (Host with its port), §6.2."""
    async with policy_host(issue((HOST,)), Conduct([respond(b"yes", "X: 1", "x: 2")])) as host:
        headers = (("Content-Type", "text/plain"),)
        request = HttpRequest(HOST, "/a?b", host.port, "POST", headers, b"body")
        response = await make().ask(request, BOUNDS)
        assert isinstance(response, HttpResponse)
        assert (response.status, response.body) == (200, b"yes")
        assert response.find(b"x") == [b"1", b"2"]
        assert response.media_types == ["text/plain"]
        lines = host.requests[0].split(b"\r\n")
        assert lines[0] == b"POST /a?b HTTP/1.1"
        assert f"Host: {HOST}:{host.port}".encode() in lines
        assert b"Content-Type: text/plain" in lines
        assert b"Content-Length: 4" in lines
        assert b"Connection: close" in lines
        assert lines[-1] == b"body"


async def test_a_host_may_be_an_address() -> None:
    """RFC 9525 §6.4; RFC 6066 §3: which has no SNI."""
    async with policy_host(issue(("127.0.0.1",))) as host:
        resolver = FixtureResolver()
        response = await make(resolver).ask(HttpRequest("127.0.0.1", "/", host.port), BOUNDS)
        assert isinstance(response, HttpResponse)
        assert host.snis == [None]
        assert resolver.asked == []
        assert f"Host: 127.0.0.1:{host.port}\r\n".encode() in host.requests[0]


@pytest.mark.parametrize("days", [-1, 1000])
async def test_a_clock_that_may_be_wrong_is_known(days: int) -> None:
    clock = FakeClock(NOW + timedelta(days=days))
    async with policy_host(issue((HOST,))) as host:
        failed = await make(clock=clock).ask(HttpRequest(HOST, "/", host.port), BOUNDS)
    assert isinstance(failed, HttpFailed)
    assert (failed.fault, failed.is_about_time) == (HttpFault.NOT_TRUSTED, True)


async def test_an_address_that_the_certificate_has_not_is_not_asked() -> None:
    """RFC 9525 §6.4."""
    async with policy_host(issue((HOST,))) as host:
        failed = await make().ask(HttpRequest("127.0.0.1", "/", host.port), BOUNDS)
        assert isinstance(failed, HttpFailed)
        assert failed.fault is HttpFault.NOT_TRUSTED
        assert host.requests == []


@pytest.mark.parametrize("length", [0, 999_999])
async def test_an_answer_to_head_has_no_body_whatever_its_length(length: int) -> None:
    """RFC 9110 §9.3.2."""
    reply = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX: y\r\n\r\n".encode()
    async with policy_host(issue((HOST,)), Conduct([reply])) as host:
        response = await make().ask(HttpRequest(HOST, "/", host.port, "HEAD"), BOUNDS)
        assert isinstance(response, HttpResponse), response
        assert (response.body, response.find(b"x")) == (b"", [b"y"])


async def test_a_name_that_can_be_no_sni_is_not_connected_to() -> None:
    """RFC 6066 §3."""
    async with policy_host(issue((HOST,))) as host:
        resolver = FixtureResolver()
        resolver.set("a b", "A", ip_address("127.0.0.1"))
        failed = await make(resolver).ask(HttpRequest("a b", "/", host.port), BOUNDS)
        assert isinstance(failed, HttpFailed)
        assert failed.fault is HttpFault.UNREACHABLE
        assert host.requests == []
