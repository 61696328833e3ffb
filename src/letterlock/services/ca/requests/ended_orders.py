"""Orders that end without a certificate, as whoever looks finds them.

RFC 8555 §7.1.6 (an order whose authorization ends, or whose time is over, is invalid), §7.3.6
(those of an account that was closed). That an order is `ready` is seen from its authorizations, and
not kept; that it is invalid is kept, with why, and is in the audit log.
"""

from datetime import datetime
from typing import Protocol

from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.objects import Account, Order
from letterlock.protocols.acme.server.refusals import ErrorType, refuse
from letterlock.protocols.acme.server.transitions import fail_order, judge_order
from letterlock.protocols.acme.states import OrderStatus
from letterlock.protocols.audit.decisions import OrderEndedLogged
from letterlock.protocols.audit.describing import describe_problem
from letterlock.protocols.audit.records import AuditEntry
from letterlock.services.ca.requests.authority import Authority
from letterlock.storage.ca.changes import ChangeOrder
from letterlock.storage.ca.kept import KeptOrder
from letterlock.storage.ca.store import Commits
from letterlock.storage.queue import StoreUnavailable

PAGE = 100
MAX_ENDED_PAGES = 20
"""Of an account with more orders the later ones end with their authorizations' time."""
_MAX_TRIES = 8


class OrderStore(Commits, Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def load_order(self, order_id: str) -> KeptOrder | None: ...

    async def list_order_ids(
        self, account_id: str, after: str | None, limit: int
    ) -> tuple[str, ...]: ...


def judge(kept: KeptOrder, now: datetime) -> Order:
    """Give an order as it is now."""
    return judge_order(kept.order, [each.authorization for each in kept.authorizations], now)


async def load_judged(
    authority: Authority, order_id: str, now: datetime
) -> tuple[KeptOrder, Order] | None:
    """Load an order, and give it as it is now. None: there is none.

    Where time or an authorization ended it, that is kept first. Raises StoreUnavailable.
    """
    for _ in range(_MAX_TRIES):
        kept = await authority.store.load_order(order_id)
        if kept is None:
            return None
        order = judge(kept, now)
        has_ended = order.status is OrderStatus.INVALID
        if not has_ended or kept.order.status is OrderStatus.INVALID:
            return kept, order
        if await _end(authority.store, kept.order, order, now):
            return KeptOrder(order, kept.authorizations), order
    raise StoreUnavailable("others change the order all the time")


async def end_orders(store: OrderStore, account: Account, now: datetime) -> int:
    """End all orders of a closed account that are not processed (RFC 8555 §7.3.6); gives how many.

    Those that are processed end as they are judged once more, before anything is signed.
    """
    problem = refuse(ErrorType.UNAUTHORIZED, f"the account was {account.status}").problem
    ended = 0
    after = None
    for _ in range(MAX_ENDED_PAGES):
        page = await store.list_order_ids(account.id, after, PAGE)
        for order_id in page:
            ended += await _end_one(store, order_id, problem, now)
        if len(page) < PAGE:
            break
        after = page[-1]
    return ended


async def _end_one(store: OrderStore, order_id: str, problem: Problem, now: datetime) -> bool:
    for _ in range(_MAX_TRIES):
        kept = await store.load_order(order_id)
        if kept is None or kept.order.status not in (OrderStatus.PENDING, OrderStatus.READY):
            return False
        if await _end(store, kept.order, fail_order(kept.order, problem), now):
            return True
    return False


async def _end(store: OrderStore, before: Order, after: Order, now: datetime) -> bool:
    problem = describe_problem(after.error)
    assert problem is not None
    entry = AuditEntry(now, OrderEndedLogged(after.id, after.account_id, problem))
    return await store.commit((ChangeOrder(before, after),), (entry,))
