"""What waits for the next commit, kept on the event loop's side of the writer thread.

One commit is at work at a time; what comes meanwhile goes into the next. While much comes, commits
are also kept apart: a batch costs its pages, its sync and the turns at the interpreter's lock once,
so that a few milliseconds more for each message halve what all of them cost.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

MAX_BATCH = 256
"""Operations in one commit: bounds how long the first of them waits for the last."""
PACE_SECONDS = 0.006
"""From one commit's begin to the next one's, while there is something to gather."""
_MIN_GATHERED = 1.2
"""Who is alone is not kept waiting: batches must have been so large lately, on average."""
_MEMORY = 8
"""Of about so many batches."""

T = TypeVar("T")


class Gathering(Generic[T]):
    """Hands over what it is given, in order, in batches. To be used from the loop's thread."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, hand_over: Callable[[list[T]], None]
    ) -> None:
        self._loop = loop
        self._hand_over = hand_over
        self._waiting: list[T] = []
        self._is_at_work = False
        self._began = float("-inf")
        self._timer: asyncio.Handle | None = None
        self._usual_size = 1.0

    def add(self, item: T) -> None:
        """Have something done in the next batch."""
        self._waiting.append(item)
        if not self._is_at_work and self._timer is None:
            self._go_on()

    def note_done(self) -> None:
        """Say that the batch handed over last is done."""
        self._is_at_work = False
        if self._waiting and self._timer is None:
            self._go_on()

    def _go_on(self) -> None:
        """Hand over what waits, now or when it is time."""
        seconds = 0.0
        if self._usual_size > _MIN_GATHERED and len(self._waiting) < MAX_BATCH:
            seconds = self._began + PACE_SECONDS - self._loop.time()
        if seconds > 0:
            self._timer = self._loop.call_later(seconds, self._begin)
        else:
            # Not at once: others of this turn of the loop may follow.
            self._timer = self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._timer = None
        batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        self._usual_size += (len(batch) - self._usual_size) / _MEMORY
        self._began = self._loop.time()
        self._is_at_work = True
        self._hand_over(batch)

    def finish(self) -> None:
        """Hand over all that waits: nothing more will come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            self._begin()
