"""What proves an identifier: key authorizations, and where each challenge wants them.

RFC 8555 §8.1, §8.3 (http-01), §8.4 (dns-01); RFC 8737 §3 (tls-alpn-01), RFC 8738 §6 (for
addresses). Who serves them is in `services.certify`'s solvers.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from letterlock.protocols.acme.identifiers import Identifier, make_server_name
from letterlock.protocols.acme.jws import AccountKey
from letterlock.protocols.acme.requests import encode_base64url

HTTP_FOLDER = "/.well-known/acme-challenge/"
DNS_LABEL = "_acme-challenge"
ALPN = b"acme-tls/1"
"""RFC 8737 §6.2."""
ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
"""RFC 8737 §6.1, id-pe-acmeIdentifier."""

_LIFETIME = timedelta(days=7)
_BACKDATED = timedelta(hours=1)
_OCTET_STRING_OF_32 = b"\x04\x20"


@dataclass(frozen=True, slots=True)
class ChallengeCertificate:
    """What is shown to a validator of tls-alpn-01, and to nobody else, with its key."""

    server_name: str
    """The SNI it asks with."""
    certificate_pem: bytes
    key_pem: bytes


def make_key_authorization(token: str, key: AccountKey) -> str:
    """RFC 8555 §8.1."""
    return f"{token}.{key.thumbprint}"


def http_path(token: str) -> str:
    """Give the path at which http-01 asks for the key authorization (RFC 8555 §8.3)."""
    return HTTP_FOLDER + token


def dns_name(identifier: Identifier) -> str:
    """Give the owner of the TXT record of dns-01 (RFC 8555 §8.4)."""
    return f"{DNS_LABEL}.{identifier.base}"


def dns_value(key_authorization: str) -> str:
    """Give the text of the TXT record of dns-01 (RFC 8555 §8.4)."""
    return encode_base64url(sha256(key_authorization.encode("ascii")).digest())


def make_challenge_certificate(
    identifier: Identifier, key_authorization: str, now: datetime
) -> ChallengeCertificate:
    """Make the certificate of tls-alpn-01 (RFC 8737 §3): one name, and the digest, critical."""
    key = ec.generate_private_key(ec.SECP256R1())
    ip = identifier.address()
    name = x509.DNSName(identifier.value) if ip is None else x509.IPAddress(ip)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ACME challenge")])
    digest = sha256(key_authorization.encode("ascii")).digest()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(
            x509.UnrecognizedExtension(ACME_IDENTIFIER, _OCTET_STRING_OF_32 + digest),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    return ChallengeCertificate(
        server_name=make_server_name(identifier),
        certificate_pem=certificate.public_bytes(Encoding.PEM),
        key_pem=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
