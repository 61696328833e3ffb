"""Accounts that the authority closes, on both engines: RFC 8555 §7.1.6, §7.3.6."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from letterlock.protocols.acme.server.transitions import deactivate_account, revoke_account
from letterlock.protocols.acme.states import AccountStatus, OrderStatus
from letterlock.protocols.audit.decisions import AccountLogged, OrderEndedLogged
from letterlock.protocols.audit.records import read_decision
from letterlock.services.ca import closing
from letterlock.services.ca.closing import Closed, close_account
from letterlock.storage.ca.changes import (
    AddAccount,
    AddAuthorization,
    AddOrder,
    ChangeAccount,
    ChangeOrder,
)
from letterlock.storage.ca.store import AuthorityStore
from letterlock.storage.queue import StoreUnavailable
from tests.fakes import START
from tests.storage.authorities import (
    KEYS,
    MakeStore,
    make_account,
    make_authorization,
    make_order,
)

ACCOUNT = make_account()
ORDERS = (OrderStatus.PENDING, OrderStatus.READY, OrderStatus.PROCESSING, OrderStatus.VALID)


@pytest.fixture
async def stores(make_authority: MakeStore) -> AsyncIterator[Sequence[AuthorityStore]]:
    """Two processes; an account with an order in each state, and another's order."""
    stores = (make_authority(), make_authority())
    for each in stores:
        await each.open()
    authorization = make_authorization("one")
    orders = [make_order(f"order-{each}", authorization) for each in ORDERS]
    other = make_order("order-other", authorization, account_id="account-2")
    assert await stores[0].commit(
        [
            AddAccount(ACCOUNT),
            AddAccount(make_account("account-2", KEYS[1])),
            AddAuthorization(authorization),
            *map(AddOrder, (*orders, other)),
            *(
                ChangeOrder(order, replace(order, status=status))
                for order, status in zip(orders, ORDERS, strict=True)
            ),
        ]
    )
    yield stores
    for each in stores:
        await each.close()


async def find_status(store: AuthorityStore, order_id: str) -> OrderStatus:
    kept = await store.load_order(order_id)
    assert kept is not None
    return kept.order.status


async def test_an_account_is_revoked_and_its_open_orders_end(
    stores: Sequence[AuthorityStore],
) -> None:
    one, other = stores
    after = revoke_account(ACCOUNT)
    assert await close_account(one, ACCOUNT.id, "me", START) == Closed(after, 2)
    assert await other.load_account(ACCOUNT.id) == after
    states = [await find_status(other, f"order-{each}") for each in ORDERS]
    assert states == ["invalid", "invalid", "processing", "valid"]
    assert await find_status(other, "order-other") is OrderStatus.PENDING
    log = [read_decision(each.document) for each in await other.list_records(0, 100)]
    closed, *ended = log
    assert isinstance(closed, AccountLogged)
    assert (closed.account, closed.action, closed.who) == (ACCOUNT.id, "closed", "me")
    assert closed.key == ACCOUNT.key.thumbprint
    assert [each.problem.detail for each in ended if isinstance(each, OrderEndedLogged)] == [
        "the account was revoked"
    ] * 2


async def test_what_is_closed_stays_as_it_is(stores: Sequence[AuthorityStore]) -> None:
    """Also where its holder did; an order that is open all the same ends."""
    one, other = stores
    gone = deactivate_account(ACCOUNT)
    assert await other.commit([ChangeAccount(ACCOUNT, gone)])
    assert await close_account(one, ACCOUNT.id, "me", START) == Closed(gone, 2)
    assert await close_account(one, ACCOUNT.id, "me", START) == Closed(gone)


async def test_of_an_account_that_is_none_nothing_is_done(
    stores: Sequence[AuthorityStore],
) -> None:
    assert await close_account(stores[0], "account-3", "me", START) is None
    assert (await stores[0].load_head()).number == 0


async def test_of_two_that_close_it_one_does(stores: Sequence[AuthorityStore]) -> None:
    found = await asyncio.gather(*(close_account(each, ACCOUNT.id, "me", START) for each in stores))
    assert {each.account.status for each in found if each} == {AccountStatus.REVOKED}
    assert sum(each.ended_orders for each in found if each) == 2
    kinds = [each.kind for each in await stores[0].list_records(0, 100)]
    assert sorted(kinds) == ["account", "order-end", "order-end"]


async def test_who_is_always_too_late_is_told_so(
    stores: Sequence[AuthorityStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if its holder changed it each time in between."""
    monkeypatch.setattr(closing, "MAX_TRIES", 2)
    one, other = stores
    load, contacts = one.load_account, iter(("mailto:b@example.org", "mailto:c@example.org"))

    async def load_and_lose(account_id: str) -> object:
        found = await load(account_id)
        assert found is not None
        assert await other.commit(
            [ChangeAccount(found, replace(found, contacts=(next(contacts),)))]
        )
        return found

    monkeypatch.setattr(one, "load_account", load_and_lose)
    with pytest.raises(StoreUnavailable):
        await close_account(one, ACCOUNT.id, "me", START)
