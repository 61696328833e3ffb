"""When an authority wants a certificate renewed (ARI).

RFC 9773 §4.1 (the certificate's name in the URL), §4.2 (the window), §4.3 (when to ask again).
Chance and the time are arguments; keeping what was chosen is the caller's.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from letterlock.protocols.acme.base64url import (
    Base64UrlError,
    decode_base64url,
    encode_base64url,
)
from letterlock.protocols.acme.fields import (
    ObjectError,
    Url,
    format_line,
    format_moment,
    parse_moment,
    parse_object,
    parse_url,
)

SOONEST = timedelta(minutes=1)
LATEST = timedelta(days=1)
"""RFC 9773 §4.3.2: limits set by the client, within which Retry-After is obeyed."""
LONG_TERM = timedelta(hours=6)
"""RFC 9773 §4.3.3: after an error that does not pass by itself."""
MAX_KEY_IDENTIFIER_OCTETS = 64
MAX_SERIAL_OCTETS = 21
"""RFC 5280 §4.1.2.2: 20 octets, and one more where a CA of old forgot the sign."""


@dataclass(frozen=True, slots=True)
class RenewalInfo:
    """The window in which renewing is suggested; `explanation` is a page for the operator."""

    start: datetime
    end: datetime
    explanation: str | None = None


@dataclass(frozen=True, slots=True)
class CertificateId:
    """How ARI names a certificate (RFC 9773 §4.1): its authority's key, and its serial."""

    key_identifier: bytes
    serial: int

    def __str__(self) -> str:
        # The contents of a DER INTEGER: a zero octet first where the highest bit is set.
        octets = self.serial.to_bytes(self.serial.bit_length() // 8 + 1, "big", signed=True)
        return f"{encode_base64url(self.key_identifier)}.{encode_base64url(octets)}"


def parse_certificate_id(text: str) -> CertificateId:
    """Parse a name for ARI (RFC 9773 §4.1). Raises ObjectError.

    The serial is as DER has it (X.690 §8.3.2), so one certificate has one name.
    """
    key, dot, serial = text.partition(".")
    try:
        key_identifier, octets = decode_base64url(key), decode_base64url(serial)
    except Base64UrlError as error:
        raise ObjectError(f"{text[:80]!r}: {error}") from error
    number = int.from_bytes(octets, "big", signed=True)
    found = CertificateId(key_identifier, number)
    if not dot or not 0 < len(key_identifier) <= MAX_KEY_IDENTIFIER_OCTETS:
        raise ObjectError(f"{text[:80]!r} is not an authority's key, a dot and a serial")
    if len(octets) > MAX_SERIAL_OCTETS or number <= 0 or str(found) != text:
        raise ObjectError(f"{text[:80]!r} has no serial as certificates have it")
    return found


def find_certificate_id(certificate: x509.Certificate) -> str | None:
    """Give the certificate's name for ARI; None: it has no authority key identifier."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except (x509.ExtensionNotFound, ValueError):
        return None
    if found.key_identifier is None:
        return None
    return str(CertificateId(found.key_identifier, certificate.serial_number))


def renewal_info_url(renewal_info: Url, certificate_id: str) -> Url:
    """Give the URL to ask. Raises ObjectError when the server's own is as long as URLs get."""
    return parse_url(f"{renewal_info.text.rstrip('/')}/{certificate_id}")


def parse_renewal_info(body: bytes) -> RenewalInfo:
    """Parse an answer. Raises ObjectError, also for a window that ends before it begins."""
    found = parse_object(body, "renewal information")
    window = found.one("suggestedWindow")
    if window is None:
        raise found.fault("suggestedWindow is missing")
    start = parse_moment(window.required_text("start"))
    end = parse_moment(window.required_text("end"))
    if end <= start:
        raise found.fault("the window ends before it begins")
    explanation = found.text("explanationURL")
    return RenewalInfo(start, end, format_line(explanation) if explanation else None)


def format_renewal_info(window: RenewalInfo) -> dict[str, object]:
    """Make the answer (RFC 9773 §4.2)."""
    span = {"start": format_moment(window.start), "end": format_moment(window.end)}
    more = {"explanationURL": window.explanation} if window.explanation else {}
    return {"suggestedWindow": span, **more}


def choose_moment(window: RenewalInfo, chance: float) -> datetime:
    """Choose when to renew (RFC 9773 §4.2): `chance` is uniform in 0 <= chance < 1.

    A moment that has passed means now. It is kept as long as the window is the same one.
    """
    return window.start + (window.end - window.start) * chance


def next_look(retry_after: timedelta | None) -> timedelta:
    """Say in how long to ask again after an answer; None: Retry-After was missing."""
    if retry_after is None:
        return LONG_TERM
    return min(max(retry_after, SOONEST), LATEST)
