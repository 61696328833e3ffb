"""Requests that POST reports: how they are read, and what is said to those who send them."""

import asyncio
import re
from contextlib import suppress
from http import HTTPStatus

import h11

from letterlock.base.domains import Domain
from letterlock.network.http_server import HttpAsked
from letterlock.network.post_server import NOT_FOUND, PostAnswer, Posts, Room, TakeBody, take_posts
from letterlock.network.tls import TlsDriver
from letterlock.protocols.http.posts import Event, PostFault, PostHead, PostReader, parse_head
from letterlock.services.intake.post_paths import PostPaths, make_path, take_keys
from tests.fakes import FakeClock
from tests.fuzz.https import _HTTP_WORDS, _split_answers, _Wire
from tests.fuzz.target import Target, split_ways, take_choices

_MOST = 200
_KEYS = take_keys("a secret of enough characters")
_DOMAIN = Domain("d.example")
_PATHS = PostPaths(_KEYS, (_DOMAIN,))
_TARGET = make_path(_KEYS[0], _DOMAIN).encode()


def _read(pieces: list[bytes]) -> list[Event]:
    reader = PostReader(_MOST)
    events: list[Event] = []
    for piece in pieces:
        reader.receive(piece)
        while (event := reader.next_event()) is not None:
            events.append(event)
            if isinstance(event, PostFault):
                return events
    return events


def check_posts(octets: bytes) -> None:
    """The same comes of a request however it is cut; what h11 makes of it, if we take it."""
    (choice,), wire = take_choices(octets, 1)
    events = _read([wire])
    for pieces in split_ways(wire, choice):
        assert _read([piece for piece in pieces if piece]) == events
    for number, event in enumerate(events):
        if number % 2 == 0:
            assert isinstance(event, PostHead | PostFault)
        else:
            assert isinstance(event, bytes | PostFault)
            assert isinstance(event, PostFault) or len(event) <= _MOST
    head = wire.partition(b"\r\n\r\n")[0]
    if events and isinstance(events[0], PostHead):
        assert parse_head(head) == events[0]
    if len(events) > 1 and isinstance(events[0], PostHead) and isinstance(events[1], bytes):
        _check_by_h11(wire, events[0], events[1])


def _check_by_h11(wire: bytes, head: PostHead, body: bytes) -> None:
    """h11 reads the same body. It looks into trailer fields, which we pass over."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(wire)
    found = b""
    with suppress(*((h11.RemoteProtocolError,) if head.length is None else ())):
        request = connection.next_event()
        assert isinstance(request, h11.Request)
        assert (request.method, request.target.decode()) == (b"POST", head.target)
        while isinstance(event := connection.next_event(), h11.Data):
            found += event.data
        assert isinstance(event, h11.EndOfMessage)
        assert found == body


class _Taker:
    """Takes what is posted to one path, and says how long it was."""

    def begin(self, asked: HttpAsked, head: PostHead, client: str) -> PostAnswer | TakeBody:
        del head, client
        return self._take if _PATHS.find(asked.path) else NOT_FOUND

    async def _take(self, body: bytes) -> PostAnswer:
        return PostAnswer(HTTPStatus.OK, f"{body!r}\r\n\0\x1b", 5)


def check_answers(octets: bytes) -> None:
    """Who posts gets short answers, in their order; what is said is one line."""
    (choice,), wire = take_choices(octets, 1)
    with asyncio.Runner() as runner:
        written = runner.run(_post([wire]))
        for pieces in split_ways(wire, choice):
            assert runner.run(_post([each for each in pieces if each])) == written
    for head, body in _split_answers(written.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")):
        status = int(head[9:12])
        assert status in (200, 400, 404, 411, 413, 417, 431, 501)
        assert re.fullmatch(rb"[ -~]*\r\n", body)
        assert status != 200 or _TARGET in wire


async def _post(pieces: list[bytes]) -> bytes:
    posts = Posts(_Taker(), FakeClock(), Room())
    wire = _Wire(pieces, TlsDriver())
    await take_posts(wire, posts, b"", asyncio.get_running_loop().time() + 60)
    return wire.written


_HEAD = b"POST " + _TARGET + b" HTTP/1.1\r\nHost: mx.example\r\n"
_WORDS = (*_HTTP_WORDS, _TARGET, b"Content-Type: application/tlsrpt+gzip\r\n", b"1\r\nx\r\n")
_SEEDS = (
    b"\x80" + _HEAD + b"Content-Length: 5\r\n\r\nhello" + _HEAD + b"Content-Length: 0\r\n\r\n",
    b"\x07" + _HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n0\r\nc: d\r\n\r\n",
    b"\x11" + _HEAD + b"Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    b"\x33POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx",
    b"\x33POST /tlsrpt/d.example/x HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\n",
)
TARGETS = (
    Target("http-posts", check_posts, _SEEDS, _WORDS, 600, runs=300),
    Target("http-post-answers", check_answers, _SEEDS, _WORDS, 600, runs=60),
)
