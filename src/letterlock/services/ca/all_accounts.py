"""All accounts of an authority, one page after the other: there may be very many."""

from collections.abc import AsyncIterator
from typing import Protocol

from letterlock.protocols.acme.server.objects import Account

PAGE = 500


class ListsAccounts(Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def list_accounts(self, after: str | None, limit: int) -> tuple[Account, ...]: ...


async def list_accounts(store: ListsAccounts) -> AsyncIterator[Account]:
    """Give them, by their ids. Raises StoreUnavailable."""
    after = None
    while page := await store.list_accounts(after, PAGE):
        for each in page:
            yield each
        after = page[-1].id
