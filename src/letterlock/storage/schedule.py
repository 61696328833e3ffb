"""What is asked of an engine's claim, as its modules pass it on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from letterlock.base.config.sections import QueueSection

DEFAULT_HORIZON = timedelta(days=30)
"""Longer than any message lives (see `storage.queue.QueueStore`)."""

CHANGED_AT_ONCE = 250
"""Messages that hold, release, retry, delete and forgetting change in one commit."""


@dataclass(frozen=True, slots=True)
class ClaimOrder:
    """One claim. Times past `horizon` were written by a wrong clock: they are due."""

    now: datetime
    horizon: datetime
    limit: int
    lease: str
    lease_until: datetime
    saturated: Sequence[str]
    is_clock_set_back: bool = False


def find_horizon(section: QueueSection) -> timedelta:
    """Give a time longer than any message lives: what lies further ahead had a wrong clock."""
    return 2 * max(section.lifetime, section.bounce_lifetime)
