"""Keys for tests, made once."""

from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from letterlock.base.domains import Domain
from letterlock.protocols.dkim.signing import PrivateKey, SigningKey

DOMAIN = Domain("example.org")


@cache
def rsa_key() -> SigningKey:
    return make_key(generate_private_key(65537, 2048), "sel")


@cache
def ed25519_key() -> SigningKey:
    return make_key(Ed25519PrivateKey.from_private_bytes(b"k" * 32), "sel-ed25519")


def make_key(key: PrivateKey, selector: str) -> SigningKey:
    return SigningKey(DOMAIN, Domain(selector), key)
