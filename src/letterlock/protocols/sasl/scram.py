"""SCRAM-SHA-256, also -PLUS: the client proves that it knows the password, and does not tell it.

RFC 5802 §3, §5, §6 (channel binding), §7 (the server's side) and RFC 7677 §3. What is kept of a
password can be tried against guesses, but does not let anyone in. With -PLUS the proof is worth
nothing on another TLS connection than that of the client. The client's side is `client_scram`.
"""

import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass, field

from letterlock.protocols.sasl.channel_binding import NO_BINDINGS, ChannelBindings
from letterlock.protocols.sasl.preparation import (
    PreparationError,
    prepare_name,
    prepare_password,
)
from letterlock.protocols.sasl.responses import decode_response
from letterlock.protocols.sasl.steps import (
    Challenge,
    Failed,
    Fault,
    Proved,
    Step,
    VerifierNeeded,
)

MIN_ITERATIONS = 4096
"""RFC 7677 §4."""
ITERATIONS = 100_000
"""What we choose: each client counts through them at each login, and so does who guesses. What
RFC 7677 §4 names as a tenth of a second in 2015 was 15,000."""
SALT_OCTETS = 16
MAX_NONCE_OCTETS = 255

_DIGEST_OCTETS = 32

# RFC 5802 §5.1: an extension named m is one that must be understood, wherever it stands.
# RFC 5802 §7: gs2-header = gs2-cbind-flag "," [authzid] ","; then client-first-message-bare.
_CLIENT_FIRST = re.compile(
    r"((?P<binding>n|y|p=[A-Za-z0-9.-]+),(?:a=(?P<acting_for>[^,]+))?,)"
    r"(?P<bare>n=(?P<name>[^,]+),r=(?P<nonce>[!-+\--~]+)(?:,[A-Za-ln-z]=[^,]+)*)\Z"
)
# client-final-message-without-proof "," proof
_CLIENT_FINAL = re.compile(
    r"(?P<without_proof>c=(?P<binding>[A-Za-z0-9+/=]+),r=(?P<nonce>[!-+\--~]+)"
    r"(?:,[A-Za-ln-z]=[^,]+)*),p=(?P<proof>[A-Za-z0-9+/=]+)\Z"
)
# saslname: "," and "=" are written so, and "=" stands in nothing else.
_ESCAPES = {"=2C": ",", "=3D": "="}
_ESCAPE = re.compile(r"=(?:2C|3D)?")


@dataclass(frozen=True, slots=True)
class ScramVerifier:
    """What is kept of a password (RFC 5802 §3). The keys are secrets, though not passwords."""

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


def make_verifier(password: str, salt: bytes, iterations: int = ITERATIONS) -> ScramVerifier:
    """Derive what is kept. Raises PreparationError for what can't be a password."""
    prepared = prepare_password(password).encode()
    salted = hashlib.pbkdf2_hmac("sha256", prepared, salt, iterations)
    stored_key = hashlib.sha256(_sign(salted, b"Client Key")).digest()
    return ScramVerifier(salt, iterations, stored_key, _sign(salted, b"Server Key"))


def make_decoy(secret: bytes, name: str, iterations: int = ITERATIONS) -> ScramVerifier:
    """Make what an account that is not there is answered with: always the same for a name.

    No password fits it. `secret` is the node's: without it nobody can tell a decoy.
    """
    salt = _sign(secret, b"salt " + name.encode())[:SALT_OCTETS]
    stored_key = _sign(secret, b"stored key " + name.encode())
    return ScramVerifier(salt, iterations, stored_key, _sign(secret, b"server key"))


