"""A SCRAM-SHA-256 client, written from RFC 5802 §3 beside the server that it tests."""

import base64
import hashlib
import hmac


class ScramClient:
    def __init__(self, name: str, password: str, nonce: str = "fyko+d2lbbFgONRv9qkx") -> None:
        self._name = name.replace("=", "=3D").replace(",", "=2C")
        self._password = password
        self._nonce = nonce
        self._signature = b""
        self.header = "n,,"
        self.bound = b""

    @property
    def bare(self) -> str:
        return f"n={self._name},r={self._nonce}"

    def first(self) -> bytes:
        return f"{self.header}{self.bare}".encode()

    def final(self, server_first: bytes, *, nonce: str | None = None) -> bytes:
        text = server_first.decode()
        given = dict(item.split("=", 1) for item in text.split(","))
        assert given["r"].startswith(self._nonce)
        salted = hashlib.pbkdf2_hmac(
            "sha256", self._password.encode(), base64.b64decode(given["s"]), int(given["i"])
        )
        binding = base64.b64encode(self.header.encode() + self.bound).decode()
        without_proof = f"c={binding},r={nonce or given['r']}"
        signed = f"{self.bare},{text},{without_proof}".encode()
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        stored_key = hashlib.sha256(client_key).digest()
        signature = hmac.digest(stored_key, signed, "sha256")
        proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self._signature = hmac.digest(server_key, signed, "sha256")
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def is_server(self, server_final: bytes) -> bool:
        return server_final == b"v=" + base64.b64encode(self._signature)
