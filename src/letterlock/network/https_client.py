"""One request over HTTPS and its response: every name proved, every wait and every octet bounded.

RFC 9112 (HTTP/1.1, by h11), RFC 9525 §6 (names). The chain is judged after the handshake and before
anything is asked, by the code that judges MX hosts. A name is resolved once, and what is connected
to are those addresses. No redirects, no cookies, no cache, and a connection for each request. What
the peer does is a value; what a response means is the caller's (`network.https`,
`network.acme_client`).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

import h11

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain, DomainError
from letterlock.network.client_contexts import ClientContexts, ClientSettings
from letterlock.network.dns import Resolver
from letterlock.network.public_addresses import is_public
from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Lost, Wire, connect
from letterlock.protocols.dns.answers import Answer
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.pki.chain import judge_chain
from letterlock.protocols.pki.names import (
    CertificateNames,
    IpAddress,
    explain_mismatch,
    find_match,
    parse_ip,
)
from letterlock.protocols.tls.handshake import HandshakeFailed

CONNECT_SECONDS = 10.0
"""For one address, so that the next one has its turn."""
MAX_ADDRESSES_PER_VERSION = 2
MAX_HEADER_OCTETS = 32 * 1024
MAX_REASON_CHARACTERS = 500
"""A certificate's names alone can be longer; reasons are stored, logged and reported."""

_SHOWN_CHARACTERS = 100

Headers = tuple[tuple[bytes, bytes], ...]
"""Names in lower case, and values, in the order they came."""


class UnusableAnchors(Protocol):
    """Why there are no trust anchors: one line."""

    @property
    def reason(self) -> str: ...


@dataclass(frozen=True, slots=True)
class HttpsRequest:
    """What is asked. `host` is a name or an address, `target` a path with its query.

    `headers` come after Host, and before those that say how the connection is used.
    """

    host: str
    target: str
    port: int = 443
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpsResponse:
    """What came. `body` is empty too where the caller wanted none of it."""

    status: int
    headers: Headers
    body: bytes = b""

    def find(self, name: bytes) -> list[bytes]:
        """Give the values of a header, whose name is in lower case."""
        return [value for key, value in self.headers if key == name]

    @property
    def media_types(self) -> list[str]:
        """The content types, in lower case and without their parameters."""
        return [
            value.partition(b";")[0].strip().lower().decode("latin-1")
            for value in self.find(b"content-type")
        ]


class HttpsFault(Enum):
    """What kept us from a response."""

    UNREACHABLE = "no connection with TLS"
    NOT_TRUSTED = "the certificate does not prove the name"
    NO_RESPONSE = "what came is no whole response in HTTP/1.1"
    TIMED_OUT = "the time for all of it is over"
    TOO_LONG = "the body is longer than it may be"
    ENCODED = "the body has a content encoding"


@dataclass(frozen=True, slots=True)
class HttpsFailed:
    """There is no response. `reason` is one line, in which a peer's words are bounded."""

    fault: HttpsFault
    reason: str


@dataclass(frozen=True, slots=True)
class HttpsBounds:
    """What a response may take. `max_received_octets` counts HTTP's own octets too.

    A body in chunks of one octet is several times its length.
    """

    seconds: float
    max_body_octets: int
    max_received_octets: int


def want_body(_head: HttpsResponse) -> bool:
    """Want the body of every response."""
    return True


