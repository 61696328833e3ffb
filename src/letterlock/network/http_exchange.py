"""One request in HTTP/1.1 over a connection that is there, and its response: all of it bounded.

RFC 9110, RFC 9112 (by h11). No redirects, no cookies, no cache, and a connection for each request.
What the peer does is a value; what a response means is the caller's. Connections with TLS, and
whether a server is who it should be, are `network.https_client`'s.
"""

from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass, replace
from enum import Enum

import h11

from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Lost, Wire

MAX_HEADER_OCTETS = 32 * 1024
MAX_REASON_CHARACTERS = 500
"""A certificate's names alone can be longer; reasons are stored, logged and reported."""

_SHOWN_CHARACTERS = 100

Headers = tuple[tuple[bytes, bytes], ...]
"""Names in lower case, and values, in the order they came."""


@dataclass(frozen=True, slots=True)
class BodyStream:
    """A request's body that is sent as it is read: pieces, and how long they are together."""

    octets: int
    pieces: AsyncIterable[bytes]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is asked. `host` is a name or an address, `target` a path with its query.

    `headers` come after Host, and before those that say how the connection is used. The body is
    `body`, or `stream`, whose octets are not held.
    """

    host: str
    target: str
    port: int = 443
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    stream: BodyStream | None = None


@dataclass(frozen=True, slots=True)
class HttpResponse:
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


class HttpFault(Enum):
    """What kept us from a response."""

    UNREACHABLE = "no connection with TLS"
    NOT_TRUSTED = "the certificate does not prove the name"
    NO_RESPONSE = "what came is no whole response in HTTP/1.1"
    TIMED_OUT = "the time for all of it is over"
    TOO_LONG = "the body is longer than it may be"
    ENCODED = "the body has a content encoding"


@dataclass(frozen=True, slots=True)
class HttpFailed:
    """There is no response. `reason` is one line, in which a peer's words are bounded.

    `is_about_time`: by our clock the certificate is not valid yet, or not any more.
    """

    fault: HttpFault
    reason: str
    is_about_time: bool = False


@dataclass(frozen=True, slots=True)
class HttpBounds:
    """What a response may take. `max_received_octets` counts HTTP's own octets too.

    A body in chunks of one octet is several times its length.
    """

    seconds: float
    max_body_octets: int
    max_received_octets: int


def want_body(_head: HttpResponse) -> bool:
    """Want the body of every response."""
    return True


def show(value: bytes) -> str:
    """Quote a peer's words, so that they stay on one line and short."""
    return repr(value[:_SHOWN_CHARACTERS].decode("latin-1"))


def fail(fault: HttpFault, host: str, reason: str) -> HttpFailed:
    """Say why there is no response of a host."""
    return HttpFailed(fault, f"{host}: {reason}"[:MAX_REASON_CHARACTERS])


class Exchange:
    """One request and its response. Reading and writing end with the time bound of both.

    `tls` is the driver of the connection; None: it has no TLS.
    """

    def __init__(
        self,
        wire: Wire,
        tls: TlsDriver | None,
        request: HttpRequest,
        bounds: HttpBounds,
        wants_body: Callable[[HttpResponse], bool],
    ) -> None:
        self._wire = wire
        self._tls = tls
        self._request = request
        self._bounds = bounds
        self._wants_body = wants_body
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADER_OCTETS)
        self._received = 0
        self._head: HttpResponse | None = None
        self._body = bytearray()
        self._is_framed = False

    async def run(self) -> HttpResponse | HttpFailed:
        if lost := await self._send_request():
            return self._fail(lost.detail)
        try:
            return await self._receive()
        except h11.RemoteProtocolError as error:
            return self._fail(f"not a response in HTTP/1.1: {str(error)[:_SHOWN_CHARACTERS]!r}")

    async def _send_request(self) -> Lost | None:
        """Raise what reading the body raises."""
        octets, stream = self._format_head(), self._request.stream
        if stream is not None:
            async for piece in stream.pieces:
                octets += self._http.send(h11.Data(data=piece)) or b""
                if lost := await self._wire.write(octets, self._bounds.seconds):
                    return lost
                octets = b""
        elif self._request.body:
            octets += self._http.send(h11.Data(data=self._request.body)) or b""
        self._http.send(h11.EndOfMessage())
        return await self._wire.write(octets, self._bounds.seconds) if octets else None

    def _format_head(self) -> bytes:
        asked = self._request
        headers = [
            ("Host", _format_authority(asked, 80 if self._tls is None else 443)),
            ("User-Agent", "letterlock"),
            *asked.headers,
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]
        length = len(asked.body) if asked.stream is None else asked.stream.octets
        if length or asked.stream is not None:
            headers.append(("Content-Length", str(length)))
        head = h11.Request(method=asked.method, target=asked.target, headers=headers)
        return self._http.send(head) or b""

    async def _receive(self) -> HttpResponse | HttpFailed:
        while True:
            event = self._http.next_event()
            outcome: HttpResponse | HttpFailed | None = None
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

    async def _read(self) -> HttpFailed | None:
        octets = await self._wire.read(self._bounds.seconds)
        if isinstance(octets, Lost):
            if octets.is_timeout or (self._tls is not None and self._tls.failure is not None):
                return self._fail(octets.detail)
            if not self._is_framed and self._tls is not None and not self._tls.is_closed:
                # Only TLS's own end says that this was all: a FIN can come from anybody.
                return self._fail("the connection was cut off inside the response")
            octets = b""
        self._received += len(octets)
        if self._received > self._bounds.max_received_octets:
            return self._fail(f"more than {self._bounds.max_received_octets} octets of HTTP")
        self._http.receive_data(octets)
        return None

    def _take_head(self, response: h11.Response) -> HttpResponse | HttpFailed | None:
        self._head = HttpResponse(response.status_code, tuple(response.headers))
        if not self._wants_body(self._head):
            return self._head
        encodings = self._head.find(b"content-encoding")
        if any(each.strip().lower() != b"identity" for each in encodings):
            text = f"the content encoding is {show(b', '.join(encodings))}"
            return self._fail(text, HttpFault.ENCODED)
        lengths = self._head.find(b"content-length")
        self._is_framed = bool(lengths or self._head.find(b"transfer-encoding"))
        is_bodiless = self._request.method == "HEAD"
        return self._check_size(int(lengths[0])) if lengths and not is_bodiless else None

    def _check_size(self, octets: int) -> HttpFailed | None:
        most = self._bounds.max_body_octets
        if octets <= most:
            return None
        return self._fail(f"the body has more than {most} octets", HttpFault.TOO_LONG)

    def _fail(self, reason: str, fault: HttpFault = HttpFault.NO_RESPONSE) -> HttpFailed:
        return fail(fault, self._request.host, reason)


def _format_authority(request: HttpRequest, usual_port: int) -> str:
    host = f"[{request.host}]" if ":" in request.host else request.host
    return host if request.port == usual_port else f"{host}:{request.port}"
