"""Passwords as argon2id."""

import pytest

from letterlock.protocols.sasl.password_hash import (
    DECOY_HASH,
    is_password,
    make_password_hash,
)
from letterlock.protocols.sasl.preparation import PreparationError, prepare_password

SALT = bytes(range(16))


def test_a_password_fits_its_hash_and_no_other() -> None:
    """RFC 9106 §3.1."""
    kept = make_password_hash("secret", SALT)
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$")
    assert is_password("secret", kept)
    assert not is_password("Secret", kept)
    assert "secret" not in kept


def test_a_password_is_prepared_before_it_is_hashed() -> None:
    """RFC 4616 §2."""
    kept = make_password_hash("I\u00adX", SALT)
    assert is_password(prepare_password("\u2168"), kept)
    with pytest.raises(PreparationError):
        make_password_hash("\u0007", SALT)


def test_the_reference_implementation_made_the_same() -> None:
    """RFC 9106 §3.1. `printf secret | argon2 somesaltsomesalt -id -t 2 -k 19456 -p 1 -l 32`."""
    kept = make_password_hash("secret", b"somesaltsomesalt")
    assert kept == (
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$"
        "14ukWqiThj4Xz77NYv01V28GbBZHY9AaZwsFswQFO0U"
    )


@pytest.mark.parametrize("kept", ["", "$argon2id$", "$2b$12$abc", "secret"])
def test_no_password_fits_what_is_no_hash(kept: str) -> None:
    assert not is_password("secret", kept)


def test_a_decoy_is_a_hash_as_any_other() -> None:
    assert DECOY_HASH.rpartition("$")[0].rpartition("$")[0] in make_password_hash("secret", SALT)
    assert not is_password("secret", DECOY_HASH)
