"""Keys for external account binding, as an operator has them: RFC 8555 §7.3.4."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.protocols.acme.server.objects import Account, ExternalBinding
from letterlock.protocols.audit.decisions import AccountKeyLogged
from letterlock.services.ca import all_accounts, external_keys
from letterlock.services.ca.external_accounts import ExternalAccounts
from letterlock.services.ca.external_keys import KeyInUse, give_key, list_keys, take_key_back
from letterlock.storage.ca.changes import AddAccount
from letterlock.storage.ca.external_keys import ExternalKey
from letterlock.storage.queue import StoreUnavailable
from tests.acme_store import WatchedStore
from tests.fakes import START, FakeClock
from tests.storage.authorities import KEYS, make_account

LATER = START + timedelta(hours=1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[WatchedStore]:
    store = WatchedStore(tmp_path / "authority.db", FakeClock())
    await store.open()
    yield store
    await store.close()


async def bind(store: WatchedStore, number: int, kid: str) -> Account:
    account = make_account(f"account-{number}", KEYS[number])
    account = replace(account, external=ExternalBinding(kid, ()))
    assert await store.commit([AddAccount(account)])
    return account


async def test_a_key_is_noted_when_it_is_given_out(store: WatchedStore) -> None:
    given = await give_key(store, "alice", "me", START)
    assert await ExternalAccounts(store).find(given.kid) == given
    assert await list_keys(store) == (KeyInUse(ExternalKey(given.kid, START)),)
    assert await store.logged() == [AccountKeyLogged(given.kid, "made", "me")]


async def test_who_takes_a_key_back_is_told_whom_it_has_bound(store: WatchedStore) -> None:
    given = await give_key(store, "alice", "me", START)
    bound = (await bind(store, 0, given.kid), await bind(store, 1, given.kid))
    await bind(store, 2, "bob:abc")
    found = await take_key_back(store, given.kid, "you", LATER)
    assert found == KeyInUse(ExternalKey(given.kid, START, LATER), bound)
    assert found.is_known
    # A second time nothing changes, and nothing is logged.
    again = await take_key_back(store, given.kid, "you", LATER + timedelta(hours=1))
    assert again == found
    assert (await store.logged())[1:] == [AccountKeyLogged(given.kid, "revoked", "you")]


async def test_keys_that_nobody_noted_are_seen_by_whom_they_bound(
    store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As earlier releases gave them out; also over pages of accounts and keys."""
    monkeypatch.setattr(external_keys, "PAGE", 1)
    monkeypatch.setattr(all_accounts, "PAGE", 1)
    given = [await give_key(store, name, "me", START) for name in ("zoe", "yan")]
    bound = [await bind(store, number, "alice:abc") for number in range(2)]
    listed = await list_keys(store)
    assert listed[0] == KeyInUse(ExternalKey("alice:abc"), tuple(bound))
    assert listed[0].is_known
    assert [each.key.kid for each in listed[1:]] == [given[1].kid, given[0].kid]


async def test_a_key_of_which_nothing_is_known_is_taken_back_all_the_same(
    store: WatchedStore,
) -> None:
    found = await take_key_back(store, "alice:abc", "me", LATER)
    assert found == KeyInUse(ExternalKey("alice:abc", None, LATER))
    assert not found.is_known


@pytest.mark.parametrize("kid", ["", "alice", "alice:", ":abc", "a b:c", f"a:{'b' * 256}", "a:b\n"])
async def test_what_is_no_key_identifier_is_told(store: WatchedStore, kid: str) -> None:
    with pytest.raises(ValueError, match="no key identifier"):
        await take_key_back(store, kid, "me", LATER)


async def test_of_two_that_take_it_back_at_a_time_one_does(store: WatchedStore) -> None:
    one, other = await asyncio.gather(
        take_key_back(store, "alice:abc", "me", START),
        take_key_back(store, "alice:abc", "you", LATER),
    )
    assert one == other
    assert len(await store.logged()) == 1


async def test_who_is_always_too_late_is_told_so(store: WatchedStore) -> None:
    store.loses = external_keys.MAX_TRIES
    with pytest.raises(StoreUnavailable):
        await take_key_back(store, "alice:abc", "me", START)
    store.loses = 1
    with pytest.raises(StoreUnavailable):
        await give_key(store, "alice", "me", START)
