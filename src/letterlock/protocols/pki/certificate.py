"""What one certificate says: facts for judging and for people.

RFC 5280 §4. Whether it is to be believed is for `protocols.pki.chain`.
"""

import warnings
from base64 import b64encode
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address
from textwrap import wrap

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from letterlock.base.printable import describe_error
from letterlock.protocols.pki.der import split_elements
from letterlock.protocols.pki.names import CertificateNames

MAX_CERTIFICATE_OCTETS = 64 * 1024

_TAG_INTEGER = 0x02
_TAG_BIT_STRING = 0x03
_TAG_SEQUENCE = 0x30
_TAG_VERSION = 0xA0  # RFC 5280 §4.1: [0] EXPLICIT Version DEFAULT v1


class KeyKind(StrEnum):
    """The kind of a public key; OTHER is one that we have no word or no rule for."""

    RSA = "rsa"
    EC = "ec"
    ED25519 = "ed25519"
    ED448 = "ed448"
    DSA = "dsa"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """One certificate. Names are as RFC 4514 writes them; digests and serial are lower-case hex.

    `key` is for people (`rsa-2048`, `ec-secp256r1`); `key_bits` is 0 where bits say nothing.
    `signature_digest` is None where the algorithm has none or it is unknown. `eku` holds dotted
    OIDs, None without the extension; `may_sign_tls` and `may_sign_certificates` are what the key
    usage says (RFC 5280 §4.2.1.3), true without the extension. `common_names` are the subject's.
    """

    der: bytes
    subject: str
    issuer: str
    names: CertificateNames
    common_names: tuple[str, ...]
    serial: str
    not_before: datetime
    not_after: datetime
    key: str
    key_kind: KeyKind
    key_bits: int
    signature_algorithm: str
    signature_digest: str | None
    is_ca: bool
    is_self_issued: bool
    eku: tuple[str, ...] | None
    may_sign_tls: bool
    may_sign_certificates: bool
    fingerprint_sha256: str
    spki_sha256: str
    issuer_url: str | None
    """Where the issuer's certificate is said to be (RFC 5280 §4.2.2.1); never fetched."""
    issuer_organization: str = ""
    """The issuer's organizationName; empty without one that is text."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Octets that are no certificate, or one too odd to be judged. `reason` is one line."""

    reason: str


def read_certificate(der: bytes) -> CertificateFacts | Unreadable:
    """Read a certificate; never raises, whatever the octets are."""
    if len(der) > MAX_CERTIFICATE_OCTETS:
        return Unreadable(f"a certificate of more than {MAX_CERTIFICATE_OCTETS} octets")
    try:
        tbs = _tbs_elements(der)
        if not _is_positive(tbs[0]):
            # cryptography warns of each, and says that it will refuse them.
            return Unreadable("the serial number is not positive (RFC 5280 §4.1.2.2)")
        with warnings.catch_warnings():
            # Of a country with six letters, or of serial numbers inside: a peer's oddity is not
            # for our standard error, and no reason not to read on.
            warnings.simplefilter("ignore", UserWarning)
            return _read(x509.load_der_x509_certificate(der), der, spki=tbs[5])
    except (
        ValueError,
        TypeError,  # a name's attribute of a type that its OID can't have
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ) as error:
        return Unreadable(describe_error(error))


def read_spki(der: bytes) -> bytes | None:
    """Give a certificate's subjectPublicKeyInfo, DER as it stands; None where there is none.

    Only the structure is looked at: for comparing the key of a certificate that is vouched for in
    another way, whatever else it says.
    """
    try:
        whole = split_elements(der, limit=1)[0][0]
        spki = _tbs_elements(der)[5]
    except ValueError:
        return None
    return spki if whole == der and is_spki(spki) else None


@dataclass(frozen=True, slots=True)
class IssuerAndSerial:
    """What tells a certificate from all others (RFC 5280 §4.1.2.2). `issuer` is the name's DER."""

    issuer: bytes
    serial: int


def read_issuer_and_serial(der: bytes) -> IssuerAndSerial | None:
    """Give them for a certificate that cryptography refuses too; None for what is none.

    Only the structure is looked at. A serial number that is not positive is given as it is.
    """
    try:
        ((whole, content),) = split_elements(der, limit=1)
        serial, _, issuer, *_ = _tbs_elements(der)
        value = split_elements(serial, limit=1)[0][1]
    except ValueError:
        return None
    tags = [whole[0], content[0], serial[0], issuer[0]]
    if whole != der or tags != [_TAG_SEQUENCE, _TAG_SEQUENCE, _TAG_INTEGER, _TAG_SEQUENCE]:
        return None
    return IssuerAndSerial(issuer, int.from_bytes(value, signed=True))


def is_spki(octets: bytes) -> bool:
    """Say if octets have the form of a SubjectPublicKeyInfo (RFC 5280 §4.1); of any algorithm."""
    try:
        whole, content = split_elements(octets, limit=1)[0]
        parts = [part for part, _ in split_elements(content, limit=3)]
    except ValueError:
        return False
    return whole == octets and [part[0] for part in [whole, *parts]] == [
        _TAG_SEQUENCE,
        _TAG_SEQUENCE,
        _TAG_BIT_STRING,
    ]