class ScramExchange:
    """One exchange. `nonce` is ours: printable, without a comma, and never used before.

    `is_plus`: the client chose -PLUS, and `bindings` are the connection's. `is_plus_offered`: it
    could have, so that one that says it was not told so did not see our list (RFC 5802 §6).
    """

    def __init__(
        self,
        nonce: str,
        bindings: ChannelBindings = NO_BINDINGS,
        *,
        is_plus: bool = False,
        is_plus_offered: bool = False,
    ) -> None:
        self._own_nonce = nonce
        self._bindings = bindings
        self._is_plus = is_plus
        self._is_plus_offered = is_plus_offered
        self._bound = b""
        """What the connection is known by, as the client's final message must repeat it."""
        self._first: re.Match[str] | None = None
        self._name = ""
        self._server_first = ""
        self._verifier: ScramVerifier | None = None
        self._is_proved = False

    def begin(self, initial: bytes | None) -> Step:
        return Challenge(b"") if initial is None else self.receive(initial)

    def receive(self, response: bytes) -> Step:
        if self._is_proved:
            # Our signature was the last challenge; SMTP's 235 has no room for it (RFC 4954 §4).
            return self._fail("octets after the proof") if response else Proved(self._name)
        try:
            text = response.decode()
        except ValueError:
            return self._fail("the response is not UTF-8")
        return self._take_first(text) if self._first is None else self._take_final(text)

    def found(self, verifier: ScramVerifier) -> Challenge:
        """Take what is kept of the account, or its decoy; gives the server's first message."""
        assert self._first is not None
        self._verifier = verifier
        salt = binascii.b2a_base64(verifier.salt, newline=False).decode()
        self._server_first = f"r={self._nonce},s={salt},i={verifier.iterations}"
        return Challenge(self._server_first.encode())

    @property
    def _nonce(self) -> str:
        assert self._first is not None
        return f"{self._first['nonce']}{self._own_nonce}"

    def _take_first(self, text: str) -> Step:
        first = _CLIENT_FIRST.match(text)
        if first is None or len(first["nonce"]) > MAX_NONCE_OCTETS:
            return self._fail("the first message is not of SCRAM")
        refusal = self._refuse_binding(first["binding"])
        if refusal is not None:
            return refusal
        try:
            name = prepare_name(_unescape(first["name"]))
            acting_for = first["acting_for"]
            other = name if acting_for is None else prepare_name(_unescape(acting_for))
        except PreparationError as error:
            return Failed(Fault.REFUSED, str(error))
        except ValueError as error:
            return self._fail(str(error))
        if other != name:
            return Failed(Fault.REFUSED, "the client wants to act for another account", name)
        self._first, self._name = first, name
        return VerifierNeeded(name)

    def _refuse_binding(self, flag: str) -> Failed | None:
        """Take the client's word about channel binding (RFC 5802 §6); None: go on."""
        kind = flag.removeprefix("p=") if flag[0] == "p" else None
        if (kind is not None) != self._is_plus:
            text = "the mechanism does not go with what is said of channel binding"
            return Failed(Fault.REFUSED, text)
        if flag == "y" and self._is_plus_offered:
            text = "the client was not shown that -PLUS is offered: somebody changed our list"
            return Failed(Fault.REFUSED, text)
        if kind is not None:
            bound = self._bindings.get(kind)
            if bound is None:
                return Failed(Fault.REFUSED, f"no channel binding {kind[:40]} on this connection")
            self._bound = bound
        return None

    def _take_final(self, text: str) -> Step:
        first, verifier = self._first, self._verifier
        final = _CLIENT_FINAL.match(text)
        proof = None if final is None else decode_response(final["proof"].encode())
        if first is None or verifier is None or final is None or proof is None:
            return self._fail("the final message is not of SCRAM")
        bound = first[1].encode() + self._bound
        if not hmac.compare_digest(decode_response(final["binding"].encode()) or b"", bound):
            return self._refuse("the channel binding is not what the first message said")
        if not hmac.compare_digest(final["nonce"].encode(), self._nonce.encode()):
            return self._refuse("the nonce is not ours")
        signed = f"{first['bare']},{self._server_first},{final['without_proof']}".encode()
        if not _is_proof(proof, signed, verifier):
            return self._refuse("the proof is wrong")
        self._is_proved = True
        signature = binascii.b2a_base64(_sign(verifier.server_key, signed), newline=False)
        return Challenge(b"v=" + signature)

    def _fail(self, reason: str) -> Failed:
        return Failed(Fault.MALFORMED, reason, self._name or None)

    def _refuse(self, reason: str) -> Failed:
        return Failed(Fault.REFUSED, reason, self._name)


def _is_proof(proof: bytes, signed: bytes, verifier: ScramVerifier) -> bool:
    """Say whether a proof was made by one who knows the ClientKey (RFC 5802 §3)."""
    if len(proof) != _DIGEST_OCTETS:
        return False
    signature = _sign(verifier.stored_key, signed)
    client_key = bytes(mine ^ theirs for mine, theirs in zip(signature, proof, strict=True))
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), verifier.stored_key)


def _sign(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")


def _unescape(name: str) -> str:
    """Undo a saslname. Raises ValueError."""
    try:
        return _ESCAPE.sub(lambda match: _ESCAPES[match[0]], name)
    except KeyError:
        raise ValueError("the name has = without 2C or 3D behind it") from None
