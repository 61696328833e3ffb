"""What proves an identifier: key authorizations, and where each challenge wants them.

RFC 8555 §8.1, §8.3 (http-01), §8.4 (dns-01); RFC 8737 §3 (tls-alpn-01), RFC 8738 §6 (for
addresses). Who serves them is in `services.certify`'s solvers.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from letterlock.protocols.acme.base64url import encode_base64url
from letterlock.protocols.acme.identifiers import Identifier, make_server_name
from letterlock.protocols.acme.jws import AccountKey

HTTP_FOLDER = "/.well-known/acme-challenge/"
DNS_LABEL = "_acme-challenge"
ALPN = b"acme-tls/1"
"""RFC 8737 §6.2."""
ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
"""RFC 8737 §6.1, id-pe-acmeIdentifier."""

_LIFETIME = timedelta(days=7)
_BACKDATED = timedelta(hours=1)
# What cryptography raises for certificates that others wrote.
_UNREADABLE = (
    ValueError,
    # Of a name's attribute that is of another type.
    TypeError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_OCTET_STRING_OF_32 = b"\x04\x20"
# RFC 8555 §8.3: base64url, at least 128 bits of entropy; the token becomes part of a path.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{22,512}")


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


def is_token(text: str) -> bool:
    """Whether it has the form of a token (RFC 8555 §8.3), which is no way out of a folder."""
    return _TOKEN.fullmatch(text) is not None


def http_path(token: str) -> str:
    """Give the path at which http-01 asks for the key authorization (RFC 8555 §8.3)."""
    return HTTP_FOLDER + token


def find_token(path: str) -> str | None:
    """Give the token that a path asks for; None: it is another path."""
    token = path.removeprefix(HTTP_FOLDER)
    return token if token != path and is_token(token) else None


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


def find_certificate_fault(
    octets: bytes, identifier: Identifier, key_authorization: str
) -> str | None:
    """Say why a certificate (DER) does not prove a name by tls-alpn-01; None: it does.

    RFC 8737 §3; the certificate's own signature is left out (§4).
    """
    try:
        certificate = x509.load_der_x509_certificate(octets)
        is_self_issued = certificate.issuer == certificate.subject
        extensions = certificate.extensions
        names = list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        found = extensions.get_extension_for_oid(ACME_IDENTIFIER)
    except x509.ExtensionNotFound as error:
        return f"a certificate without the extension {error.oid.dotted_string}"
    except _UNREADABLE:
        return "a certificate that can't be read"
    if len(names) != 1 or not _is_name(names[0], identifier):
        return f"a certificate of other names than {identifier}"
    if not is_self_issued:
        return "a certificate that is not self-signed"
    return _find_digest_fault(found, key_authorization)


def _find_digest_fault(
    found: "x509.Extension[x509.ExtensionType]", key_authorization: str
) -> str | None:
    if not found.critical:
        return "a certificate whose acmeIdentifier is not critical"
    assert isinstance(found.value, x509.UnrecognizedExtension)
    digest = sha256(key_authorization.encode("ascii")).digest()
    if found.value.value != _OCTET_STRING_OF_32 + digest:
        return "a certificate for another key authorization"
    return None


def _is_name(name: x509.GeneralName, identifier: Identifier) -> bool:
    ip = identifier.address()
    if ip is not None:
        return isinstance(name, x509.IPAddress) and name.value == ip
    # RFC 8737 §3: case counts for nothing.
    return isinstance(name, x509.DNSName) and name.value.lower() == identifier.value.lower()
