"""Base64url as JOSE and ACME have it: without padding, and one text for each value.

RFC 7515 §2, RFC 8555 §6.1; RFC 4648 §3.5 (bits that mean nothing must be zero).
"""

import binascii
from binascii import a2b_base64, b2a_base64

# `base64` does the same in ten calls, and a request has five of them. What stands for these two
# elsewhere, and padding, becomes what is of no alphabet.
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
_FROM_STANDARD = bytes.maketrans(b"+/", b"-_")
_LAST = {2: "AQgw", 1: "AEIMQUYcgkosw048"}
"""The last characters that have no bits behind the last octet, by how much padding is left out."""


class Base64UrlError(ValueError):
    """A text is not base64url, or not the one that its octets have."""


def encode_base64url(octets: bytes) -> str:
    """Encode without padding."""
    return b2a_base64(octets, newline=False).translate(_FROM_STANDARD).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes:
    """Decode. Raises Base64UrlError, for padding too, and for bits behind the last octet."""
    padding = b"=" * (-len(text) % 4)
    try:
        standard = text.encode("ascii").translate(_TO_STANDARD) + padding
        octets = a2b_base64(standard, strict_mode=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise Base64UrlError(f"{text[:40]!r} is not base64url without padding") from error
    # Else one value had several texts, and what is told apart by its text could be used twice.
    if padding and text[-1] not in _LAST[len(padding)]:
        raise Base64UrlError(f"{text[-40:]!r} has bits behind its last octet")
    return octets
