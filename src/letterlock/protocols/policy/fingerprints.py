"""Fingerprints of certificates and public keys, as the table writes them.

SHA-256 of the certificate or of its SubjectPublicKeyInfo, in hex with or without colons: Postfix
with `smtp_tls_fingerprint_digest = sha256`, its default. MD5 and SHA-1 are refused: RFC 9325 §4.5.
"""

import re

_PREFIX = "sha256:"
_HEX = re.compile(r"[0-9a-f]+\Z")
_DIGITS = {64: "sha256", 40: "sha1", 32: "md5"}


class FingerprintError(ValueError):
    """A text is not a fingerprint; the message says why."""


def parse_fingerprint(text: str) -> str:
    """Parse one; give `sha256:` and 64 lower-case hex digits. Raises FingerprintError."""
    digits = text.strip().lower().removeprefix(_PREFIX).replace(":", "")
    digest = _DIGITS.get(len(digits)) if _HEX.match(digits) else None
    if digest is None:
        raise FingerprintError(f"{text[:100]!r} is not a SHA-256 fingerprint in hex")
    if digest != "sha256":
        raise FingerprintError(f"a fingerprint by {digest} proves nothing; use SHA-256")
    return _PREFIX + digits


def format_fingerprint(digest_hex: str) -> str:
    """Give a SHA-256 digest the form that requirements hold."""
    return _PREFIX + digest_hex
