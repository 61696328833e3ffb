"""RFC 9112: one request without TLS. Bad responses are in `test_https`, by the same code."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest

from letterlock.network.http_client import HttpClient
from letterlock.network.http_exchange import (
    HttpBounds,
    HttpFailed,
    HttpFault,
    HttpRequest,
    HttpResponse,
)
from tests.accepting import accepting
from tests.fakes import FixtureResolver

HOST = "crl.example"
BOUNDS = HttpBounds(30.0, 1000, 10_000)


def make(*, has_private_addresses: bool = True) -> HttpClient:
    resolver = FixtureResolver()
    resolver.set(HOST, "A", ip_address("127.0.0.1"))
    return HttpClient(resolver, has_private_addresses=has_private_addresses)


@asynccontextmanager
async def serving(answer: bytes, seen: list[bytes]) -> AsyncIterator[int]:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        if answer:
            writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    async with accepting(serve) as port:
        yield port
        if seen:
            await ended.wait()


async def test_what_a_server_says_comes_whole() -> None:
    """RFC 9112 §6.3: also where the connection's end is the body's.

    RFC 8555 §6.1: who asks is said.
    """
    seen: list[bytes] = []
    async with serving(b"HTTP/1.1 200 OK\r\n\r\nall of it", seen) as port:
        response = await make().ask(HttpRequest(HOST, "/7.crl", port), BOUNDS)
    assert isinstance(response, HttpResponse)
    assert response.body == b"all of it"
    lines = seen[0].split(b"\r\n")
    assert lines[0] == b"GET /7.crl HTTP/1.1"
    assert f"Host: {HOST}:{port}".encode() in lines
    assert b"User-Agent: letterlock" in lines


async def test_what_is_too_long_or_too_late_is_given_up() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(2000), []) as port:
        response = await make().ask(HttpRequest(HOST, "/", port), BOUNDS)
        assert isinstance(response, HttpFailed)
        assert response.fault is HttpFault.TOO_LONG
    async with serving(b"", []) as port:
        late = await make().ask(HttpRequest(HOST, "/", port), HttpBounds(0.2, 1000, 1000))
        assert isinstance(late, HttpFailed)
        assert late.fault is HttpFault.TIMED_OUT


@pytest.mark.parametrize("host", [HOST, "127.0.0.1", "::1"])
async def test_a_special_address_is_not_connected_to(host: str) -> None:
    """RFC 6890: unless the settings allow it."""
    seen: list[bytes] = []
    async with serving(b"HTTP/1.1 200 OK\r\n\r\n", seen) as port:
        request = HttpRequest(host, "/", port)
        refused = await make(has_private_addresses=False).ask(request, BOUNDS)
    assert isinstance(refused, HttpFailed)
    assert refused.reason.endswith("not an address of the Internet, not connected to")
    assert seen == []


@pytest.mark.parametrize(
    ("host", "reason"),
    [("nowhere.example", "no address"), ("a..b", "not a label"), ("127.0.0.1", "refused")],
)
async def test_a_host_that_cannot_be_reached_is_named_with_the_reason(
    host: str, reason: str
) -> None:
    async with serving(b"", []) as port:
        pass
    failed = await make().ask(HttpRequest(host, "/", port), BOUNDS)
    assert isinstance(failed, HttpFailed)
    assert failed.fault is HttpFault.UNREACHABLE
    assert failed.reason.startswith(f"{host}: ")
    assert reason in failed.reason.lower()
