"""Asking an rspamd about a message: one request over HTTP for each, without TLS.

It is where its owner said, at an address of its own network or in a unix socket. What it says is
read in `protocols.rspamd`.
"""

import asyncio

from letterlock.base.config.filters import RspamdPlace
from letterlock.network.http_exchange import (
    BodyStream,
    Exchange,
    HttpBounds,
    HttpFailed,
    HttpFault,
    HttpRequest,
    HttpResponse,
    fail,
    want_body,
)
from letterlock.network.wire import Lost, connect, connect_socket

CONNECT_SECONDS = 10.0
_TARGET = "/checkv2"
_HTTP_OCTETS = 64 * 1024
"""Of HTTP's own, beside the body."""


class RspamdClient:
    """Asks one rspamd, which may take `seconds` for all of it."""

    def __init__(self, place: RspamdPlace, seconds: float, max_answer_octets: int) -> None:
        self._place = place
        self._bounds = HttpBounds(seconds, max_answer_octets, 2 * max_answer_octets + _HTTP_OCTETS)

    async def check(
        self, headers: tuple[tuple[str, str], ...], message: BodyStream
    ) -> HttpResponse | HttpFailed:
        """Send a message and what is known of it. Raises what reading the message raises."""
        place = self._place
        host = place.host or "localhost"
        request = HttpRequest(host, _TARGET, place.port or 80, "POST", headers, stream=message)
        try:
            async with asyncio.timeout(self._bounds.seconds):
                return await self._exchange(request)
        except TimeoutError:
            reason = f"no response within {self._bounds.seconds:g} seconds"
            return fail(HttpFault.TIMED_OUT, str(place), reason)

    async def _exchange(self, request: HttpRequest) -> HttpResponse | HttpFailed:
        place = self._place
        if place.path is not None:
            wire = await connect_socket(place.path, CONNECT_SECONDS)
        else:
            wire = await connect(place.host, place.port, CONNECT_SECONDS)
        if isinstance(wire, Lost):
            return fail(HttpFault.UNREACHABLE, str(place), wire.detail)
        try:
            return await Exchange(wire, None, request, self._bounds, want_body).run()
        finally:
            wire.close()
