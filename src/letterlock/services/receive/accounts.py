"""Accounts as they are made and changed: a name, a password's traces, the addresses that it owns.

The password itself is kept nowhere.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from letterlock.base.domains import Domain
from letterlock.protocols.sasl import password_hash, scram
from letterlock.protocols.sasl.preparation import prepare_name, unify_name
from letterlock.protocols.smtp.own_addresses import parse_own_address
from letterlock.protocols.smtp.paths import AddressError
from letterlock.storage.users import User

MAX_ADDRESSES = 1000
"""Of one account."""


class AccountError(ValueError):
    """An account can't be as it is asked for; the message says why, without the password."""


@dataclass(frozen=True, slots=True)
class AccountChange:
    """What is to be different; None: it stays. A limit below zero: as the settings say.

    `password` goes with `has_scram`: whether a verifier for SCRAM is kept of it.
    """

    password: str | None = field(default=None, repr=False)
    has_scram: bool = True
    addresses: tuple[str, ...] | None = None
    max_messages: int | None = None
    max_recipients: int | None = None
    is_disabled: bool | None = None


def make_user(name: str, wanted: AccountChange, domains: Sequence[Domain], now: datetime) -> User:
    """Make an account. Raises AccountError.

    By default it may send as its name, or as its name in each of `domains`.
    """
    prepared = unify_name(_checked(prepare_name, name))
    if any(character.isspace() for character in prepared):
        raise AccountError(f"{name!r}: a name has no spaces")
    if wanted.addresses is None:
        own = (prepared,) if "@" in prepared else tuple(f"{prepared}@{each}" for each in domains)
        wanted = replace(wanted, addresses=own)
    return change_user(User(prepared, now), wanted)


def change_user(user: User, wanted: AccountChange) -> User:
    """Give the account as it is to be. Raises AccountError."""
    if wanted.addresses is not None:
        user = replace(user, addresses=_parse_addresses(wanted.addresses))
    if wanted.password is not None:
        user = _with_password(user, wanted.password, has_scram=wanted.has_scram)
    if wanted.max_messages is not None:
        user = replace(user, max_messages=_limit(wanted.max_messages))
    if wanted.max_recipients is not None:
        user = replace(user, max_recipients=_limit(wanted.max_recipients))
    if wanted.is_disabled is not None:
        user = replace(user, is_disabled=wanted.is_disabled)
    return user


def _with_password(user: User, password: str, *, has_scram: bool) -> User:
    salt = secrets.token_bytes(password_hash.SALT_OCTETS)
    kept = _checked(lambda text: password_hash.make_password_hash(text, salt), password)
    verifier = None
    if has_scram:
        # A salt of its own: neither trace helps with the other.
        verifier = scram.make_verifier(password, secrets.token_bytes(scram.SALT_OCTETS))
    return replace(user, password_hash=kept, scram=verifier)


def _parse_addresses(texts: Sequence[str]) -> tuple[str, ...]:
    if len(texts) > MAX_ADDRESSES:
        raise AccountError(f"an account has at most {MAX_ADDRESSES} addresses")
    found: dict[str, None] = {}
    for text in texts:
        try:
            found[parse_own_address(text)] = None
        except AddressError as error:
            raise AccountError(f"{text!r} is no address to send as: {error}") from None
    return tuple(found)


def _limit(number: int) -> int | None:
    return None if number < 0 else number


def _checked(prepare: Callable[[str], str], text: str) -> str:
    try:
        return prepare(text)
    except ValueError as error:
        raise AccountError(str(error)) from None
