"""Lists of keys that nobody gets a certificate for."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from letterlock.base.errors import LocalError
from letterlock.protocols.pki.issuance.subject_keys import (
    KEY_KINDS,
    RefusedKeys,
    digest_debian,
    digest_spki,
    find_key_faults,
)
from letterlock.services.ca.keys import refused
from letterlock.services.ca.keys.refused import load_compromised_keys, load_debian_keys

KEY = ec.derive_private_key(3, ec.SECP256R1()).public_key()
OTHER = ec.derive_private_key(4, ec.SECP256R1()).public_key()


def test_keys_of_all_lists_are_refused(tmp_path: Path) -> None:
    """Baseline Requirements 6.1.1.3"""
    paths = [tmp_path / "one", tmp_path / "two", tmp_path / "empty"]
    paths[0].write_text(f"# keys\n{digest_spki(KEY).hex()}\n")
    paths[1].write_text(f"{digest_spki(OTHER).hex().upper()} # of a mail\r\n{'00' * 32}\n")
    paths[2].write_text("")
    for given in (paths, paths[:1]):
        keys = RefusedKeys(compromised=load_compromised_keys(given))
        assert find_key_faults(KEY, KEY_KINDS, keys) == (
            "the key is known to be compromised: make a new one",
        )
        is_known = bool(find_key_faults(OTHER, KEY_KINDS, keys))
        assert is_known == (given is paths)
    assert len(load_compromised_keys(paths)) == 3
    assert len(load_compromised_keys(())) == 0


def test_keys_that_debian_made_are_refused(tmp_path: Path) -> None:
    """The form of openssl-vulnkey(1)."""
    key = rsa.generate_private_key(65537, 2048).public_key()
    path = tmp_path / "blacklist.RSA-2048"
    path.write_text(f"# 2048 bits\n{'0' * 20}\n{digest_debian(key).hex()}\n")
    keys = RefusedKeys(debian=load_debian_keys((path,)))
    (fault,) = find_key_faults(key, KEY_KINDS, keys)
    assert "Debian" in fault


@pytest.mark.parametrize("content", [b"abc\n", b"\xff\n", b"zz" * 32])
def test_a_line_that_is_no_digest_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b"\n" + content)
    with pytest.raises(LocalError, match="line 2: not a digest of 64") as caught:
        load_compromised_keys((path,))
    assert str(path) in str(caught.value)


def test_a_list_that_is_not_there_or_endless_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LocalError, match="No such file"):
        load_debian_keys((tmp_path / "keys",))
    monkeypatch.setattr(refused, "MAX_LIST_OCTETS", 10)
    (tmp_path / "keys").write_text("#" * 11)
    with pytest.raises(LocalError, match="larger than 10"):
        load_debian_keys((tmp_path / "keys",))
