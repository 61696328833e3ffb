"""Challenges and responses as text: base64, as strictly as SMTP wants it.

RFC 4954 §4: what is outside the alphabet, or a pad that is not at the end, is refused.
"""

import binascii
import re

MAX_RESPONSE_OCTETS = 1536
"""Of what a client says at once, decoded. A name, a password and a name to act for of 255 octets
each fit twice."""

# RFC 4648 §4: groups of four, padded.
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?\Z")


def decode_response(text: bytes) -> bytes | None:
    """Decode a response; None for what is no base64 or too long."""
    if len(text) > 4 * MAX_RESPONSE_OCTETS // 3 or not _BASE64.match(text):
        return None
    return binascii.a2b_base64(text)


def decode_initial_response(text: bytes) -> bytes | None:
    """Decode what AUTH was given; `=` stands for no octets at all (RFC 4954 §4)."""
    return b"" if text == b"=" else decode_response(text)


def encode_challenge(octets: bytes) -> str:
    return binascii.b2a_base64(octets, newline=False).decode()
