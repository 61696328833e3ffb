"""What a client may take of a connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from letterlock.web.ca import connections
from letterlock.web.ca.connections import (
    MAX_HEAD_OCTETS,
    MAX_HEADERS,
    BoundedConnection,
    JoinedWrites,
)

REQUEST = b"GET /directory HTTP/1.1\r\nHost: ca.example\r\n"


async def greet(scope: Scope, receive: Receive, send: Send) -> None:
    del scope
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    length = b"%d" % len(body)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
    )
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serve() -> AsyncIterator[int]:
    """A server's port."""
    config = Config(greet, log_config=None, access_log=False, ws="none", lifespan="off")
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: BoundedConnection(config, state, {}), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def connect() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with serve() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield reader, writer
        finally:
            writer.close()


async def test_requests_follow_each_other_on_a_connection() -> None:
    async with connect() as (reader, writer):
        for body in (b"a" * 1000, b"", b"b" * 100_000):
            head = REQUEST.replace(b"GET", b"POST") + b"Content-Length: %d\r\n\r\n" % len(body)
            writer.write(head + body)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(body)) == body


@pytest.mark.parametrize(
    "head",
    [
        REQUEST + b"X-Long: " + b"x" * (MAX_HEAD_OCTETS + 1) + b"\r\n\r\n",
        REQUEST + b"X-Long: " + b"x" * (MAX_HEAD_OCTETS + 1),
        b"GET /" + b"x" * (MAX_HEAD_OCTETS + 1) + b" HTTP/1.1\r\n\r\n",
        b"GET /" + b"x" * (MAX_HEAD_OCTETS + 1),
        REQUEST + b"X: y\r\n" * MAX_HEADERS + b"\r\n",
        REQUEST + b"X: y\r\n" * (MAX_HEAD_OCTETS // 5),
    ],
    ids=["field", "field without end", "target", "target without end", "count", "many"],
)
async def test_a_head_that_is_too_long_is_refused(head: bytes) -> None:
    async with connect() as (reader, writer):
        for start in range(0, len(head), 5000):
            writer.write(head[start : start + 5000])
        assert await reader.read() == connections.TOO_LONG


async def test_what_is_no_request_is_refused() -> None:
    async with connect() as (reader, writer):
        writer.write(b"EHLO client.example\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "octets",
    [b"", b"\r\n", REQUEST, REQUEST + b"Content-Length: 5\r\n\r\nab"],
    ids=["none", "empty line", "head", "body"],
)
async def test_who_sends_no_whole_request_in_time_is_left(
    octets: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.05)
    async with connect() as (reader, writer):
        writer.write(octets)
        assert await reader.read() == b""


async def test_one_address_has_not_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_OF_SITE", 2)
    async with serve() as port:
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for reader, writer in streams[:2]:
            writer.write(REQUEST + b"\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert await streams[2][0].read() == b""
        for _, writer in streams:
            writer.close()


async def test_a_second_request_comes_in_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connect() as (reader, writer):
        writer.write(REQUEST + b"\r\n" + REQUEST)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await reader.readuntil(b"\r\n\r\n")
        monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.05)
        writer.write(b"\r\n")
        assert await reader.read() == b""


async def test_a_response_is_written_as_one() -> None:
    written: list[bytes] = []

    class Transport(asyncio.Transport):
        def write(self, data: object) -> None:
            assert isinstance(data, bytes)
            written.append(data)

        def is_closing(self) -> bool:
            return False

        def close(self) -> None:
            written.append(b"closed")

    joined = JoinedWrites(Transport(), asyncio.get_running_loop())
    for part in (b"a", b"b"):
        joined.write(part)
    assert written == []
    await asyncio.sleep(0)
    assert written == [b"ab"]
    joined.write(b"c")
    joined.close()
    await asyncio.sleep(0)
    assert written == [b"ab", b"c", b"closed"]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (("192.0.2.1", 1), ("192.0.2.1", 2), True),
        (("192.0.2.1", 1), ("192.0.2.2", 1), False),
        (("2001:db8::1", 1), ("2001:db8:0:1::2", 1), True),
        (("2001:db8::1", 1), ("2001:db8:1::1", 1), False),
        (None, ("a socket", 1), True),
    ],
)
def test_what_is_one_client(
    one: tuple[str, int] | None, other: tuple[str, int], is_same: bool
) -> None:
    assert (connections._find_site(one) == connections._find_site(other)) == is_same


async def test_a_body_may_come_in_chunks() -> None:
    head = REQUEST.replace(b"GET", b"POST") + b"Transfer-Encoding: chunked\r\n\r\n"
    async with connect() as (reader, writer):
        writer.write(head + b"3\r\nabc\r\n")
        await writer.drain()
        writer.write(b"2;x=y\r\nde\r\n0\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(5) == b"abcde"


@pytest.mark.parametrize(
    "octets",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"Content-Length: +3\r\n\r\nabc",
        b"Content-Length: 3, 3\r\n\r\nabc",
        b"Content-Length: 99999999999999999999999\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        b"Transfer-Encoding: identity, chunked, x\r\n\r\n0\r\n\r\n",
        b"X: a\0b\r\n\r\n",
        b"X y: a\r\n\r\n",
        b"X: a\r\n b: c\r\n\r\n\x00",
    ],
    ids=range(12),
)
async def test_what_two_readers_could_read_in_two_ways_is_refused(octets: bytes) -> None:
    """RFC 9112 §6.3, §11.2: whatever follows it on the connection is no request."""
    async with connect() as (reader, writer):
        writer.write(REQUEST.replace(b"GET", b"POST") + octets)
        writer.write(REQUEST + b"\r\n")
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400") or answer == b""
    assert b"HTTP/1.1 200" not in answer