def describe_certificate(facts: CertificateFacts) -> dict[str, object]:
    """Give the shape that answers share: an entry of `handshake.chain`."""
    return {
        "subject": facts.subject,
        "issuer": facts.issuer,
        "names": list(facts.names.texts),
        "serial": facts.serial,
        "not_before": f"{facts.not_before:%Y-%m-%dT%H:%M:%SZ}",
        "not_after": f"{facts.not_after:%Y-%m-%dT%H:%M:%SZ}",
        "key": facts.key,
        "pem": format_pem(facts.der),
    }


def format_pem(der: bytes) -> str:
    """RFC 7468 §5.1."""
    lines = "\n".join(wrap(b64encode(der).decode("ascii"), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"


def _read(certificate: x509.Certificate, der: bytes, spki: bytes) -> CertificateFacts:
    extensions = {extension.oid: extension.value for extension in certificate.extensions}
    key, key_kind, key_bits = _describe_key(certificate)
    constraints = extensions.get(x509.BasicConstraints.oid)
    eku = extensions.get(x509.ExtendedKeyUsage.oid)
    usage = extensions.get(x509.KeyUsage.oid)
    return CertificateFacts(
        der=der,
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        names=_read_names(extensions.get(x509.SubjectAlternativeName.oid)),
        common_names=_read_common_names(certificate.subject),
        serial=f"{certificate.serial_number:x}",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key=key,
        key_kind=key_kind,
        key_bits=key_bits,
        signature_algorithm=certificate.signature_algorithm_oid.dotted_string,
        signature_digest=_signature_digest(certificate),
        is_ca=isinstance(constraints, x509.BasicConstraints) and constraints.ca,
        is_self_issued=certificate.subject == certificate.issuer,
        eku=_read_eku(eku),
        may_sign_tls=_may_sign_tls(usage),
        may_sign_certificates=not isinstance(usage, x509.KeyUsage) or usage.key_cert_sign,
        fingerprint_sha256=sha256(der).hexdigest(),
        spki_sha256=sha256(spki).hexdigest(),
        issuer_url=_read_issuer_url(extensions.get(x509.AuthorityInformationAccess.oid)),
        issuer_organization=_read_organization(certificate.issuer),
    )


def _read_names(san: x509.ExtensionType | None) -> CertificateNames:
    if not isinstance(san, x509.SubjectAlternativeName):
        return CertificateNames()
    values = san.get_values_for_type(x509.IPAddress)
    # Networks stand in name constraints only.
    ips = tuple(ip for ip in values if isinstance(ip, (IPv4Address, IPv6Address)))
    return CertificateNames(tuple(san.get_values_for_type(x509.DNSName)), ips)


def _read_organization(issuer: x509.Name) -> str:
    attributes = issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    values = [item.value for item in attributes if isinstance(item.value, str)]
    return values[0] if values else ""


def _read_common_names(subject: x509.Name) -> tuple[str, ...]:
    attributes = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return tuple(item.value for item in attributes if isinstance(item.value, str))


def _read_eku(eku: x509.ExtensionType | None) -> tuple[str, ...] | None:
    if not isinstance(eku, x509.ExtendedKeyUsage):
        return None
    return tuple(oid.dotted_string for oid in eku)


def _read_issuer_url(access: x509.ExtensionType | None) -> str | None:
    if not isinstance(access, x509.AuthorityInformationAccess):
        return None
    locations = (
        description.access_location
        for description in access
        if description.access_method == AuthorityInformationAccessOID.CA_ISSUERS
    )
    urls = (at.value for at in locations if isinstance(at, x509.UniformResourceIdentifier))
    return next(urls, None)


def _may_sign_tls(usage: x509.ExtensionType | None) -> bool:
    # What OpenSSL asks of a server: RSA key exchange and static ECDH count as well.
    if not isinstance(usage, x509.KeyUsage):
        return True
    return usage.digital_signature or usage.key_encipherment or usage.key_agreement


def _describe_key(certificate: x509.Certificate) -> tuple[str, KeyKind, int]:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        key = None
    match key:
        case rsa.RSAPublicKey():
            found = (f"rsa-{key.key_size}", KeyKind.RSA, key.key_size)
        case ec.EllipticCurvePublicKey():
            found = (f"ec-{key.curve.name}", KeyKind.EC, key.curve.key_size)
        case ed25519.Ed25519PublicKey():
            found = ("ed25519", KeyKind.ED25519, 0)
        case ed448.Ed448PublicKey():
            found = ("ed448", KeyKind.ED448, 0)
        case dsa.DSAPublicKey():
            found = (f"dsa-{key.key_size}", KeyKind.DSA, key.key_size)
        case _:
            oid = certificate.public_key_algorithm_oid.dotted_string
            found = (f"other-{oid}", KeyKind.OTHER, 0)
    return found


def _signature_digest(certificate: x509.Certificate) -> str | None:
    try:
        digest = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    return digest.name if digest else None


def _tbs_elements(der: bytes) -> list[bytes]:
    """Give serialNumber and what follows it in tbsCertificate, each with its tag and length.

    For what cryptography doesn't give as it stands: the serial before it is judged, and the SPKI
    of a key that it doesn't know. Raises ValueError.
    """
    certificate = split_elements(der, limit=1)[0]
    tbs = split_elements(certificate[1], limit=1)[0]
    elements = split_elements(tbs[1], limit=7)
    if elements[0][0][0] == _TAG_VERSION:
        elements = elements[1:]
    if len(elements) < 6:
        raise ValueError("tbsCertificate is too short")
    return [whole for whole, _ in elements]


def _is_positive(integer: bytes) -> bool:
    content = split_elements(integer, limit=1)[0][1]
    return bool(content) and content[0] < 0x80 and any(content)
