"""Base64url as JOSE and ACME have it: without padding, and one text for each value.

RFC 7515 §2, RFC 8555 §6.1; RFC 4648 §3.5 (bits that mean nothing must be zero).
"""

import re
from binascii import a2b_base64, b2a_base64

# `base64` does the same in ten calls, and a request has five of them.
_ALPHABET = re.compile(r"[A-Za-z0-9_-]*\Z")
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_FROM_STANDARD = bytes.maketrans(b"+/", b"-_")


class Base64UrlError(ValueError):
    """A text is not base64url, or not the one that its octets have."""


def encode_base64url(octets: bytes) -> str:
    """Encode without padding."""
    return b2a_base64(octets, newline=False).translate(_FROM_STANDARD).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes:
    """Decode. Raises Base64UrlError, for padding too, and for bits behind the last octet."""
    if not _ALPHABET.match(text) or len(text) % 4 == 1:
        raise Base64UrlError(f"{text[:40]!r} is not base64url without padding")
    octets = a2b_base64(text.encode("ascii").translate(_TO_STANDARD) + b"=" * (-len(text) % 4))
    # Else one value had several texts, and what is told apart by its text could be used twice.
    if len(text) % 4 and encode_base64url(octets) != text:
        raise Base64UrlError(f"{text[-40:]!r} has bits behind its last octet")
    return octets
