"""Lists of keys in the settings reach all who judge keys; a list that is broken is told."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from letterlock.base.errors import LocalError
from letterlock.protocols.pki.issuance.subject_keys import KEY_KINDS, digest_spki, find_key_faults
from tests.authority_running import InnerSettings, inner_authority

KEY = ec.derive_private_key(3, ec.SECP256R1()).public_key()


async def test_a_listed_key_and_our_own_are_refused(tmp_path: Path) -> None:
    """Baseline Requirements 6.1.1.3. Rule 223"""
    listed = tmp_path / "keys"
    listed.write_text(f"{digest_spki(KEY).hex()}\n")
    settings = InnerSettings(sections={"ca": {"compromised_keys": [str(listed)]}})
    async with inner_authority(tmp_path / "authority", settings) as inner:
        refused = inner.assembled.tools.rules.refused_keys
        assert find_key_faults(KEY, KEY_KINDS, refused) == (
            "the key is known to be compromised: make a new one",
        )
        for own in inner.assembled.issuers[0].published:
            faults = find_key_faults(own.public_key(), KEY_KINDS, refused)
            assert "the key is the authority's own" in faults


async def test_a_list_that_is_broken_keeps_it_from_starting(tmp_path: Path) -> None:
    listed = tmp_path / "keys"
    listed.write_text("deadbeef\n")
    settings = InnerSettings(sections={"ca": {"debian_weak_keys": [str(listed)]}})
    with pytest.raises(LocalError, match="line 1: not a digest of 20"):
        async with inner_authority(tmp_path / "authority", settings):
            raise AssertionError("it began")
