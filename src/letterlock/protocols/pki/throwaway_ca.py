"""A certification authority made in memory, for the demo and tests: good and bad certificates.

RFC 5280 §4 (certificates). Keys are new at every call; time is an argument. Nothing here is a real
authority: no validation, no revocation, no record of what was issued. A node uses `self_signed`
while it has no certificate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

KeyKind = Literal["ec", "rsa", "rsa-1024", "ed25519"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH

_MAX_COMMON_NAME = 64  # RFC 5280 §A.1, ub-common-name
_CA_LIFETIME = timedelta(days=3650)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Shape:
    """How a certificate differs from a good one; each default is what a good one has.

    `subject` defaults to the first name. `general_names` replaces the names made from the text
    given to `issue`. `eku` and `key_usage` of None leave the extension out. `extensions` come in
    place of the usual ones of their kind.
    """

    not_before: datetime | None = None
    not_after: datetime | None = None
    subject: x509.Name | None = None
    general_names: Sequence[x509.GeneralName] | None = None
    eku: Sequence[ObjectIdentifier] | None = (SERVER_AUTH,)
    is_ca: bool = False
    path_length: int | None = None
    key_usage: x509.KeyUsage | None = None
    name_constraints: x509.NameConstraints | None = None
    serial: int | None = None
    extensions: Sequence[x509.ExtensionType] = ()


GOOD_LEAF = Shape()
GOOD_CA = Shape(eku=None, is_ca=True)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key. `chain` is what a server sends: leaf first, no root."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...]

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def chain_der(self) -> tuple[bytes, ...]:
        return tuple(certificate.public_bytes(Encoding.DER) for certificate in self.chain)

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def chain_pem(self) -> bytes:
        """The content of a fullchain.pem."""
        return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in self.chain)

    @property
    def key_pem(self) -> bytes:
        """The key as PKCS #8, without a passphrase."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class ThrowawayCa:
    """One authority: a root, or an intermediate below another; `issued` is its own certificate."""

    def __init__(
        self,
        name: str,
        now: datetime,
        key: KeyKind | PrivateKey = "ec",
        shape: Shape = GOOD_CA,
        *,
        above: "ThrowawayCa | None" = None,
    ) -> None:
        subject = shape.subject or make_name(name)
        shape = replace(shape, subject=subject, not_after=shape.not_after or now + _CA_LIFETIME)
        issuer = above.issued if above else None
        self.issued: Issued = _sign((), now, make_key(key), shape, issuer)

    @property
    def der(self) -> bytes:
        return self.issued.der

    @property
    def pem(self) -> bytes:
        return self.issued.certificate_pem

    def issue(
        self,
        names: Sequence[str],
        *,
        now: datetime,
        days: int = 90,
        key: KeyKind | PrivateKey = "ec",
        shape: Shape = GOOD_LEAF,
    ) -> Issued:
        """Issue a certificate for names: domain names as they are, addresses as iPAddress.

        It is valid from an hour before `now` for `days`, unless `shape` says otherwise.
        """
        shape = replace(shape, not_after=shape.not_after or now + timedelta(days=days))
        return _sign(names, now, make_key(key), shape, self.issued)

    def intermediate(
        self,
        name: str,
        *,
        now: datetime,
        key: KeyKind | PrivateKey = "ec",
        shape: Shape = GOOD_CA,
    ) -> "ThrowawayCa":
        """Give an authority below this one; what it issues comes with its certificate."""
        return ThrowawayCa(name, now, key, shape, above=self)


def self_signed(
    names: Sequence[str],
    *,
    now: datetime,
    days: int = 90,
    key: KeyKind | PrivateKey = "ec",
    shape: Shape = GOOD_LEAF,
) -> Issued:
    """Make a certificate that signs itself."""
    shape = replace(shape, not_after=shape.not_after or now + timedelta(days=days))
    return _sign(names, now, make_key(key), shape, issuer=None)


def make_key(kind: KeyKind | PrivateKey) -> PrivateKey:
    """Make a key; one that is given is given back."""
    match kind:
        case "ec":
            return ec.generate_private_key(ec.SECP256R1())
        case "rsa":
            return rsa.generate_private_key(65537, 2048)
        case "rsa-1024":
            # Made to be refused (RFC 9325 §4.5).
            return rsa.generate_private_key(65537, 1024)  # noqa: S505 - see above
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return kind


def make_name(common_name: str) -> x509.Name:
    """Make a distinguished name of one common name, cut to its upper bound."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:_MAX_COMMON_NAME])])


def _sign(
    names: Sequence[str], now: datetime, key: PrivateKey, shape: Shape, issuer: Issued | None
) -> Issued:
    assert shape.not_after is not None
    subject = shape.subject or make_name(names[0] if names else "throw-away")
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(shape.serial or x509.random_serial_number())
        .not_valid_before(shape.not_before or min(now, shape.not_after) - _HOUR)
        .not_valid_after(shape.not_after)
    )
    signing_key = issuer.key if issuer else key
    for extension, is_critical in _extensions(names, key, shape, signing_key):
        builder = builder.add_extension(extension, is_critical)
    # RFC 8410 §9: Ed25519 takes no digest.
    is_ed25519 = isinstance(signing_key, ed25519.Ed25519PrivateKey)
    certificate = builder.sign(signing_key, None if is_ed25519 else hashes.SHA256())
    return Issued(certificate, key, (certificate, *_sent_above(issuer)))


def _sent_above(issuer: Issued | None) -> tuple[x509.Certificate, ...]:
    # The root issued itself and is not sent.
    if issuer is None or issuer.certificate.subject == issuer.certificate.issuer:
        return ()
    return issuer.chain


def _extensions(
    names: Sequence[str], key: PrivateKey, shape: Shape, signing_key: PrivateKey
) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=shape.is_ca, path_length=shape.path_length), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), False),
        (shape.key_usage or _usual_key_usage(is_ca=shape.is_ca), True),
    ]
    general_names = shape.general_names
    if general_names is None:
        general_names = [_general_name(name) for name in names]
    if general_names:
        found.append((x509.SubjectAlternativeName(general_names), False))
    if shape.eku is not None:
        found.append((x509.ExtendedKeyUsage(shape.eku), False))
    if shape.name_constraints is not None:
        found.append((shape.name_constraints, True))
    replaced = {extension.oid for extension in shape.extensions}
    usual = [
        (extension, critical) for extension, critical in found if extension.oid not in replaced
    ]
    return usual + [(extension, False) for extension in shape.extensions]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usual_key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )
