"""tls-alpn-01: a certificate of one name with the digest is shown to who offers acme-tls/1 alone.

RFC 8737 §3, §4 (no application data: the connection ends after the handshake); RFC 8738 §6
(addresses). What the certificate must be is `protocols.acme.challenges`.
"""

from hashlib import sha256

from letterlock.base.domains import DomainError
from letterlock.network.challenge_look import find_handshake_fault, shake_hands
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.refusals import ErrorType
from letterlock.protocols.acme.validation.proofs import Expected
from letterlock.protocols.acme.validation.redirects import PORTS
from letterlock.protocols.tls.handshake import HandshakeFailed
from letterlock.services.ca.validating.hosts import ValidationBounds, reach
from letterlock.services.ca.validating.outcomes import Notes, refuse
from letterlock.services.ca.validating.perspectives import Perspective


async def look_for_certificate(
    expected: Expected, perspective: Perspective, bounds: ValidationBounds, notes: Notes
) -> Problem | None:
    """Look; None: it is there."""
    identifier = expected.identifier
    wire = await reach(perspective, identifier.value, PORTS["https"], bounds, notes)
    if isinstance(wire, Problem):
        return wire
    try:
        handshake = await shake_hands(wire, identifier, bounds.seconds)
    except DomainError as error:
        return refuse(ErrorType.TLS, f"{identifier}: {error}")
    finally:
        wire.close()
    if isinstance(handshake, HandshakeFailed):
        return refuse(ErrorType.TLS, f"{identifier}: {handshake.detail}")
    digest = sha256(handshake.chain[0]).hexdigest()
    notes.steps.append(f"{handshake.version}, ALPN {handshake.alpn}, certificate SHA-256 {digest}")
    fault = find_handshake_fault(handshake, identifier, expected.key_authorization)
    return (
        None
        if fault is None
        else refuse(ErrorType.INCORRECT_RESPONSE, f"{identifier} port 443: {fault}")
    )
