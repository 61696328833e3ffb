"""Answer an ACME server that validates by tls-alpn-01: on a port of its own, or on a shared one.

RFC 8737 §3 (the client offers acme-tls/1 alone, and the name in SNI), §4 (no data); RFC 8738 §6
(an address by its reverse name). Everybody else never sees a challenge's certificate. What is being
proved, `services.certify` knows.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from letterlock.network.acceptor import USUAL_LIMITS, Acceptor, AcceptorLimits, left_until
from letterlock.network.challenge_tls import ChallengeTls
from letterlock.network.wire import Lost, Wire
from letterlock.protocols.acme.challenges import ALPN, ChallengeCertificate
from letterlock.protocols.tls.client_hello import ClientHello, ClientHelloReader, Incomplete

FindCertificate = Callable[[str], Awaitable[ChallengeCertificate | None]]
"""Gives the certificate for a server name in lower case; None: it is not being proved."""

# RFC 8446 §6: a fatal alert in a record of its own. RFC 7301 §3.2, RFC 6066 §3.
_NO_APPLICATION_PROTOCOL = bytes([21, 3, 3, 0, 2, 2, 120])
_UNRECOGNIZED_NAME = bytes([21, 3, 3, 0, 2, 2, 112])


@dataclass(frozen=True, slots=True)
class Received:
    """How a connection began. `hello` is None for what could not be read as a ClientHello."""

    octets: bytes
    hello: ClientHello | None

    @property
    def is_validator(self) -> bool:
        """Whether acme-tls/1 is all that it offers."""
        return self.hello is not None and self.hello.alpn == (ALPN,)


async def receive_client_hello(wire: Wire, end: float) -> Received | None:
    """Read until the ClientHello is there; None: the client went away, or its time was over."""
    reader = ClientHelloReader()
    received = b""
    while True:
        octets = await wire.read(left_until(end))
        if isinstance(octets, Lost):
            return None
        received += octets
        result = reader.receive(octets)
        if not isinstance(result, Incomplete):
            return Received(received, result if isinstance(result, ClientHello) else None)


class AlpnResponder:
    """Answers validators, and them alone."""

    def __init__(self, find_certificate: FindCertificate) -> None:
        self._find_certificate = find_certificate

    async def answer(self, wire: Wire, received: Received, end: float) -> bool:
        """Show a validator its certificate; False, with nothing sent: it is somebody else.

        Or it is a validator that asks for what is not being proved.
        """
        if not received.is_validator or received.hello is None or not received.hello.sni:
            return False
        certificate = await self._find_certificate(received.hello.sni.lower())
        if certificate is None:
            return False
        await _shake_hands(wire, ChallengeTls(certificate), received.octets, end)
        return True


class AlpnServer(Acceptor):
    """Answers validators on sockets of their own; everybody else gets an alert."""

    def __init__(self, responder: AlpnResponder, limits: AcceptorLimits = USUAL_LIMITS) -> None:
        self._responder = responder
        super().__init__(self._serve, limits)

    async def _serve(self, wire: Wire, end: float) -> None:
        received = await receive_client_hello(wire, end)
        if received is None or await self._responder.answer(wire, received, end):
            return
        if received.hello is not None:
            alert = _UNRECOGNIZED_NAME if received.is_validator else _NO_APPLICATION_PROTOCOL
            await wire.write(alert, left_until(end))


async def _shake_hands(wire: Wire, tls: ChallengeTls, octets: bytes | Lost, end: float) -> None:
    while not isinstance(octets, Lost):
        answer = tls.receive(octets)
        if answer and await wire.write(answer, left_until(end)):
            return
        if tls.is_over:
            return
        octets = await wire.read(left_until(end))
