"""The halt switch: stops issuance on all nodes at once, and says why to clients and in the log.

It is looked at where an order is made and finalized, and right before each signature.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from letterlock.protocols.acme.fields import format_line
from letterlock.protocols.audit.decisions import Decision, HaltLogged
from letterlock.protocols.audit.records import AuditEntry
from letterlock.storage.ca.changes import ChangeHalt
from letterlock.storage.ca.kept import Halt
from letterlock.storage.ca.store import Commits

MAX_WHY_CHARACTERS = 500
MAX_TRIES = 8


class HaltStore(Commits, Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def load_halt(self) -> Halt: ...


async def halt(
    store: HaltStore, why: str, who: str, now: datetime, because: Sequence[Decision] = ()
) -> Halt:
    """Stop issuance; gives how it stands then. Halted already, it keeps its first reason.

    `because` are decisions that are logged with it. Raises StoreUnavailable.
    """
    why = format_line(why, MAX_WHY_CHARACTERS)
    return await _set(store, Halt(is_halted=True, since=now, why=why, who=who), now, because)


async def resume(store: HaltStore, who: str, now: datetime) -> Halt:
    """Let issuance go on. Raises StoreUnavailable."""
    return await _set(store, Halt(is_halted=False, since=now, who=who), now, ())


async def _set(store: HaltStore, after: Halt, now: datetime, because: Sequence[Decision]) -> Halt:
    logged = HaltLogged(is_halted=after.is_halted, why=after.why, who=after.who)
    entries = tuple(AuditEntry(now, each) for each in (*because, logged))
    before = await store.load_halt()
    for _ in range(MAX_TRIES):
        if before.is_halted is after.is_halted:
            if because:
                await store.commit((), entries[:-1])
            return before
        if await store.commit((ChangeHalt(before, after),), entries):
            return after
        before = await store.load_halt()
    return before
