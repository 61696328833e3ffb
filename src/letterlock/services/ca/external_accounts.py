"""Keys for external account binding: given to people by a command, known again by any process.

RFC 8555 §7.3.4. A key is a MAC over its name, by a secret that the store keeps: so none of them is
stored, and none can be told from outside. One name is good for as many accounts as its holder
opens, until it is taken back: `external_keys`.
"""

import hmac
import re
import secrets
from hashlib import sha256
from typing import Protocol

from letterlock.protocols.acme.jws import ExternalAccount

SECRET = "external accounts"  # noqa: S105 - what the secret is called, not the secret
SECRET_OCTETS = 32

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}\Z")
_CHANCE_OCTETS = 9


class SecretStore(Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def keep_secret(self, name: str, fresh: bytes) -> bytes: ...


class ExternalAccounts:
    """Makes keys, and knows them again."""

    def __init__(self, store: SecretStore) -> None:
        self._store = store
        self._secret: bytes | None = None

    async def make(self, name: str) -> ExternalAccount:
        """Make a key for somebody. Raises ValueError for a name, and StoreUnavailable."""
        if not _NAME.match(name):
            raise ValueError("a name of letters, digits, and . _ @ -, 64 at most")
        return await self.find(f"{name}:{secrets.token_urlsafe(_CHANCE_OCTETS)}")

    async def find(self, kid: str) -> ExternalAccount:
        """Give the key of a name. Of one that was never given, nobody knows the key."""
        if self._secret is None:
            fresh = secrets.token_bytes(SECRET_OCTETS)
            self._secret = await self._store.keep_secret(SECRET, fresh)
        key = hmac.digest(self._secret, b"external account " + kid.encode(), sha256)
        return ExternalAccount(kid, key)
