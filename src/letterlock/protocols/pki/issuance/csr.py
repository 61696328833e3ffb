"""Certificate signing requests: what they ask for, and whether it is what the order is for.

RFC 2986 §4 (format), RFC 8555 §7.4 (the same names as the order's, nothing that we do not give),
RFC 8738 §4 (addresses). Of a request only its key counts: names come from the order, everything
else from the profile. The key itself is judged in `subject_keys`.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from letterlock.base.domains import Domain, DomainError, parse_domain
from letterlock.base.printable import describe_error
from letterlock.protocols.pki.issuance.subject_keys import MAX_RSA_BITS, SubjectKey
from letterlock.protocols.pki.names import CertificateNames, IpAddress

MAX_REQUEST_OCTETS = 64 * 1024
"""A hundred names of the greatest length, an RSA key and its signature need half of it."""
MAX_EXPONENT_BITS = 64

_DIGESTS = frozenset({"sha256", "sha384", "sha512"})
_EXTENSION_REQUEST = x509.ObjectIdentifier("1.2.840.113549.1.9.14")  # PKCS #9
_TLS_USES = frozenset({ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH})
_WILDCARD = "*."
_MAX_SHOWN = 5

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    CryptographyDeprecationWarning,
)


class RequestError(ValueError):
    """Octets are not a request that anything can be issued for (`badCSR`); one line says why."""


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A request whose signature verified. Names are in lower case, without doubles, sorted.

    `names` are those of subjectAltName and the common names together (RFC 8555 §7.4); `unwanted`
    says, a line each, what else it asks for that is never given.
    """

    key: SubjectKey
    names: CertificateNames
    unwanted: tuple[str, ...]


@lru_cache(maxsize=64)  # It is judged when it comes, and once more before the certificate is made.
def parse_request(der: bytes) -> SigningRequest:
    """Read a request (DER). Raises RequestError, whatever the octets are."""
    if len(der) > MAX_REQUEST_OCTETS:
        raise RequestError(f"the request has more than {MAX_REQUEST_OCTETS} octets")
    try:
        with warnings.catch_warnings():
            # Of odd attributes in a subject that is not looked at.
            warnings.simplefilter("ignore", UserWarning)
            return _read(x509.load_der_x509_csr(der))
    except RequestError:
        raise
    except _UNREADABLE as error:
        raise RequestError(f"the request cannot be read: {describe_error(error)}") from error


def find_request_faults(request: SigningRequest, order: CertificateNames) -> tuple[str, ...]:
    """Say why a request is not one for an order, each reason in one line.

    `order` has the names as an order has them: lower case, IP addresses as such.
    """
    faults = list(request.unwanted)
    asked, ordered = frozenset(request.names.texts), frozenset(order.texts)
    if more := sorted(asked - ordered):
        faults.append(f"the request has names that the order has not: {_show(more)}")
    if missing := sorted(ordered - asked):
        faults.append(f"the order has names that the request has not: {_show(missing)}")
    return tuple(faults)


def _read(csr: x509.CertificateSigningRequest) -> SigningRequest:
    key = csr.public_key()
    if not isinstance(key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
        raise RequestError("the request's key is neither ECDSA nor RSA")
    _check_signature(csr, key)
    requests = [each for each in csr.attributes if each.oid == _EXTENSION_REQUEST]
    if len(requests) > 1:
        raise RequestError("the request asks for extensions twice")
    extensions = csr.extensions
    names = [*_read_common_names(csr.subject), *_read_alternative_names(extensions)]
    if not names:
        raise RequestError("the request names nothing")
    domains = sorted({name for name in names if isinstance(name, str)})
    ips = sorted({name for name in names if not isinstance(name, str)}, key=_ip_order)
    unwanted = tuple(fault for each in extensions if (fault := _find_unwanted(each)))
    return SigningRequest(key, CertificateNames(tuple(domains), tuple(ips)), unwanted)


def _check_signature(csr: x509.CertificateSigningRequest, key: SubjectKey) -> None:
    # Before the signature: to verify one by a huge key takes long.
    if isinstance(key, rsa.RSAPublicKey) and (
        key.key_size > MAX_RSA_BITS or key.public_numbers().e.bit_length() > MAX_EXPONENT_BITS
    ):
        raise RequestError("the request's RSA key is too long")
    digest = csr.signature_hash_algorithm
    if digest is None or digest.name not in _DIGESTS:
        raise RequestError("the request is signed with a digest other than SHA-256, 384 or 512")
    if not csr.is_signature_valid:
        raise RequestError("the request's signature does not verify with its key")


def _read_common_names(subject: x509.Name) -> Iterator[Domain | IpAddress]:
    """Other parts of the subject are what tools fill in unasked; no certificate has them."""
    for attribute in subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        # The value of another attribute may be octets.
        text = str(attribute.value)
        yield _address(text) or _name(text)


def _read_alternative_names(extensions: x509.Extensions) -> Iterator[Domain | IpAddress]:
    try:
        san = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for name in san:
        match name:
            case x509.DNSName():
                yield _name(name.value)
            case x509.IPAddress() if isinstance(name.value, (IPv4Address, IPv6Address)):
                yield name.value
            case _:
                raise RequestError("the request has a name that is neither a domain nor an address")


def _address(text: str) -> IpAddress | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _name(text: str) -> Domain:
    """Read a domain name or wildcard; in certificates names are A-labels without a final dot."""
    base = text.removeprefix(_WILDCARD)
    if not base.isascii() or base.endswith("."):
        raise RequestError("the request has a name that is not in the form of certificates")
    try:
        domain = parse_domain(base)
    except DomainError as error:
        reason = f"the request has a name that is none: {describe_error(error)}"
        raise RequestError(reason) from error
    return Domain(_WILDCARD + domain) if text.startswith(_WILDCARD) else domain


def _find_unwanted(extension: x509.Extension[x509.ExtensionType]) -> str | None:
    """RFC 8555 §7.4: an extension that we do not give is refused, not left out in silence.

    What every server certificate has, or what says nothing, may be asked for.
    """
    match extension.value:
        case x509.SubjectAlternativeName() | x509.SubjectKeyIdentifier():
            return None
        case x509.BasicConstraints(ca=is_ca):
            return "the request asks to become an authority" if is_ca else None
        case x509.KeyUsage() as usage:
            may_sign = usage.key_cert_sign or usage.crl_sign
            return "the request asks to sign certificates or CRLs" if may_sign else None
        case x509.ExtendedKeyUsage() as uses:
            others = sorted(oid.dotted_string for oid in uses if oid not in _TLS_USES)
            return f"the request asks for other uses than TLS: {_show(others)}" if others else None
        case x509.TLSFeature():
            return "the request asks for OCSP stapling (TLS feature), which is not offered"
        case _:
            dotted = extension.oid.dotted_string
    return f"the request asks for an extension that is not given: {dotted}"


def _ip_order(ip: IpAddress) -> tuple[int, int]:
    return ip.version, int(ip)


def _show(texts: list[str]) -> str:
    more = f" and {len(texts) - _MAX_SHOWN} more" if len(texts) > _MAX_SHOWN else ""
    return ", ".join(texts[:_MAX_SHOWN]) + more
