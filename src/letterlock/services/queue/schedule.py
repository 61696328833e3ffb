"""When a recipient is tried again, warned about, and given up.

RFC 5321 §4.5.4.1: gaps of at least 30 minutes after the first tries, 4 to 5 days in all. The gap
doubles from `retry_min` to `retry_max`, with jitter, so that what failed together does not come
back together.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Schedule:
    """The queue's times."""

    lifetime: timedelta = timedelta(days=5)
    bounce_lifetime: timedelta = timedelta(days=5)
    delay_notice: timedelta = timedelta(hours=4)
    retry_min: timedelta = timedelta(minutes=5)
    retry_max: timedelta = timedelta(seconds=4000)

    def expires(self, received: datetime, sender: str) -> datetime:
        """Give when a message received now is given up; bounces have a lifetime of their own."""
        return received + (self.lifetime if sender else self.bounce_lifetime)

    def next_attempt(
        self, attempts: int, now: datetime, expires: datetime, jitter: float
    ) -> datetime | None:
        """Give when to try again after `attempts` tries; None: the lifetime is over.

        `jitter` in 0..1 makes the gap up to a quarter shorter. The last try is made at the end of
        the lifetime, not a gap before it.
        """
        if now >= expires:
            return None
        doublings = min(max(attempts - 1, 0), 30)
        gap = min(self.retry_min * (1 << doublings), self.retry_max) * (1 - jitter / 4)
        return min(now + gap, expires)

    def is_delay_notice_due(self, received: datetime, now: datetime, *, is_sent: bool) -> bool:
        """Say if the sender is to be told that the message still waits; 0 switches it off."""
        return bool(self.delay_notice) and not is_sent and now - received >= self.delay_notice
