"""Connections to an authority, bounded: how many, how long a request's head, how long it takes.

uvicorn reads HTTP/1.1 with httptools, which takes heads of any length and waits for ever for a
first request (docs/decisions/0009-asgi.md). Bodies are bounded where they are read, by routes.
"""

import asyncio
from asyncio import TimerHandle
from ipaddress import ip_address
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from letterlock.protocols.acme.server.rate_limits import find_address_keys

MAX_HEAD_OCTETS = 16 * 1024
"""Of a request's target and headers: those of ACME clients have less than 500."""
MAX_HEADERS = 100
REQUEST_SECONDS = 20.0
"""From the first octet of a request to its last, and to the first from when a client connects."""
MAX_OF_SITE = 1024
"""Connections of one address, and of IPv6 of one /48: a quarter of what a server takes."""
IDLE_SECONDS = 30
"""Between two requests (`timeout_keep_alive` of uvicorn): clients that wait for us poll."""

TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"


class JoinedWrites:
    """A transport by which what is written in one turn of the loop goes out as one.

    A response is then one TLS record in one packet: uvicorn writes its head apart.
    """

    __slots__ = ("_loop", "_parts", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _send(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))


class BoundedConnection(HttpToolsProtocol):
    """A client's connection. It is closed when a request breaks a bound."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_octets = 0
        self._headers = 0
        self._headers_octets = 0
        self._is_head = True
        self._is_whole = True
        """Whether what came last was a request's end."""
        self._timer: TimerHandle | None = None
        self.site = ""
        """Where the client is: an address, or the network of an IPv6 one; empty: not known yet."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(JoinedWrites(transport, self.loop))  # type: ignore[arg-type]
        self.site = _find_site(self.client)
        if self._is_crowded():
            transport.close()
            return
        self._begin_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        if self._is_head:
            # What is a head's in these octets is not known yet: it counts where none is complete.
            self._head_octets += len(data)
        self._is_whole = False
        super().data_received(data)
        # Most requests come whole, and need no timer.
        if self._is_whole:
            self._end_timer()
        elif self._timer is None:
            self._begin_timer()
        if self._is_head and self._head_octets > MAX_HEAD_OCTETS:
            self._refuse()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_head = True
        self._is_whole = False
        self._headers = 0
        self._headers_octets = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        self._headers_octets += len(name) + len(value)
        if self._headers <= MAX_HEADERS:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_head = False
        self._head_octets = 0
        size = len(self.url) + self._headers_octets
        if self._headers > MAX_HEADERS or size > MAX_HEAD_OCTETS:
            self._refuse()
            raise ValueError("the head is too long")  # ends the parser, and `send_400_response`
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_head = self._is_whole = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def _is_crowded(self) -> bool:
        if len(self.connections) <= MAX_OF_SITE:
            return False
        sites = [each.site for each in self.connections if isinstance(each, BoundedConnection)]
        return sites.count(self.site) > MAX_OF_SITE

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(TOO_LONG)
            self.transport.close()

    def _begin_timer(self) -> None:
        self._timer = self.loop.call_later(REQUEST_SECONDS, self._give_up)

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()


def _find_site(client: tuple[str, int] | None) -> str:
    """Give what one client is taken to have; empty: it is not known."""
    try:
        return find_address_keys(ip_address(client[0]))[-1] if client else ""
    except ValueError:
        return ""
