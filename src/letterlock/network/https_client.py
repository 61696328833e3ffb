"""One request over HTTPS and its response: every name proved, every wait and every octet bounded.

RFC 9525 §6 (names). The chain is judged after the handshake and before anything is asked, by the
code that judges MX hosts. A name is resolved once, and what is connected to are those addresses.
HTTP itself is `network.http_exchange`; what a response means is the caller's (`network.https`,
`network.acme_client`).
"""

import asyncio
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain, DomainError
from letterlock.network.client_contexts import ClientContexts, ClientSettings
from letterlock.network.dns import Resolver
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
from letterlock.network.public_addresses import is_public
from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Wire, connect
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
        self._resolver = resolver
        self._contexts = contexts
        self._find_anchors = find_anchors
        self._clock = clock
        self._has_private_addresses = has_private_addresses

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
        addresses = await self._find_addresses(request.host)
        if isinstance(addresses, HttpFailed):
            return addresses
        wire = await _connect(request, addresses)
        if isinstance(wire, HttpFailed):
            return wire
        try:
            tls = await self._start_tls(wire, request.host, bounds.seconds)
            if isinstance(tls, HttpFailed):
                return tls
            return await Exchange(wire, tls, request, bounds, wants_body).run()
        finally:
            wire.close()

    async def _find_addresses(self, host: str) -> Sequence[IpAddress] | HttpFailed:
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
                return fail(HttpFault.UNREACHABLE, host, reason)
        usable = [ip for ip in found if self._has_private_addresses or is_public(ip)]
        if not usable:
            shown = ", ".join(str(ip) for ip in found)
            reason = f"{shown}: not an address of the Internet, not connected to"
            return fail(HttpFault.UNREACHABLE, host, reason)
        return usable

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
            return fail(HttpFault.NOT_TRUSTED, host, judgement.findings[0].text)
        names = judgement.leaf.names if judgement.leaf else CertificateNames()
        if find_match(names, [host]) is None:
            return fail(HttpFault.NOT_TRUSTED, host, explain_mismatch(names, [host]))
        return driver


async def _connect(request: HttpRequest, addresses: Sequence[IpAddress]) -> Wire | HttpFailed:
    losses = []
    for ip in addresses:
        wire = await connect(str(ip), request.port, CONNECT_SECONDS)
        if isinstance(wire, Wire):
            return wire
        losses.append(f"{ip}: {wire.detail}")
    return fail(HttpFault.UNREACHABLE, request.host, "; ".join(losses))


def _choose_addresses(answers: Sequence[Answer]) -> list[IpAddress]:
    """Give the first addresses of each answer, so that both versions of IP have their turn."""
    return [
        record
        for answer in answers
        if answer.is_answer
        for record in answer.records[:MAX_ADDRESSES_PER_VERSION]
        if isinstance(record, IPv4Address | IPv6Address)
    ]
