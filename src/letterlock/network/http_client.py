"""One request over HTTP without TLS, and finding what to connect to, which HTTPS has to as well.

For what its own signature vouches for, such as CRLs (RFC 5280 §8), and for nothing else. A name is
resolved once, and what is connected to are those addresses. HTTP itself is
`network.http_exchange`; `network.https_client` is this with TLS.
"""

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from letterlock.base.domains import DomainError, parse_domain
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
from letterlock.network.wire import Wire, connect
from letterlock.protocols.dns.answers import Answer
from letterlock.protocols.pki.names import IpAddress, parse_ip

CONNECT_SECONDS = 10.0
"""For one address, so that the next one has its turn."""
MAX_ADDRESSES_PER_VERSION = 2


class HttpHosts:
    """Connects to hosts. Special addresses (loopback, private) only if we say so."""

    def __init__(self, resolver: Resolver, *, has_private_addresses: bool) -> None:
        self._resolver = resolver
        self._has_private_addresses = has_private_addresses

    async def connect(self, request: HttpRequest) -> Wire | HttpFailed:
        """Connect to the first of a host's addresses that answers."""
        addresses = await self._find_addresses(request.host)
        if isinstance(addresses, HttpFailed):
            return addresses
        losses = []
        for ip in addresses:
            wire = await connect(str(ip), request.port, CONNECT_SECONDS)
            if isinstance(wire, Wire):
                return wire
            losses.append(f"{ip}: {wire.detail}")
        return fail(HttpFault.UNREACHABLE, request.host, "; ".join(losses))

    async def _find_addresses(self, host: str) -> Sequence[IpAddress] | HttpFailed:
        if ip := parse_ip(host):
            found: Sequence[IpAddress] = [ip]
        else:
            try:
                name = parse_domain(host)
            except DomainError as error:
                return fail(HttpFault.UNREACHABLE, host, str(error))
            answers = await asyncio.gather(
                *(self._resolver.ask(name, rdtype) for rdtype in ("AAAA", "A"))
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


class HttpClient:
    """Asks servers, without TLS."""

    def __init__(self, resolver: Resolver, *, has_private_addresses: bool = False) -> None:
        self._hosts = HttpHosts(resolver, has_private_addresses=has_private_addresses)

    async def ask(self, request: HttpRequest, bounds: HttpBounds) -> HttpResponse | HttpFailed:
        """Ask once; the port must be in the request."""
        try:
            async with asyncio.timeout(bounds.seconds):
                wire = await self._hosts.connect(request)
                if isinstance(wire, HttpFailed):
                    return wire
                try:
                    return await Exchange(wire, None, request, bounds, want_body).run()
                finally:
                    wire.close()
        except TimeoutError:
            reason = f"no response within {bounds.seconds:g} seconds"
            return fail(HttpFault.TIMED_OUT, request.host, reason)


def _choose_addresses(answers: Sequence[Answer]) -> list[IpAddress]:
    """Give the first addresses of each answer, so that both versions of IP have their turn."""
    return [
        record
        for answer in answers
        if answer.is_answer
        for record in answer.records[:MAX_ADDRESSES_PER_VERSION]
        if isinstance(record, IPv4Address | IPv6Address)
    ]
