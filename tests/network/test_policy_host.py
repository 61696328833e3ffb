"""RFC 8461 §3.3: our policy host, asked by our own fetch and by clients that are not ours."""

import asyncio
import http.client
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.domains import Domain, parse_domain
from letterlock.base.waiting import let_arrive
from letterlock.network.acceptor import USUAL_LIMITS
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.http_server import MAX_HEADER_OCTETS
from letterlock.network.https import PATH, HttpsSettings, PolicyFetcher
from letterlock.network.policy_host import PolicyHost
from letterlock.protocols.pki.anchors import TrustAnchors
from tests.event_loops import make_time_pass
from tests.fakes import FixtureResolver
from tests.listening import listening
from tests.network.certificates import authority, issue, make_chooser

NAME = "mta-sts.example.org"
POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mx.example.org\r\nmax_age: 604800\r\n"
POLICIES = {parse_domain("example.org"): POLICY}


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[int]:
    """Run a policy host; gives its port."""
    certificates = make_chooser(folder, issue((NAME,)))
    host = PolicyHost(POLICIES.get, certificates, SystemClock())
    async with listening(host.run) as port:
        yield port


def client_context() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority().pem.decode())


async def exchange(port: int, octets: bytes) -> bytes:
    """Send octets over TLS that is not ours, and read to the end, which a request must ask for."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=client_context(), server_hostname=NAME
    )
    writer.write(octets)
    try:
        return await asyncio.wait_for(reader.read(), 60)
    finally:
        writer.close()


def status_of(response: bytes) -> int:
    return int(response.split()[1])


async def test_our_own_fetch_gets_the_policy(tmp_path: Path) -> None:
    resolver = FixtureResolver()
    resolver.set(NAME, "A", ip_address("127.0.0.1"))
    anchors = TrustAnchors.from_pem(authority().pem)
    async with serving(tmp_path) as port:
        settings = HttpsSettings(port=port, has_private_addresses=True)
        fetcher = PolicyFetcher(
            resolver, ClientContexts(), lambda: anchors, SystemClock(), settings
        )
        assert await fetcher.fetch(Domain("example.org")) == POLICY


@pytest.mark.parametrize(("method", "body"), [("GET", POLICY), ("HEAD", b"")])
async def test_another_client_gets_the_policy(tmp_path: Path, method: str, body: bytes) -> None:
    """RFC 8461 §3.2: as text/plain; RFC 9110 §9.3.2: HEAD has the same headers and no body."""

    def ask(port: int) -> tuple[int, str | None, str | None, bytes]:
        connection = http.client.HTTPSConnection("localhost", port, timeout=60, context=anybody)
        connection.request(method, PATH, headers={"Host": f"{NAME.upper()}:{port}"})
        response = connection.getresponse()
        length, kind = response.headers["Content-Length"], response.headers["Content-Type"]
        answer = response.status, kind, length, response.read()
        connection.close()
        return answer

    anybody = client_context()
    anybody.check_hostname = False
    async with serving(tmp_path) as port:
        expected = (200, "text/plain", str(len(POLICY)), body)
        assert await asyncio.to_thread(ask, port) == expected


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (f"GET {PATH} HTTP/1.1\r\nHost: {NAME}", 200),
        (f"GET {PATH}?a=b HTTP/1.1\r\nHost: {NAME}", 200),
        (f"GET {PATH} HTTP/1.0\r\nHost: {NAME}", 200),
        (f"GET {PATH} HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 9", 200),
        (f"GET {PATH} HTTP/1.1\r\nHost: {NAME}.", 200),
        (f"GET {PATH} HTTP/1.0", 404),
        (f"GET {PATH} HTTP/1.1\r\nHost: mta-sts.other.example", 404),
        (f"GET {PATH} HTTP/1.1\r\nHost: example.org", 404),
        (f"GET {PATH} HTTP/1.1\r\nHost: mta-sts", 404),
        (f"GET {PATH} HTTP/1.1\r\nHost: mta-sts.a..b", 404),
        (f"GET {PATH} HTTP/1.1\r\nHost: [::1]", 404),
        (f"GET / HTTP/1.1\r\nHost: {NAME}", 404),
        (f"GET {PATH}/ HTTP/1.1\r\nHost: {NAME}", 404),
        (f"POST {PATH} HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 0", 405),
        (f"GET {PATH} HTTP/1.1", 400),
        (f"GET {PATH} HTTP/1.1\r\nHost: {NAME}\r\nHost: {NAME}", 400),
        ("EHLO example.org", 400),
    ],
)
async def test_what_is_asked_for_decides_the_answer(
    tmp_path: Path, request_head: str, status: int
) -> None:
    async with serving(tmp_path) as port:
        response = await exchange(port, f"{request_head}\r\nConnection: close\r\n\r\n".encode())
        assert status_of(response) == status
        assert response.endswith(POLICY) is (status == 200)
        assert (b"\r\nAllow: GET, HEAD\r\n" in response) is (status == 405)


async def test_a_body_is_not_wanted_and_its_sender_reads_the_answer(tmp_path: Path) -> None:
    """RFC 9112 §9.6, under TLS too."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 200000\r\n\r\n"
    async with serving(tmp_path) as port:
        assert status_of(await exchange(port, head.encode() + b"x" * 200_000)) == 405


async def test_a_connection_has_several_requests(tmp_path: Path) -> None:
    """RFC 9112 §9.3."""
    head = f"GET {PATH} HTTP/1.1\r\nHost: {NAME}\r\n"
    async with serving(tmp_path) as port:
        requests = f"{head}\r\n{head}Connection: close\r\n\r\n"
        assert (await exchange(port, requests.encode())).count(POLICY) == 2


async def test_headers_without_end_are_refused(tmp_path: Path) -> None:
    head = f"GET {PATH} HTTP/1.1\r\nHost: {NAME}\r\nX: {'x' * MAX_HEADER_OCTETS}"
    async with serving(tmp_path) as port:
        assert status_of(await exchange(port, head.encode())) == 431


async def test_a_request_may_come_octet_by_octet(tmp_path: Path) -> None:
    async with serving(tmp_path) as port:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(), server_hostname=NAME
        )
        for octet in f"GET {PATH} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode():
            writer.write(bytes([octet]))
            await writer.drain()
        assert (await asyncio.wait_for(reader.read(), 60)).endswith(POLICY)
        writer.close()


async def test_clients_that_misbehave_stop_nobody(tmp_path: Path) -> None:
    """No TLS, an end inside TLS, an end inside the request."""
    async with serving(tmp_path) as port:
        for octets in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(octets)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 60)
            writer.close()
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(), server_hostname=NAME
        )
        writer.write(b"GET /")
        await writer.drain()
        writer.transport.abort()
        good = f"GET {PATH} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode()
        assert status_of(await exchange(port, good)) == 200


@pytest.mark.parametrize("is_in_tls", [False, True])
async def test_a_silent_client_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_in_tls: bool
) -> None:
    pass_time = make_time_pass(monkeypatch)
    context, name = (client_context(), NAME) if is_in_tls else (None, None)
    async with serving(tmp_path) as port:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=name
        )
        writer.write(b"GET /" if is_in_tls else b"")
        await let_arrive()
        assert not reader.at_eof()
        pass_time(USUAL_LIMITS.seconds)
        assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()


async def test_the_end_cuts_off_who_is_still_there(tmp_path: Path) -> None:
    async with serving(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        # Once the first octets are answered, the connection is known to be served.
        _, other = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(), server_hostname=NAME
        )
    assert await asyncio.wait_for(reader.read(), 60) == b""
    writer.close()
    other.close()
