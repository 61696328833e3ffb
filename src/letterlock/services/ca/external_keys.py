"""Keys for external account binding, as an operator has them: given out, listed, taken back.

RFC 8555 §7.3.4. One that is taken back binds no account from the commit on that says so, in any
process; those that it has bound go on until they are closed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from letterlock.protocols.acme.jws import ExternalAccount
from letterlock.protocols.acme.server.external_accounts import MAX_KID_CHARACTERS
from letterlock.protocols.acme.server.objects import Account
from letterlock.protocols.audit.decisions import AccountKeyLogged
from letterlock.protocols.audit.records import AuditEntry
from letterlock.services.ca.all_accounts import ListsAccounts, list_accounts
from letterlock.services.ca.external_accounts import ExternalAccounts
from letterlock.storage.ca.external_keys import ChangeExternalKey, ExternalKey
from letterlock.storage.ca.store import Commits
from letterlock.storage.queue import StoreUnavailable

PAGE = 500
MAX_TRIES = 8

_KID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*:[A-Za-z0-9_-]+\Z")


class ExternalKeyStore(Commits, ListsAccounts, Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def keep_secret(self, name: str, fresh: bytes) -> bytes: ...

    async def load_external_key(self, kid: str) -> ExternalKey: ...

    async def list_external_keys(
        self, after: str | None, limit: int
    ) -> tuple[ExternalKey, ...]: ...


@dataclass(frozen=True, slots=True)
class KeyInUse:
    """A key, and the accounts that it has bound, by their ids."""

    key: ExternalKey
    accounts: tuple[Account, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether it was noted when it was given out, or has bound somebody.

        Of a key of a release that noted none, with which nobody came yet, nothing is known.
        """
        return self.key.made is not None or bool(self.accounts)


async def give_key(store: ExternalKeyStore, name: str, who: str, now: datetime) -> ExternalAccount:
    """Make a key for somebody, and note that there is one. Raises ValueError, StoreUnavailable."""
    made = await ExternalAccounts(store).make(name)
    change = ChangeExternalKey(ExternalKey(made.kid), ExternalKey(made.kid, made=now))
    if not await store.commit([change], [_log(made.kid, "made", who, now)]):
        raise StoreUnavailable("there is a key of this identifier already: ask again")
    return made


async def take_key_back(store: ExternalKeyStore, kid: str, who: str, now: datetime) -> KeyInUse:
    """Let a key bind nobody any more; taken back already, it stays so since then.

    One that nobody noted is taken back too: earlier releases gave keys out without. Raises
    ValueError for what is no key identifier, and StoreUnavailable.
    """
    if not _KID.match(kid) or len(kid) > MAX_KID_CHARACTERS:
        raise ValueError("no key identifier, which is as alice:Zz9jH1wvC9Xs")
    key = await _set_revoked(store, kid, who, now)
    # After the commit: nobody comes with it any more.
    return KeyInUse(key, (await _find_bound(store)).get(kid, ()))


async def list_keys(store: ExternalKeyStore) -> tuple[KeyInUse, ...]:
    """List those that were noted, or have bound somebody, by their identifiers."""
    bound = await _find_bound(store)
    noted: dict[str, ExternalKey] = {}
    after = None
    while page := await store.list_external_keys(after, PAGE):
        noted |= {each.kid: each for each in page}
        after = page[-1].kid
    return tuple(
        KeyInUse(noted.get(kid, ExternalKey(kid)), bound.get(kid, ()))
        for kid in sorted(noted.keys() | bound.keys())
    )


async def _set_revoked(store: ExternalKeyStore, kid: str, who: str, now: datetime) -> ExternalKey:
    for _ in range(MAX_TRIES):
        before = await store.load_external_key(kid)
        if before.revoked is not None:
            return before
        after = replace(before, revoked=now)
        entry = _log(kid, "revoked", who, now)
        if await store.commit([ChangeExternalKey(before, after)], [entry]):
            return after
    raise StoreUnavailable("others change the key all the time")


async def _find_bound(store: ExternalKeyStore) -> Mapping[str, tuple[Account, ...]]:
    """Find the accounts that keys have bound: all are looked through, as operators rarely ask."""
    found: dict[str, tuple[Account, ...]] = {}
    async for each in list_accounts(store):
        if each.external is not None:
            kid = each.external.kid
            found[kid] = (*found.get(kid, ()), each)
    return found


def _log(kid: str, action: str, who: str, now: datetime) -> AuditEntry:
    return AuditEntry(now, AccountKeyLogged(kid, action, who))
