"""Look at the certificate that a server shows for a name, or for none, over SMTP or at once.

RFC 3207 §4 (STARTTLS), RFC 6066 §3 (the name). What is seen is compared with what should be there,
and not believed; nothing is asked of the server, and nothing resolved.
"""

from dataclasses import dataclass

from OpenSSL import SSL

from letterlock.network.challenge_look import Unseen, look_at
from letterlock.network.smtp_speaker import Refused, Speaker, Target, Unreachable
from letterlock.network.tls import TlsDriver
from letterlock.network.tls_settings import (
    OPPORTUNISTIC_CIPHERS,
    RECOMMENDED_CIPHERS,
    make_context,
    use_signatures,
)
from letterlock.network.wire import Wire
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.timeouts import ClientTimeouts
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.protocols.tls.handshake import HandshakeFailed

LOOK_SECONDS = 20.0
"""For all of a look, whatever its parts may take."""

_READY = 220  # RFC 3207 §4
_CIPHERS = {KeyType.ECDSA: "ECDHE+aECDSA", KeyType.RSA: "ECDHE+aRSA"}
_OLD_CIPHERS = {KeyType.ECDSA: "aECDSA", KeyType.RSA: "aRSA"}
# Nothing is sent under them: a server of any age is to be seen. The level is OpenSSL's.
_ANY_AGE = ":!eNULL:!aNULL:@SECLEVEL=0"
_SIGNATURES = {
    KeyType.ECDSA: "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512",
    KeyType.RSA: "RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512",
}


@dataclass(frozen=True, slots=True)
class AskedName:
    """What is asked for. `sni` None: no name, as some clients do.

    `key_type` None: whichever the server prefers; else by TLS 1.2, or `is_tls_1_3`, where that
    alone is spoken, by the signatures that we take (RFC 8446 §4.2.3). `is_old_welcome`: what only
    old TLS would show counts too.
    """

    sni: str | None
    key_type: KeyType | None = None
    is_old_welcome: bool = False
    is_tls_1_3: bool = False


async def look_over_smtp(
    ip: str, port: int, asked: AskedName, helo: str, seconds: float = LOOK_SECONDS
) -> bytes | Unseen:
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
        seen = await _see(wire, asked, seconds)
        if not isinstance(seen, Unseen):
            await speaker.quit()
        return seen

    return await look_at(ip, port, seconds, look)


async def look_over_tls(
    ip: str, port: int, asked: AskedName, seconds: float = LOOK_SECONDS
) -> bytes | Unseen:
    """Give the leaf (DER) that is shown at once."""
    return await look_at(ip, port, seconds, lambda wire: _see(wire, asked, seconds))


async def _see(wire: Wire, asked: AskedName, seconds: float) -> bytes | Unseen:
    driver = TlsDriver.client(make_look_context(asked), asked.sni)
    handshake = await wire.start_tls(driver, 2 * seconds)
    if isinstance(handshake, HandshakeFailed):
        return Unseen(handshake.detail, is_answered=True, handshake=handshake)
    return handshake.chain[0]


def make_look_context(asked: AskedName) -> SSL.Context:
    """Make what a client speaks TLS with that asks so."""
    oldest, newest, ciphers = "TLSv1.2", None, RECOMMENDED_CIPHERS
    by_cipher = asked.key_type if not asked.is_tls_1_3 else None
    if by_cipher is not None:
        # Only before TLS 1.3 a cipher suite says which type of key.
        newest, ciphers = "TLSv1.2", _CIPHERS[by_cipher]
    if asked.is_old_welcome:
        oldest = "TLSv1"
        ciphers = (_OLD_CIPHERS[by_cipher] if by_cipher else OPPORTUNISTIC_CIPHERS) + _ANY_AGE
    context = make_context(SSL.TLS_CLIENT_METHOD, oldest, newest, ciphers)
    if asked.key_type is not None and asked.is_tls_1_3:
        use_signatures(context, _SIGNATURES[asked.key_type])
    return context
