"""A trust anchor that is a bare public key, without a certificate.

RFC 5280 §6.1.1 (d): an anchor is a name and a key. OpenSSL's store takes certificates only, so the
key is dressed as one, named as the certificate below it wants its issuer named; then the same path
validation holds as for any other anchor (RFC 7671 §5.2.3).
"""

from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.x509.oid import NameOID

from letterlock.protocols.pki.anchors import TrustAnchors

# A key has no dates.
_FIRST_DAY, _LAST_DAY = datetime(1970, 1, 1), datetime(9999, 12, 31)  # noqa: DTZ001 - x509 takes UTC
_NOBODY = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a key without a certificate")])
# Nobody looks at an anchor's own signature: this key proves nothing, and need not be secret.
_ANYBODYS_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def make_key_anchor(spki: bytes, below: bytes) -> TrustAnchors | None:
    """Make an anchor of a key, as issuer of the certificate `below`; both in DER.

    None when the key is of a kind that can't be used, or the certificate can't be read.
    """
    try:
        key = load_der_public_key(spki)
        builder = _dress(key, x509.load_der_x509_certificate(below))  # type: ignore[arg-type]  # it says itself what it does not take
        certificate = builder.sign(_ANYBODYS_KEY, None)
        return TrustAnchors.from_der(certificate.public_bytes(Encoding.DER))
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ):
        return None


def _dress(key: CertificatePublicKeyTypes, below: x509.Certificate) -> x509.CertificateBuilder:
    try:
        wanted = below.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        wanted = x509.AuthorityKeyIdentifier(None, None, None)
    issuers = wanted.authority_cert_issuer or []
    names = [name.value for name in issuers if isinstance(name, x509.DirectoryName)]
    builder = (
        x509.CertificateBuilder()
        .subject_name(below.issuer)
        .issuer_name(names[0] if names else _NOBODY)
        .public_key(key)
        .serial_number(wanted.authority_cert_serial_number or 1)
        .not_valid_before(_FIRST_DAY)
        .not_valid_after(_LAST_DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    if wanted.key_identifier is None:
        return builder
    return builder.add_extension(x509.SubjectKeyIdentifier(wanted.key_identifier), critical=False)
