"""SCRAM-SHA-256 as a client: proves that we know the password, and has the server prove it too.

RFC 5802 §3, §5, §6, §7 and RFC 7677 §3. A server that was not given the password once cannot make
the signature at the end, and a login that it says is good counts as failed.
"""

import binascii
import hashlib
import hmac
import re
from functools import lru_cache

from letterlock.protocols.sasl.client_steps import Broken, Credentials
from letterlock.protocols.sasl.preparation import (
    PreparationError,
    prepare_login,
    prepare_password,
)
from letterlock.protocols.sasl.responses import decode_response
from letterlock.protocols.sasl.scram import MIN_ITERATIONS

MAX_ITERATIONS = 2_000_000
"""About half a second of work, which a server must not make longer."""
MAX_SHOWN_CHARACTERS = 60

# RFC 5802 §7: server-first-message. An extension that must be understood comes first as m=, and
# wherever else that stands nobody may go on (§5.1).
_SERVER_FIRST = re.compile(
    r"r=(?P<nonce>[!-+\--~]+),s=(?P<salt>[A-Za-z0-9+/=]+),i=(?P<count>[1-9][0-9]{0,9})"
    r"(?:,[A-Za-ln-z]=[^,]+)*\Z"
)
_SERVER_FINAL = re.compile(r"(?:v=(?P<signature>[A-Za-z0-9+/=]+)|e=(?P<error>[^,]+))(?:,.*)?\Z")


class ScramClient:
    """One exchange. `nonce` is ours: printable, without a comma, and never used before.

    `flag` is the gs2-cbind-flag (RFC 5802 §7): `n`, `y`, or `p=NAME` with the octets that the
    connection is known by.
    """

    def __init__(
        self, credentials: Credentials, nonce: str, flag: str = "n", bound: bytes = b""
    ) -> None:
        self._credentials = credentials
        self._nonce = nonce
        self._header = f"{flag},,".encode()
        self._bound = bound
        self._password = b""
        self._bare = ""
        self._signature: bytes | None = None
        self._is_proved = False

    def begin(self) -> bytes | Broken:
        try:
            name = prepare_login(self._credentials.user)
            self._password = prepare_password(self._credentials.password).encode()
        except PreparationError as error:
            return Broken(f"SCRAM cannot be used: {error}")
        escaped = name.replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={escaped},r={self._nonce}"
        return self._header + self._bare.encode()

    def respond(self, challenge: bytes) -> bytes | Broken:
        if self._is_proved:
            return Broken("it asks for more than SCRAM has")
        try:
            text = challenge.decode()
        except UnicodeDecodeError:
            return Broken("its challenge is not UTF-8")
        return self._prove(text) if self._signature is None else self._check(text)

    def finish(self) -> Broken | None:
        return None if self._is_proved else Broken("it did not prove that it knows the password")

    def _prove(self, text: str) -> bytes | Broken:
        first = _SERVER_FIRST.match(text)
        salt = None if first is None else decode_response(first["salt"].encode())
        if first is None or not salt:
            return Broken("its first message is not of SCRAM")
        nonce = first["nonce"]
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            return Broken("its nonce does not go on from ours")
        count = int(first["count"])
        if not MIN_ITERATIONS <= count <= MAX_ITERATIONS:
            return Broken(f"it wants {count} iterations, not {MIN_ITERATIONS} to {MAX_ITERATIONS}")
        client_key, server_key = _derive(self._password, salt, count)
        binding = binascii.b2a_base64(self._header + self._bound, newline=False).decode()
        final = f"c={binding},r={nonce}"
        signed = f"{self._bare},{text},{final}".encode()
        self._signature = hmac.digest(server_key, signed, "sha256")
        mask = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        proof = bytes(mine ^ other for mine, other in zip(client_key, mask, strict=True))
        return f"{final},p=".encode() + binascii.b2a_base64(proof, newline=False)

    def _check(self, text: str) -> bytes | Broken:
        final = _SERVER_FINAL.match(text)
        if final is not None and final["error"] is not None:
            return Broken(f"it refuses: {ascii(final['error'][:MAX_SHOWN_CHARACTERS])[1:-1]}")
        given = None if final is None else decode_response(final["signature"].encode())
        if given is None:
            return Broken("its final message is not of SCRAM")
        if not hmac.compare_digest(given, self._signature or b""):
            return Broken("its signature is wrong: it does not know the password")
        self._is_proved = True
        return b""


@lru_cache(maxsize=32)  # a connection has the same salt as the one before it (RFC 5802 §5.1)
def _derive(password: bytes, salt: bytes, count: int) -> tuple[bytes, bytes]:
    """Give ClientKey and ServerKey. Takes long."""
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, count)
    return (
        hmac.digest(salted, b"Client Key", "sha256"),
        hmac.digest(salted, b"Server Key", "sha256"),
    )
