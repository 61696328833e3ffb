"""Takes what a Postfix tells of its sessions, and counts it: batch by batch, day by day.

RFC 8460 §4.1, §4.2. A session belongs to the day (UTC) in which it is taken up. Not told apart
here: what the kernel had no room for never comes; the one who sent it knows (`datagram_receiver`).
"""

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.counts import format_count
from letterlock.base.log import Log, Service
from letterlock.network.datagram_receiver import Received
from letterlock.protocols.tlsrpt.datagram import DatagramError, parse_datagram
from letterlock.protocols.tlsrpt.sessions import Session
from letterlock.services.collect.journal import (
    DATAGRAMS_AT_A_TIME,
    Batch,
    Journal,
    list_finished_days,
)
from letterlock.storage.day_files import DayFiles
from letterlock.storage.durable import describe

SYNC_SECONDS = 1.0
"""How much a power cut can take, beside what a kill can."""
COMPLAINT_SECONDS = 60.0
"""Between two lines about the same trouble."""
WAITING_OCTETS = 64 * 1024 * 1024
"""Of datagrams that wait because the journal cannot be written."""
_KNOWN_DATAGRAMS = 20_000
_KNOWN_OCTETS = 32 * 1024 * 1024


class Source(Protocol):
    """Where datagrams come from."""

    def take(self) -> Received:
        """Give what came, and forget it."""


class Collector:
    """Counts what comes from a source. One thread uses it."""

    def __init__(
        self,
        files: DayFiles,
        clock: Clock,
        log: Log,
        keep: timedelta,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        """Count into files that are locked. Raises OSError, DamagedCounts.

        `pause` lets other threads go on for a moment.
        """
        self._files = files
        self._clock = clock
        self._log = log
        self._keep = keep
        self._pause = pause
        self._known = _KnownDatagrams()
        self._waiting = Batch({})
        self._parsed: dict[bytes, Session] = {}
        self._waiting_octets = 0
        self._complaints: dict[str, tuple[float, int]] = {}
        self._is_faulty = False
        self._synced_at = clock.monotonic()
        self._journal = self._open(clock.now().date())
        self._forget_days()

    @property
    def journal(self) -> Journal:
        return self._journal

    def work(self, source: Source) -> None:
        """Count what came since the last time. Never raises for what came, or for a full disk."""
        self._take(source.take())
        try:
            self._write()
        except OSError as error:
            self._tell_fault(error)
        else:
            self._tell_end_of_fault()

    def close(self) -> None:
        """Have all that is counted survive a power cut. Raises OSError."""
        self._journal.sync()
        self._journal.close()

    def _write(self) -> None:
        if self._waiting.datagrams or self._waiting.refused or self._waiting.dropped:
            self._journal.count(self._waiting, self._parsed.__getitem__)
            self._waiting, self._parsed, self._waiting_octets = Batch({}), {}, 0
        today = self._clock.now().date()
        if today != self._journal.day:
            self._turn_over(today)
        if self._journal.is_long:
            self._journal.add_up()
        if (now := self._clock.monotonic()) - self._synced_at >= SYNC_SECONDS:
            self._journal.sync()
            self._synced_at = now

    def _take(self, received: Received) -> None:
        waiting = self._waiting
        waiting.refused += received.too_large
        waiting.dropped += received.dropped
        if received.too_large:
            self._complain("refused", received.too_large, "a datagram is too large")
        if received.dropped:
            self._complain("dropped", received.dropped, "they came faster than they are counted")
        for number, (octets, count) in enumerate(Counter(received.datagrams).items(), 1):
            self._take_one(octets, count)
            if not number % DATAGRAMS_AT_A_TIME:
                self._pause()

    def _take_one(self, octets: bytes, count: int) -> None:
        waiting = self._waiting
        try:
            parsed = self._known.parse(octets)
        except DatagramError as error:
            waiting.refused += count
            self._complain("refused", count, str(error))
            return
        if octets not in waiting.datagrams:
            if self._waiting_octets + len(octets) > WAITING_OCTETS:
                waiting.dropped += count
                self._complain("dropped", count, "the journal cannot be written")
                return
            self._waiting_octets += len(octets)
            self._parsed[octets] = parsed
        waiting.datagrams[octets] = waiting.datagrams.get(octets, 0) + count

    def _turn_over(self, today: date) -> None:
        """Begin another day. Raises OSError, and then the old one goes on for now."""
        following = self._open(today)
        before, self._journal = self._journal, following
        counts = before.counts
        self._log.write(
            Service.TLSRPT,
            f"{before.day.isoformat()} is over: {format_count(counts.sessions, 'session')}, "
            f"{format_count(len(counts.list_domains()), 'domain')}, {counts.refused} refused, "
            f"{counts.dropped} dropped, {counts.beyond} beyond the limits",
            day=before.day.isoformat(),
            sessions=counts.sessions,
        )
        try:
            before.sync()
        finally:
            before.close()
        self._forget_days()

    def _open(self, day: date) -> Journal:
        journal = Journal(self._files, day, pause=self._pause)
        if journal.torn:
            self._log.write(
                Service.TLSRPT,
                f"warning: {journal.torn} octets at the end of {day.isoformat()}'s journal were "
                "no whole record and are left out",
            )
        return journal

    def _forget_days(self) -> None:
        today = self._clock.now().date()
        for day in list_finished_days(self._files, today - self._keep):
            self._files.remove(day)
            self._log.write(Service.TLSRPT, f"{day.isoformat()} is forgotten: older than `keep`")

    def _complain(self, what: str, count: int, why: str) -> None:
        """Log that something is not counted: at once, and then once a minute with how many."""
        now = self._clock.monotonic()
        told_at, untold = self._complaints.get(what, (now - COMPLAINT_SECONDS, 0))
        untold += count
        if now - told_at >= COMPLAINT_SECONDS:
            self._log.write(Service.TLSRPT, f"warning: datagrams {what}: {untold}, lastly: {why}")
            told_at, untold = now, 0
        self._complaints[what] = told_at, untold

    def _tell_fault(self, error: OSError) -> None:
        if not self._is_faulty:
            self._is_faulty = True
            self._log.write(
                Service.TLSRPT,
                f"error: {self._files.folder}: the journal cannot be written, what comes waits in "
                f"memory: {describe(error)}",
            )

    def _tell_end_of_fault(self) -> None:
        if self._is_faulty:
            self._is_faulty = False
            self._log.write(Service.TLSRPT, "the journal is written again")


class _KnownDatagrams:
    """Parses; what came before is known: most sessions differ from another one in nothing."""

    def __init__(self) -> None:
        self._known: dict[bytes, Session] = {}
        self._octets = 0

    def parse(self, octets: bytes) -> Session:
        """Do what `parse_datagram` does."""
        known = self._known.get(octets)
        if known is None:
            known = parse_datagram(octets)
            if len(self._known) >= _KNOWN_DATAGRAMS or self._octets >= _KNOWN_OCTETS:
                self._known.clear()
                self._octets = 0
            self._known[octets] = known
            self._octets += len(octets)
        return known
