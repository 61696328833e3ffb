"""Channel bindings by the server's certificate."""

import hashlib
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from letterlock.protocols.sasl.channel_binding import hash_end_point

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
_Hash = hashes.SHA256 | hashes.SHA384 | hashes.SHA512


def sign(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey,
    algorithm: _Hash | None,
) -> bytes:
    """Give a certificate signed by the key that it is for."""
    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, WHEN, WHEN)
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_it_is_the_hash_that_the_certificate_is_signed_with(
    algorithm: _Hash,
) -> None:
    """RFC 5929 §4.1."""
    der = sign(ec.generate_private_key(ec.SECP256R1()), algorithm)
    assert hash_end_point(der) == hashlib.new(algorithm.name, der).digest()


def test_a_weak_hash_is_not_used() -> None:
    """RFC 5929 §4.1: SHA-256 instead of MD5 and SHA-1."""
    der = sign(rsa.generate_private_key(65537, 2048), hashes.SHA256())
    # sha256WithRSAEncryption becomes sha1WithRSAEncryption: nobody looks at the signature.
    sha256, sha1 = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    assert der.count(sha256) == 2
    weak = der.replace(sha256, sha1)
    assert hash_end_point(weak) == hashlib.sha256(weak).digest()


def test_where_no_hash_is_defined_there_is_no_binding() -> None:
    assert hash_end_point(sign(ed25519.Ed25519PrivateKey.generate(), None)) is None
    assert hash_end_point(b"no certificate") is None
