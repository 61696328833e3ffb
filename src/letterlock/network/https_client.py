"""One request over HTTPS and its response: every name proved, every wait and every octet bounded.

RFC 9525 §6 (names). The chain is judged after the handshake and before anything is asked, by the
code that judges MX hosts. Finding a host and connecting to it is `network.http_client`'s, HTTP
itself `network.http_exchange`'s; what a response means is the caller's (`network.https`,
`network.acme_client`).
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.domains import DomainError
from letterlock.network.client_contexts import ClientContexts, ClientSettings
from letterlock.network.dns import Resolver
from letterlock.network.http_client import HttpHosts
from letterlock.network.http_exchange import (
    Exchange,
    HttpBounds,
    HttpFailed,
    HttpFault,
    HttpRequest,
    HttpResponse,
    fail,
    want_body,
)
from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Wire
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.pki.chain import TIME_REASONS, judge_chain
from letterlock.protocols.pki.names import (
    CertificateNames,
    explain_mismatch,
    find_match,
    parse_ip,
)
from letterlock.protocols.tls.handshake import HandshakeFailed


class UnusableAnchors(Protocol):
    """Why there are no trust anchors: one line."""

    @property
    def reason(self) -> str: ...


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
        self._hosts = HttpHosts(resolver, has_private_addresses=has_private_addresses)
        self._contexts = contexts
        self._find_anchors = find_anchors
        self._clock = clock

    async def ask(
        self,
        request: HttpRequest,
        bounds: HttpBounds,
        wants_body: Callable[[HttpResponse], bool] = want_body,
    ) -> HttpResponse | HttpFailed:
        """Ask once. `wants_body` sees status and headers; without the body reading ends there."""
        try:
            async with asyncio.timeout(bounds.seconds):
                return await self._ask(request, bounds, wants_body)
        except TimeoutError:
            reason = f"no response within {bounds.seconds:g} seconds"
            return fail(HttpFault.TIMED_OUT, request.host, reason)

    async def _ask(
        self,
        request: HttpRequest,
        bounds: HttpBounds,
        wants_body: Callable[[HttpResponse], bool],
    ) -> HttpResponse | HttpFailed:
        wire = await self._hosts.connect(request)
        if isinstance(wire, HttpFailed):
            return wire
        try:
            tls = await self._start_tls(wire, request.host, bounds.seconds)
            if isinstance(tls, HttpFailed):
                return tls
            return await Exchange(wire, tls, request, bounds, wants_body).run()
        finally:
            wire.close()

    async def _start_tls(self, wire: Wire, host: str, seconds: float) -> TlsDriver | HttpFailed:
        """Do the handshake, with the host's name as SNI, and judge the certificate."""
        anchors = self._find_anchors()
        if not isinstance(anchors, TrustAnchors):
            return fail(HttpFault.UNREACHABLE, host, anchors.reason)
        context = self._contexts.find(ClientSettings())
        try:
            driver = TlsDriver.client(context, None if parse_ip(host) else host)
        except DomainError as error:
            return fail(HttpFault.UNREACHABLE, host, str(error))
        handshake = await wire.start_tls(driver, seconds)
        if isinstance(handshake, HandshakeFailed):
            return fail(HttpFault.UNREACHABLE, host, handshake.detail)
        judgement = judge_chain(handshake.chain, anchors, self._clock.now())
        if judgement.findings:
            first = judgement.findings[0]
            failed = fail(HttpFault.NOT_TRUSTED, host, first.text)
            return replace(failed, is_about_time=first.reason_code in TIME_REASONS)
        names = judgement.leaf.names if judgement.leaf else CertificateNames()
        if find_match(names, [host]) is None:
            return fail(HttpFault.NOT_TRUSTED, host, explain_mismatch(names, [host]))
        return driver
