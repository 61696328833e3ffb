"""Whether a client has already what it asks for: then it is told so, and not sent it again.

RFC 9110 §8.8.3 (ETag), §13.1.2 (If-None-Match), §13.1.3 (If-Modified-Since), §13.2.2 (the first
goes before the second). Left out: If-Match and If-Unmodified-Since, which keep clients from
changing what others have changed, and here nobody changes anything.
"""

import re
from collections.abc import Iterable
from hashlib import sha256

_DIGEST_CHARACTERS = 32
# One after another, with blanks and empty elements between (RFC 9110 §5.6.1.2, §8.8.3).
_TAG = rb'"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rb"[ \t,]*(?:(?:W/)?" + _TAG + rb"[ \t]*(?:,[ \t,]*|\Z))*")
_ONE_TAG = re.compile(_TAG)


def make_etag(octets: bytes) -> str:
    """Make the entity-tag of a body: a strong one, as no other body has it."""
    return f'"{sha256(octets).hexdigest()[:_DIGEST_CHARACTERS]}"'


def is_known(fields: Iterable[tuple[bytes, bytes]], etag: str, modified: str) -> bool:
    """Say if the fields of a request for what has this entity-tag and date ask for nothing new.

    Names of fields are in lower case. `modified` is as Last-Modified has it; empty: it has none.
    What cannot be read is no reason to send less. Dates must be the same, where RFC 9110 §13.1.3
    would take later ones, too: a client that asks with a date of its own clock must not keep an
    old list of what was revoked.
    """
    found = list(fields)
    tags = [value for name, value in found if name == b"if-none-match"]
    if tags:
        return _names(b",".join(tags), etag.encode("ascii"))
    dates = [value for name, value in found if name == b"if-modified-since"]
    return bool(modified) and dates == [modified.encode("ascii")]


def _names(tags: bytes, etag: bytes) -> bool:
    """Compare weakly (RFC 9110 §8.8.3.2); `*` is whatever there is."""
    if tags.strip(b" \t") == b"*":
        return True
    return _TAGS.fullmatch(tags) is not None and etag in _ONE_TAG.findall(tags)
