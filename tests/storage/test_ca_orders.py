"""Accounts, authorizations and orders of an authority, on both engines."""

from dataclasses import replace

from letterlock.protocols.acme.server.objects import ExternalBinding
from letterlock.protocols.acme.server.transitions import deactivate_account
from letterlock.protocols.acme.states import OrderStatus
from letterlock.storage.ca.changes import (
    AddAccount,
    AddAuthorization,
    AddOrder,
    Change,
    ChangeAccount,
    ChangeAuthorization,
    ChangeOrder,
)
from letterlock.storage.ca.store import AuthorityStore
from tests.fakes import START
from tests.storage.authorities import (
    DAY,
    KEYS,
    MakeStore,
    logged,
    make_account,
    make_authorization,
    make_check,
    make_order,
    name,
    validated,
)

ONE = make_authorization("one", "a.example")
TWO = make_authorization("two", "*.a.example")


async def test_an_account_is_read_as_it_was_kept(authority: AuthorityStore) -> None:
    bound = replace(make_account(), external=ExternalBinding("kid", (("payload", "x"),)))
    assert await authority.commit([AddAccount(bound)])
    assert await authority.load_account(bound.id) == bound
    assert await authority.find_account(bound.key.thumbprint) == bound
    assert await authority.load_account("other") is None
    assert await authority.find_account(KEYS[1].thumbprint) is None


async def test_one_key_has_one_account(authority: AuthorityStore) -> None:
    """RFC 8555 §11.1: also that of an account that was deactivated, and by a change of keys."""
    first, second = make_account(), make_account("account-2", KEYS[1])
    assert await authority.commit([AddAccount(first), AddAccount(second)])
    assert await authority.commit([ChangeAccount(first, deactivate_account(first))])
    assert not await authority.commit([AddAccount(make_account("account-3"))])
    taken = replace(second, key=first.key)
    assert not await authority.commit([ChangeAccount(second, taken)])
    assert await authority.load_account(second.id) == second
    assert await authority.load_account("account-3") is None
    free = replace(second, key=KEYS[2])
    assert await authority.commit([ChangeAccount(second, free)])
    assert await authority.find_account(KEYS[2].thumbprint) == free
    assert await authority.find_account(KEYS[1].thumbprint) is None


async def test_accounts_are_listed_page_by_page(authority: AuthorityStore) -> None:
    accounts = [make_account(f"account-{number}", KEYS[number]) for number in range(3)]
    assert await authority.commit([AddAccount(each) for each in reversed(accounts)])
    assert await authority.list_accounts(None, 2) == tuple(accounts[:2])
    assert await authority.list_accounts(accounts[1].id, 2) == (accounts[2],)


async def test_what_changed_meanwhile_refuses_the_change(authority: AuthorityStore) -> None:
    account = make_account()
    assert await authority.commit([AddAccount(account)])
    one, other = replace(account, contacts=()), deactivate_account(account)
    assert await authority.commit([ChangeAccount(account, one)])
    assert not await authority.commit([ChangeAccount(account, other)])
    assert await authority.load_account(account.id) == one
    unknown = make_account("unknown", KEYS[1])
    assert not await authority.commit([ChangeAccount(unknown, unknown)])


async def test_all_is_changed_or_nothing(authority: AuthorityStore) -> None:
    """Also nothing is logged; and what one change made, the next of the same commit finds."""
    account = make_account()
    later = replace(account, contacts=())
    order = make_order("order", ONE)
    refused: list[Change] = [
        AddAccount(account),
        AddAuthorization(ONE),
        AddOrder(make_order("order", TWO)),
    ]
    assert not await authority.commit(refused, [logged("refused")])
    assert await authority.load_account(account.id) is None
    assert await authority.load_authorization(ONE.id) is None
    assert (await authority.load_head()).number == 0
    done: list[Change] = [AddAccount(account), ChangeAccount(account, later), AddAuthorization(ONE)]
    assert await authority.commit([*done, AddOrder(order)], [logged("done")])
    assert await authority.load_account(account.id) == later
    assert (await authority.load_head()).number == 1


