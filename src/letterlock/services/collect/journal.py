"""Counts that outlive the process: each batch is in the journal before it is in memory.

A batch that was appended is counted, once, whatever becomes of this process: what is kept is what
the whole of a day and the batches behind it add up to, and a batch is in one of both. One that
could not be appended is not counted, and whoever has it may try again.
"""

from collections.abc import Callable, Iterator
from datetime import date
from itertools import islice

import msgspec
from msgspec import Struct

from letterlock.protocols.tlsrpt.datagram import DatagramError, parse_datagram
from letterlock.protocols.tlsrpt.results import DomainResults
from letterlock.protocols.tlsrpt.sessions import Session
from letterlock.services.collect.aggregate import USUAL_LIMITS, DayCounts, DayLimits, PolicyRow
from letterlock.storage.day_files import DamagedCounts, DayFiles, StoredDay

JOURNAL_OCTETS = 16 * 1024 * 1024
"""A journal as long as this, and no shorter than the whole, is added up into a new whole."""
DATAGRAMS_AT_A_TIME = 64
"""So many are worked on between two pauses: what takes datagrams in needs the interpreter too."""
_ROWS_OF_RECORD = 200


class Batch(Struct, array_like=True):
    """What came together: datagrams that can be counted, each with how often it came."""

    datagrams: dict[bytes, int]
    refused: int = 0
    dropped: int = 0


class _Whole(Struct, array_like=True):
    """A part of what a day adds up to; `sessions` and the others stand in its first one."""

    rows: list[PolicyRow]
    sessions: int = 0
    refused: int = 0
    dropped: int = 0
    beyond: int = 0


_ENCODER = msgspec.msgpack.Encoder()
_BATCH = msgspec.msgpack.Decoder(Batch)
_WHOLE = msgspec.msgpack.Decoder(_Whole)


class Journal:
    """The day that is counted now. Raises OSError and DamagedCounts where files are touched."""

    def __init__(
        self,
        files: DayFiles,
        day: date,
        limits: DayLimits = USUAL_LIMITS,
        journal_octets: int = JOURNAL_OCTETS,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin, or go on with, a day. `pause` is called while much is written, now and then."""
        stored, self._journal = files.open_day(day)
        self.day = day
        self.torn = stored.torn
        """Octets at its end that were cut off: a record that a kill or power cut has torn."""
        self.counts = add_up(stored, limits)
        self._journal_octets = journal_octets
        self._whole_octets = sum(map(len, stored.whole))
        self._pause = pause

    def count(self, batch: Batch, parse: Callable[[bytes], Session] = parse_datagram) -> None:
        """Count a batch. Raises OSError, and then nothing of it is counted.

        `parse` does what `parse_datagram` does.
        """
        self._journal.append(_ENCODER.encode(batch))
        for _ in _apply(self.counts, batch, parse):
            self._pause()

    @property
    def is_long(self) -> bool:
        """Say whether it is time to `add_up`."""
        return self._journal.octets >= max(self._journal_octets, self._whole_octets)

    def add_up(self) -> None:
        """Put what there is into a new whole, with a new journal. Raises OSError."""
        self._whole_octets = 0
        self._journal.replace(self._make_whole())

    def sync(self) -> None:
        """Have what is counted survive a power cut. Raises OSError."""
        self._journal.sync()

    def close(self) -> None:
        self._journal.close()

    def _make_whole(self) -> Iterator[bytes]:
        counts, rows = self.counts, self.counts.list_rows()
        facts = (counts.sessions, counts.refused, counts.dropped, counts.beyond)
        record = _ENCODER.encode(_Whole(list(islice(rows, _ROWS_OF_RECORD)), *facts))
        while record:
            self._whole_octets += len(record)
            yield record
            self._pause()
            part = list(islice(rows, _ROWS_OF_RECORD))
            record = _ENCODER.encode(_Whole(part)) if part else b""


def load_day(files: DayFiles, day: date) -> DayCounts:
    """Give what is counted of a day. Raises OSError, DamagedCounts."""
    return add_up(files.load(day))


def list_finished_days(files: DayFiles, today: date) -> list[date]:
    """Give the days before today that are not forgotten, the oldest first. Raises OSError."""
    return [day for day in files.list_days() if day < today]


def list_finished(files: DayFiles, today: date) -> Iterator[tuple[date, DomainResults]]:
    """Give what is to be reported: of each day that is over, each domain and record of it.

    One day is in memory at a time. `DayFiles.remove` forgets a day that was reported. Raises
    OSError, DamagedCounts.
    """
    for day in list_finished_days(files, today):
        for results in load_day(files, day).list_results():
            yield day, results


def add_up(stored: StoredDay, limits: DayLimits = USUAL_LIMITS) -> DayCounts:
    """Give what records come to. Raises DamagedCounts."""
    counts = DayCounts(limits)
    try:
        for record in stored.whole:
            whole = _WHOLE.decode(record)
            counts.sessions += whole.sessions
            counts.refused += whole.refused
            counts.dropped += whole.dropped
            counts.beyond += whole.beyond
            for row in whole.rows:
                counts.add_row(row)
        for record in stored.journal:
            for _ in _apply(counts, _BATCH.decode(record)):
                pass
    except msgspec.MsgspecError as error:
        # The checksum held: another release wrote it.
        raise DamagedCounts(f"counts in a form that is not known here: {error}") from error
    return counts


def _apply(
    counts: DayCounts, batch: Batch, parse: Callable[[bytes], Session] = parse_datagram
) -> Iterator[None]:
    """Add a batch; each value that comes says that some time went by."""
    counts.refused += batch.refused
    counts.dropped += batch.dropped
    for number, (octets, count) in enumerate(batch.datagrams.items(), 1):
        try:
            counts.add(parse(octets), count)
        except DatagramError:
            # Another release took it.
            counts.refused += count
        if not number % DATAGRAMS_AT_A_TIME:
            yield
