"""Accounts of people and programs that submit mail: values, and the interface of their store.

In the node's database: `storage.sqlite.users`, `storage.postgres.users`; `tests/storage` runs one
suite on both. Who is let in is `services.receive.logins`' decision.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import msgspec

from letterlock.protocols.sasl.scram import ScramVerifier
from letterlock.storage.records import from_micros, to_micros, to_text

USER_COLUMNS = (
    *("name", "created", "password_hash"),
    *("scram_salt", "scram_iterations", "scram_stored_key", "scram_server_key"),
    *("addresses", "max_messages", "max_recipients", "is_disabled"),
)
"""The columns of a User, as `make_user_row` and `read_user_row` have them."""


@dataclass(frozen=True, slots=True)
class User:
    """An account. `name` is prepared (`protocols.sasl.preparation`).

    Without a `password_hash` it can't log in by our own accounts: another source has its password.
    `addresses` is what it may send as (`protocols.smtp.own_addresses`). Limits are for an hour;
    None: the ones of `[submission]`.
    """

    name: str
    created: datetime
    password_hash: str | None = field(default=None, repr=False)
    scram: ScramVerifier | None = field(default=None, repr=False)
    addresses: tuple[str, ...] = ()
    max_messages: int | None = None
    max_recipients: int | None = None
    is_disabled: bool = False


class UserStore(Protocol):
    """Each method is one transaction. What the database refuses is StoreUnavailable."""

    async def add_user(self, user: User) -> bool:
        """Add an account; False when there is one of that name."""

    async def change_user(self, user: User) -> bool:
        """Put an account in the place of the one of that name; False when there is none."""

    async def find_user(self, name: str) -> User | None:
        """Find the account of a prepared name."""

    async def list_users(self, *, limit: int = 1000, after: str = "") -> list[User]:
        """List accounts in the order of their names."""

    async def delete_user(self, name: str) -> bool:
        """Delete an account; False when there is none."""

    async def load_decoy_secret(self, fresh: bytes) -> bytes:
        """Give the secret that decoys of accounts are made with; `fresh` is it if there is none."""


_decode_addresses: Callable[[str], tuple[str, ...]] = msgspec.json.Decoder(tuple[str, ...]).decode


def make_user_row(user: User) -> tuple[str | int | bytes | None, ...]:
    """Give the values of USER_COLUMNS. The first one is the key."""
    scram = user.scram
    keys: tuple[bytes | int | None, ...] = (None,) * 4
    if scram is not None:
        keys = (scram.salt, scram.iterations, scram.stored_key, scram.server_key)
    return (
        *(to_text(user.name), to_micros(user.created), user.password_hash),
        *keys,
        msgspec.json.encode(user.addresses).decode(),
        *(user.max_messages, user.max_recipients, int(user.is_disabled)),
    )


def read_user_row(row: Sequence[Any]) -> User:
    """Read the values of USER_COLUMNS."""
    name, created, password_hash, salt, *more = row
    iterations, stored_key, server_key, addresses, messages, recipients, is_disabled = more
    scram = None
    if salt is not None:
        scram = ScramVerifier(salt, iterations, stored_key, server_key)
    return User(
        name,
        from_micros(created),
        password_hash,
        scram,
        _decode_addresses(addresses),
        messages,
        recipients,
        bool(is_disabled),
    )
