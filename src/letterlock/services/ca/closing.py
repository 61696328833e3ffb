"""Accounts that the authority closes, as an operator says.

RFC 8555 §7.1.2, §7.1.6: such an account is `revoked`, for good. As of one that its holder closed
(§7.3.6), all that it asks is refused from then on, and its open orders end; its certificates stay.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from letterlock.protocols.acme.server.objects import Account
from letterlock.protocols.acme.server.transitions import revoke_account
from letterlock.protocols.acme.states import AccountStatus
from letterlock.protocols.audit.decisions import AccountLogged
from letterlock.protocols.audit.records import AuditEntry
from letterlock.services.ca.requests.ended_orders import OrderStore, end_orders
from letterlock.storage.ca.changes import ChangeAccount
from letterlock.storage.queue import StoreUnavailable

MAX_TRIES = 8


class AccountStore(OrderStore, Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def load_account(self, account_id: str) -> Account | None: ...


@dataclass(frozen=True, slots=True)
class Closed:
    """An account as it stands now, and how many of its orders ended by that."""

    account: Account
    ended_orders: int = 0


async def close_account(
    store: AccountStore, account_id: str, who: str, now: datetime
) -> Closed | None:
    """Close an account. None: there is none. Raises StoreUnavailable.

    One that is closed stays as it is; orders that it has open all the same end.
    """
    for _ in range(MAX_TRIES):
        before = await store.load_account(account_id)
        if before is None:
            return None
        if before.status is not AccountStatus.VALID:
            return Closed(before, await end_orders(store, before, now))
        after = revoke_account(before)
        if await store.commit((ChangeAccount(before, after),), (_log(after, who, now),)):
            return Closed(after, await end_orders(store, after, now))
    raise StoreUnavailable("others change the account all the time")


def _log(account: Account, who: str, now: datetime) -> AuditEntry:
    decision = AccountLogged(
        account=account.id,
        action="closed",
        key=account.key.thumbprint,
        contacts=account.contacts,
        agreed_terms=account.agreed_terms,
        external=account.external.kid if account.external is not None else None,
        who=who,
    )
    return AuditEntry(now, decision)
