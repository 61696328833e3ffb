"""Takes what is POSTed: the head is judged before a body is read, and each body is bounded.

RFC 9110 §10.1.1 (100), §10.2.3 (Retry-After), RFC 9112 §9.6. Requests are read by
`protocols.http.posts`. Who may post what, and what is made of it, is a `Taker`'s to say. Nothing of
a request is said again in an answer. Connections, their number and TLS are `network.policy_host`'s.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.printable import make_printable
from letterlock.network.http_server import (
    IDLE_SECONDS,
    HttpAsked,
    find_asked,
    format_date,
    part,
)
from letterlock.network.wire import Lost, Wire
from letterlock.protocols.http.posts import START, Event, PostFault, PostHead, PostReader

MAX_BODY_OCTETS = 8 * 1024 * 1024
BODY_SECONDS = 60.0
"""From a head to the end of its body."""
ANSWER_SECONDS = 30.0
"""For the client to take an answer; what is made of a body takes as long as it takes."""
MAX_POSTS = 1000
"""On one connection."""
HELD_FREELY_OCTETS = 64 * 1024
MAX_HELD_OCTETS = 64 * 1024 * 1024
"""Of all bodies together that come in, beyond what each may hold freely."""
ROOM_SECONDS = 30
"""After which who found no room is asked to come again."""
MAX_TEXT_CHARACTERS = 300

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class PostAnswer:
    """What a client gets: a status, one line, and after how many seconds to come again."""

    status: HTTPStatus
    text: str
    retry_after: int | None = None


NOT_FOUND = PostAnswer(HTTPStatus.NOT_FOUND, "404 Not Found")
_NO_ROOM = PostAnswer(HTTPStatus.SERVICE_UNAVAILABLE, "too much comes at once", ROOM_SECONDS)
_TOO_SLOW = PostAnswer(HTTPStatus.REQUEST_TIMEOUT, "it takes too long to come")
_BAD_TARGET = PostAnswer(HTTPStatus.BAD_REQUEST, "the request's target or host is malformed")


TakeBody = Callable[[bytes], Awaitable[PostAnswer]]
"""Makes of a body what is made of it, and says so. Raises nothing."""


class Taker(Protocol):
    """Says who may post what."""

    def begin(self, asked: HttpAsked, head: PostHead, client: str) -> PostAnswer | TakeBody:
        """Refuse a request before its body is read, or give what takes that."""


class Room:
    """How much all connections hold together of bodies that are not whole."""

    def __init__(self, octets: int = MAX_HELD_OCTETS) -> None:
        self._left = octets

    def change(self, before: int, after: int) -> bool:
        """Hold `after` octets instead of `before`; False: there is no room for them."""
        if before <= HELD_FREELY_OCTETS >= after:
            return True
        more = max(0, after - HELD_FREELY_OCTETS) - max(0, before - HELD_FREELY_OCTETS)
        if more > self._left:
            return False
        self._left -= more
        return True


@dataclass(frozen=True, slots=True)
class Posts:
    """What takes posts on all connections of a server."""

    taker: Taker
    clock: Clock
    room: Room


def may_be_post(octets: bytes) -> bool:
    """Say if what came begins as a POST does, as far as it goes."""
    return START.startswith(octets[: len(START)])


async def take_posts(wire: Wire, posts: Posts, received: bytes, end: float) -> None:
    """Answer the posts on a connection; its closing is left to the caller.

    `received` is what was read of it already; `end` is when the first head must be there.
    """
    conversation = _Conversation(wire, posts, received, end)
    try:
        await conversation.run()
    finally:
        conversation.free_room()


class _Conversation:
    def __init__(self, wire: Wire, posts: Posts, received: bytes, end: float) -> None:
        self._wire = wire
        self._posts = posts
        self._end = end
        self._reader = PostReader(MAX_BODY_OCTETS)
        self._reader.receive(received)
        self._loop = asyncio.get_running_loop()
        self._held = 0
        self._client = wire.find_peer_ip() or ""

    def free_room(self) -> None:
        """Hold nothing any more."""
        if self._held:
            self._posts.room.change(self._held, 0)
            self._held = 0

    async def run(self) -> None:
        end = self._end
        for number in range(1, MAX_POSTS + 1):
            head = await self._wait(end)
            if isinstance(head, PostHead):
                outcome = await self._take(head)
            elif (fault := _explain(head, is_begun=False)) is not None:
                outcome = fault, False
            else:
                return
            if outcome is None:
                return
            answer, may_go_on = outcome
            is_last = number == MAX_POSTS or not may_go_on
            octets = self._format(answer, is_last=is_last)
            if await self._wire.write(octets, ANSWER_SECONDS):
                return
            if is_last:
                break
            end = self._loop.time() + IDLE_SECONDS
        await part(self._wire, self._loop.time() + ANSWER_SECONDS)

    async def _take(self, head: PostHead) -> tuple[PostAnswer, bool] | None:
        """Give the answer to a request, and if another may come; None: the client went away."""
        asked = find_asked(head.target, head.host)
        if asked is None:
            return _BAD_TARGET, False
        begun = self._posts.taker.begin(asked, head, self._client)
        if isinstance(begun, PostAnswer):
            return begun, False
        if head.has_expectation and await self._wire.write(_CONTINUE, ANSWER_SECONDS):
            return None
        body = await self._wait(self._loop.time() + BODY_SECONDS)
        if isinstance(body, bytes):
            answer = await begun(body)
            self.free_room()
            return answer, not head.is_last
        refused = _explain(body)
        return None if refused is None else (refused, False)

    async def _wait(self, end: float) -> Event | PostAnswer | Lost:
        """Give what is read next; an answer where there is no room for it."""
        while (event := self._reader.next_event()) is None:
            octets = await self._wire.read(max(0.0, end - self._loop.time()))
            if isinstance(octets, Lost):
                return octets
            self._reader.receive(octets)
            held = self._reader.held_octets
            if not self._posts.room.change(self._held, held):
                return _NO_ROOM
            self._held = held
        return event

    def _format(self, answer: PostAnswer, *, is_last: bool) -> bytes:
        status = answer.status
        # Each character is one octet: what is not in ASCII becomes a question mark.
        text = make_printable(answer.text[:MAX_TEXT_CHARACTERS])
        retry = "" if answer.retry_after is None else f"Retry-After: {answer.retry_after}\r\n"
        close = "Connection: close\r\n" if is_last else ""
        return (
            f"HTTP/1.1 {status:d} {status.phrase}\r\n"
            f"Date: {format_date(self._posts.clock.now())}\r\n"
            "Content-Type: text/plain\r\n"
            f"Content-Length: {len(text) + 2}\r\n"
            "X-Content-Type-Options: nosniff\r\n"
            f"{retry}{close}\r\n{text}\r\n"
        ).encode("ascii", "replace")


def _explain(event: Event | PostAnswer | Lost, *, is_begun: bool = True) -> PostAnswer | None:
    """Give what a client hears of a request that is not whole; None where it hears nothing."""
    match event:
        case PostAnswer():
            return event
        case PostFault(status, reason):
            return PostAnswer(HTTPStatus(status), reason)
        case Lost(is_timeout=True) if is_begun:
            return _TOO_SLOW
        case _:
            return None
