"""The reports on TLS that we send, in SQLite."""

import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime, time
from itertools import chain

import apsw

from letterlock.storage.own_reports import (
    COLUMNS,
    FailedMail,
    OwnReport,
    ReportLease,
    make_failed_row,
    make_report_row,
    take_listed_rows,
    take_report_row,
)
from letterlock.storage.records import to_micros
from letterlock.storage.sqlite.connection import fetch_row, fetch_rows
from letterlock.storage.sqlite.node import NodeDatabase

_COLUMNS = ", ".join(COLUMNS)
_LISTED = _COLUMNS.replace("octets", "NULL")
_ADD = f"""
    INSERT INTO own_reports ({_COLUMNS}) VALUES ({", ".join("?" for _ in COLUMNS)})
    ON CONFLICT (source, day, domain, record) DO NOTHING
"""  # noqa: S608 - constants
_ADD_DAY = """
    INSERT INTO own_report_days (source, day) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING 1
"""
_DAYS = "SELECT day FROM own_report_days WHERE source = ? ORDER BY day"
# A lease that ends far beyond ours was given by a clock that went wrong.
_FREE = "due <= ? AND (lease_until IS NULL OR lease_until <= ? OR lease_until > ?)"
_FIND = """
    SELECT source, day FROM own_reports
    WHERE {free} AND source IN ({sources}) ORDER BY due LIMIT 1
"""
_CLAIM = f"""
    UPDATE own_reports SET lease = ?, lease_until = ? WHERE rowid IN (
        SELECT rowid FROM own_reports
        WHERE {_FREE} AND source = ? AND day = ? ORDER BY due LIMIT ?)
    RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_SETTLE = """
    UPDATE own_reports SET due = ?, note = ?, deliveries = ?, octets = ?, lease = NULL,
        lease_until = NULL
    WHERE source = ? AND day = ? AND domain = ? AND record = ? AND lease = ?
"""
_HURRY = """
    UPDATE own_reports SET due = min(due, ?)
    WHERE source = ? AND day = ? AND due IS NOT NULL AND octets IS NULL
"""
_NOTE_FAILED = """
    INSERT INTO failed_mails (report_id, place, failed, reason) VALUES (?, ?, ?, ?)
    ON CONFLICT (report_id, place) DO UPDATE SET failed = excluded.failed, reason = excluded.reason
"""
_LIST = f"""
    SELECT {_LISTED}, place, reason
    FROM own_reports LEFT JOIN failed_mails USING (report_id)
    WHERE source = ? AND day = ? ORDER BY domain, record, place
"""  # noqa: S608 - constants


class SqliteOwnReports:
    """Fulfils `storage.own_reports.ReportStore`."""

    def __init__(
        self,
        database: NodeDatabase,
        *,
        random_name: Callable[[], str] = lambda: secrets.token_hex(12),
    ) -> None:
        self._database = database
        self._random_name = random_name

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    async def plan(self, source: str, day: date, reports: Sequence[OwnReport]) -> bool:
        def plan(connection: apsw.Connection) -> bool:
            if fetch_row(connection, _ADD_DAY, (source, day.isoformat())) is None:
                return False
            connection.executemany(_ADD, map(make_report_row, reports))
            return True

        return await self._database.run(plan)

    async def list_planned_days(self, source: str) -> list[date]:
        rows = await self._database.read(
            lambda connection: fetch_rows(connection, _DAYS, (source,))
        )
        return [date.fromisoformat(row[0]) for row in rows]

    async def claim(
        self, sources: Collection[str], now: datetime, until: datetime, *, limit: int
    ) -> list[ReportLease]:
        token = self._random_name()
        free = (to_micros(now), to_micros(now), to_micros(until + (until - now)))
        find = _FIND.format(free=_FREE, sources=", ".join("?" for _ in sources))

        def claim(connection: apsw.Connection) -> list[ReportLease]:
            found = fetch_row(connection, find, (*free, *sources))
            if found is None:
                return []
            values = (token, to_micros(until), *free, *found, limit)
            rows = fetch_rows(connection, _CLAIM, values)
            return [ReportLease(take_report_row(row), token) for row in rows]

        return await self._database.run(claim)

    async def settle(self, worked: Sequence[tuple[ReportLease, OwnReport]]) -> int:
        rows = [(*_values(report), lease.token) for lease, report in worked]

        def settle(connection: apsw.Connection) -> int:
            before = connection.total_changes()
            connection.executemany(_SETTLE, rows)
            return connection.total_changes() - before

        return await self._database.run(settle)

    async def hurry(self, source: str, day: date, now: datetime) -> int:
        return await self._change(_HURRY, to_micros(now), source, day.isoformat())

    async def note_failed(self, mails: Sequence[FailedMail]) -> None:
        rows = list(map(make_failed_row, mails))

        def note(connection: apsw.Connection) -> None:
            connection.executemany(_NOTE_FAILED, rows)

        await self._database.run(note)

    async def list_reports(self, source: str, day: date) -> list[OwnReport]:
        values = (source, day.isoformat())
        rows = await self._database.read(lambda connection: fetch_rows(connection, _LIST, values))
        return take_listed_rows(rows)

    async def forget(self, before: date) -> int:
        text = before.isoformat()
        moment = datetime.combine(before, time(), UTC)
        await self._change("DELETE FROM failed_mails WHERE failed < ?", to_micros(moment))
        await self._change("DELETE FROM own_report_days WHERE day < ?", text)
        return await self._change("DELETE FROM own_reports WHERE day < ?", text)

    async def _change(self, sql: str, *values: str | int) -> int:
        def change(connection: apsw.Connection) -> int:
            connection.execute(sql, values)
            return connection.changes()

        return await self._database.run(change)


def _values(report: OwnReport) -> tuple[str | int | bytes | None, ...]:
    """Give what changes of a report, and then its key."""
    row = make_report_row(report)
    return tuple(chain(row[5:], row[:4]))
