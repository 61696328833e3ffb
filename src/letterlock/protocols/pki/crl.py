"""Certificate revocation lists: which of our certificates one says are revoked, and where it is.

RFC 5280 §4.2.1.13 (where a certificate's CRL is), §5 (CRLs), §6.3.3 (which CRL counts for which
certificate). Only full CRLs of the issuer itself: no deltas, no indirect ones, none for some
reasons alone. Fetching is `network.http_client`'s. OCSP is not looked at: public authorities
need not offer it, and the largest ended it in 2025.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtensionOID

from letterlock.base.printable import describe_error, make_line

MAX_CRL_OCTETS = 32 * 1024 * 1024
"""Those of public authorities are in parts of a few MiB at most; old ones are longer."""
MAX_URLS = 4
MAX_URL_CHARACTERS = 1000

HTTP_PORT = 80

# RFC 3986 §3.2.2, §3.3: a host without user or percent, then what an HTTP request can carry.
_URL = re.compile(
    r"http://(?:(?P<name>[A-Za-z0-9._-]+)|\[(?P<ip>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>/[!$-;=?-Z_a-z~%@]*)?",
    re.ASCII,
)
_USABLE_CRITICAL = frozenset({ExtensionOID.ISSUING_DISTRIBUTION_POINT})


@dataclass(frozen=True, slots=True)
class CrlUrl:
    """Where a CRL is. `text` is as the certificate has it, `target` at least `/`."""

    text: str
    host: str
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Revocation:
    """What a CRL says of a certificate; `reason` is RFC 5280 §5.3.1's word."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class CrlUnusable:
    """A CRL that says nothing of our certificates; `reason` is one line."""

    reason: str


@dataclass(frozen=True, slots=True)
class Revocations:
    """Those of our serial numbers that are in a CRL, which says nothing new from `ends` on."""

    found: Mapping[int, Revocation]
    ends: datetime | None = None


def find_crl_urls(leaf: x509.Certificate) -> tuple[CrlUrl, ...]:
    """Find where a certificate's CRL is, by HTTP; more than one are the same CRL at each.

    RFC 5280 §4.2.1.13: not those of another issuer, or for some reasons alone. Short-lived
    certificates have none. Empty also where the extension can't be read.
    """
    try:
        points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except (x509.ExtensionNotFound, *_UNREADABLE):
        return ()
    texts = [
        name.value
        for point in points
        if point.crl_issuer is None and point.reasons is None
        for name in point.full_name or ()
        if isinstance(name, x509.UniformResourceIdentifier)
    ]
    urls = [_parse_url(text) for text in dict.fromkeys(texts)]
    return tuple(url for url in urls if url is not None)[:MAX_URLS]


def read_crl(
    der: bytes,
    url: CrlUrl,
    issuer: x509.Certificate,
    serials: Iterable[int],
    *,
    limit: int | None = None,
) -> Revocations | CrlUnusable:
    """Find which serial numbers a CRL has. `issuer` is that of the certificates, `url` its place.

    Takes a second for the longest: not for an event loop. Never raises, whatever the octets are.
    `limit` is how many there may be; None: MAX_CRL_OCTETS.
    """
    limit = MAX_CRL_OCTETS if limit is None else limit
    if len(der) > limit:
        return CrlUnusable(f"a CRL of more than {limit} octets")
    try:
        crl = x509.load_der_x509_crl(der)
        if (fault := _find_fault(crl, url, issuer)) is not None:
            return CrlUnusable(make_line(fault))
        ours = frozenset(serials)
        found = {
            each.serial_number: _read_entry(each) for each in crl if each.serial_number in ours
        }
    except (*_UNREADABLE, OverflowError) as error:
        return CrlUnusable(f"not a CRL: {describe_error(error)}")
    return Revocations(found, crl.next_update_utc)


_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    # Where warnings are errors.
    CryptographyDeprecationWarning,
)


def _find_fault(
    crl: x509.CertificateRevocationList, url: CrlUrl, issuer: x509.Certificate
) -> str | None:
    """Say why a CRL is not one that counts for certificates of an issuer."""
    if crl.issuer != issuer.subject:
        return f"the CRL is one of {crl.issuer.rfc4514_string()[:200]}"
    if not crl.is_signature_valid(issuer.public_key()):  # type: ignore[arg-type]  # other keys: TypeError
        return "the issuer's key did not sign the CRL"
    if not _may_sign_crls(issuer):
        return "the issuer's certificate does not let it sign a CRL"
    for extension in crl.extensions:
        if isinstance(extension.value, x509.IssuingDistributionPoint):
            if (fault := _find_scope_fault(extension.value, url)) is not None:
                return fault
        elif extension.critical and extension.oid not in _USABLE_CRITICAL:
            # RFC 5280 §5.2; a delta CRL has one too (§5.2.4).
            return (
                f"the CRL has a critical extension that is not known: {extension.oid.dotted_string}"
            )
    return None


def _may_sign_crls(issuer: x509.Certificate) -> bool:
    """RFC 5280 §6.3.3 (f): where the issuer has a key usage, cRLSign must be in it."""
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _find_scope_fault(point: x509.IssuingDistributionPoint, url: CrlUrl) -> str | None:
    """RFC 5280 §6.3.3 (b): the CRL must be that of the place, and of all that we ask."""
    if point.indirect_crl or point.only_some_reasons is not None:
        return "the CRL is not all that the issuer says of its own certificates"
    if point.only_contains_ca_certs or point.only_contains_attribute_certs:
        return "the CRL is not about servers' certificates"
    names = point.full_name
    if names is not None and x509.UniformResourceIdentifier(url.text) not in names:
        return "the CRL is one for another place"
    if point.relative_name is not None:
        return "the CRL is one for another place"
    return None


def _read_entry(entry: x509.RevokedCertificate) -> Revocation:
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
    except x509.ExtensionNotFound:
        # RFC 5280 §5.3.1: the same as unspecified.
        reason = x509.ReasonFlags.unspecified.value
    return Revocation(entry.revocation_date_utc, reason)


def _parse_url(text: str) -> CrlUrl | None:
    found = _URL.fullmatch(text) if len(text) <= MAX_URL_CHARACTERS else None
    port = int(found["port"] or HTTP_PORT) if found else 0
    if found is None or not 0 < port <= 65535:
        return None
    return CrlUrl(text, (found["name"] or found["ip"]).lower(), port, found["target"] or "/")
