"""Work behind requests: begun at once by the process that stored it, taken over if that one dies.

Whoever stores work stores a lease on it, of this process, and calls `WorkRunner.begin`: it waits
for nothing, and asks nothing of the store. What others left, because they died or put it off, is
claimed when its lease has run out. What is done is `do`'s: it ends the work, in the commit of what
came of it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.errors import describe_defect
from letterlock.base.log import Log, Service
from letterlock.base.waiting import wait_for_event
from letterlock.storage.ca.kept import Claimed, WorkKind
from letterlock.storage.queue import StoreUnavailable

LOOK_SECONDS = 30.0
"""What another process gives back is seen so soon."""
MIN_LOOK_SECONDS = 0.05
FULL_SECONDS = 1.0
"""While as much is under way as may be."""
MAX_CLAIMED = 64

Do = Callable[[Claimed], Awaitable[datetime | None]]
"""Do it, within its lease. Gives when it is to be gone on with; None: it has ended."""


class ClaimStore(Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def claim_work(
        self, kind: WorkKind, owner: str, now: datetime, until: datetime, limit: int
    ) -> tuple[Claimed, ...]: ...

    async def find_next_due(self, kind: WorkKind) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class WorkBounds:
    """Who works, for how long a piece may take, and how many are done at a time.

    `owner` names this process, and no other.
    """

    owner: str
    lease: timedelta
    at_once: int


class WorkRunner:
    """Does the work of one kind; what is more than may be done at a time waits."""

    def __init__(
        self,
        kind: WorkKind,
        store: ClaimStore,
        do: Do,
        bounds: WorkBounds,
        clock: Clock,
        log: Log,
    ) -> None:
        self._kind = kind
        self._store = store
        self._do = do
        self._bounds = bounds
        self._slots = asyncio.Semaphore(bounds.at_once)
        self._clock = clock
        self._log = log
        self._under_way: dict[tuple[str, int], asyncio.Future[None]] = {}
        self._waiting: list[tuple[Claimed, asyncio.Future[None]]] = []
        self._tasks: asyncio.TaskGroup | None = None
        self._look_soon = asyncio.Event()
        self._is_draining = False

    @property
    def kind(self) -> WorkKind:
        """What it does."""
        return self._kind

    def begin(self, claimed: Claimed) -> asyncio.Future[None]:
        """Begin what was stored just now. The future is done when this try is, however it ended.

        Nobody cancels it.
        """
        if self._tasks is None or self._slots.locked():
            # It waits for its turn: what it is for may be another by then.
            claimed = replace(claimed, kept=None)
        done = asyncio.get_running_loop().create_future()
        self._under_way[_key(claimed)] = done
        if self._tasks is None:
            self._waiting.append((claimed, done))
        else:
            self._tasks.create_task(self._work(claimed, done))
        return done

    async def run(self) -> None:
        """Work until cancelled; what is under way then is left to whoever claims it."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            waiting, self._waiting = self._waiting, []
            for claimed, done in waiting:
                tasks.create_task(self._work(claimed, done))
            await self._look_around()

    async def drain(self, seconds: float) -> None:
        """Take nothing more, and wait so long for what is under way."""
        self._is_draining = True
        if self._under_way:
            await asyncio.wait(list(self._under_way.values()), timeout=seconds)

    async def _work(self, claimed: Claimed, done: asyncio.Future[None]) -> None:
        try:
            async with self._slots:
                # It may have waited for its turn, and be another's by now: then that one does it.
                if self._clock.now() < claimed.lease.until:
                    await self._try(claimed)
        finally:
            del self._under_way[_key(claimed)]
            if not done.done():
                done.set_result(None)

    async def _try(self, claimed: Claimed) -> None:
        try:
            due = await self._do(claimed)
        except StoreUnavailable as error:
            self._tell(claimed, f"the database: {error}; it is tried again")
        except Exception as error:  # noqa: BLE001 - one piece's defect is not the others'
            self._tell(claimed, f"{describe_defect(error)}; it is tried again")
        else:
            if due is not None:
                self._look_soon.set()

    async def _look_around(self) -> None:
        while True:
            seconds = LOOK_SECONDS
            try:
                if not self._is_draining:
                    seconds = await self._claim()
            except StoreUnavailable as error:
                self._log.write(Service.CA, f"warning: no work can be claimed: {error}")
            await wait_for_event(self._look_soon, seconds)
            self._look_soon.clear()

    async def _claim(self) -> float:
        """Claim what is due, and give the seconds until more is."""
        room = min(self._bounds.at_once - len(self._under_way), MAX_CLAIMED)
        if room <= 0:
            return FULL_SECONDS
        now = self._clock.now()
        until = now + self._bounds.lease
        claimed = await self._store.claim_work(self._kind, self._bounds.owner, now, until, room)
        for each in claimed:
            self.begin(each)
        due = await self._store.find_next_due(self._kind)
        if due is None:
            return LOOK_SECONDS
        wait = (due - self._clock.now()).total_seconds()
        return min(max(wait, MIN_LOOK_SECONDS), LOOK_SECONDS)

    def _tell(self, claimed: Claimed, text: str) -> None:
        what = f"{claimed.work.kind} of {claimed.work.subject}"
        self._log.write(Service.CA, f"error: {what}: {text}")


def _key(claimed: Claimed) -> tuple[str, int]:
    return claimed.lease.subject, claimed.lease.number
