"""The reports on TLS that we send, as they are kept: whom they are about, and how far each is.

RFC 8460 §4.1, §5.5 (tried again for 24 hours). In the node's database, which all processes of a
node share, or all nodes: `storage.sqlite.own_reports`, `storage.postgres.own_reports`;
`tests/storage` runs one suite on both. Work on a report is claimed with a lease, so that one
process does it. What goes into one, and when it is tried again, is `services.report`'s.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from letterlock.storage.records import from_micros, from_optional_micros, to_micros, to_text

COLUMNS = ("source", "day", "domain", "record", "report_id", "due", "note", "deliveries", "octets")
"""The columns of an OwnReport, as `make_report_row` and `take_report_row` have them."""


class DeliveryState(StrEnum):
    """How it stands with a report at one of its destinations."""

    WAITING = "waiting"
    SENT = "sent"
    """The server took it, or it went into the queue as mail."""
    FAILED = "failed"
    """It was given up; as mail also when it was in the queue already."""


class ReportDelivery(Struct, frozen=True):
    """A report at one destination. `first`: the first try; `due`: the next one, while it waits."""

    uri: str
    state: DeliveryState = DeliveryState.WAITING
    tries: int = 0
    first: datetime | None = None
    due: datetime | None = None
    note: str = ""


class ReportKey(Struct, frozen=True):
    """Which report. `record` is "" where whose report it is has its record looked up."""

    source: str
    day: date
    domain: str
    record: str = ""


class OwnReport(Struct, frozen=True):
    """One report. `due` is None when nothing more is to be done about it.

    `octets` are the JSON, from the first try on until it is over; `note` says why nothing
    is sent. Until it is composed there are no deliveries.
    """

    key: ReportKey
    report_id: str
    due: datetime | None
    note: str = ""
    deliveries: tuple[ReportDelivery, ...] = ()
    octets: bytes | None = None


class FailedMail(Struct, frozen=True):
    """Mail with a report that was in the queue, and that nobody took in the end.

    `place`: which of the report's deliveries it was for.
    """

    report_id: str
    place: int
    failed: datetime
    reason: str


class ReportLease(Struct, frozen=True):
    """The right to work on a report."""

    report: OwnReport
    token: str


class ReportStore(Protocol):
    """Each method is one transaction. What the database refuses is StoreUnavailable."""

    async def open(self) -> None:
        """Make or bring forward the tables. Raises LocalError when the operator must act."""

    async def close(self) -> None: ...

    async def plan(self, source: str, day: date, reports: Sequence[OwnReport]) -> bool:
        """Keep what is to be reported of a day, once: False where that was done before."""

    async def list_planned_days(self, source: str) -> list[date]:
        """List the days of a source that were planned, the oldest first."""

    async def claim(
        self, sources: Collection[str], now: datetime, until: datetime, *, limit: int
    ) -> list[ReportLease]:
        """Take reports of these sources that are due, and that nobody works on, the oldest first.

        All of one day and source.
        """

    async def settle(self, worked: Sequence[tuple[ReportLease, OwnReport]]) -> int:
        """Keep what reports came to, and end their leases; gives how many were ours still."""

    async def hurry(self, source: str, day: date, now: datetime) -> int:
        """Make due what was never tried; gives how many there are."""

    async def note_failed(self, mails: Sequence[FailedMail]) -> None:
        """Keep that mails failed, also before the report that they carry is settled as sent.

        `list_reports` tells it; of the same delivery the last reason stays.
        """

    async def list_reports(self, source: str, day: date) -> list[OwnReport]:
        """List the reports on a day, without their octets, in the order of the domains."""

    async def forget(self, before: date) -> int:
        """Remove the reports on days before a day; gives how many."""


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(tuple[ReportDelivery, ...])


def make_report_row(report: OwnReport) -> tuple[str | int | bytes | None, ...]:
    """Give the values of COLUMNS. The first four are the key."""
    key = report.key
    return (
        key.source,
        key.day.isoformat(),
        to_text(key.domain),
        to_text(key.record),
        report.report_id,
        None if report.due is None else to_micros(report.due),
        to_text(report.note),
        to_text(_ENCODER.encode(report.deliveries).decode()),
        report.octets,
    )


def take_report_row(row: Sequence[Any]) -> OwnReport:
    """Take the values of COLUMNS."""
    source, day, domain, record, report_id, due, note, deliveries, octets = row
    return OwnReport(
        ReportKey(source, date.fromisoformat(day), domain, record),
        report_id,
        from_optional_micros(due),
        note,
        _DECODER.decode(deliveries),
        octets,
    )


def make_failed_row(mail: FailedMail) -> tuple[str, int, int, str]:
    """Give report_id, place, moment and reason."""
    return (to_text(mail.report_id), mail.place, to_micros(mail.failed), to_text(mail.reason))


def take_listed_rows(rows: Iterable[Sequence[Any]]) -> list[OwnReport]:
    """Take the values of COLUMNS, then place and reason of a mail that failed, or None and None.

    One row for each that failed, and those of a report behind each other.
    """
    listed: list[OwnReport] = []
    for row in rows:
        *columns, place, reason = row
        report = take_report_row(columns)
        if listed and listed[-1].key == report.key:
            report = listed.pop()
        listed.append(report if place is None else _mark_failed(report, place, reason))
    return listed


def _mark_failed(report: OwnReport, place: int, reason: str) -> OwnReport:
    """Say of a delivery that its mail failed; one that is not known as sent stays as it is."""
    deliveries = list(report.deliveries)
    if place < len(deliveries) and deliveries[place].state is DeliveryState.SENT:
        deliveries[place] = replace(deliveries[place], state=DeliveryState.FAILED, note=reason)
    return replace(report, deliveries=tuple(deliveries))


def find_due(deliveries: Sequence[ReportDelivery]) -> datetime | None:
    """Say when a report is to be worked on again; None: all its deliveries are over."""
    waiting = [each for each in deliveries if each.state is DeliveryState.WAITING]
    moments = [each.due for each in waiting if each.due is not None]
    if waiting and len(moments) < len(waiting):
        return from_micros(0)
    return min(moments, default=None)
