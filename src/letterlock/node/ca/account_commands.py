"""What an operator's commands do with the accounts of an authority, whether it runs or not."""

from dataclasses import dataclass

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.node.ca.commands import Wanted, find_operator, list_certificates
from letterlock.node.ca.rules import find_port, make_places
from letterlock.protocols.acme.server.objects import Account
from letterlock.protocols.acme.server.places import is_id
from letterlock.services.ca.closing import close_account
from letterlock.storage.ca.store import AuthorityStore


@dataclass(frozen=True, slots=True)
class ClosedAccount:
    """An account as it stands now; how many orders ended, and how many certificates stay good."""

    account: Account
    ended_orders: int
    certificates: int


def find_id(config: Config, text: str) -> str:
    """Give the id of an account by its URL, of now or before, or by itself.

    Raises LocalError, and ValueError for what is neither.
    """
    found = text if is_id(text) else None
    found = found or make_places(config, find_port(config)).find_account_id(text)
    if found is None:
        raise ValueError("neither an account's id nor its URL here")
    return found


async def close(store: AuthorityStore, account_id: str, clock: Clock) -> ClosedAccount | None:
    """Close an account. None: there is none. Raises StoreUnavailable."""
    closed = await close_account(store, account_id, find_operator(), clock.now())
    if closed is None:
        return None
    wanted = Wanted(account=account_id)
    count = len([each async for each in list_certificates(store, wanted, clock)])
    return ClosedAccount(closed.account, closed.ended_orders, count)
