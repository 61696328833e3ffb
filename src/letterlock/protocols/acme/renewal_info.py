"""When an authority wants a certificate renewed (ARI).

RFC 9773 §4.1 (the certificate's name in the URL), §4.2 (the window), §4.3 (when to ask again).
Chance and the time are arguments; keeping what was chosen is the caller's.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from letterlock.protocols.acme.fields import Url, format_line, parse_moment, parse_object, parse_url
from letterlock.protocols.acme.requests import encode_base64url

SOONEST = timedelta(minutes=1)
LATEST = timedelta(days=1)
"""RFC 9773 §4.3.2: limits set by the client, within which Retry-After is obeyed."""
LONG_TERM = timedelta(hours=6)
"""RFC 9773 §4.3.3: after an error that does not pass by itself."""


@dataclass(frozen=True, slots=True)
class RenewalInfo:
    """The window in which renewing is suggested; `explanation` is a page for the operator."""

    start: datetime
    end: datetime
    explanation: str | None = None


def find_certificate_id(certificate: x509.Certificate) -> str | None:
    """Give the certificate's name for ARI; None: it has no authority key identifier."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except (x509.ExtensionNotFound, ValueError):
        return None
    if found.key_identifier is None:
        return None
    serial = certificate.serial_number
    # The contents of a DER INTEGER: a zero octet first where the highest bit is set.
    octets = serial.to_bytes(serial.bit_length() // 8 + 1, "big", signed=True)
    return f"{encode_base64url(found.key_identifier)}.{encode_base64url(octets)}"


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
