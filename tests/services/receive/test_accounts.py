"""Accounts as they are made and changed."""

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.sasl.password_hash import is_password
from letterlock.protocols.sasl.scram import make_verifier
from letterlock.services.receive.accounts import (
    MAX_ADDRESSES,
    AccountChange,
    AccountError,
    change_user,
    make_user,
)
from letterlock.storage.users import User
from tests.fakes import START

DOMAINS = (Domain("example.org"), Domain("example.com"))


def make(name: str = "Alice", **wanted: object) -> User:
    change = AccountChange(**wanted)  # type: ignore[arg-type] # a test's own
    return make_user(name, change, DOMAINS, START)


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("Alice@Example.net", ("alice@example.net",)),
        ("Alice", ("alice@example.org", "alice@example.com")),
    ],
)
def test_an_account_sends_as_its_name(name: str, addresses: tuple[str, ...]) -> None:
    user = make(name)
    assert (user.name, user.addresses, user.created) == (name.lower(), addresses, START)


def test_addresses_that_are_given_are_the_only_ones() -> None:
    user = make(addresses=("B@example.org", "@Example.com", "b@EXAMPLE.org"))
    assert user.addresses == ("b@example.org", "@example.com")


def test_of_a_password_two_traces_are_kept_with_salts_of_their_own() -> None:
    user, again = make(password="secret"), make(password="secret")
    assert user.password_hash is not None
    assert user.scram is not None
    assert is_password("secret", user.password_hash)
    assert user.scram == make_verifier("secret", user.scram.salt)
    assert user.password_hash != again.password_hash
    assert user.scram != again.scram
    assert "secret" not in repr(AccountChange(password="secret"))


def test_without_scram_nothing_is_kept_for_it() -> None:
    user = make(password="secret")
    changed = change_user(user, AccountChange(password="other", has_scram=False))
    assert changed.scram is None
    assert changed.password_hash is not None
    assert is_password("other", changed.password_hash)


def test_a_change_leaves_what_it_does_not_name() -> None:
    user = make(password="secret", max_messages=5)
    assert change_user(user, AccountChange()) == user
    changed = change_user(user, AccountChange(max_recipients=7, is_disabled=True))
    assert (changed.max_messages, changed.max_recipients) == (5, 7)
    assert changed.is_disabled
    assert changed.password_hash == user.password_hash
    assert change_user(changed, AccountChange(max_messages=-1)).max_messages is None


@pytest.mark.parametrize(
    ("name", "wanted", "reason"),
    [
        ("", {}, "empty"),
        ("a b", {}, "no spaces"),
        ("\u0007", {}, "none may have"),
        ("a@b@", {}, "no address to send as"),
        ("a", {"password": ""}, "the password is empty"),
        ("a", {"password": "\u0007"}, "none may have"),
        ("a", {"addresses": ("nobody",)}, "'nobody' is no address to send as"),
        ("a", {"addresses": ("@example.org",) * (MAX_ADDRESSES + 1)}, "at most 1000"),
    ],
)
def test_what_cannot_be_an_account_is_told(
    name: str, wanted: dict[str, object], reason: str
) -> None:
    with pytest.raises(AccountError, match=reason):
        make(name, **wanted)
