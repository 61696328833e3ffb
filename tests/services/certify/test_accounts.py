"""RFC 8555 §7.3, §7.3.5: one account for all nodes, whose key is kept before it is used."""

from collections.abc import AsyncIterator

import pytest_asyncio

from letterlock.network.acme_client import AcmeFailed
from letterlock.network.http_exchange import HttpFailed, HttpFault, HttpResponse
from letterlock.protocols.acme.jws import make_account_key
from letterlock.services.certify.authority import Authority
from letterlock.storage.acme_accounts import AcmeAccountRecord
from letterlock.storage.sqlite.acme_accounts import SqliteAccounts
from tests.acme_server import refuse
from tests.services.certify.scene import Scene, making_scene

DIRECTORY = "https://ca.example/directory"


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    async with making_scene() as made:
        yield made


def store_of(scene: Scene) -> SqliteAccounts:
    return SqliteAccounts(scene.database)


async def kept(scene: Scene) -> AcmeAccountRecord:
    (record,) = await store_of(scene).list_accounts()
    return record


async def open_one(scene: Scene) -> Authority:
    opened = await scene.accounts.open(DIRECTORY)
    assert isinstance(opened, Authority), opened
    return opened


async def test_an_account_is_opened_once(scene: Scene) -> None:
    first = await open_one(scene)
    assert await open_one(scene) is first
    assert len(scene.server.paths("new-account")) == 1
    record = await kept(scene)
    assert record.url == first.account.url.text
    assert record.key == first.key.pem


async def test_another_process_finds_it_by_its_key(scene: Scene) -> None:
    first = await open_one(scene)
    scene.forget_process()
    second = await open_one(scene)
    assert second.account.url == first.account.url
    assert len(scene.server.accounts) == 1


async def test_terms_that_the_operator_did_not_agree_to_make_no_account() -> None:
    async with making_scene(terms=[DIRECTORY]) as scene:
        scene.server.meta = {"termsOfService": "https://ca.example/terms"}
        opened = await scene.accounts.open(DIRECTORY)
        assert isinstance(opened, AcmeFailed)
        assert (
            "terms must be agreed to first (agree_to_terms): https://ca.example/terms"
            in opened.reason
        )
        assert scene.server.accounts == {}


async def test_a_key_is_changed(scene: Scene) -> None:
    before = (await open_one(scene)).key.pem
    changed = await scene.accounts.change_key(DIRECTORY)
    assert isinstance(changed, Authority)
    record = await kept(scene)
    assert record.key == changed.key.pem != before
    assert record.next_key is None
    scene.forget_process()
    assert (await open_one(scene)).account.url == changed.account.url


async def test_a_change_whose_answer_was_lost_is_found_out(scene: Scene) -> None:
    """The authority has the new key, or has it not: it is asked which it knows."""
    before = (await open_one(scene)).key.pem
    scene.server.replies["key-change"] = [HttpFailed(HttpFault.TIMED_OUT, "late")]
    changed = await scene.accounts.change_key(DIRECTORY)
    assert isinstance(changed, Authority)
    assert changed.key.pem == before
    assert (await kept(scene)).next_key is None


async def test_a_kill_in_the_middle_of_a_change_loses_neither_key(scene: Scene) -> None:
    authority = await open_one(scene)
    begun = await store_of(scene).begin_key_change(DIRECTORY, authority.key.pem)
    assert begun is not None
    scene.forget_process()
    assert (await open_one(scene)).account.url == authority.account.url
    assert (await kept(scene)).next_key is None


async def test_a_refused_change_leaves_the_key(scene: Scene) -> None:
    before = (await open_one(scene)).key.pem
    scene.server.replies["key-change"] = [refuse("unauthorized")]
    assert isinstance(await scene.accounts.change_key(DIRECTORY), AcmeFailed)
    scene.forget_process()
    assert (await open_one(scene)).key.pem == before


async def test_a_key_that_another_process_changed_is_used_from_then_on(scene: Scene) -> None:
    """`cert rollover --accounts` does so beside a node that runs."""
    before = await open_one(scene)
    other = scene.make_accounts()
    changed = await other.change_key(DIRECTORY)
    assert isinstance(changed, Authority)
    after = await open_one(scene)
    assert after.key.pem == changed.key.pem != before.key.pem
    assert after.account.url == before.account.url
    assert len(scene.server.accounts) == 1


async def test_a_change_that_another_process_takes_for_given_up_is_kept(scene: Scene) -> None:
    """It asks which key the authority knows before the authority has heard of the next."""
    authority = await open_one(scene)

    class Meddled(SqliteAccounts):
        async def begin_key_change(
            self, directory: str, next_key: bytes
        ) -> AcmeAccountRecord | None:
            begun = await super().begin_key_change(directory, next_key)
            if not meddled:
                meddled.append(await self.end_key_change(directory, authority.key.pem))
            return begun

    meddled: list[bool] = []
    scene.accounts._store = Meddled(scene.database)
    changed = await scene.accounts.change_key(DIRECTORY)
    assert isinstance(changed, Authority)
    record = await kept(scene)
    assert (record.key, record.next_key) == (changed.key.pem, None)
    assert meddled == [True]


async def test_an_account_that_forgot_both_keys_of_a_change_is_made_anew(scene: Scene) -> None:
    """As one with a single key that the authority does not know any more (RFC 8555 §7.3.1)."""
    before = (await open_one(scene)).key.pem
    await store_of(scene).begin_key_change(DIRECTORY, make_account_key().pem)
    scene.server.accounts.clear()
    scene.forget_process()
    assert (await open_one(scene)).key.pem == before
    assert (await kept(scene)).next_key is None
    assert len(scene.server.accounts) == 1


async def test_a_closed_account_is_not_replaced_by_itself_and_what_to_do_is_said(
    scene: Scene,
) -> None:
    """RFC 8555 §7.3.6: whoever closed it may have had a reason."""
    before = (await open_one(scene)).key.pem
    scene.forget_process()
    scene.server.replies["new-account"] = [refuse("unauthorized", 403)] * 2
    failed = await scene.accounts.open(DIRECTORY)
    assert isinstance(failed, AcmeFailed)
    assert failed.reason.endswith("; `letterlock cert rollover --accounts` opens another account")
    assert (await kept(scene)).key == before


async def test_one_that_is_shown_as_closed_is_known_too(scene: Scene) -> None:
    """RFC 8555 §7.1.2: the account's status, where a server answers with the object."""
    await open_one(scene)
    scene.forget_process()
    headers = ((b"location", b"https://ca.example/account/1"),)
    closed = HttpResponse(200, headers, b'{"status": "revoked"}')
    scene.server.replies["new-account"] = [closed] * 2
    failed = await scene.accounts.open(DIRECTORY)
    assert isinstance(failed, AcmeFailed)
    assert "the account is revoked; `letterlock cert rollover --accounts`" in failed.reason


async def test_an_external_account_that_is_refused_is_no_closed_account(scene: Scene) -> None:
    """RFC 8555 §7.3.4: servers say `unauthorized` of that as well."""
    scene.server.replies["new-account"] = [refuse("unauthorized", 403)]
    failed = await scene.accounts.open(DIRECTORY)
    assert isinstance(failed, AcmeFailed)
    assert "rollover" not in failed.reason
    scene.server.replies["new-account"] = [refuse("unauthorized", 403)]
    assert isinstance(await scene.accounts.change_key(DIRECTORY), AcmeFailed)
