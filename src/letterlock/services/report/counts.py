"""Where counts of TLS sessions come from, as who reports them sees it."""

from datetime import date
from typing import Protocol

from letterlock.services.collect.aggregate import DayCounts


class CountSource(Protocol):
    """Counts of one kind. What cannot be read now raises StoreUnavailable."""

    @property
    def name(self) -> str:
        """Names it among all that share a database of reports, for good."""

    async def list_days(self) -> list[date]:
        """List the days of which something is kept, the oldest first."""

    async def load_day(self, day: date) -> DayCounts:
        """Give what is counted of a day; no more is, once it is over."""
