"""A small HTTP server for what anybody may fetch from us: short answers to GET and HEAD.

RFC 9110, RFC 9112 (by h11). All of it is bounded in size, count and time, and nothing of a request
is said again in an answer. Paths are compared as they were written: none is decoded, and `..` is no
way up. Who has already what it asks for is told so (RFC 9110 §13). Left out: bodies of requests,
ranges, caches, compression, upgrades. With TLS before it, `network.policy_host`.
"""

import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from itertools import count

import h11
from msgspec import Struct

from letterlock.base.clock import Clock
from letterlock.network.acceptor import USUAL_LIMITS, Acceptor, AcceptorLimits, left_until
from letterlock.network.wire import Lost, Wire
from letterlock.protocols.http.conditions import is_known

MAX_HEADER_OCTETS = 16 * 1024
MAX_REQUESTS = 20
"""On one connection, within its time."""
IDLE_SECONDS = 5.0
"""Between two requests."""
MAX_DISCARDED_OCTETS = 256 * 1024
DISCARD_SECONDS = 2.0
"""What is still read, and for how long, after the last answer (RFC 9112 §9.6)."""

_METHODS = (b"GET", b"HEAD")
_FINAL = (HTTPStatus.BAD_REQUEST, HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
# RFC 9112 §3.2 with RFC 3986 §3.2.2, in which user information has no place (RFC 9110 §4.2.4).
_AUTHORITY = re.compile(
    r"(?:\[(?P<ip>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._~!$&'()*+,;=%-]*))(?::[0-9]*)?"
)
_ABSOLUTE_FORM = re.compile(
    r"https?://(?P<authority>[^/?#:][^/?#]*)(?P<rest>[/?].*)?", re.IGNORECASE
)


class HttpAsked(Struct, frozen=True):
    """What a client asks for.

    `host` is in lower case, without a port and without an address's brackets; empty where an
    HTTP/1.0 client names none. `path` is as written, without the query.
    """

    host: str
    path: str


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What it gets. Without a body of its own an answer has its status as text."""

    status: HTTPStatus
    body: bytes = b""
    media_type: str = "text/plain"
    headers: tuple[tuple[str, str], ...] = ()
    """More fields than those that every answer has."""
    etag: str = ""
    """As `protocols.http.conditions` makes it; empty: the whole body is sent to all who ask."""
    modified: datetime | None = None
    """When the body became what it is; only beside an entity-tag."""


Find = Callable[[HttpAsked], Awaitable[HttpAnswer]]
"""Gives the answer, whichever of GET and HEAD it is for."""


class HttpServer(Acceptor):
    """Answers on sockets without TLS."""

    def __init__(self, find: Find, clock: Clock, limits: AcceptorLimits = USUAL_LIMITS) -> None:
        self._find = find
        self._clock = clock
        super().__init__(self._serve, limits)

    async def _serve(self, wire: Wire, end: float) -> None:
        await converse(wire, self._find, self._clock, end)


async def converse(wire: Wire, find: Find, clock: Clock, end: float, received: bytes = b"") -> None:
    """Answer what comes on a connection; its closing is left to the caller.

    `received` is what was read of it already.
    """
    await _Conversation(wire, find, clock, end, received).run()


class _Conversation:
    def __init__(self, wire: Wire, find: Find, clock: Clock, end: float, received: bytes) -> None:
        self._wire = wire
        self._find = find
        self._clock = clock
        self._end = end
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_OCTETS)
        self._unread = received

    async def run(self) -> None:
        for number in count(1):
            request: h11.Request | None = None
            try:
                request = await self._read_request(math.inf if number == 1 else IDLE_SECONDS)
                if request is None:
                    return
                answer = await self._answer(request)
                is_last = number == MAX_REQUESTS or _has_body(request) or answer.status in _FINAL
            except h11.RemoteProtocolError as error:
                is_last, answer = True, HttpAnswer(HTTPStatus(error.error_status_hint))
            octets = self._format(request, answer, is_last=is_last)
            if await self._wire.write(octets, left_until(self._end)):
                return
            if is_last or self._http.our_state is not h11.DONE:
                break
            self._http.start_next_cycle()
        await part(self._wire, self._end)

    async def _read_request(self, idle_seconds: float) -> h11.Request | None:
        """Read a request's head; None: the client went away before, or its time was over.

        `idle_seconds` is for the time before anything comes. Raises h11.RemoteProtocolError for
        what is no request.
        """
        while not isinstance(event := self._http.next_event(), h11.Request):
            if not self._unread:
                octets = await self._wire.read(min(left_until(self._end), idle_seconds))
                if isinstance(octets, Lost):
                    return None
                self._unread = octets
            idle_seconds = math.inf
            self._feed()
        if not _has_body(event):
            self._http.next_event()  # the request's end, which is there
        return event

    def _feed(self) -> None:
        # h11 refuses a head that is too long only while it is not whole: how it is cut into
        # segments would decide.
        room = MAX_HEADER_OCTETS + 1 - len(self._http.trailing_data[0])
        self._http.receive_data(self._unread[:room])
        self._unread = self._unread[room:]

    async def _answer(self, request: h11.Request) -> HttpAnswer:
        if not request.http_version.startswith(b"1."):
            return HttpAnswer(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        if request.method not in _METHODS:
            return HttpAnswer(HTTPStatus.METHOD_NOT_ALLOWED)
        target, host = request.target, _find_header(request, b"host")
        asked = find_asked(target.decode("latin-1"), host.decode("latin-1"))
        if asked is None:
            return HttpAnswer(HTTPStatus.BAD_REQUEST)
        answer = await self._find(asked)
        if answer.etag and is_known(request.headers, answer.etag, _format_modified(answer)):
            return replace(answer, status=HTTPStatus.NOT_MODIFIED)
        return answer

    def _format(self, request: h11.Request | None, answer: HttpAnswer, *, is_last: bool) -> bytes:
        status = answer.status
        body = answer.body or f"{status.value} {status.phrase}\r\n".encode("ascii")
        headers = [("Date", format_date(self._clock.now()))]
        if status is not HTTPStatus.NOT_MODIFIED:
            # Of these RFC 9110 §15.4.5 wants none where the body is not sent.
            headers += [("Content-Type", answer.media_type), ("Content-Length", str(len(body)))]
            headers += [("Last-Modified", _format_modified(answer))] if answer.modified else []
        headers += [("X-Content-Type-Options", "nosniff"), *answer.headers]
        headers += [("ETag", answer.etag)] if answer.etag else []
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", ", ".join(method.decode("ascii") for method in _METHODS)))
        if is_last:
            headers.append(("Connection", "close"))
        response = h11.Response(
            status_code=status.value, headers=headers, reason=status.phrase.encode("ascii")
        )
        octets = self._http.send(response) or b""
        is_sent = request is None or request.method != b"HEAD"
        if is_sent and status is not HTTPStatus.NOT_MODIFIED:
            octets += self._http.send(h11.Data(data=body)) or b""
        return octets + (self._http.send(h11.EndOfMessage()) or b"")


async def part(wire: Wire, end: float) -> None:
    """Say that this was all, and let the client read it.

    RFC 9112 §9.6: closed while octets of the client are unread, a connection is reset, and the
    client may lose the answer.
    """
    wire.finish_writing()
    end = min(end, end - left_until(end) + DISCARD_SECONDS)
    left = MAX_DISCARDED_OCTETS
    while left > 0:
        octets = await wire.read(left_until(end))
        if isinstance(octets, Lost):
            return
        left -= len(octets)


def _format_modified(answer: HttpAnswer) -> str:
    return format_date(answer.modified) if answer.modified is not None else ""


def format_date(now: datetime) -> str:
    """Give the value of Date (RFC 9110 §5.6.7)."""
    return _format_second(int(now.timestamp()))


@lru_cache(maxsize=8)  # of many answers in one second
def _format_second(second: int) -> str:
    return formatdate(second, usegmt=True)


def find_asked(target: str, host: str) -> HttpAsked | None:
    """Read a request's target and Host field; None for what has no form that we answer.

    RFC 9112 §3.2.1 and §3.2.2: in the absolute form the target's own host counts.
    """
    authority, path = host, target
    if not path.startswith("/"):
        absolute = _ABSOLUTE_FORM.fullmatch(path)
        if absolute is None:
            return None
        authority, path = absolute["authority"], absolute["rest"] or ""
        if not path.startswith("/"):
            path = f"/{path}"
    named = _AUTHORITY.fullmatch(authority)
    if named is None:
        return None
    return HttpAsked((named["ip"] or named["name"]).lower(), path.partition("?")[0])


def _find_header(request: h11.Request, name: bytes) -> bytes:
    # Of Host h11 lets one through at most (RFC 9112 §3.2).
    return next((value for key, value in request.headers if key == name), b"")


def _has_body(request: h11.Request) -> bool:
    length = _find_header(request, b"content-length")
    return bool(_find_header(request, b"transfer-encoding")) or length.strip(b"0") != b""
