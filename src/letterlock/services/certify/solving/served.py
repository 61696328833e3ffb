"""Waiting until a record is at every authoritative server of its zone.

RFC 8555 §8.4 leaves it to us when TXT records are to be looked at; RFC 7671 §8.1 wants TLSA records
published before a key is used. Changing them is `changing`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.network.zone_records import normalize_value
from letterlock.services.discover.authorities import (
    AuthorityFinder,
    NotFound,
    Published,
    View,
)

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(seconds=10)
MAX_SHOWN_SERVERS = 5

Pause = Callable[[float], Awaitable[None]]
"""Waits for seconds: asyncio.sleep, or a fake's."""


class ServedRecords:
    """Looks at all servers of a zone, until `timeout` if need be."""

    def __init__(
        self,
        finder: AuthorityFinder,
        clock: Clock,
        timeout: timedelta,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._finder = finder
        self._clock = clock
        self._timeout = timeout
        self._pause = pause

    async def wait_until_served(self, name: Domain, rdtype: str, value: str) -> str | None:
        """Wait until every server has a record; `value` is as `ZoneRecord` has it.

        A text says in one line which servers had it not when time was over. Raises ValueError for
        a value that the type can't have.
        """
        wanted = normalize_value(rdtype, value)
        found = await self._finder.find(name)
        if isinstance(found, NotFound):
            return found.reason
        deadline = self._clock.monotonic() + self._timeout.total_seconds()
        missing, wait = found.servers, FIRST_PAUSE
        while True:
            # A server that had it once is not asked again.
            views = _lacking(await self._finder.ask(missing, name, rdtype), wanted)
            if not views:
                return None
            seconds = wait.total_seconds()
            if self._clock.monotonic() + seconds > deadline:
                return f"{rdtype} of {name}: {_explain(views)} (waited {self._timeout})"
            await self._pause(seconds)
            missing = tuple(view.server for view in views)
            wait = min(wait * 2, LONGEST_PAUSE)


def _lacking(published: Published, wanted: str) -> list[View]:
    return [view for view in published.views if wanted not in view.values]


def _explain(views: list[View]) -> str:
    lines = [f"{view.server}: {view.fault or 'the record is not there'}" for view in views]
    shown = "; ".join(lines[:MAX_SHOWN_SERVERS])
    more = len(lines) - MAX_SHOWN_SERVERS
    return shown + (f"; and {more} more" if more > 0 else "")
