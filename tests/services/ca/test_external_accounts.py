"""Keys for external account binding: made from their names, and known again by any process.

RFC 8555 §7.3.4.
"""

import pytest

from letterlock.services.ca.external_accounts import ExternalAccounts


class Secrets:
    """What all processes share."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def keep_secret(self, name: str, fresh: bytes) -> bytes:
        return self.kept.setdefault(name, fresh)


async def test_another_process_knows_a_key_that_this_one_made() -> None:
    store = Secrets()
    made = await ExternalAccounts(store).make("alice")
    assert await ExternalAccounts(store).find(made.kid) == made
    assert len(made.mac_key) == 32


async def test_no_two_keys_are_alike() -> None:
    accounts = ExternalAccounts(Secrets())
    made = [await accounts.make(name) for name in ("alice", "alice", "bob")]
    assert len({each.kid for each in made}) == len({each.mac_key for each in made}) == 3
    # Who knows one key and the names of the others knows no other key.
    assert (await accounts.find("alice")).mac_key not in {each.mac_key for each in made}


async def test_another_authority_has_other_keys() -> None:
    made = await ExternalAccounts(Secrets()).make("alice")
    assert (await ExternalAccounts(Secrets()).find(made.kid)).mac_key != made.mac_key


@pytest.mark.parametrize("name", ["", "a b", "a:b", ".a", "a" * 65, "ä", "a\n"])
async def test_a_name_is_a_plain_word(name: str) -> None:
    with pytest.raises(ValueError, match="a name of letters, digits"):
        await ExternalAccounts(Secrets()).make(name)
