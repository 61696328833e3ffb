"""The audit as work: one process at a time does it, and another goes on when that one dies."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

from letterlock.base.clock import Clock
from letterlock.storage.ca.changes import AddWork, EndWork, PutOffWork
from letterlock.storage.ca.kept import Claimed, Lease, Work, WorkKind
from letterlock.storage.ca.store import Commits

LEASE = timedelta(minutes=10)

Step = Callable[[], Awaitable[datetime]]
"""Does some, and gives when to go on."""


class AuditWork:
    """Does the steps of audits, by their names. `do` is for `working.WorkRunner`."""

    def __init__(self, store: Commits, steps: Mapping[str, Step], clock: Clock) -> None:
        self._store = store
        self._steps = steps
        self._clock = clock

    async def prepare(self, owner: str) -> None:
        """Store the work, where nobody has yet: it is there for ever. Raises StoreUnavailable."""
        now = self._clock.now()
        for name in self._steps:
            work = Work(WorkKind.AUDIT, name, now)
            await self._store.commit((AddWork(work, Lease(WorkKind.AUDIT, name, owner, now)),))

    async def do(self, claimed: Claimed) -> datetime | None:
        """Do a step. Gives when to go on; None: it is no work of ours any more."""
        step = self._steps.get(claimed.work.subject)
        if step is None:
            # Of another release: it is not to be done, and not to be claimed for ever.
            await self._store.commit((EndWork(claimed.lease),))
            return None
        due = await step()
        return due if await self._store.commit((PutOffWork(claimed.lease, due),)) else None
