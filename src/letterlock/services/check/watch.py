"""Checks domains again and again, tells what changes, and goes on where it was after a restart.

All domains are looked at together, at an interval that is never quite the same; those at which
something changed are looked at again sooner, until it is known whether that lasts. What is to be
told is kept until it was taken, so it is told at least once.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from letterlock.base.clock import Clock, format_time
from letterlock.base.counts import format_count
from letterlock.base.errors import LocalError
from letterlock.services.check.telling import Teller, describe_change
from letterlock.services.check.watching import (
    FINDING_PARTS,
    Change,
    Rules,
    Watched,
    observe,
)

MAX_UNTOLD = 2000
"""Changes that wait to be told in one way; the oldest go."""
JITTER = 0.1
"""Part of the interval: many who watch the same hosts must not come at the same time."""
_SCHEDULE, _UNTOLD = "/schedule", "/untold"
"""Names of what is kept that are no domains."""

Look = Callable[[Sequence[str], Callable[[dict[str, Any]], None]], Awaitable[None]]


class Kept(Protocol):
    """Where it is kept, by name. `save` raises OSError."""

    def load(self, name: str) -> dict[str, Any] | None: ...
    def save(self, name: str, document: dict[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class WatchTools:
    """What it works with. `look` checks domains and hands on their documents as they come.

    `every` and `soon` are between two looks, in seconds; `draw` gives a number from the first of
    two to the second; `say` is told at once what changed at a domain, `note` what goes wrong here.
    """

    look: Look
    rules: Rules
    every: float
    soon: float
    tellers: Sequence[Teller]
    kept: Kept
    clock: Clock
    wait: Callable[[float], Awaitable[None]]
    draw: Callable[[float, float], float]
    say: Callable[[Sequence[Change]], None]
    note: Callable[[str], None]


class Watch:
    """Watches some domains, by their names."""

    def __init__(self, names: Sequence[str], tools: WatchTools) -> None:
        self._names = names
        self._tools = tools
        self._watched = {name: _take_watched(tools.kept.load(f"{name}")) for name in names}
        self._untold = _take_untold(tools.kept.load(_UNTOLD))
        self._next_whole = self._find_first()
        self._faults: set[str] = set()

    async def run(self) -> None:
        """Do it until cancelled."""
        while True:
            await self.look()
            await self._tools.wait(self.find_pause())

    def find_pause(self) -> float:
        """Say how long it is until the next look, in seconds."""
        left = max(0.0, self._next_whole - self._tools.clock.monotonic())
        is_busy = any(self._untold.values()) or bool(self._list_unsettled())
        return min(left, self._tools.soon) if is_busy else left

    async def look(self) -> None:
        """Look at what is due, and tell."""
        changes: list[Change] = []
        changed: set[str] = set()
        is_whole = self._tools.clock.monotonic() >= self._next_whole
        names = self._names if is_whole else self._list_unsettled()
        if is_whole:
            self._plan()

        def take(document: dict[str, Any]) -> None:
            name = document["domain"]
            time = format_time(self._tools.clock.now())
            self._watched[name], found = observe(
                self._watched[name], document, self._tools.rules, time
            )
            changes.extend(found)
            if found:
                self._tools.say(found)
                changed.add(name)
            else:
                self._save(name, msgspec.to_builtins(self._watched[name]))

        if names:
            try:
                await self._tools.look(names, take)
            except LocalError as error:
                self._note_once(f"it cannot be looked at now: {error}")
            else:
                self._faults.clear()
        self._keep(changes, changed)
        await self._tell()

    def _keep(self, changes: Sequence[Change], changed: set[str]) -> None:
        """Keep what is to be told before it counts as told."""
        if not changes:
            return
        for teller in self._tools.tellers:
            waiting = self._untold.setdefault(teller.name, [])
            waiting += changes
            if len(waiting) > MAX_UNTOLD:
                lost = format_count(len(waiting) - MAX_UNTOLD, "change is", "changes are")
                self._tools.note(f"{lost} never told: too many")
                del waiting[:-MAX_UNTOLD]
        self._save_untold()
        for name in changed:
            self._save(name, msgspec.to_builtins(self._watched[name]))

    async def _tell(self) -> None:
        for teller in self._tools.tellers:
            waiting = self._untold.get(teller.name)
            if not waiting:
                continue
            fault = await teller.tell(tuple(waiting), self._tools.clock.now())
            if fault is not None:
                count = format_count(len(waiting), "change waits", "changes wait")
                self._note_once(f"{count} to be told by {teller.name}: {fault}")
                continue
            self._untold[teller.name] = []
            self._save_untold()

    def _list_unsettled(self) -> list[str]:
        return [name for name in self._names if not self._watched[name].is_settled]

    def _plan(self) -> None:
        tools = self._tools
        seconds = tools.every * tools.draw(1 - JITTER, 1 + JITTER)
        self._next_whole = tools.clock.monotonic() + seconds
        moment = tools.clock.now() + timedelta(seconds=seconds)
        self._save(_SCHEDULE, {"next": format_time(moment)})

    def _find_first(self) -> float:
        """Go on with the plan of an earlier run, whatever was done to the clock since."""
        now = self._tools.clock.monotonic()
        planned = self._tools.kept.load(_SCHEDULE) or {}
        try:
            moment = datetime.fromisoformat(str(planned.get("next")))
            left = (moment - self._tools.clock.now()).total_seconds()
        except (ValueError, TypeError):
            return now
        return now + left if 0 < left <= self._tools.every * (1 + JITTER) else now

    def _save_untold(self) -> None:
        document: dict[str, Any] = {
            name: [describe_change(each) for each in changes]
            for name, changes in self._untold.items()
        }
        self._save(_UNTOLD, document)

    def _save(self, name: str, document: dict[str, Any]) -> None:
        try:
            self._tools.kept.save(name, document)
        except OSError as error:
            self._note_once(f"what is known is not kept for a restart: {error}")

    def _note_once(self, text: str) -> None:
        if text not in self._faults:
            self._faults.add(text)
            self._tools.note(text)


def _take_watched(document: Mapping[str, Any] | None) -> Watched:
    """Take what was kept; what another release wrote, and this one can't read, is not known."""
    try:
        watched = msgspec.convert(document, Watched)
    except msgspec.ValidationError:
        return Watched()
    has_all = all(each.keys() == set(FINDING_PARTS) for each in watched.findings or ())
    verdicts = all({"sender", "outcome", "reason"} == each.keys() for each in watched.verdicts)
    return watched if has_all and verdicts else Watched()


def _take_untold(document: Mapping[str, Any] | None) -> dict[str, list[Change]]:
    try:
        return msgspec.convert(document, dict[str, list[Change]])
    except msgspec.ValidationError:
        return {}
