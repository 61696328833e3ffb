"""The reports on TLS that we send, in PostgreSQL, which all nodes share."""

import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime, time

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
from letterlock.storage.postgres.connection import Connection
from letterlock.storage.postgres.node import NodeDatabase
from letterlock.storage.records import to_micros

_COLUMNS = ", ".join(COLUMNS)
_LISTED = _COLUMNS.replace("octets", "NULL")
_ADD = f"""
    INSERT INTO own_reports ({_COLUMNS})
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],
        $7::text[], $8::text[], $9::bytea[])
    ON CONFLICT (source, day, domain, record) DO NOTHING
"""  # noqa: S608 - constants
_ADD_DAY = """
    INSERT INTO own_report_days (source, day) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true
"""
_DAYS = "SELECT day FROM own_report_days WHERE source = $1 ORDER BY day"
# A lease that ends far beyond ours was given by a clock that went wrong.
_FREE = "due <= $1 AND (lease_until IS NULL OR lease_until <= $1 OR lease_until > $2)"
_FIND = f"""
    SELECT source, day FROM own_reports
    WHERE {_FREE} AND source = ANY ($3::text[]) ORDER BY due LIMIT 1 FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - constants
_CLAIM = f"""
    UPDATE own_reports SET lease = $3, lease_until = $4
    WHERE (source, day, domain, record) IN (
        SELECT source, day, domain, record FROM own_reports
        WHERE {_FREE} AND source = $5 AND day = $6
        ORDER BY due LIMIT $7 FOR UPDATE SKIP LOCKED)
    RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_SETTLE = """
    UPDATE own_reports SET due = new.due, note = new.note, deliveries = new.deliveries,
        octets = new.octets, lease = NULL, lease_until = NULL
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[],
            $7::text[], $8::bytea[], $9::text[])
        AS new (source, day, domain, record, due, note, deliveries, octets, lease)
    WHERE own_reports.source = new.source AND own_reports.day = new.day
        AND own_reports.domain = new.domain AND own_reports.record = new.record
        AND own_reports.lease = new.lease
    RETURNING true
"""
_HURRY = """
    UPDATE own_reports SET due = least(due, $1)
    WHERE source = $2 AND day = $3 AND due IS NOT NULL AND octets IS NULL RETURNING true
"""
_NOTE_FAILED = """
    INSERT INTO failed_mails (report_id, place, failed, reason) VALUES ($1, $2, $3, $4)
    ON CONFLICT (report_id, place) DO UPDATE SET failed = excluded.failed, reason = excluded.reason
"""
_LIST = f"""
    SELECT {_LISTED}, place, reason
    FROM own_reports LEFT JOIN failed_mails USING (report_id)
    WHERE source = $1 AND day = $2 ORDER BY domain, record, place
"""  # noqa: S608 - constants
_FORGET_FAILED = "DELETE FROM failed_mails WHERE failed < $1"
_FORGET_DAYS = "DELETE FROM own_report_days WHERE day < $1"
_FORGET = "DELETE FROM own_reports WHERE day < $1 RETURNING true"


class PostgresOwnReports:
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
        async def plan(connection: Connection) -> bool:
            if not await connection.fetch(_ADD_DAY, source, day.isoformat()):
                return False
            if reports:
                rows = zip(*map(make_report_row, reports), strict=True)
                await connection.execute(_ADD, *map(list, rows))
            return True

        return await self._database.run(plan)

    async def list_planned_days(self, source: str) -> list[date]:
        return [date.fromisoformat(row[0]) for row in await self._database.fetch(_DAYS, source)]

    async def claim(
        self, sources: Collection[str], now: datetime, until: datetime, *, limit: int
    ) -> list[ReportLease]:
        token = self._random_name()
        free = (to_micros(now), to_micros(until + (until - now)))

        async def claim(connection: Connection) -> list[ReportLease]:
            found = await connection.fetchrow(_FIND, *free, list(sources))
            if found is None:
                return []
            values = (*free, token, to_micros(until), *tuple(found), limit)
            rows = await connection.fetch(_CLAIM, *values)
            return [ReportLease(take_report_row(tuple(row)), token) for row in rows]

        return await self._database.run(claim)

    async def settle(self, worked: Sequence[tuple[ReportLease, OwnReport]]) -> int:
        if not worked:
            return 0
        rows = []
        for lease, report in worked:
            row = make_report_row(report)
            rows.append((*row[:4], *row[5:], lease.token))
        columns = map(list, zip(*rows, strict=True))
        return len(await self._database.fetch(_SETTLE, *columns))

    async def hurry(self, source: str, day: date, now: datetime) -> int:
        values = (to_micros(now), source, day.isoformat())
        return len(await self._database.fetch(_HURRY, *values))

    async def note_failed(self, mails: Sequence[FailedMail]) -> None:
        # In one order: two processes that note the same ones would wait for each other.
        rows = sorted(map(make_failed_row, mails))

        async def note(connection: Connection) -> None:
            for row in rows:
                await connection.execute(_NOTE_FAILED, *row)

        await self._database.run(note)

    async def list_reports(self, source: str, day: date) -> list[OwnReport]:
        rows = await self._database.fetch(_LIST, source, day.isoformat())
        return take_listed_rows(rows)

    async def forget(self, before: date) -> int:
        moment = datetime.combine(before, time(), UTC)
        await self._database.fetch(_FORGET_FAILED, to_micros(moment))
        await self._database.fetch(_FORGET_DAYS, before.isoformat())
        return len(await self._database.fetch(_FORGET, before.isoformat()))
