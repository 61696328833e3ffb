"""The reports on TLS that others send, in PostgreSQL, which all nodes share."""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime

from letterlock.storage.postgres.connection import Connection
from letterlock.storage.postgres.node import NodeDatabase
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

_ADD = f"""
    INSERT INTO received_reports ({", ".join(REPORT_COLUMNS)})
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT (fingerprint) DO UPDATE SET copies = received_reports.copies + 1
    RETURNING id, copies
"""  # noqa: S608 - constants
# In one order, whoever takes them. What others committed before they let go is seen from then on.
_TAKE_TURNS = """
    SELECT pg_advisory_xact_lock(turn)
    FROM (SELECT DISTINCT unnest($1::bigint[]) AS turn ORDER BY turn) AS turns
"""
_COUNT_COPY = """
    UPDATE received_reports SET copies = copies + 1 WHERE fingerprint = $1 RETURNING true
"""
_REPLACE = "DELETE FROM received_reports WHERE fingerprint = ANY($1::bytea[]) RETURNING id"
_ADD_RESULTS = f"""
    INSERT INTO received_results ({", ".join(RESULT_COLUMNS)})
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[],
        $6::bigint[], $7::bigint[], $8::text[], $9::text[])
"""  # noqa: S608 - constants
_LIST = f"""
    SELECT {", ".join(LISTED_COLUMNS)} FROM received_reports
    WHERE day >= $1 AND ($2::bigint IS NULL OR id < $2) AND ($3::text IS NULL OR id IN (
        SELECT report FROM received_results WHERE domain = $3 AND day >= $1))
    ORDER BY id DESC LIMIT $4
"""  # noqa: S608 - constants
_OCTETS = "SELECT octets FROM received_reports WHERE id = $1"
_UNPROVED = f"""
    SELECT {", ".join(LISTED_COLUMNS)} FROM received_reports
    WHERE standing <> 'counted' AND received >= $1 ORDER BY received DESC, id DESC LIMIT $2
"""  # noqa: S608 - constants
_RESULTS = """
    SELECT result.day, submitter, type, successful, failed, policy, failures
    FROM received_results AS result JOIN received_reports AS report ON report.id = result.report
    WHERE domain = $1 AND result.day >= $2 AND result.day < $3 AND standing = 'counted'
        AND (failures IS NOT NULL OR failed > 0 OR NOT $4)
    ORDER BY result.day, submitter, report.id, place
"""
_ARRIVALS = """
    SELECT submitter, result.day, min(received)
    FROM received_results AS result JOIN received_reports AS report ON report.id = result.report
    WHERE domain = $1 AND result.day >= $2 AND standing = 'counted'
    GROUP BY submitter, result.day ORDER BY submitter, result.day
"""
_DOMAINS = """
    SELECT domain, count(DISTINCT report), count(DISTINCT submitter), min(result.day),
        max(result.day)
    FROM received_results AS result JOIN received_reports AS report ON report.id = result.report
    WHERE result.day >= $1 AND standing = 'counted' AND domain <> ''
    GROUP BY domain ORDER BY domain
"""
_FORGET = """
    DELETE FROM received_reports
    WHERE day < $1 OR (standing <> 'counted' AND received < $2) RETURNING true
"""


class PostgresReceived:
    """Fulfils `storage.received_reports.ReceivedStore`."""

    def __init__(self, database: NodeDatabase) -> None:
        self._database = database

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    async def keep(self, reports: Sequence[ReceivedReport]) -> list[bool]:
        # Hashing and packing are no work for a transaction, nor for the event loop.
        rows, proved = await asyncio.to_thread(_prepare, reports)
        # Of one that is posted and the same one proved, neither has the other's fingerprint.
        turns = [_find_turn(key or row[0]) for row, key in zip(rows, proved, strict=True)]
        # In one order, whoever keeps: two that keep the same reports would wait for each other.
        order = sorted(range(len(rows)), key=lambda place: str(rows[place][0]))

        async def keep(connection: Connection) -> list[bool]:
            await connection.execute(_TAKE_TURNS, turns)
            are_new = [False] * len(rows)
            results: list[Row] = []
            replaced: list[bytes] = []
            for place in order:
                key = proved[place]
                if key is not None and await connection.fetchval(_COUNT_COPY, key):
                    continue
                number, copies = await connection.fetchrow(_ADD, *rows[place])
                are_new[place] = not copies
                if not copies:
                    results += make_result_rows(number, reports[place])
                    replaced += _list_replaced(reports[place], rows[place])
            if replaced:
                gone = {number for (number,) in await connection.fetch(_REPLACE, replaced)}
                results = [row for row in results if row[0] not in gone]
            if results:
                await connection.execute(_ADD_RESULTS, *map(list, zip(*results, strict=True)))
            return are_new

        return await self._database.run(keep)

    async def list_reports(
        self, *, domain: str | None, since: date, limit: int, below: int | None = None
    ) -> list[ListedReport]:
        rows = await self._database.fetch(_LIST, since.isoformat(), below, domain, limit)
        return [take_listed_row(row) for row in rows]

    async def load_octets(self, number: int) -> bytes | None:
        row = await self._database.fetch_row(_OCTETS, number)
        return None if row is None else unpack_octets(row[0])

    async def list_unproved(self, since: datetime, *, limit: int) -> list[ListedReport]:
        rows = await self._database.fetch(_UNPROVED, to_micros(since), limit)
        return [take_listed_row(row) for row in rows]

    async def list_results(
        self, domain: str, since: date, until: date, *, only_failing: bool = False
    ) -> list[KeptResult]:
        values = (domain, since.isoformat(), until.isoformat(), only_failing)
        return [take_result_row(row) for row in await self._database.fetch(_RESULTS, *values)]

    async def list_arrivals(self, domain: str, since: date) -> list[Arrival]:
        rows = await self._database.fetch(_ARRIVALS, domain, since.isoformat())
        return [take_arrival_row(row) for row in rows]

    async def list_domains(self, since: date) -> list[DomainCount]:
        rows = await self._database.fetch(_DOMAINS, since.isoformat())
        return [take_domain_row(row) for row in rows]

    async def forget(self, before: date, unproved_before: datetime) -> int:
        values = (before.isoformat(), to_micros(unproved_before))
        return len(await self._database.fetch(_FORGET, *values))


def _prepare(reports: Sequence[ReceivedReport]) -> tuple[list[Row], list[bytes | None]]:
    """Give their rows, and the fingerprints that those that were posted would have, proved."""
    return [make_report_row(each) for each in reports], [find_proved(each) for each in reports]


def _find_turn(fingerprint: object) -> int:
    """Give the number under which whoever keeps a report with this fingerprint takes turns."""
    octets = fingerprint if isinstance(fingerprint, bytes) else b""
    return int.from_bytes(octets[:8], "big", signed=True)


def _list_replaced(report: ReceivedReport, row: Row) -> list[bytes]:
    """List the fingerprints of the same report where it was only posted."""
    posted = find_posted(report, row[0]) if isinstance(row[0], bytes) else None
    return [] if posted is None else [posted]
