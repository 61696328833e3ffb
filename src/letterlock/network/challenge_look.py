"""Look at a proof as an authority does, at one address.

RFC 8555 §8.3 (http-01), RFC 8737 §3 (tls-alpn-01). `look_at_...` look at our own listeners, before
an authority is asked: so nothing is resolved and no redirect is followed. The handshakes are those
of `services.ca.validating` too, which looks at others' hosts.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
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
from letterlock.network.tls_settings import (
    OPPORTUNISTIC_CIPHERS,
    RECOMMENDED_CIPHERS,
    make_context,
)
from letterlock.network.wire import Lost, Wire, connect
from letterlock.protocols.acme.challenges import ALPN, find_certificate_fault, http_path
from letterlock.protocols.acme.identifiers import Identifier, make_server_name
from letterlock.protocols.pki.names import parse_ip
from letterlock.protocols.tls.handshake import Handshake, HandshakeFailed

Result = TypeVar("Result")

LOOK_SECONDS = 5.0
"""For all of a look, whatever its parts may take."""
MAX_SEEN_OCTETS = 8 * 1024


@dataclass(frozen=True, slots=True)
class Unseen:
    """Why a proof could not be seen. `is_answered`: somebody was there, and showed otherwise.

    `handshake` is how TLS failed, where it did.
    """

    reason: str
    is_answered: bool = False
    handshake: HandshakeFailed | None = None


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

    async def look(wire: Wire) -> Unseen | None:
        handshake = await shake_hands(wire, identifier, 2 * LOOK_SECONDS)
        if isinstance(handshake, HandshakeFailed):
            return Unseen(handshake.detail, is_answered=True)
        fault = find_handshake_fault(handshake, identifier, key_authorization)
        return None if fault is None else Unseen(fault, is_answered=True)

    return await look_at(ip, port, LOOK_SECONDS, look)


async def shake_hands(
    wire: Wire, identifier: Identifier, seconds: float
) -> Handshake | HandshakeFailed:
    """Do a validator's handshake (RFC 8737 §3): it offers acme-tls/1 alone, in TLS 1.2 or later.

    Raises DomainError for a name that no server name can be.
    """
    driver = TlsDriver.client(_make_validator_context(), make_server_name(identifier))
    return await wire.start_tls(driver, seconds)


def find_handshake_fault(
    handshake: Handshake, identifier: Identifier, key_authorization: str
) -> str | None:
    """Say why a handshake does not prove a name; None: it does."""
    if handshake.alpn != ALPN.decode("ascii"):
        return "a TLS server that does not know acme-tls/1"
    return find_certificate_fault(handshake.chain[0], identifier, key_authorization)


async def start_unjudged_tls(
    wire: Wire, host: str, seconds: float
) -> tuple[TlsDriver, Handshake | HandshakeFailed]:
    """Begin TLS with any server, whose certificate proves nothing and need not.

    It is what a redirect of http-01 leads to. Raises DomainError as `shake_hands` does.
    """
    driver = TlsDriver.client(_make_any_context(), None if parse_ip(host) else host)
    return driver, await wire.start_tls(driver, seconds)


@cache
def _make_validator_context() -> SSL.Context:
    context = make_context(SSL.TLS_CLIENT_METHOD, "TLSv1.2", None, RECOMMENDED_CIPHERS)
    context.set_alpn_protos([ALPN])
    return context


@cache
def _make_any_context() -> SSL.Context:
    return make_context(SSL.TLS_CLIENT_METHOD, "TLSv1.2", None, OPPORTUNISTIC_CIPHERS)


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
