"""CRLs as lists of serial numbers: whose they are, and what each entry says.

RFC 5280 §5 (CRLs), §5.1.2.6 (entries), §5.2 (a critical extension that is not known), RFC 7468 §2
(PEM). Who gives a CRL as a list trusts it: its signature is not looked at, as there is nobody to
ask for the issuer's key, and neither is its age. Deltas and indirect CRLs are refused: they do not
say on their own what is revoked, or of whose certificates they speak.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Collection
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtensionOID

from letterlock.protocols.incidents.serials import MAX_SERIAL_OCTETS

MAX_CRL_OCTETS = 128 * 1024 * 1024
"""Of a CRL with three million entries."""
MAX_CRLS = 1000
MAX_ISSUER_OCTETS = 1024

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 .]{1,40})-----([A-Za-z0-9+/=\s]*)-----END \1-----")
_LABEL = b"X509 CRL"
_UNREADABLE = (
    *(ValueError, TypeError, OverflowError, UnsupportedAlgorithm, x509.DuplicateExtension),
    *(x509.InvalidVersion, x509.UnsupportedGeneralNameType, CryptographyDeprecationWarning),
)


class SerialListError(ValueError):
    """Octets are no list of serial numbers, or go beyond the limits; the message is one line."""


@dataclass(frozen=True, slots=True)
class CrlList:
    """What a file's CRLs have in common, and the serial numbers in their order."""

    issuer: bytes
    serials: tuple[int, ...]


def read_crl_list(octets: bytes) -> CrlList:
    """Read a CRL (DER), or CRLs of one issuer (PEM). Raises SerialListError."""
    serials: list[int] = []
    issuer: bytes | None = None
    for crl in _load(octets):
        try:
            name = crl.issuer.public_bytes()
        except _UNREADABLE as error:
            raise _unreadable(error) from error
        if issuer not in (None, name):
            raise SerialListError("CRLs of several issuers: give each in a file of its own")
        issuer = name
        serials += _list_serials(crl)
    assert issuer is not None
    if len(issuer) > MAX_ISSUER_OCTETS:
        raise SerialListError(f"its issuer's name has more than {MAX_ISSUER_OCTETS} octets")
    return CrlList(issuer, tuple(serials))


def describe_crl_entries(octets: bytes, places: Collection[int]) -> dict[int, str]:
    """Say in a line what the entries at these places (from 1) say. Raises SerialListError."""
    found: dict[int, str] = {}
    place = 0
    for crl in _load(octets):
        try:
            for entry in crl:
                place += 1
                if place in places:
                    found[place] = _describe(entry)
        except _UNREADABLE as error:
            raise _unreadable(error) from error
    return found


def _describe(entry: x509.RevokedCertificate) -> str:
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason.value
    except x509.ExtensionNotFound:
        reason = x509.ReasonFlags.unspecified.value  # RFC 5280 §5.3.1
    return f"revoked {entry.revocation_date_utc:%Y-%m-%dT%H:%M:%SZ}, {reason}"


def _list_serials(crl: x509.CertificateRevocationList) -> list[int]:
    try:
        _require_whole(crl)
        # A negative one is no certificate's that we read; its place stays, so that places agree.
        serials = [max(0, entry.serial_number) for entry in crl]
    except _UNREADABLE as error:
        raise _unreadable(error) from error
    if any(serial >= 1 << (8 * MAX_SERIAL_OCTETS) for serial in serials):
        raise SerialListError(f"a serial number of more than {MAX_SERIAL_OCTETS} octets is in it")
    return serials


def _require_whole(crl: x509.CertificateRevocationList) -> None:
    for extension in crl.extensions:
        if extension.oid == ExtensionOID.DELTA_CRL_INDICATOR:
            raise SerialListError("a delta CRL tells only what changed: give the full one")
        value = extension.value
        if isinstance(value, x509.IssuingDistributionPoint):
            if value.indirect_crl:
                raise SerialListError("an indirect CRL speaks of several issuers: not read")
        elif extension.critical:
            oid = extension.oid.dotted_string
            raise SerialListError(f"the CRL has a critical extension that is not known: {oid}")


def _load(octets: bytes) -> list[x509.CertificateRevocationList]:
    ders = [octets] if octets.startswith(b"\x30") else _unpack_pem(octets)
    try:
        return [x509.load_der_x509_crl(der) for der in ders]
    except _UNREADABLE as error:
        raise _unreadable(error) from error


def _unpack_pem(octets: bytes) -> list[bytes]:
    ders: list[bytes] = []
    for block in _BLOCK.finditer(octets):
        if block[1] != _LABEL:
            label = block[1].decode("ascii")
            hint = "; certificates are given by --cert" if label.endswith("CERTIFICATE") else ""
            raise SerialListError(f"PEM with {label} in it, not {_LABEL.decode('ascii')}{hint}")
        try:
            ders.append(b64decode(block[2]))
        except Base64Error as error:
            raise SerialListError("PEM whose base64 cannot be read") from error
    if not ders or octets.count(b"-----BEGIN ") != len(ders):
        raise SerialListError("PEM that does not end as it begins")
    if len(ders) > MAX_CRLS:
        raise SerialListError(f"more than {MAX_CRLS} CRLs")
    return ders


def _unreadable(error: Exception) -> SerialListError:
    if isinstance(error, SerialListError):
        return error
    text = " ".join(str(error).split())[:200]
    return SerialListError(f"not a CRL: {text or type(error).__name__}")
