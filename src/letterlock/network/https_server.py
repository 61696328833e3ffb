"""A small HTTP server behind TLS: what `network.http_server` is, with certificates of ours."""

from letterlock.base.clock import Clock
from letterlock.network.acceptor import USUAL_LIMITS, Acceptor, AcceptorLimits, left_until
from letterlock.network.http_server import Find, converse
from letterlock.network.server_certificates import ServerCertificates
from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Wire
from letterlock.protocols.tls.handshake import HandshakeFailed


class HttpsServer(Acceptor):
    """Answers on sockets, under TLS from the first octet on."""

    def __init__(
        self,
        find: Find,
        certificates: ServerCertificates,
        clock: Clock,
        limits: AcceptorLimits = USUAL_LIMITS,
    ) -> None:
        self._find = find
        self._certificates = certificates
        self._clock = clock
        super().__init__(self._serve, limits)

    async def _serve(self, wire: Wire, end: float) -> None:
        driver = TlsDriver.server(self._certificates)
        handshake = await wire.start_tls(driver, left_until(end))
        if not isinstance(handshake, HandshakeFailed):
            await converse(wire, self._find, self._clock, end)
