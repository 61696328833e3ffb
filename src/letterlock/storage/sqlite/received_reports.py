"""The reports on TLS that others send, in SQLite."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import apsw

from letterlock.storage.received_reports import (
    LISTED_COLUMNS,
    REPORT_COLUMNS,
    RESULT_COLUMNS,
    Arrival,
    DomainCount,
    KeptResult,
    ListedReport,
    ReceivedReport,
    find_posted,
    find_proved,
    make_report_row,
    make_result_rows,
    take_arrival_row,
    take_domain_row,
    take_listed_row,
    take_result_row,
    unpack_octets,
)
from letterlock.storage.records import to_micros
from letterlock.storage.sqlite.connection import Value, fetch_rows
from letterlock.storage.sqlite.node import NodeDatabase

_ADD = f"""
    INSERT INTO received_reports ({", ".join(REPORT_COLUMNS)})
    VALUES ({", ".join("?" for _ in REPORT_COLUMNS)})
    ON CONFLICT (fingerprint) DO UPDATE SET copies = copies + 1
    RETURNING id, copies
"""  # noqa: S608 - constants
_ADD_RESULT = f"""
    INSERT INTO received_results ({", ".join(RESULT_COLUMNS)})
    VALUES ({", ".join("?" for _ in RESULT_COLUMNS)})
"""  # noqa: S608 - constants
_COUNT_COPY = "UPDATE received_reports SET copies = copies + 1 WHERE fingerprint = ? RETURNING id"
_REPLACE = "DELETE FROM received_reports WHERE fingerprint = ? RETURNING id"
_REMOVE_RESULTS = "DELETE FROM received_results WHERE report = ?"
_LIST = f"""
    SELECT {", ".join(LISTED_COLUMNS)} FROM received_reports
    WHERE day >= ?1 AND (?2 IS NULL OR id < ?2) AND (?3 IS NULL OR id IN (
        SELECT report FROM received_results WHERE domain = ?3 AND day >= ?1))
    ORDER BY id DESC LIMIT ?4
"""  # noqa: S608 - constants
_OCTETS = "SELECT octets FROM received_reports WHERE id = ?"
_UNPROVED = f"""
    SELECT {", ".join(LISTED_COLUMNS)} FROM received_reports
    WHERE standing <> 'counted' AND received >= ? ORDER BY received DESC, id DESC LIMIT ?
"""  # noqa: S608 - constants
_RESULTS = """
    SELECT result.day, submitter, type, successful, failed, policy, failures
    FROM received_results AS result JOIN received_reports AS report ON report.id = result.report
    WHERE domain = ? AND result.day >= ? AND result.day < ? AND standing = 'counted'
        AND (failures IS NOT NULL OR failed > 0 OR NOT ?)
    ORDER BY result.day, submitter, report.id, place
"""
_ARRIVALS = """
    SELECT submitter, result.day, min(received)
    FROM received_results AS result JOIN received_reports AS report ON report.id = result.report
    WHERE domain = ? AND result.day >= ? AND standing = 'counted'
    GROUP BY submitter, result.day ORDER BY submitter, result.day
"""
_DOMAINS = """
    SELECT domain, count(DISTINCT report), count(DISTINCT submitter), min(result.day),
        max(result.day)
    FROM received_results AS result JOIN received_reports AS report ON report.id = result.report
    WHERE result.day >= ? AND standing = 'counted' AND domain <> ''
    GROUP BY domain ORDER BY domain
"""
_FORGET_RESULTS = "DELETE FROM received_results WHERE report IN (SELECT id {})"
_FORGET = "FROM received_reports WHERE day < ? OR (standing <> 'counted' AND received < ?)"


class SqliteReceived:
    """Fulfils `storage.received_reports.ReceivedStore`."""

    def __init__(self, database: NodeDatabase) -> None:
        self._database = database

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    async def keep(self, reports: Sequence[ReceivedReport]) -> list[bool]:
        # Hashing and packing are no work for a transaction.
        rows = [(make_report_row(each), find_proved(each)) for each in reports]

        def keep(connection: apsw.Connection) -> list[bool]:
            are_new = []
            for (row, proved), report in zip(rows, reports, strict=True):
                if proved is not None and fetch_rows(connection, _COUNT_COPY, (proved,)):
                    are_new.append(False)
                    continue
                ((number, copies),) = fetch_rows(connection, _ADD, row)
                if not copies:
                    connection.executemany(_ADD_RESULT, make_result_rows(number, report))
                    _replace_posted(connection, report, row[0])
                are_new.append(not copies)
            return are_new

        return await self._database.run(keep)

    async def list_reports(
        self, *, domain: str | None, since: date, limit: int, below: int | None = None
    ) -> list[ListedReport]:
        rows = await self._read(_LIST, since.isoformat(), below, domain, limit)
        return [take_listed_row(row) for row in rows]

    async def load_octets(self, number: int) -> bytes | None:
        rows = await self._read(_OCTETS, number)
        return unpack_octets(rows[0][0]) if rows else None

    async def list_unproved(self, since: datetime, *, limit: int) -> list[ListedReport]:
        rows = await self._read(_UNPROVED, to_micros(since), limit)
        return [take_listed_row(row) for row in rows]

    async def list_results(
        self, domain: str, since: date, until: date, *, only_failing: bool = False
    ) -> list[KeptResult]:
        values = (domain, since.isoformat(), until.isoformat(), only_failing)
        return [take_result_row(row) for row in await self._read(_RESULTS, *values)]

    async def list_arrivals(self, domain: str, since: date) -> list[Arrival]:
        rows = await self._read(_ARRIVALS, domain, since.isoformat())
        return [take_arrival_row(row) for row in rows]

    async def list_domains(self, since: date) -> list[DomainCount]:
        return [take_domain_row(row) for row in await self._read(_DOMAINS, since.isoformat())]

    async def forget(self, before: date, unproved_before: datetime) -> int:
        values = (before.isoformat(), to_micros(unproved_before))

        def forget(connection: apsw.Connection) -> int:
            # Not by the foreign key: SQLite looks at those only where a connection asks for it.
            connection.execute(_FORGET_RESULTS.format(_FORGET), values)
            connection.execute(f"DELETE {_FORGET}", values)
            return connection.changes()

        return await self._database.run(forget)

    async def _read(self, sql: str, *values: Value) -> list[tuple[Any, ...]]:
        return await self._database.read(lambda connection: fetch_rows(connection, sql, values))


def _replace_posted(
    connection: apsw.Connection, report: ReceivedReport, fingerprint: Value
) -> None:
    """Remove the same report where it was only posted."""
    posted = find_posted(report, fingerprint) if isinstance(fingerprint, bytes) else None
    if posted is not None:
        for (number,) in fetch_rows(connection, _REPLACE, (posted,)):
            connection.execute(_REMOVE_RESULTS, (number,))
