"""Keys for external account binding: given out, taken back; on both engines."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest

from letterlock.protocols.acme.server.objects import Account, ExternalBinding
from letterlock.storage.ca.changes import AddAccount, ChangeAccount
from letterlock.storage.ca.external_keys import ChangeExternalKey, ExternalKey
from letterlock.storage.ca.store import AuthorityStore
from letterlock.storage.migrations import Migration, load_migrations
from tests.fakes import START, FakeClock
from tests.storage.authorities import (
    KEYS,
    MINUTE,
    MakeStore,
    logged,
    make_account,
    postgres_store,
    sqlite_store,
)

KID = "alice:abc"
UNNOTED = ExternalKey(KID)
MADE = ExternalKey(KID, START)
REVOKED = replace(MADE, revoked=START + MINUTE)


def bind(number: int, kid: str = KID) -> Account:
    return replace(
        make_account(f"account-{number}", KEYS[number]), external=ExternalBinding(kid, ())
    )


async def test_a_key_changes_only_from_what_it_is(make_authority: MakeStore) -> None:
    one, other = make_authority(), make_authority()
    for each in (one, other):
        await each.open()
    assert await other.load_external_key(KID) == UNNOTED
    assert await one.commit([ChangeExternalKey(UNNOTED, MADE)])
    assert await other.load_external_key(KID) == MADE
    assert not await other.commit([ChangeExternalKey(UNNOTED, MADE)], [logged("no")])
    assert await other.commit([ChangeExternalKey(MADE, REVOKED)])
    assert await one.load_external_key(KID) == REVOKED
    assert (await one.load_head()).number == 0
    for each in (one, other):
        await each.close()


async def test_a_key_does_not_become_another(authority: AuthorityStore) -> None:
    with pytest.raises(ValueError, match="to another"):
        await authority.commit([ChangeExternalKey(UNNOTED, ExternalKey("bob:abc", START))])


async def test_keys_are_listed_by_pages(authority: AuthorityStore) -> None:
    keys = [ExternalKey(f"{each}:abc", START) for each in ("alice", "bob", "carol")]
    for each in keys:
        assert await authority.commit([ChangeExternalKey(ExternalKey(each.kid), each)])
    first = await authority.list_external_keys(None, 2)
    assert [*first, *await authority.list_external_keys(first[-1].kid, 2)] == keys


async def test_a_key_that_was_taken_back_binds_no_account(make_authority: MakeStore) -> None:
    """RFC 8555 §7.3.4: whoever had decided before, in whichever process."""
    one, other = make_authority(), make_authority()
    for each in (one, other):
        await each.open()
    bound = bind(0)
    assert await one.commit([AddAccount(bound)])
    assert await other.commit([ChangeExternalKey(UNNOTED, replace(UNNOTED, revoked=START))])
    assert not await one.commit([AddAccount(bind(1))])
    assert await one.load_account("account-1") is None
    # Others are not concerned, and who is bound goes on.
    assert await one.commit([AddAccount(bind(2, "bob:abc"))])
    assert await one.commit([AddAccount(make_account("account-3", KEYS[3]))])
    assert await one.commit([ChangeAccount(bound, replace(bound, contacts=()))])
    for each in (one, other):
        await each.close()


async def test_of_those_who_come_meanwhile_each_is_refused_or_seen(
    make_authority: MakeStore,
) -> None:
    one, other = make_authority(), make_authority()
    for each in (one, other):
        await each.open()
    accounts = [bind(number) for number in range(4)]

    async def revoke_and_look() -> set[str]:
        assert await other.commit([ChangeExternalKey(UNNOTED, REVOKED)])
        return {each.id for each in await other.list_accounts(None, 100)}

    *added, seen = await asyncio.gather(
        *(one.commit([AddAccount(each)]) for each in accounts[:2]),
        *(one.commit([AddAccount(each)]) for each in accounts[2:]),
        revoke_and_look(),
    )
    assert {each.id for each, is_in in zip(accounts, added, strict=True) if is_in} == seen
    for each in (one, other):
        await each.close()


@pytest.mark.parametrize(
    "engine", ["sqlite", pytest.param("postgres", marks=pytest.mark.peer("postgresql"))]
)
async def test_a_store_of_the_release_before_has_them_once_it_is_opened(
    engine: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And that release still opens it, and adds accounts."""
    if engine == "sqlite":
        make, module = partial(sqlite_store, tmp_path / "ca.db", FakeClock()), "sqlite.owner"
    else:
        dsn = request.getfixturevalue("node_schema")
        connection = await asyncpg.connect(dsn)
        # There is one in a database: that of other tests has all its tables.
        await connection.execute("DROP SCHEMA IF EXISTS letterlock_authority CASCADE")
        await connection.close()
        make, module = partial(postgres_store, dsn, FakeClock()), "postgres.connection"

    def of_the_release_before(package: str) -> list[Migration]:
        return load_migrations(package)[:2]

    old = bind(0)
    monkeypatch.setattr(f"letterlock.storage.{module}.load_migrations", of_the_release_before)
    store = make()
    await store.open()
    assert await store.commit([AddAccount(make_account("account-9", KEYS[3]))])
    await store.close()
    monkeypatch.undo()
    store = make()
    await store.open()
    assert await store.commit([AddAccount(old), ChangeExternalKey(UNNOTED, MADE)])
    await store.close()
    monkeypatch.setattr(f"letterlock.storage.{module}.load_migrations", of_the_release_before)
    store = make()
    await store.open()
    assert await store.load_account(old.id) == old
    await store.close()
