"""Several filters, one behind the other: each sees what the one before left of a message.

What one of them refuses ends it for all. RFC 5321 §4.5.3.2.6: how long they may take.
"""

import asyncio
from collections.abc import Callable, Sequence

from msgspec import Struct

from letterlock.services.filter.contract import (
    Discarded,
    FilterClient,
    FilterMail,
    Passed,
    Refused,
)
from letterlock.services.filter.link import PASSED, ChainedFilter, Judged, Link
from letterlock.services.filter.message import WholeMessage

MAX_JUDGING_SECONDS = 540.0
"""For all filters of one message together, whatever each of them may take. A client waits for ten
minutes; one that got no reply sends the message again, and what was stored then comes twice."""


class Told(Struct, frozen=True):
    """What was said of a sender or recipient, and by which filter, if one was against it."""

    answer: Passed | Refused
    by: str = ""


class FilterChain:
    """The filters of a process. `warn` takes lines for the log."""

    def __init__(
        self,
        filters: Sequence[ChainedFilter],
        warn: Callable[[str], None],
        seconds: float = MAX_JUDGING_SECONDS,
    ) -> None:
        self._filters = filters
        self._seconds = seconds
        self.warn = warn
        self.failures: dict[str, str] = {}
        """Those that failed when they were asked last, by name, with why."""

    def begin(self, client: FilterClient) -> "ChainSession | None":
        """Begin a session; None: no filter wants its mail."""
        links = [
            Link(each, client, self) for each in self._filters if client.source in each.sources
        ]
        return ChainSession(links, self._seconds) if links else None

    def note(self, name: str, failure: str | None) -> None:
        """Take how a filter is."""
        if failure is not None:
            self.failures[name] = failure
            self.warn(f"warning: {name}: {failure}")
        elif self.failures:
            self.failures.pop(name, None)


class ChainSession:
    """One session's way through all filters that want its mail."""

    def __init__(self, links: Sequence[Link], seconds: float) -> None:
        """Let a message take so many seconds."""
        self._links = links
        self._seconds = seconds
        self._discarded: tuple[Discarded, str] | None = None

    async def begin(self, mail: FilterMail) -> Told:
        """Begin a transaction; one that is refused has ended."""
        self._discarded = None
        for link in self._links:
            told = self._note(link, await link.begin(mail))
            if told is not None:
                self.abort()
                return told
        return Told(PASSED)

    async def take_recipient(self, address: str, parameters: tuple[str, ...] = ()) -> Told:
        """Take a recipient. What a filter says against it concerns this one only."""
        for link in self._links:
            told = self._note(link, await link.take_recipient(address, parameters))
            if told is not None:
                return told
        return Told(PASSED)

    async def judge(self, message: WholeMessage) -> Judged:
        """Judge the whole message; the transaction ends."""
        hold, by = None, ""
        until = asyncio.get_running_loop().time() + self._seconds
        for number, link in enumerate(self._links):
            if self._discarded is not None:
                break
            judged = await link.judge(message, until)
            if not isinstance(judged.answer, Passed):
                for other in self._links[number + 1 :]:
                    other.abort()
                return judged
            message = judged.message
            if hold is None and judged.hold is not None:
                hold, by = judged.hold, judged.by
        if self._discarded is not None:
            self.abort()
            answer, by = self._discarded
            return Judged(answer, message, by=by)
        return Judged(PASSED, message, hold, by)

    def abort(self) -> None:
        """End the transaction, if there is one, without a message."""
        for link in self._links:
            link.abort()

    def close(self) -> None:
        """End the session."""
        for link in self._links:
            link.close()

    def _note(self, link: Link, answer: Passed | Refused | Discarded) -> Told | None:
        """Keep what is about the whole message; None: go on with the next filter."""
        if isinstance(answer, Refused):
            return Told(answer, link.name)
        if isinstance(answer, Discarded) and self._discarded is None:
            self._discarded = answer, link.name
        return None
