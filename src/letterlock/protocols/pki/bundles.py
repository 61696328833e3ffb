"""Files with certificates: PEM or DER, one or several, whatever else is in them.

RFC 7468 §2, §5.1 (PEM, and labels that are read as well), §5.3 (text around is passed over). What
else is in a PEM file, a key above all, is not looked at. Whether a certificate is to be believed is
for `chain`.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error

from letterlock.protocols.pki.certificate import MAX_CERTIFICATE_OCTETS, Unreadable
from letterlock.protocols.pki.der import split_elements

MAX_CERTIFICATES = 10_000

_BLOCK = re.compile(
    rb"-----BEGIN (X509 |X\.509 |TRUSTED )?CERTIFICATE-----([A-Za-z0-9+/=\s]*)"
    rb"-----END (?:X509 |X\.509 |TRUSTED )?CERTIFICATE-----"
)
_ANY_BEGIN = re.compile(rb"-----BEGIN (?:X509 |X\.509 |TRUSTED )?CERTIFICATE-----")
_MAX_BASE64 = 2 * MAX_CERTIFICATE_OCTETS


def read_bundle(octets: bytes) -> list[bytes | Unreadable]:
    """Give the certificates (DER, not looked into), in their order; one Unreadable for each fault.

    Never empty, and never raises, whatever the octets are.
    """
    if b"-----BEGIN " not in octets and octets.startswith(b"\x30"):
        return _read_der(octets)
    found: list[bytes | Unreadable] = []
    for block in _BLOCK.finditer(octets):
        if len(found) == MAX_CERTIFICATES:
            return [*found, Unreadable(f"more than {MAX_CERTIFICATES} certificates")]
        found.append(_decode(block[2], is_trusted=block[1] == b"TRUSTED "))
    if len(_ANY_BEGIN.findall(octets)) > len(found):
        found.append(Unreadable("a certificate in PEM form that does not end, or is no base64"))
    return found or [Unreadable("no certificate is in it")]


def _decode(text: bytes, *, is_trusted: bool) -> bytes | Unreadable:
    if len(text) > _MAX_BASE64:
        return Unreadable(f"a certificate of more than {MAX_CERTIFICATE_OCTETS} octets")
    try:
        der = b64decode(text)
        # OpenSSL's `TRUSTED CERTIFICATE` has its own words behind the certificate.
        return split_elements(der, limit=1)[0][0] if is_trusted else der
    except (Base64Error, ValueError):
        return Unreadable("a certificate in PEM form whose content cannot be read")


def _read_der(octets: bytes) -> list[bytes | Unreadable]:
    try:
        elements = split_elements(octets, limit=MAX_CERTIFICATES + 1)
    except ValueError as error:
        return [Unreadable(f"not a certificate: {error}")]
    found: list[bytes | Unreadable] = [whole for whole, _ in elements]
    if len(found) > MAX_CERTIFICATES:
        return [*found[:MAX_CERTIFICATES], Unreadable(f"more than {MAX_CERTIFICATES} certificates")]
    return found
