"""How much one destination may have of us: claims at once, and messages a minute.

Pure bookkeeping, with the time as an argument. What is saturated is left out of the next claim, so
that a slow or dead destination holds its own mail only. One that could not be reached has no more
claimed before those at work there are done: deferring a hundred thousand messages one by one must
not use up what others need.
"""

from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

RATE_WINDOW_SECONDS = 60.0
MAX_UNREACHED = 10_000
"""Destinations known to be out of reach; of more the oldest are forgotten."""


@dataclass(slots=True)
class Destinations:
    """One worker's deliveries under way. `max_rate` in messages a minute, 0 for none.

    `ahead`: so many claims more than `max_at_once` may be in hands at a destination, and wait there
    for their turn: a claim of twenty costs the store little more than a claim of one.
    """

    max_at_once: int
    max_rate: int = 0
    ahead: int = 0
    _at_once: Counter[str] = field(default_factory=Counter)
    _waiting: dict[str, deque[Callable[[], None]]] = field(default_factory=dict)
    _starts: dict[str, deque[float]] = field(default_factory=dict)
    _unreached: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.max_rate:
            # What waits would begin at once when another ends, whatever the rate.
            self.ahead = 0

    def begin(self, destination: str, start: Callable[[], None], now: float) -> None:
        """Call `start` to begin work on a claim: now, or when there is room for it."""
        if self._at_once[destination] >= self.max_at_once:
            self._waiting.setdefault(destination, deque()).append(start)
            return
        self._at_once[destination] += 1
        if self.max_rate:
            self._starts.setdefault(destination, deque()).append(now)
        start()

    def end(self, destination: str) -> None:
        """Note that work on a claim ended; the next one that waits begins in its place."""
        waiting = self._waiting.get(destination)
        if waiting:
            start = waiting.popleft()
            if not waiting:
                del self._waiting[destination]
            start()
            return
        self._at_once[destination] -= 1
        if not self._at_once[destination]:
            del self._at_once[destination]

    def note_reached(self, destination: str, *, is_reached: bool) -> None:
        """Note whether a host of the destination could be reached just now."""
        self._unreached.pop(destination, None)
        if not is_reached:
            self._unreached[destination] = None
            if len(self._unreached) > MAX_UNREACHED:
                del self._unreached[next(iter(self._unreached))]

    def saturated(self, now: float) -> list[str]:
        """Give the destinations that may get nothing more now."""
        full = [name for name in self._at_once if self._is_full(name)]
        return [*full, *self._over_rate(now)] if self.max_rate else full

    def has_free(self, destinations: Collection[str], now: float) -> bool:
        """Say if one of these may get more now."""
        if self.max_rate and (over := set(self._over_rate(now))):
            destinations = [each for each in destinations if each not in over]
        # A loop and no any(): asked several times for each message.
        for each in destinations:  # noqa: SIM110 - see above
            if not self._is_full(each):
                return True
        return False

    def room(self, now: float) -> int:
        """Give how many claims can be made at once, even if all are for one destination.

        At least 1: what is saturated is left out of the claim.
        """
        most = self.max_at_once + self.ahead
        left = [most - count for name, count in self._at_once.items() if not self._is_full(name)]
        if self.max_rate:
            self._forget_starts(now)
            left += [self.max_rate - len(starts) for starts in self._starts.values()]
            most = min(most, self.max_rate)
        return min([most, *(item for item in left if item > 0)])

    def _is_full(self, name: str) -> bool:
        """Say if no more is to be claimed: some waits, or would, or nobody could be reached."""
        count = self._at_once.get(name, 0)
        if not count:
            return False
        is_busy = count >= self.max_at_once and not self.ahead
        return is_busy or name in self._waiting or name in self._unreached

    def next_free(self, now: float) -> float | None:
        """Give the seconds until a destination falls below its rate; None: none is over it."""
        waits = [
            starts[0] + RATE_WINDOW_SECONDS - now
            for starts in self._starts.values()
            if len(starts) >= self.max_rate
        ]
        return max(0.0, min(waits)) if self.max_rate and waits else None

    def _over_rate(self, now: float) -> list[str]:
        self._forget_starts(now)
        return [name for name, starts in self._starts.items() if len(starts) >= self.max_rate]

    def _forget_starts(self, now: float) -> None:
        for name, starts in tuple(self._starts.items()):
            while starts and starts[0] <= now - RATE_WINDOW_SECONDS:
                starts.popleft()
            if not starts:
                del self._starts[name]
