"""Look at a proof of ours as an authority would, at one address.

RFC 8555 §8.3 (http-01), RFC 8737 §3 (tls-alpn-01). It is our own listeners that are looked at,
before an authority is asked: so nothing is resolved and no redirect is followed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from OpenSSL import SSL

from letterlock.network.http_exchange import (
    Exchange,
    HttpBounds,
    HttpFailed,
    HttpRequest,
    show,
    want_body,
)
from letterlock.network.tls import TlsDriver
from letterlock.network.tls_settings import RECOMMENDED_CIPHERS, make_context
from letterlock.network.wire import Lost, Wire, connect
from letterlock.protocols.acme.challenges import ALPN, find_certificate_fault, http_path
from letterlock.protocols.acme.identifiers import Identifier, make_server_name
from letterlock.protocols.tls.handshake import HandshakeFailed

Result = TypeVar("Result")

LOOK_SECONDS = 5.0
"""For all of a look, whatever its parts may take."""
MAX_SEEN_OCTETS = 8 * 1024


@dataclass(frozen=True, slots=True)
class Unseen:
    """Why a proof could not be seen. `is_answered`: somebody was there, and showed otherwise."""

    reason: str
    is_answered: bool = False


async def look_at_http(
    ip: str, port: int, identifier: Identifier, token: str, key_authorization: str
) -> Unseen | None:
    """Ask for a key authorization; None: it is there."""
    request = HttpRequest(identifier.value, http_path(token), port)

    async def look(wire: Wire) -> Unseen | None:
        bounds = HttpBounds(2 * LOOK_SECONDS, MAX_SEEN_OCTETS, 2 * MAX_SEEN_OCTETS)
        seen = await Exchange(wire, None, request, bounds, want_body).run()
        if isinstance(seen, HttpFailed):
            return Unseen(seen.reason, is_answered=True)
        if seen.status != HTTPStatus.OK:
            return Unseen(f"HTTP status {seen.status}", is_answered=True)
        if seen.body != key_authorization.encode("ascii"):
            return Unseen(f"{show(seen.body)} is not the key authorization", is_answered=True)
        return None

    return await look_at(ip, port, LOOK_SECONDS, look)


async def look_at_alpn(
    ip: str, port: int, identifier: Identifier, key_authorization: str
) -> Unseen | None:
    """Do a validator's handshake; None: the certificate is the right one."""
    context = make_context(SSL.TLS_CLIENT_METHOD, "TLSv1.2", None, RECOMMENDED_CIPHERS)
    context.set_alpn_protos([ALPN])

    async def look(wire: Wire) -> Unseen | None:
        driver = TlsDriver.client(context, make_server_name(identifier))
        handshake = await wire.start_tls(driver, 2 * LOOK_SECONDS)
        if isinstance(handshake, HandshakeFailed):
            return Unseen(handshake.detail, is_answered=True)
        if handshake.alpn != ALPN.decode("ascii"):
            return Unseen("a TLS server that does not know acme-tls/1", is_answered=True)
        fault = find_certificate_fault(handshake.chain[0], identifier, key_authorization)
        return None if fault is None else Unseen(fault, is_answered=True)

    return await look_at(ip, port, LOOK_SECONDS, look)


async def look_at(
    ip: str, port: int, seconds: float, look: Callable[[Wire], Awaitable[Result]]
) -> Result | Unseen:
    """Connect to a listener of our own, and give what `look` sees there within `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            wire = await connect(ip, port, 2 * seconds)
            if isinstance(wire, Lost):
                return Unseen(wire.detail)
            try:
                return await look(wire)
            finally:
                wire.close()
    except TimeoutError:
        return Unseen(f"no answer within {seconds:g} seconds")
