"""Look at the certificate that a server of ours shows for a name, over SMTP or at once.

RFC 3207 §4 (STARTTLS), RFC 6066 §3 (the name). What is seen is compared with what should be there,
and not believed; nothing is asked of the server, and nothing resolved.
"""

from dataclasses import dataclass

from OpenSSL import SSL

from letterlock.network.challenge_look import Unseen, look_at
from letterlock.network.smtp_speaker import Refused, Speaker, Target, Unreachable
from letterlock.network.tls import TlsDriver
from letterlock.network.tls_settings import RECOMMENDED_CIPHERS, make_context
from letterlock.network.wire import Wire
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.timeouts import ClientTimeouts
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.protocols.tls.handshake import HandshakeFailed

LOOK_SECONDS = 20.0
"""For all of a look, whatever its parts may take."""

_READY = 220  # RFC 3207 §4
_CIPHERS = {KeyType.ECDSA: "ECDHE+aECDSA", KeyType.RSA: "ECDHE+aRSA"}


@dataclass(frozen=True, slots=True)
class AskedName:
    """What is asked for. `key_type` None: whichever the server prefers; else by TLS 1.2."""

    sni: str
    key_type: KeyType | None = None


async def look_over_smtp(ip: str, port: int, asked: AskedName, helo: str) -> bytes | Unseen:
    """Give the leaf (DER) that is shown after STARTTLS."""

    async def look(wire: Wire) -> bytes | Unseen:
        speaker = Speaker(wire, Target(ip, ip, port, helo), ClientTimeouts())
        match await speaker.greet():
            case Refused(reply):
                return Unseen(f"it said {reply.text[:200]}", is_answered=True)
            case Unreachable(detail):
                return Unseen(detail)
            case None:
                pass
        if not speaker.capabilities.starttls:
            await speaker.quit()
            return Unseen("it does not offer STARTTLS", is_answered=True)
        ready = await speaker.ask("STARTTLS", speaker.timeouts.helo)
        if not isinstance(ready, Reply) or ready.code != _READY:
            return Unseen("it refused STARTTLS", is_answered=True)
        seen = await _see(wire, asked)
        if not isinstance(seen, Unseen):
            await speaker.quit()
        return seen

    return await look_at(ip, port, LOOK_SECONDS, look)


async def look_over_tls(ip: str, port: int, asked: AskedName) -> bytes | Unseen:
    """Give the leaf (DER) that is shown at once."""
    return await look_at(ip, port, LOOK_SECONDS, lambda wire: _see(wire, asked))


async def _see(wire: Wire, asked: AskedName) -> bytes | Unseen:
    version, ciphers = None, RECOMMENDED_CIPHERS
    if asked.key_type is not None:
        # Only before TLS 1.3 a cipher suite says which type of key.
        version, ciphers = "TLSv1.2", _CIPHERS[asked.key_type]
    context = make_context(SSL.TLS_CLIENT_METHOD, "TLSv1.2", version, ciphers)
    handshake = await wire.start_tls(TlsDriver.client(context, asked.sni), 2 * LOOK_SECONDS)
    if isinstance(handshake, HandshakeFailed):
        return Unseen(handshake.detail, is_answered=True)
    return handshake.chain[0]
