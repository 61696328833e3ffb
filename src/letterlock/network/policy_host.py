"""Serve MTA-STS policies over HTTPS: the policy host of domains.

RFC 8461 §3.3 (where a policy is), §3.2 (its media type). HTTP itself is `network.http_server`.
Which domain has which policy is the caller's to know. An ACME server that validates tls-alpn-01
comes to the same port (RFC 8737 §3): it is told from the others by its ClientHello. Who POSTs is
for `network.post_server`.
"""

from collections.abc import Callable
from http import HTTPStatus

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain, DomainError, parse_domain
from letterlock.network.acceptor import USUAL_LIMITS, Acceptor, AcceptorLimits, left_until
from letterlock.network.alpn_server import AlpnResponder, receive_client_hello
from letterlock.network.http_server import HttpAnswer, HttpAsked, converse
from letterlock.network.https import HOST_LABEL, PATH
from letterlock.network.post_server import Posts, may_be_post, take_posts
from letterlock.network.server_certificates import ServerCertificates
from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Lost, Wire
from letterlock.protocols.http.posts import START
from letterlock.protocols.mta_sts.policy import MIME_TYPE
from letterlock.protocols.tls.handshake import HandshakeFailed

_NOT_FOUND = HttpAnswer(HTTPStatus.NOT_FOUND)


class PolicyHost(Acceptor):
    """Answers for `mta-sts.DOMAIN` with the policy of DOMAIN; `find_policy` gives its octets.

    With a `responder` it answers those too who validate tls-alpn-01; with `posts` those who have
    something to POST, whatever the host.
    """

    def __init__(
        self,
        find_policy: Callable[[Domain], bytes | None],
        certificates: ServerCertificates,
        clock: Clock,
        responder: AlpnResponder | None = None,
        limits: AcceptorLimits = USUAL_LIMITS,
        posts: Posts | None = None,
    ) -> None:
        self._find_policy = find_policy
        self._certificates = certificates
        self._clock = clock
        self._responder = responder
        self._posts = posts
        super().__init__(self._serve, limits)

    async def _serve(self, wire: Wire, end: float) -> None:
        driver = TlsDriver.server(self._certificates)
        if self._responder is not None:
            hello = await receive_client_hello(wire, end)
            if hello is None or await self._responder.answer(wire, hello, end):
                return
            driver.receive(hello.octets)
        handshake = await wire.start_tls(driver, left_until(end))
        if isinstance(handshake, HandshakeFailed):
            return
        received = b"" if self._posts is None else await _read_beginning(wire, end)
        if self._posts is not None and received.startswith(START):
            await take_posts(wire, self._posts, received, end)
        else:
            await converse(wire, self._answer, self._clock, end, received)

    async def _answer(self, asked: HttpAsked) -> HttpAnswer:
        domain = _find_domain(asked.host)
        policy = self._find_policy(domain) if domain and asked.path == PATH else None
        return HttpAnswer(HTTPStatus.OK, policy, MIME_TYPE) if policy else _NOT_FOUND


async def _read_beginning(wire: Wire, end: float) -> bytes:
    """Read until it is clear whether the first request is a POST, or nothing comes any more."""
    received = b""
    while len(received) < len(START) and may_be_post(received):
        octets = await wire.read(left_until(end))
        if isinstance(octets, Lost):
            break
        received += octets
    return received


def _find_domain(host: str) -> Domain | None:
    """Find the domain whose policy host is asked."""
    label, dot, rest = host.partition(".")
    if not dot or label != HOST_LABEL:
        return None
    try:
        return parse_domain(rest)
    except DomainError:
        return None
