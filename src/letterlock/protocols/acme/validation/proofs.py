"""Whether what a validator saw is what it was to see: a file's text, a name's TXT records.

RFC 8555 §8.3 (http-01), §8.4 (dns-01). A certificate of tls-alpn-01 is judged in
`protocols.acme.challenges`, for both sides alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from letterlock.protocols.acme.challenges import dns_value
from letterlock.protocols.acme.identifiers import ChallengeType, Identifier, find_usable

# RFC 8555 §8.3: "SHOULD ignore whitespace characters at the end of the body".
_WHITESPACE = b" \t\r\n\f\v"
_SHOWN_OCTETS = 100


@dataclass(frozen=True, slots=True)
class Expected:
    """What is to be found. `key_authorization` is that of the moment when the client asked."""

    identifier: Identifier
    method: ChallengeType
    token: str
    key_authorization: str


def find_method_fault(expected: Expected) -> str | None:
    """Say why the name cannot be proved so; None: it can (RFC 8738 §7; wildcards by dns-01)."""
    if expected.method in find_usable(expected.identifier):
        return None
    return f"{expected.identifier} cannot be proved by {expected.method}"


def find_body_fault(body: bytes, expected: Expected, *, shows: bool = True) -> str | None:
    """Say why a body is not the key authorization, alone; None: it is.

    Without `shows` nothing of the body is told (RFC 8555 §10.4).
    """
    text = body.rstrip(_WHITESPACE)
    if text == expected.key_authorization.encode("ascii"):
        return None
    if not text:
        return "there is nothing in it"
    if text.startswith(expected.token.encode("ascii") + b".") and len(text) <= 2 * len(
        expected.key_authorization
    ):
        return "it has the key authorization of another account's key"
    if not shows:
        return "it has something else, which is not shown, as the redirect chose what to ask for"
    return f"it has {_show(text)}, not the key authorization {expected.key_authorization[:30]!r}..."


def find_text_fault(texts: Sequence[bytes], expected: Expected) -> str | None:
    """Say why TXT records do not prove the name; None: one does, whatever the others are."""
    wanted = dns_value(expected.key_authorization)
    if wanted.encode("ascii") in texts:
        return None
    if not texts:
        return f"there is no TXT record; wanted is {wanted!r}"
    others = f" and {len(texts) - 1} more" if len(texts) > 1 else ""
    return f"there are TXT records {_show(min(texts))}{others}; wanted is {wanted!r}"


def _show(octets: bytes) -> str:
    more = "..." if len(octets) > _SHOWN_OCTETS else ""
    return f"{octets[:_SHOWN_OCTETS].decode('latin-1')!r}{more}"
