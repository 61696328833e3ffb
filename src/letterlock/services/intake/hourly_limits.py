"""So much an hour, for each of many: a bucket that fills again all the time."""

import math
from dataclasses import dataclass

from letterlock.base.clock import Clock

MAX_KEYS = 10_000
"""Known at a time; who was not seen for longest is forgotten first."""
_HOUR = 3600.0


@dataclass(slots=True)
class _Bucket:
    left: float
    seen: float


class HourlyLimit:
    """Lets each have so much at once, and as much again within an hour."""

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = most
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def find_wait(self, key: str) -> int:
        """Say in how many seconds there will be one for somebody; 0: there is one."""
        left = self._fill(key).left
        if left >= 1:
            return 0
        seconds = (1 - left) * _HOUR / self._most
        return math.ceil(round(seconds, 3))

    def take(self, key: str, count: int = 1) -> None:
        """Take some; more than there are left have to be waited for."""
        self._fill(key).left -= count

    def take_found(self, key: str) -> None:
        """Take one that `find_wait` has just found."""
        self._buckets[key].left -= 1

    def _fill(self, key: str) -> _Bucket:
        now = self._clock.monotonic()
        bucket = self._buckets.pop(key, None)
        if bucket is None:
            bucket = _Bucket(self._most, now)
            if len(self._buckets) >= MAX_KEYS:
                del self._buckets[next(iter(self._buckets))]
        bucket.left = min(self._most, bucket.left + (now - bucket.seen) * self._most / _HOUR)
        bucket.seen = now
        self._buckets[key] = bucket
        return bucket
