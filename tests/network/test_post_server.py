"""RFC 9110, RFC 9112: what is POSTed to us, by clients that are not ours, good and bad."""

import asyncio
import http.client
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.network import post_server
from letterlock.network.acceptor import Acceptor
from letterlock.network.http_server import HttpAsked
from letterlock.network.policy_host import PolicyHost
from letterlock.network.post_server import (
    HELD_FREELY_OCTETS,
    MAX_BODY_OCTETS,
    NOT_FOUND,
    PostAnswer,
    Posts,
    Room,
    TakeBody,
    take_posts,
)
from letterlock.network.wire import Wire
from letterlock.protocols.http.posts import PostHead
from tests.fakes import FakeClock
from tests.listening import listening
from tests.network.certificates import issue, make_chooser
from tests.network.test_policy_host import NAME, POLICIES, POLICY, client_context

HOST = "Host: mx.example.org"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Taker:
    """Takes what is posted to /it."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, bytes]] = []
        self.answer = PostAnswer(HTTPStatus.OK, "kept")
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    def begin(self, asked: HttpAsked, head: PostHead, client: str) -> PostAnswer | TakeBody:
        async def take(body: bytes) -> PostAnswer:
            self.taken.append((client, head.media_type, body))
            self.begun.set()
            await self.gate.wait()
            return self.answer

        return take if asked.path == "/it" else NOT_FOUND


@asynccontextmanager
async def serving(taker: Taker, room: Room | None = None) -> AsyncIterator[int]:
    """Serve without TLS; gives the port."""
    posts = Posts(taker, FakeClock(), room or Room())

    async def serve(wire: Wire, end: float) -> None:
        await take_posts(wire, posts, b"", end)

    async with listening(Acceptor(serve).run) as port:
        yield port


def request(*lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def post(body: bytes, *lines: str, path: str = "/it") -> bytes:
    return request(f"POST {path} HTTP/1.1", HOST, f"Content-Length: {len(body)}", *lines, body=body)


async def exchange(port: int, *pieces: bytes) -> bytes:
    """Send octets, each piece by itself, and read to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return await asyncio.wait_for(reader.read(), 60)
    finally:
        writer.close()


def statuses_of(octets: bytes) -> list[int]:
    return [int(piece[:3]) for piece in octets.split(b"HTTP/1.1 ")[1:]]


async def test_a_post_is_taken_and_answered() -> None:
    """RFC 9110 §9.3.3, §6.6.1; as Python's http.client posts."""

    def ask(port: int) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/it?x", b"body", {"Content-Type": "Text/Plain; charset=x"})
        response = connection.getresponse()
        answer = response.status, dict(response.getheaders()), response.read()
        connection.close()
        return answer

    taker = Taker()
    async with serving(taker) as port:
        status, headers, body = await asyncio.to_thread(ask, port)
    assert taker.taken == [("127.0.0.1", "text/plain", b"body")]
    assert (status, body) == (200, b"kept\r\n")
    assert headers == {
        "Date": "Sun, 01 Mar 2026 12:00:00 GMT",
        "Content-Type": "text/plain",
        "Content-Length": "6",
        "X-Content-Type-Options": "nosniff",
    }


async def test_several_posts_come_on_one_connection() -> None:
    """RFC 9112 §9.3: until one says that it is the last."""
    taker = Taker()
    chunked = request("POST /it HTTP/1.1", HOST, "Transfer-Encoding: chunked")
    wire = post(b"1") + chunked + b"1\r\n2\r\n0\r\n\r\n" + post(b"3", "Connection: close") + b"x"
    async with serving(taker) as port:
        whole = await exchange(port, wire)
        cut = await exchange(port, *(wire[at : at + 7] for at in range(0, len(wire), 7)))
    assert statuses_of(whole) == statuses_of(cut) == [200, 200, 200]
    assert [body for _, _, body in taker.taken] == [b"1", b"2", b"3"] * 2
    assert whole.count(b"Connection: close") == 1


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (post(b"x", path="/other"), 404),
        (post(b"x", path="it"), 400),
        (request("POST /it HTTP/1.1", HOST), 411),
        (request("POST /it HTTP/1.1", HOST, f"Content-Length: {MAX_BODY_OCTETS + 1}"), 413),
        (request("POST /other HTTP/1.1", HOST, "Content-Length: 9", "Expect: 100-continue"), 404),
        (request("POST /it HTTP/1.1", HOST, "Content-Length: 9", "Expect: 1"), 417),
        (request("GET /it HTTP/1.1", HOST), 400),
        (b"x" * 20_000, 431),
    ],
)
async def test_what_is_refused_ends_the_connection(wire: bytes, status: int) -> None:
    """Its body is not read: what follows would be taken for a request."""
    taker = Taker()
    async with serving(taker) as port:
        answer = await exchange(port, wire)
    assert statuses_of(answer) == [status]
    assert b"Connection: close" in answer
    assert taker.taken == []


