"""Certificates that no library signs any more, made by changing good ones."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

SHA256_WITH_RSA = bytes.fromhex("06092a864886f70d01010b")
SHA1_WITH_RSA = bytes.fromhex("06092a864886f70d010105")


def sign_with_sha1(certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> bytes:
    """Give the certificate, signed with SHA-1 by the key of its issuer."""
    tbs = certificate.tbs_certificate_bytes
    changed = tbs.replace(SHA256_WITH_RSA, SHA1_WITH_RSA)
    der = certificate.public_bytes(Encoding.DER)
    assert der.count(SHA256_WITH_RSA) == 2
    signature = key.sign(changed, padding.PKCS1v15(), hashes.SHA1())
    return (
        der.replace(tbs, changed)
        .replace(SHA256_WITH_RSA, SHA1_WITH_RSA)
        .replace(certificate.signature, signature)
    )
