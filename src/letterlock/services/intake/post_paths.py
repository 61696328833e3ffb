"""Where reports on a domain are posted: a path that nobody can guess, made from a secret.

RFC 8460 §3 (`https:` in rua). The path stands in the domain's TLSRPT record, so it is known to all
who look there; it tells them from those who did not. Pure.
"""

import hmac
from collections.abc import Collection, Sequence
from hashlib import sha256

from letterlock.base.domains import Domain

PREFIX = "/tlsrpt/"
MIN_KEY_CHARACTERS = 20
MAX_KEYS = 10
_TOKEN_CHARACTERS = 32


class KeyFileError(ValueError):
    """A file of keys has none, or one that is too short."""


def take_keys(text: str) -> tuple[bytes, ...]:
    """Take the keys of a file, one a line, `#` before a comment. Raises KeyFileError.

    The first is in use; paths of the others are still taken.
    """
    lines = [line.strip() for line in text.splitlines()]
    keys = [line.encode() for line in lines if line and not line.startswith("#")]
    if not keys:
        raise KeyFileError("there is no key in it")
    if min(map(len, keys)) < MIN_KEY_CHARACTERS:
        raise KeyFileError(f"a key has at least {MIN_KEY_CHARACTERS} characters")
    if len(keys) > MAX_KEYS:
        raise KeyFileError(f"more than {MAX_KEYS} keys")
    return tuple(keys)


def make_path(key: bytes, domain: Domain) -> str:
    """Make the path of a domain."""
    return f"{PREFIX}{domain}/{_make_token(key, domain)}"


class PostPaths:
    """The paths of some domains."""

    def __init__(self, keys: Sequence[bytes], domains: Collection[Domain]) -> None:
        """Know those of all keys."""
        self._tokens = {
            domain: tuple(_make_token(key, domain).encode() for key in keys) for domain in domains
        }

    def find(self, path: str) -> Domain | None:
        """Find whose path it is, in a time that tells nothing of how near a wrong one came."""
        if not path.startswith(PREFIX):
            return None
        name, _, token = path.removeprefix(PREFIX).partition("/")
        given = token.encode("utf-8", "replace")
        domain = Domain(name)
        # All are compared, whichever is right.
        are_right = [hmac.compare_digest(each, given) for each in self._tokens.get(domain, ())]
        return domain if any(are_right) else None


def _make_token(key: bytes, domain: Domain) -> str:
    return hmac.new(key, b"tlsrpt " + domain.encode(), sha256).hexdigest()[:_TOKEN_CHARACTERS]
