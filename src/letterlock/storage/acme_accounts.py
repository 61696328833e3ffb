"""Accounts at ACME authorities: one for each directory, which all nodes share.

RFC 8555 §7.3.5 (change of the key). `storage.sqlite.acme_accounts`,
`storage.postgres.acme_accounts`; `tests/storage` runs one suite on both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from letterlock.storage.records import from_micros

ACCOUNT_COLUMNS = ("directory", "private_key", "created", "url", "next_key")
"""The columns of an AcmeAccountRecord, as `read_account_row` has them."""


@dataclass(frozen=True, slots=True)
class AcmeAccountRecord:
    """An account: its key (PEM), and its URL once the authority gave one.

    While the key is being changed `next_key` is there, and the authority may know either.
    """

    directory: str
    key: bytes = field(repr=False)
    created: datetime
    url: str | None = None
    next_key: bytes | None = field(default=None, repr=False)


class AccountStore(Protocol):
    """Each method is one transaction. What the database refuses is StoreUnavailable."""

    async def add_account(self, directory: str, key: bytes, now: datetime) -> AcmeAccountRecord:
        """Keep a key for an authority, unless there is one; gives what is kept then."""

    async def note_account(self, directory: str, key: bytes, url: str) -> bool:
        """Keep the URL of the account with this key; False when the key is another one now."""

    async def list_accounts(self) -> list[AcmeAccountRecord]:
        """List all, in the order of their directories."""

    async def begin_key_change(self, directory: str, next_key: bytes) -> AcmeAccountRecord | None:
        """Keep a next key before the authority hears of it; gives what is kept then.

        One that is there already stays: a change that was begun is to be ended first. None:
        there is no account.
        """

    async def end_key_change(self, directory: str, key: bytes) -> bool:
        """Keep the key that the authority knows, of the one before and the next; drop the other.

        False when it is neither.
        """

    async def forget_account(self, directory: str, key: bytes) -> bool:
        """Remove an account that the authority does not accept any more, if this is its key."""


def read_account_row(row: Sequence[Any]) -> AcmeAccountRecord:
    """Read the values of ACCOUNT_COLUMNS."""
    directory, key, created, url, next_key = row
    return AcmeAccountRecord(directory, key, from_micros(created), url, next_key)
