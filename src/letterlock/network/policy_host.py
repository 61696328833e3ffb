"""Serve MTA-STS policies over HTTPS: the policy host of domains.

RFC 8461 §3.3 (where a policy is), §3.2 (its media type), RFC 9110 and RFC 9112 (HTTP, by h11). One
request for each connection, which has its end in RESPONSE_SECONDS whatever the client does. Which
domain has which policy is the caller's to know. The absolute form of a request's target is left
out: it is for proxies.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from email.utils import format_datetime
from http import HTTPStatus
from socket import socket

import h11

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain, DomainError, parse_domain
from letterlock.network.https import HOST_LABEL, PATH
from letterlock.network.server_certificates import ServerCertificates
from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Lost, Wire
from letterlock.protocols.mta_sts.policy import MIME_TYPE
from letterlock.protocols.tls.handshake import HandshakeFailed

MAX_CONNECTIONS = 200
MAX_HEADER_OCTETS = 16 * 1024
RESPONSE_SECONDS = 20.0
"""For everything, from the connection to the last octet."""
BACKLOG = 256

_METHODS = (b"GET", b"HEAD")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: HTTPStatus
    body: bytes = b""


class PolicyHost:
    """Answers for `mta-sts.DOMAIN` with the policy of DOMAIN; `find_policy` gives its octets."""

    def __init__(
        self,
        find_policy: Callable[[Domain], bytes | None],
        certificates: ServerCertificates,
        clock: Clock,
    ) -> None:
        self._find_policy = find_policy
        self._certificates = certificates
        self._clock = clock
        self._connections = 0
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self, listeners: Sequence[socket]) -> None:
        """Accept on listening sockets until cancelled; then what is open is cut off."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            with ExitStack() as closing:
                for listener in listeners:
                    server = await self._accept(listener)
                    closing.callback(server.close)
                await asyncio.Event().wait()

    async def _accept(self, listener: socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(
            lambda: _Client(self._begin), sock=listener, backlog=BACKLOG
        )

    def _begin(self, wire: Wire) -> None:
        if self._tasks is None or self._connections >= MAX_CONNECTIONS:
            wire.close()
            return
        self._connections += 1
        self._tasks.create_task(self._serve(wire))

    async def _serve(self, wire: Wire) -> None:
        end = asyncio.get_running_loop().time() + RESPONSE_SECONDS
        try:
            driver = TlsDriver.server(self._certificates)
            handshake = await wire.start_tls(driver, RESPONSE_SECONDS)
            if not isinstance(handshake, HandshakeFailed):
                await self._converse(wire, end)
        finally:
            self._connections -= 1
            wire.close()

    async def _converse(self, wire: Wire, end: float) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_OCTETS)
        try:
            request = await _read_request(http, wire, end)
        except h11.RemoteProtocolError as error:
            request, answer = None, _Answer(HTTPStatus(error.error_status_hint))
        else:
            if request is None:
                return
            answer = self._answer(request)
        await wire.write(self._write_answer(http, request, answer), _left_until(end))

    def _answer(self, request: h11.Request) -> _Answer:
        if request.method not in _METHODS:
            return _Answer(HTTPStatus.METHOD_NOT_ALLOWED)
        domain = _find_domain(request)
        if domain is None or request.target.partition(b"?")[0] != PATH.encode():
            return _Answer(HTTPStatus.NOT_FOUND)
        policy = self._find_policy(domain)
        return _Answer(HTTPStatus.NOT_FOUND) if policy is None else _Answer(HTTPStatus.OK, policy)

    def _write_answer(
        self, http: h11.Connection, request: h11.Request | None, answer: _Answer
    ) -> bytes:
        status = answer.status
        body = answer.body or f"{status.value} {status.phrase}\r\n".encode()
        headers = [
            ("Date", format_datetime(self._clock.now(), usegmt=True)),
            ("Content-Type", MIME_TYPE),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", ", ".join(method.decode() for method in _METHODS)))
        response = h11.Response(
            status_code=status.value, headers=headers, reason=status.phrase.encode()
        )
        written = http.send(response) or b""
        if request is None or request.method != b"HEAD":
            written += http.send(h11.Data(data=body)) or b""
        return written + (http.send(h11.EndOfMessage()) or b"")


class _Client(Wire):
    """A connection that comes in."""

    def __init__(self, begin: Callable[[Wire], None]) -> None:
        super().__init__()
        self._begin = begin

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._begin(self)


async def _read_request(http: h11.Connection, wire: Wire, end: float) -> h11.Request | None:
    """Read until the request's headers are there; None: the client went away before.

    Raises h11.RemoteProtocolError for what is no request.
    """
    while not isinstance(event := http.next_event(), h11.Request):
        octets = await wire.read(_left_until(end))
        if isinstance(octets, Lost):
            return None
        http.receive_data(octets)
    return event


def _find_domain(request: h11.Request) -> Domain | None:
    """Find the domain whose policy host is asked, by the Host field (RFC 9110 §7.2)."""
    hosts = [value for key, value in request.headers if key == b"host"]
    label, dot, rest = b"".join(hosts).decode("latin-1").partition(":")[0].partition(".")
    if not dot or label.lower() != HOST_LABEL:
        return None
    try:
        return parse_domain(rest)
    except DomainError:
        return None


def _left_until(end: float) -> float:
    return max(0.0, end - asyncio.get_running_loop().time())
