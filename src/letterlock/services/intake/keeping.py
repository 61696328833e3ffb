"""What a file or mail with reports comes to: the reports that are kept, and what cannot be read.

RFC 8460 §4.4, §5. Whose report it is decides what is the same report: the domain of its contact,
which is also what signs its mails; or its organization's name, where it tells no contact.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from letterlock.base.clock import Clock
from letterlock.base.domains import DomainError, parse_domain
from letterlock.protocols.tlsrpt.finding import read_file
from letterlock.protocols.tlsrpt.report import Fault, ReadReport, Report, ReportError
from letterlock.storage.received_reports import ReceivedReport, ReceivedStore, Standing, Way

BATCH_REPORTS = 200
BATCH_OCTETS = 8 * 1024 * 1024
"""Reports are kept together, one commit for so many or for so much."""
MAX_SUBMITTER_CHARACTERS = 255
KEEP_UNPROVED = timedelta(days=30)
"""From when they came: anybody can send any number of them."""
AHEAD = timedelta(days=1)
"""A sender's clock, and where it lives, may be ahead of ours."""


def find_submitter(report: Report) -> str:
    """Say whose report it is, by what it says itself; "" where it does not."""
    _, at, domain = (report.contact_info or "").rpartition("@")
    if not at:
        return _shorten(report.organization_name or "")
    try:
        # In A-labels, as in the signature of its mails: else one sender would be two.
        return parse_domain(domain.strip())
    except DomainError:
        return _shorten(domain)


def find_date_fault(day: date, now: datetime) -> str | None:
    """Say why what is about a day is not kept: it would count for years, and never be old."""
    if day <= (now + AHEAD).date():
        return None
    return f"it is about {day.isoformat()}, a day that has not come"


def _shorten(name: str) -> str:
    return name.strip().rstrip(".").lower()[:MAX_SUBMITTER_CHARACTERS]


@dataclass(slots=True)
class ImportCounts:
    """What an import came to so far. `refused` are lines, each with the file's name."""

    files: int = 0
    new: int = 0
    copies: int = 0
    without: int = 0
    """Files and mails that have no report, by that name."""
    old: int = 0
    """Reports on days that are over for longer than reports are kept."""
    refused: list[tuple[str, str]] = field(default_factory=list)


class Importing:
    """Keeps the reports of files that the operator vouches for: all of them count."""

    def __init__(self, store: ReceivedStore, clock: Clock, keep: timedelta) -> None:
        """Import those on days that are not over for longer than `keep`."""
        self.counts = ImportCounts()
        self._store = store
        self._clock = clock
        self._keep = keep
        self._waiting: list[ReceivedReport] = []
        self._octets = 0

    async def add(self, name: str, octets: bytes) -> None:
        """Read one file or mail, and keep what is in it, soon. Raises StoreUnavailable."""
        self.counts.files += 1
        for found in read_file(octets):
            if isinstance(found, ReportError):
                self._refuse(name, found)
            else:
                self._add(name, self._make(found))
        if len(self._waiting) >= BATCH_REPORTS or self._octets >= BATCH_OCTETS:
            await self.flush()

    async def flush(self) -> None:
        """Keep what waits. Raises StoreUnavailable."""
        waiting, self._waiting, self._octets = self._waiting, [], 0
        if waiting:
            are_new = await self._store.keep(waiting)
            self.counts.new += sum(are_new)
            self.counts.copies += len(are_new) - sum(are_new)

    def _add(self, name: str, report: ReceivedReport) -> None:
        fault = find_date_fault(report.day, self._clock.now())
        if fault is not None:
            self.counts.refused.append((name, fault))
            return
        if report.day < (self._clock.now() - self._keep).date():
            self.counts.old += 1
            return
        self._waiting.append(report)
        self._octets += len(report.octets)

    def _make(self, read: ReadReport) -> ReceivedReport:
        return ReceivedReport(
            *(self._clock.now(), Way.IMPORT, Standing.COUNTED, find_submitter(read.report)),
            *(read.report, read.raw, read.repairs),
        )

    def _refuse(self, name: str, error: ReportError) -> None:
        if error.fault is Fault.NO_REPORT:
            self.counts.without += 1
        else:
            self.counts.refused.append((name, str(error)))


@asynccontextmanager
async def importing(
    store: ReceivedStore, clock: Clock, keep: timedelta
) -> AsyncIterator[Importing]:
    """Open the store and import; what waits at the end is kept. Raises StoreUnavailable.

    What is there already, on days before `keep`, is forgotten.
    """
    await store.open()
    try:
        work = Importing(store, clock, keep)
        yield work
        await work.flush()
        now = clock.now()
        await store.forget((now - keep).date(), now - KEEP_UNPROVED)
    finally:
        await store.close()
