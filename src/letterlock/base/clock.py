"""The clock, as something that is passed in: the only module that reads the time."""

import time
from datetime import UTC, datetime
from functools import partial
from typing import Protocol


class Clock(Protocol):
    """What time it is. Tests pass one that stands still until it is moved."""

    def now(self) -> datetime:
        """Give the wall-clock time in UTC."""

    def monotonic(self) -> float:
        """Give seconds since some moment; never goes back."""


class SystemClock:
    """The machine's clock."""

    # Themselves, not methods around them: they are asked several times for each command.
    now = staticmethod(partial(datetime.now, UTC))
    monotonic = staticmethod(time.monotonic)


def format_time(moment: datetime) -> str:
    """Format a time as RFC 3339 in UTC with Z, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