async def test_an_order_comes_with_all_of_its_authorizations(authority: AuthorityStore) -> None:
    order = make_order("order", TWO, ONE)
    assert await authority.commit([AddAuthorization(ONE), AddAuthorization(TWO), AddOrder(order)])
    valid, check = validated(ONE), make_check(ONE)
    assert await authority.commit([ChangeAuthorization(ONE, valid, check)])
    found = await authority.load_order(order.id)
    assert found is not None
    assert found.order == order
    assert [each.authorization for each in found.authorizations] == [TWO, valid]
    assert [each.check for each in found.authorizations] == [None, check]
    ready = replace(order, status=OrderStatus.READY)
    assert await authority.commit([ChangeOrder(order, ready)])
    assert not await authority.commit([ChangeOrder(order, ready)])
    found = await authority.load_order(order.id)
    assert found is not None
    assert found.order == ready
    assert await authority.load_order("other") is None


async def test_a_look_at_caa_stays_until_there_is_another(authority: AuthorityStore) -> None:
    check = make_check(ONE)
    valid = validated(ONE)
    assert await authority.commit([AddAuthorization(ONE), ChangeAuthorization(ONE, valid, check)])
    longer = replace(valid, expires=START + 8 * DAY)
    assert await authority.commit([ChangeAuthorization(valid, longer)])
    found = await authority.load_authorization(ONE.id)
    assert found is not None
    assert (found.authorization, found.check) == (longer, check)
    newer = replace(check, began=START + DAY)
    assert await authority.commit([ChangeAuthorization(longer, longer, newer)])
    found = await authority.load_authorization(ONE.id)
    assert found is not None
    assert found.check == newer
    assert not await authority.commit([ChangeAuthorization(valid, longer, check)])


async def test_only_valid_authorizations_of_the_names_are_used_again(
    authority: AuthorityStore,
) -> None:
    others = [
        validated(make_authorization("of another", account_id="account-2")),
        validated(make_authorization("of another name", "b.example")),
        make_authorization("pending"),
        replace(validated(make_authorization("ended")), expires=START),
    ]
    added = [AddAuthorization(each) for each in (validated(ONE), validated(TWO), *others)]
    assert await authority.commit(added)

    async def find(*names: str) -> list[str]:
        ordered = [name(each) for each in names]
        found = await authority.find_valid_authorizations("account-1", ordered, START)
        return sorted(each.authorization.id for each in found)

    assert await find("a.example") == ["one"]
    assert await find("*.a.example", "a.example") == ["one", "two"]
    assert await find("c.example") == []


async def test_an_accounts_orders_are_listed_but_for_invalid_ones(
    authority: AuthorityStore,
) -> None:
    """RFC 8555 §7.1.2.1: in the order in which they came, page by page."""
    orders = [make_order(each, ONE) for each in ("d", "c", "b", "a")]
    other = make_order("other", ONE, account_id="account-2")
    assert await authority.commit(
        [AddAuthorization(ONE), *(AddOrder(each) for each in (*orders, other))]
    )
    failed = replace(orders[1], status=OrderStatus.INVALID)
    assert await authority.commit([ChangeOrder(orders[1], failed)])
    assert await authority.list_order_ids("account-1", None, 2) == ("d", "b")
    assert await authority.list_order_ids("account-1", "b", 2) == ("a",)
    assert await authority.list_order_ids("account-1", "c", 2) == ("b", "a")
    assert await authority.list_order_ids("account-1", "other", 2) == ()
    assert await authority.list_order_ids("account-1", "unknown", 2) == ()


async def test_what_one_process_commits_another_reads(make_authority: MakeStore) -> None:
    one, other = make_authority(), make_authority()
    await one.open()
    await other.open()
    account = make_account()
    assert await one.commit([AddAccount(account)])
    assert await other.load_account(account.id) == account
    later = replace(account, contacts=())
    assert await other.commit([ChangeAccount(account, later)])
    assert not await one.commit([ChangeAccount(account, later)])
    assert await one.load_account(account.id) == later
    await one.close()
    await other.close()
