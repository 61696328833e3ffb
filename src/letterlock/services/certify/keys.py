"""Private keys of our certificates, as PEM and as objects."""

from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from letterlock.protocols.acme.jws import SigningKey
from letterlock.protocols.tls.client_hello import KeyType

RSA_BITS = 2048


def make_key(key_type: KeyType) -> SigningKey:
    """Make a key: P-256, or RSA of RSA_BITS, which every authority takes."""
    if key_type is KeyType.RSA:
        return rsa.generate_private_key(65537, RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())


def write_key(key: SigningKey) -> bytes:
    """Give a key as PEM (PKCS #8), without a passphrase."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_key(pem: bytes) -> SigningKey:
    """Load a key that `write_key` wrote. Raises ValueError for anything else."""
    key = load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError("neither an ECDSA nor an RSA key")  # noqa: TRY004 - as load_pem's own
    return key


def digest_key(key: SigningKey) -> bytes:
    """Give the SHA-256 of a key's SubjectPublicKeyInfo, as TLSA records have it."""
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(spki).digest()
