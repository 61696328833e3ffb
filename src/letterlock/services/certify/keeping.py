"""Keeps all our certificates: finds what is due, and has it done, a few at a time.

Every node looks; which of them does the work is the store's lease to say (`tending`). What is
looked for is the settings' names and nothing else: no client can have a certificate ordered.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from letterlock.base.log import Service
from letterlock.base.waiting import wait_for_event
from letterlock.protocols.acme.renewal import choose_authority, decide_renewal, find_asking
from letterlock.services.certify.key_ages import KeyAges
from letterlock.services.certify.tending import NOTHING_MORE, Wish, tend
from letterlock.services.certify.tools import Tools
from letterlock.storage.certificates import CertificateId, CertificateState, CertificateStore
from letterlock.storage.queue import StoreUnavailable

ROUND_SECONDS = 30.0
"""Between two looks at all of them: other nodes and commands change them too."""
AT_A_TIME = 4
"""Orders of one node: authorities limit how many come in a short time."""
DEFECT_WAIT = timedelta(hours=1)
"""After a defect: it may have come when an order was placed already, and those are limited."""
_PAGE = 1000


class Keeping:
    """Keeps the wanted certificates until cancelled.

    Each key is changed when it was in use for `roll_over_every`; zero: not on schedule. `tell_done`
    is called after work on one.
    """

    def __init__(
        self,
        tools: Tools,
        wanted: Sequence[CertificateId],
        roll_over_every: timedelta = timedelta(0),
        tell_done: Callable[[], None] = lambda: None,
    ) -> None:
        self._tools = tools
        self._wanted = tuple(wanted)
        self._roll_over_every = roll_over_every
        self._tell_done = tell_done
        self._ages = KeyAges(tools.issued)
        self._under_way: dict[CertificateId, asyncio.Task[None]] = {}
        self._defects: dict[CertificateId, datetime] = {}
        self._slots = asyncio.Semaphore(AT_A_TIME)
        self._look = asyncio.Event()
        self._is_draining = False
        self._fault = ""

    def look(self) -> None:
        """Look at all of them soon."""
        self._look.set()

    def drain(self) -> None:
        """Begin nothing new; `run` returns when what was begun has ended."""
        self._is_draining = True
        self._look.set()

    async def run(self) -> None:
        """Keep them until cancelled or drained."""
        async with asyncio.TaskGroup() as tasks:
            while not self._is_draining:
                self._look.clear()
                for which, wish in await self._find_due():
                    self._begin(which, wish, tasks)
                await wait_for_event(self._look, ROUND_SECONDS)

    async def _find_due(self) -> list[tuple[CertificateId, Wish]]:
        due: list[tuple[CertificateId, Wish]] = []
        try:
            states = await list_states(self._tools.store)
            now = self._tools.clock.now()
            for which in self._wanted:
                state = states.get(which, CertificateState(which))
                if which in self._under_way or now < self._defects.get(which, now):
                    continue
                rollover = self._tools.waits.correct(which, state.rollover)
                if state.facts is not None and await self._is_key_old(state, now):
                    due.append((which, Wish(roll_over=True, key=state.facts.spki_sha256)))
                elif rollover != state.rollover or self._find_time(state, now) <= now:
                    due.append((which, NOTHING_MORE))
        except StoreUnavailable as error:
            self._tell_fault(f"certificates cannot be looked at: {error}")
            return []
        self._tell_fault("")
        return due

    async def _is_key_old(self, state: CertificateState, now: datetime) -> bool:
        if not self._roll_over_every or state.rollover is not None:
            return False
        since = await self._ages.find_since(state)
        return since is not None and now - since >= self._roll_over_every

    def _find_time(self, state: CertificateState, now: datetime) -> datetime:
        tools = self._tools
        return find_next_time(state, tools.directories, tools.takeover_after, now)

    def _begin(self, which: CertificateId, wish: Wish, tasks: asyncio.TaskGroup) -> None:
        task = tasks.create_task(self._tend(which, wish))
        self._under_way[which] = task
        task.add_done_callback(lambda _: self._under_way.pop(which, None))

    async def _tend(self, which: CertificateId, wish: Wish) -> None:
        async with self._slots:
            if self._is_draining:
                return  # it waited for its turn until now: nothing was begun
            try:
                await tend(self._tools, which, wish)
                self._tell_done()
            except StoreUnavailable as error:
                self._tell_fault(f"certificates cannot be kept: {error}")
            except Exception as error:  # noqa: BLE001 - one certificate's defect is not the others'
                self._defects[which] = self._tools.clock.now() + DEFECT_WAIT
                # Without its text: that may quote what was to be kept, keys too.
                text = f"a defect of letterlock, {type(error).__name__}; next try in an hour"
                self._tools.log.write(Service.CERTIFICATES, f"error: {which}: {text}")

    def _tell_fault(self, fault: str) -> None:
        if fault and fault != self._fault:
            self._tools.log.write(Service.CERTIFICATES, f"warning: {fault}")
        self._fault = fault


def find_next_time(
    state: CertificateState, directories: Sequence[str], takeover_after: int, now: datetime
) -> datetime:
    """Say when a certificate needs something next."""
    times: list[datetime] = []
    if state.rollover is not None:
        times.append(state.rollover.ready or now)
    if state.facts is not None:
        asking = find_asking(state.facts, state.plan, now)
        if asking is not None:
            times.append(asking)
    if state.facts is not None or state.rollover is None:
        renewal = decide_renewal(state.facts, state.plan, now, revoked=state.revoked)
        allowed = choose_authority(directories, state.troubles, now, takeover_after).at
        times.append(max(renewal.at, allowed))
    return min(times)


async def list_states(store: CertificateStore) -> dict[CertificateId, CertificateState]:
    """List all that is kept, page by page."""
    states: dict[CertificateId, CertificateState] = {}
    after: CertificateId | None = None
    while page := await store.list_states(limit=_PAGE, after=after):
        states |= {state.id: state for state in page}
        after = page[-1].id
        if len(page) < _PAGE:
            break
    return states