class HttpsClient:
    """Asks servers. `find_anchors` gives the trust anchors as they are now."""

    def __init__(
        self,
        resolver: Resolver,
        contexts: ClientContexts,
        find_anchors: Callable[[], TrustAnchors | UnusableAnchors],
        clock: Clock,
        *,
        has_private_addresses: bool = False,
    ) -> None:
        """Servers may have loopback, private and other special addresses only if we say so."""
        self._resolver = resolver
        self._contexts = contexts
        self._find_anchors = find_anchors
        self._clock = clock
        self._has_private_addresses = has_private_addresses

    async def ask(
        self,
        request: HttpsRequest,
        bounds: HttpsBounds,
        wants_body: Callable[[HttpsResponse], bool] = want_body,
    ) -> HttpsResponse | HttpsFailed:
        """Ask once. `wants_body` sees status and headers; without the body reading ends there."""
        try:
            async with asyncio.timeout(bounds.seconds):
                return await self._ask(request, bounds, wants_body)
        except TimeoutError:
            reason = f"no response within {bounds.seconds:g} seconds"
            return _fail(HttpsFault.TIMED_OUT, request.host, reason)

    async def _ask(
        self,
        request: HttpsRequest,
        bounds: HttpsBounds,
        wants_body: Callable[[HttpsResponse], bool],
    ) -> HttpsResponse | HttpsFailed:
        addresses = await self._find_addresses(request.host)
        if isinstance(addresses, HttpsFailed):
            return addresses
        wire = await _connect(request, addresses)
        if isinstance(wire, HttpsFailed):
            return wire
        try:
            tls = await self._start_tls(wire, request.host, bounds.seconds)
            if isinstance(tls, HttpsFailed):
                return tls
            return await _Exchange(wire, tls, request, bounds, wants_body).run()
        finally:
            wire.close()

    async def _find_addresses(self, host: str) -> Sequence[IpAddress] | HttpsFailed:
        if ip := parse_ip(host):
            found: Sequence[IpAddress] = [ip]
        else:
            answers = await asyncio.gather(
                *(self._resolver.ask(Domain(host), rdtype) for rdtype in ("AAAA", "A"))
            )
            found = _choose_addresses(answers)
            if not found:
                reasons = [each.reason for each in answers if not each.is_answer]
                reason = reasons[0] if reasons else "the name has no address"
                return _fail(HttpsFault.UNREACHABLE, host, reason)
        usable = [ip for ip in found if self._has_private_addresses or is_public(ip)]
        if not usable:
            shown = ", ".join(str(ip) for ip in found)
            reason = f"{shown}: not an address of the Internet, not connected to"
            return _fail(HttpsFault.UNREACHABLE, host, reason)
        return usable

    async def _start_tls(self, wire: Wire, host: str, seconds: float) -> TlsDriver | HttpsFailed:
        """Do the handshake, with the host's name as SNI, and judge the certificate."""
        anchors = self._find_anchors()
        if not isinstance(anchors, TrustAnchors):
            return _fail(HttpsFault.UNREACHABLE, host, anchors.reason)
        context = self._contexts.find(ClientSettings())
        try:
            driver = TlsDriver.client(context, None if parse_ip(host) else host)
        except DomainError as error:
            return _fail(HttpsFault.UNREACHABLE, host, str(error))
        handshake = await wire.start_tls(driver, seconds)
        if isinstance(handshake, HandshakeFailed):
            return _fail(HttpsFault.UNREACHABLE, host, handshake.detail)
        judgement = judge_chain(handshake.chain, anchors, self._clock.now())
        if judgement.findings:
            return _fail(HttpsFault.NOT_TRUSTED, host, judgement.findings[0].text)
        names = judgement.leaf.names if judgement.leaf else CertificateNames()
        if find_match(names, [host]) is None:
            return _fail(HttpsFault.NOT_TRUSTED, host, explain_mismatch(names, [host]))
        return driver


