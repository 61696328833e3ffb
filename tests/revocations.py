"""CRLs of throw-away authorities, good and bad."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.protocols.pki.throwaway_ca import Issued, Shape, ThrowawayCa, make_name
from tests.fakes import START

URL = "http://crl.example/7.crl"


def make_crl(
    ca: ThrowawayCa,
    revoked: Mapping[int, x509.ReasonFlags | None] = {},
    *,
    now: datetime = START,
    issuer: str | None = None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> bytes:
    """Make one, DER: serial numbers with their reasons; `issuer` in place of the authority's."""
    name = ca.issued.certificate.subject if issuer is None else make_name(issuer)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name)
        .last_update(now)
        .next_update(now + timedelta(days=7))
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    for serial, reason in revoked.items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    key = ca.issued.key
    digest = None if isinstance(key, Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(Encoding.DER)


def make_point(
    *urls: str, reasons: frozenset[x509.ReasonFlags] | None = None, issuer: str | None = None
) -> x509.DistributionPoint:
    names = [x509.UniformResourceIdentifier(url) for url in urls]
    other = [x509.DirectoryName(make_name(issuer))] if issuer is not None else None
    return x509.DistributionPoint(names or None, None, reasons, other)


def issue_with_crl(
    ca: ThrowawayCa, name: str, *points: x509.DistributionPoint, now: datetime = START
) -> Issued:
    """Issue a certificate that says where its CRL is; at URL unless told otherwise."""
    extension = x509.CRLDistributionPoints(points or [make_point(URL)])
    return ca.issue([name], now=now, shape=Shape(extensions=(extension,)))
