"""Looks again and again at what is wrong, decides what is told of it, and tells it.

What is decided is kept before it is told, so a restart neither repeats nor forgets. Of several
processes that look, whoever keeps first has decided; what it does not tell, another one does.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from letterlock.base.clock import Clock
from letterlock.base.errors import describe_defect
from letterlock.base.log import Log, Service, make_value
from letterlock.services.alert.conditions import Found
from letterlock.services.alert.deciding import decide
from letterlock.services.alert.looking import Finder
from letterlock.services.alert.telling import Teller
from letterlock.services.alert.wording import MAX_TOLD
from letterlock.storage.alerts import AlertState, AlertStore, Notice, Told
from letterlock.storage.queue import StoreUnavailable

HOLD = timedelta(minutes=15)
"""For so long a notice is the matter of the process that took it up."""
GIVEN_UP_AFTER = timedelta(days=3)
MAX_NOTICES = 100
"""That wait to be told; the oldest go."""
_TRIES = 10
"""To keep a change while others change the same."""


@dataclass(frozen=True, slots=True)
class AlertTools:
    """What alerts are found, kept and told with. `make_id` names a notice."""

    node: str
    store: AlertStore
    finder: Finder
    tellers: Sequence[Teller]
    clock: Clock
    log: Log
    silence: timedelta
    every: timedelta
    make_id: Callable[[], str]


class Alerting:
    """Finds, decides and tells."""

    def __init__(self, tools: AlertTools) -> None:
        self._tools = tools
        self._tellers = {each.name: each for each in tools.tellers}
        self._fault = ""
        self.problem: str | None = None
        """Why alerts wait, on one line; None: nothing keeps them."""

    async def run(self) -> None:
        """Work until cancelled; a store that is away is tried again."""
        while True:
            await self.look_around()
            await asyncio.sleep(self._tools.every.total_seconds())

    async def look_around(self) -> None:
        """Look once, decide, and tell what is to be told."""
        try:
            await self._decide(await self._tools.finder.find())
            await self._tell_all()
        except StoreUnavailable as error:
            self._note_fault(f"alerts cannot be looked for now: {error}")
        except Exception as error:  # noqa: BLE001 - alerts are not to take mail with them
            self._note_fault(describe_defect(error))
        else:
            self._fault = ""

    async def _decide(self, found: Found) -> None:
        tools, now = self._tools, self._tools.clock.now()
        told: tuple[Told, ...] = ()

        def change(state: AlertState) -> AlertState:
            nonlocal told
            alerts, told = decide(state.alerts, found, tools.node, tools.silence, now)
            notices = state.notices
            if told:
                new = Notice(tools.make_id(), now, told, tuple(self._tellers))
                notices = (*notices, new)[-MAX_NOTICES:]
            return AlertState(alerts, notices)

        await self._change(change)
        for each in told[:MAX_TOLD]:
            self._write(_describe(each))

    async def _tell_all(self) -> None:
        problem = None
        for notice in (await self._tools.store.load()).state.notices:
            if (reason := await self._tell(notice.id)) is not None:
                problem = f"TLS alerts wait: {reason}"
        self.problem = problem

    async def _tell(self, number: str) -> str | None:
        """Tell a notice by the ways that are left, if nobody else is at it; gives why it waits."""
        notice = await self._take_up(number)
        if notice is None:
            return None
        left: list[str] = []
        reason = ""
        for way in notice.ways:
            if (why := await self._try(way, notice)) is not None:
                left, reason = [*left, way], why
        if left and self._tools.clock.now() >= notice.made + GIVEN_UP_AFTER:
            self._write(f"warning: alerts of {notice.made:%Y-%m-%d} are given up: {reason}")
            left = []
        elif reason != notice.reason and left:
            self._write(f"warning: alerts cannot be told now: {reason}")
        rest = replace(notice, ways=tuple(left), held=None, reason=reason) if left else None
        await self._change(lambda state: _put(state, number, rest))
        return reason if left else None

    async def _try(self, way: str, notice: Notice) -> str | None:
        """Tell by one way; one that is not set up any more is over."""
        teller = self._tellers.get(way)
        if teller is None:
            return None
        try:
            return await teller.tell(notice)
        except StoreUnavailable as error:
            return f"the queue cannot be used now: {error}"

    async def _take_up(self, number: str) -> Notice | None:
        taken: Notice | None = None
        now = self._tools.clock.now()

        def change(state: AlertState) -> AlertState:
            nonlocal taken
            found = [each for each in state.notices if each.id == number]
            taken = None
            if not found or _is_held(found[0], now):
                return state
            taken = replace(found[0], held=now + HOLD)
            return _put(state, number, taken)

        await self._change(change)
        return taken

    async def _change(self, change: Callable[[AlertState], AlertState]) -> None:
        """Change what is kept; somebody who was faster is read again. Raises StoreUnavailable."""
        store = self._tools.store
        for _ in range(_TRIES):
            kept = await store.load()
            state = change(kept.state)
            if state == kept.state or await store.save(kept.version, state):
                return
        raise StoreUnavailable("alerts are changed by others all the time")

    def _note_fault(self, fault: str) -> None:
        if fault != self._fault:
            self._write(f"warning: {fault}")
        self._fault = fault

    def _write(self, text: str) -> None:
        self._tools.log.write(Service.TLSRPT, text)


def _describe(told: Told) -> str:
    """Give a line for the log; of words of others nothing can pass for a part of it."""
    key = told.key
    where = "".join(f"{make_value(each)}: " for each in (key.domain, key.node) if each)
    note = f" ({make_value(told.note)})" if told.note else ""
    return f"alert {told.turn}: {key.rule}: {where}{make_value(key.subject)}{note}"


def _is_held(notice: Notice, now: datetime) -> bool:
    """Say if another process is at it; a moment far ahead comes from a clock that was wrong."""
    return notice.held is not None and now < notice.held <= now + HOLD


def _put(state: AlertState, number: str, notice: Notice | None) -> AlertState:
    """Put a notice in its place; None: it is told."""
    notices = [
        notice if each.id == number else each
        for each in state.notices
        if each.id != number or notice is not None
    ]
    return AlertState(state.alerts, tuple(each for each in notices if each is not None))
