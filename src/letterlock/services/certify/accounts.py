"""Our account at each authority: one key for all nodes, kept before the authority hears of it.

RFC 8555 §7.3 (accounts), §7.3.1 (finding the one that a key has), §7.3.5 (another key), §7.3.6 (one
that is closed).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from letterlock.base.clock import Clock
from letterlock.network.acme_client import AcmeClient, AcmeFailed
from letterlock.protocols.acme.jws import (
    AccountKey,
    KeyUnusable,
    load_account_key,
    make_account_key,
)
from letterlock.services.certify.authority import Authority, Terms, find_account, open_account
from letterlock.storage.acme_accounts import AccountStore, AcmeAccountRecord

CLOSED_ADVICE = "`letterlock cert rollover --accounts` opens another account"


class Accounts:
    """Opens accounts, once in each process. `terms` has the directories that may be asked."""

    def __init__(
        self,
        store: AccountStore,
        make_client: Callable[[str], AcmeClient],
        terms: Mapping[str, Terms],
        clock: Clock,
    ) -> None:
        self._store = store
        self._make_client = make_client
        self._terms = terms
        self._clock = clock
        self._clients: dict[str, AcmeClient] = {}
        self._open: dict[str, Authority] = {}

    async def open(self, directory: str) -> Authority | AcmeFailed:
        """Find the account at an authority, or make it. Raises StoreUnavailable.

        One that was closed is no reason to make another: the operator is told how to.
        """
        opened = self._open.get(directory)
        if opened is not None and await self._is_current(opened, directory):
            return opened
        record = await self._store.add_account(directory, make_account_key().pem, self._clock.now())
        if record.next_key is not None:
            found = await self._end_key_change(record, record.next_key)
        else:
            found = await self._open_with(directory, record.key)
        if isinstance(found, Authority):
            self._open[directory] = found
        elif await self._find_closed(directory, found) is not None:
            return replace(found, reason=f"{found.reason}; {CLOSED_ADVICE}")
        return found

    async def _is_current(self, opened: Authority, directory: str) -> bool:
        """Say if its key is still the account's: another process may have changed it."""
        records = await self._store.list_accounts()
        return any((each.directory, each.key) == (directory, opened.key.pem) for each in records)

    def forget(self, directory: str) -> None:
        """Open it anew the next time: the authority did not know it, or not want it any more."""
        self._open.pop(directory, None)

    def client(self, directory: str) -> AcmeClient:
        """Give what asks an authority, also without an account."""
        if directory not in self._clients:
            self._clients[directory] = self._make_client(directory)
        return self._clients[directory]

    async def change_key(self, directory: str) -> Authority | AcmeFailed:
        """Give the account another key; one that was begun before is ended instead.

        Where the authority has closed the account, its key is dropped and another one is opened.
        """
        opened = await self.open(directory)
        if isinstance(opened, AcmeFailed):
            closed = await self._find_closed(directory, opened)
            if closed is None:
                return opened
            await self._store.forget_account(directory, closed.key)
            return await self.open(directory)
        begun = await self._store.begin_key_change(directory, make_account_key().pem)
        if begun is None or begun.next_key is None:
            return AcmeFailed(f"{directory}: the account's key is not kept any more")
        next_key = _load(begun.next_key)
        if isinstance(next_key, AcmeFailed):
            return next_key
        self.forget(directory)
        changed = await opened.change_key(next_key)
        if isinstance(changed, AcmeFailed):
            # The answer may have been lost, and not the request.
            return (
                await self._end_key_change(begun, begun.next_key)
                if changed.is_temporary
                else changed
            )
        if not await self._store.end_key_change(directory, begun.next_key):
            # Another process asked the authority just before, and took the change for given up.
            await self._store.begin_key_change(directory, begun.next_key)
            await self._store.end_key_change(directory, begun.next_key)
        self._open[directory] = changed
        return changed

    async def _end_key_change(
        self, record: AcmeAccountRecord, next_key: bytes
    ) -> Authority | AcmeFailed:
        """Find out which of two keys the authority knows, and keep that one."""
        for pem in (next_key, record.key):
            key = _load(pem)
            if isinstance(key, AcmeFailed):
                return key
            found = await find_account(self.client(record.directory), key)
            if isinstance(found, Authority):
                await self._store.end_key_change(record.directory, pem)
                return found
            if not found.is_about("accountDoesNotExist"):
                return found
        # As for an account with one key that the authority forgot, a new one is made.
        await self._store.end_key_change(record.directory, record.key)
        return await self._open_with(record.directory, record.key)

    async def _find_closed(self, directory: str, failed: AcmeFailed) -> AcmeAccountRecord | None:
        """Give our account if it failed as it was closed (RFC 8555 §7.3.6), by either side.

        The same word is said of an external account that is refused: only who has one is not asked
        for that.
        """
        if not failed.is_about("unauthorized"):
            return None
        for record in await self._store.list_accounts():
            if record.directory != directory:
                continue
            for pem in filter(None, (record.next_key, record.key)):
                key = _load(pem)
                if isinstance(key, AcmeFailed):
                    continue
                found = await find_account(self.client(directory), key)
                if isinstance(found, AcmeFailed) and found.is_about("unauthorized"):
                    return record
        return None

    async def _open_with(self, directory: str, pem: bytes) -> Authority | AcmeFailed:
        key = _load(pem)
        if isinstance(key, AcmeFailed):
            return key
        opened = await open_account(self.client(directory), key, self._terms[directory])
        if isinstance(opened, Authority):
            await self._store.note_account(directory, pem, opened.account.url.text)
        return opened


def _load(pem: bytes) -> AccountKey | AcmeFailed:
    try:
        return load_account_key(pem)
    except KeyUnusable as error:
        return AcmeFailed(f"the account's key in the node's database: {error}")