class _Exchange:
    """One request and its response. Reading and writing end with the time bound of both."""

    def __init__(
        self,
        wire: Wire,
        tls: TlsDriver,
        request: HttpsRequest,
        bounds: HttpsBounds,
        wants_body: Callable[[HttpsResponse], bool],
    ) -> None:
        self._wire = wire
        self._tls = tls
        self._request = request
        self._bounds = bounds
        self._wants_body = wants_body
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADER_OCTETS)
        self._received = 0
        self._head: HttpsResponse | None = None
        self._body = bytearray()
        self._is_framed = False

    async def run(self) -> HttpsResponse | HttpsFailed:
        if lost := await self._wire.write(self._format_request(), self._bounds.seconds):
            return self._fail(lost.detail)
        try:
            return await self._receive()
        except h11.RemoteProtocolError as error:
            return self._fail(f"not a response in HTTP/1.1: {str(error)[:_SHOWN_CHARACTERS]!r}")

    def _format_request(self) -> bytes:
        asked = self._request
        headers = [
            ("Host", _format_authority(asked)),
            ("User-Agent", "letterlock"),
            *asked.headers,
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]
        if asked.body:
            headers.append(("Content-Length", str(len(asked.body))))
        head = h11.Request(method=asked.method, target=asked.target, headers=headers)
        octets = self._http.send(head) or b""
        if asked.body:
            octets += self._http.send(h11.Data(data=asked.body)) or b""
        self._http.send(h11.EndOfMessage())
        return octets

    async def _receive(self) -> HttpsResponse | HttpsFailed:
        while True:
            event = self._http.next_event()
            outcome: HttpsResponse | HttpsFailed | None = None
            match event:
                case h11.Response():
                    outcome = self._take_head(event)
                case h11.Data():
                    self._body += event.data
                    outcome = self._check_size(len(self._body))
                case h11.EndOfMessage():
                    assert self._head is not None
                    return replace(self._head, body=bytes(self._body))
                case h11.NEED_DATA:
                    outcome = await self._read()
                case _:  # an informational response, of which the octets read are bounded
                    pass
            if outcome is not None:
                return outcome

    async def _read(self) -> HttpsFailed | None:
        octets = await self._wire.read(self._bounds.seconds)
        if isinstance(octets, Lost):
            if self._tls.failure is not None or octets.is_timeout:
                return self._fail(octets.detail)
            if not self._is_framed and not self._tls.is_closed:
                # Only TLS's own end says that this was all: a FIN can come from anybody.
                return self._fail("the connection was cut off inside the response")
            octets = b""
        self._received += len(octets)
        if self._received > self._bounds.max_received_octets:
            return self._fail(f"more than {self._bounds.max_received_octets} octets of HTTP")
        self._http.receive_data(octets)
        return None

    def _take_head(self, response: h11.Response) -> HttpsResponse | HttpsFailed | None:
        self._head = HttpsResponse(response.status_code, tuple(response.headers))
        if not self._wants_body(self._head):
            return self._head
        encodings = self._head.find(b"content-encoding")
        if any(each.strip().lower() != b"identity" for each in encodings):
            text = f"the content encoding is {show(b', '.join(encodings))}"
            return self._fail(text, HttpsFault.ENCODED)
        lengths = self._head.find(b"content-length")
        self._is_framed = bool(lengths or self._head.find(b"transfer-encoding"))
        is_bodiless = self._request.method == "HEAD"
        return self._check_size(int(lengths[0])) if lengths and not is_bodiless else None

    def _check_size(self, octets: int) -> HttpsFailed | None:
        most = self._bounds.max_body_octets
        if octets <= most:
            return None
        return self._fail(f"the body has more than {most} octets", HttpsFault.TOO_LONG)

    def _fail(self, reason: str, fault: HttpsFault = HttpsFault.NO_RESPONSE) -> HttpsFailed:
        return _fail(fault, self._request.host, reason)


def show(value: bytes) -> str:
    """Quote a peer's words, so that they stay on one line and short."""
    return repr(value[:_SHOWN_CHARACTERS].decode("latin-1"))


async def _connect(request: HttpsRequest, addresses: Sequence[IpAddress]) -> Wire | HttpsFailed:
    losses = []
    for ip in addresses:
        wire = await connect(str(ip), request.port, CONNECT_SECONDS)
        if isinstance(wire, Wire):
            return wire
        losses.append(f"{ip}: {wire.detail}")
    return _fail(HttpsFault.UNREACHABLE, request.host, "; ".join(losses))


def _choose_addresses(answers: Sequence[Answer]) -> list[IpAddress]:
    """Give the first addresses of each answer, so that both versions of IP have their turn."""
    return [
        record
        for answer in answers
        if answer.is_answer
        for record in answer.records[:MAX_ADDRESSES_PER_VERSION]
        if isinstance(record, IPv4Address | IPv6Address)
    ]


def _format_authority(request: HttpsRequest) -> str:
    host = f"[{request.host}]" if ":" in request.host else request.host
    return host if request.port == 443 else f"{host}:{request.port}"


def _fail(fault: HttpsFault, host: str, reason: str) -> HttpsFailed:
    return HttpsFailed(fault, f"{host}: {reason}"[:MAX_REASON_CHARACTERS])
