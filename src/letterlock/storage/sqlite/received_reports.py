"""The reports on TLS that others send, in SQLite."""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime
from itertools import groupby
from typing import Any

import apsw
from msgspec import Struct

from letterlock.storage.received_reports import (
    LISTED_COLUMNS,
    REPORT_COLUMNS,
    RESULT_COLUMNS,
    Arrival,
    DomainCount,
    KeptResult,
    ListedReport,
    ReceivedReport,
    Row,
    Way,
    find_posted,
    make_report_row,
    make_result_rows,
    take_arrival_row,
    take_domain_row,
    take_listed_row,
    take_result_row,
    unpack_octets,
)
from letterlock.storage.records import to_micros
from letterlock.storage.sqlite.connection import Value, fetch_rows, fetch_value
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.transaction import execute_rows

# None of them gives a row for each: whoever fetches one lets go of the interpreter's lock, and must
# win it back from the event loop.
_ADD = f"""
    INSERT INTO received_reports (id, {", ".join(REPORT_COLUMNS)}) VALUES {{rows}}
"""  # noqa: S608 - constants
_ADD_RESULTS = f"""
    INSERT INTO received_results ({", ".join(RESULT_COLUMNS)}) VALUES {{rows}}
"""  # noqa: S608 - constants
_LAST = "SELECT max(id) FROM received_reports"
_FIND = "SELECT fingerprint FROM received_reports WHERE fingerprint IN (VALUES {rows})"
_COUNT_COPY = "UPDATE received_reports SET copies = copies + 1 WHERE fingerprint = ?"
_REPLACE = "DELETE FROM received_reports WHERE fingerprint IN (VALUES {rows}) RETURNING id"
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

PREPARED_AT_ONCE_OCTETS = 256 * 1024
"""Reports that are no longer together are packed in a few milliseconds."""


class SqliteReceived:
    """Fulfils `storage.received_reports.ReceivedStore`."""

    def __init__(self, database: NodeDatabase) -> None:
        self._database = database

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    async def keep(self, reports: Sequence[ReceivedReport]) -> list[bool]:
        # Hashing and packing are no work for a transaction, nor, where it is much, for the event
        # loop. Little takes less long than it takes to have a thread do it.
        is_much = sum([len(each.octets) for each in reports]) > PREPARED_AT_ONCE_OCTETS
        new = await asyncio.to_thread(_prepare, reports) if is_much else _prepare(reports)

        def keep(connection: apsw.Connection) -> list[bool]:
            # Of what was posted and what was not, one may be the other: in the order they came.
            return [
                is_new
                for is_posted, run in groupby(new, lambda each: each.report.way is Way.HTTPS)
                for is_new in (_keep_posted if is_posted else _keep_proved)(connection, list(run))
            ]

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


class _New(Struct, frozen=True):
    """A report with its row. `proved` is the fingerprint that it would have, were it not posted."""

    report: ReceivedReport
    row: Row
    proved: bytes | None


def _prepare(reports: Sequence[ReceivedReport]) -> list[_New]:
    return [_New(each, *make_report_row(each)) for each in reports]


def _keep_posted(connection: apsw.Connection, run: Sequence[_New]) -> list[bool]:
    """Keep what was posted and is not there proved; few statements, however many they are."""
    proved = [(each.proved,) for each in run]
    found = _find(connection, proved)
    if not found:
        return _add(connection, run)
    connection.executemany(_COUNT_COPY, [key for key in proved if key[0] in found])
    are_new = iter(_add(connection, [each for each in run if each.proved not in found]))
    return [each.proved not in found and next(are_new) for each in run]


def _keep_proved(connection: apsw.Connection, run: Sequence[_New]) -> list[bool]:
    """Keep what was not posted, and remove the same reports where they were only posted."""
    are_new = _add(connection, run)
    pairs = zip(run, are_new, strict=True)
    posted = [(key,) for each, is_new in pairs if is_new for key in _list_replaced(each)]
    connection.executemany(_REMOVE_RESULTS, execute_rows(connection, _REPLACE, posted))
    return are_new


def _add(connection: apsw.Connection, run: Sequence[_New]) -> list[bool]:
    """Keep reports; of those that are there, or twice in the run, copies are counted."""
    there = _find(connection, [(each.row[0],) for each in run])
    number = fetch_value(connection, _LAST) or 0
    are_new, rows, results, copies = [], list[Row](), list[Row](), list[Row]()
    for each in run:
        fingerprint = each.row[0]
        are_new.append(fingerprint not in there)
        if fingerprint in there:
            copies.append((fingerprint,))
            continue
        there.add(fingerprint)
        number += 1
        rows.append((number, *each.row))
        results += make_result_rows(number, each.report)
    execute_rows(connection, _ADD, rows)
    execute_rows(connection, _ADD_RESULTS, results)
    connection.executemany(_COUNT_COPY, copies)
    return are_new


def _find(connection: apsw.Connection, keys: Sequence[Row]) -> set[Value]:
    """Give which fingerprints are there."""
    return {fingerprint for (fingerprint,) in execute_rows(connection, _FIND, keys)}


def _list_replaced(new: _New) -> list[bytes]:
    """List the fingerprints of the same report where it was only posted."""
    fingerprint = new.row[0]
    posted = find_posted(new.report, fingerprint) if isinstance(fingerprint, bytes) else None
    return [] if posted is None else [posted]