async def test_who_waits_for_100_gets_it_when_the_body_may_come() -> None:
    """RFC 9110 §10.1.1."""
    taker = Taker()
    head = request("POST /it HTTP/1.1", HOST, "Content-Length: 2", "Expect: 100-continue")
    async with serving(taker) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        assert await asyncio.wait_for(reader.readexactly(len(CONTINUE)), 60) == CONTINUE
        writer.write(b"ab")
        assert await asyncio.wait_for(reader.readline(), 60) == b"HTTP/1.1 200 OK\r\n"
        writer.close()
    assert [body for _, _, body in taker.taken] == [b"ab"]


async def test_an_answer_is_one_line_and_may_ask_to_come_again() -> None:
    taker = Taker()
    taker.answer = PostAnswer(HTTPStatus.SERVICE_UNAVAILABLE, "a\r\nb: \x1b\xe4" + "x" * 999, 300)
    async with serving(taker) as port:
        answer = await exchange(port, post(b"", "Connection: close"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nRetry-After: 300\r\n" in head
    assert body.startswith(b"a??b: ??xxx")
    assert body.count(b"\n") == 1
    assert len(body) < 400


async def test_a_client_that_goes_away_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room()
    monkeypatch.setattr(post_server, "BODY_SECONDS", 0.0)
    async with serving(Taker(), room) as port:
        # Too slow: RFC 9110 §15.5.9.
        assert statuses_of(await exchange(port, post(b"abc")[:-1])) == [408]
    monkeypatch.undo()
    taker = Taker()
    async with serving(taker, room) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b"abc")[:-1])
        writer.close()
        await writer.wait_closed()
        assert statuses_of(await exchange(port, post(b"abc", "Connection: close"))) == [200]
    assert len(taker.taken) == 1


async def test_who_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_server, "IDLE_SECONDS", 0.0)
    async with serving(Taker()) as port:
        assert statuses_of(await exchange(port, post(b"abc"))) == [200]


async def test_large_bodies_share_some_room() -> None:
    """What is held until it is taken is bounded; small reports always find room."""
    taker, room = Taker(), Room(1000)
    large = b"x" * (HELD_FREELY_OCTETS + 700)
    taker.gate.clear()
    async with serving(taker, room) as port:
        first = asyncio.ensure_future(exchange(port, post(large, "Connection: close")))
        await asyncio.wait_for(taker.begun.wait(), 60)
        answer = await exchange(port, post(large, "Connection: close"))
        assert statuses_of(answer) == [503]
        assert b"Retry-After: " in answer
        taker.gate.set()
        assert statuses_of(await first) == [200]
        assert statuses_of(await exchange(port, post(large, "Connection: close"))) == [200]
        assert statuses_of(await exchange(port, post(b"x" * 9, "Connection: close"))) == [200]


async def test_a_policy_host_takes_posts_beside_its_policies(tmp_path: Path) -> None:
    """On the same port, whatever the pieces that the first words come in."""
    taker = Taker()
    posts = Posts(taker, SystemClock(), Room())
    host = PolicyHost(
        POLICIES.get, make_chooser(tmp_path, issue((NAME,))), SystemClock(), posts=posts
    )
    get = request("GET /.well-known/mta-sts.txt HTTP/1.1", f"Host: {NAME}", "Connection: close")

    async def ask(port: int, octets: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client_context(), server_hostname=NAME
        )
        for at in range(6):
            writer.write(octets[at : at + 1])
            await writer.drain()
        writer.write(octets[6:])
        try:
            return await asyncio.wait_for(reader.read(), 60)
        finally:
            writer.close()

    async with listening(host.run) as port:
        assert (await ask(port, get)).endswith(POLICY)
        assert (await ask(port, post(b"1", "Connection: close"))).endswith(b"kept\r\n")
        assert statuses_of(await ask(port, get.replace(b"GET", b"PATCH"))) == [405]
    assert [body for _, _, body in taker.taken] == [b"1"]
