"""The reports on TLS that others send, in PostgreSQL, which all nodes share."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime

from msgspec import Struct

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
    make_report_row,
    make_result_rows,
    take_arrival_row,
    take_domain_row,
    take_listed_row,
    take_result_row,
    unpack_octets,
)
from letterlock.storage.records import to_micros

_FIND = "SELECT fingerprint FROM received_reports WHERE fingerprint = ANY($1::bytea[])"
_ADD = f"""
    INSERT INTO received_reports ({", ".join(REPORT_COLUMNS)})
    SELECT * FROM unnest($1::bytea[], $2::text[], $3::bigint[], $4::text[], $5::text[],
        $6::text[], $7::text[], $8::text[], $9::bytea[])
    ON CONFLICT (fingerprint) DO UPDATE SET copies = received_reports.copies + 1
    RETURNING fingerprint, id, copies
"""  # noqa: S608 - constants
# In one order, whoever takes them. What others committed before they let go is seen from then on.
_TAKE_TURNS = """
    SELECT pg_advisory_xact_lock(turn)
    FROM (SELECT DISTINCT unnest($1::bigint[]) AS turn ORDER BY turn) AS turns
"""
_COUNT_COPIES = """
    UPDATE received_reports SET copies = copies + more
    FROM unnest($1::bytea[], $2::bigint[]) AS come (same, more) WHERE fingerprint = same
"""
_REPLACE = "DELETE FROM received_reports WHERE fingerprint = ANY($1::bytea[])"
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
        new = await asyncio.to_thread(_prepare, reports)
        # Of one that is posted and the same one proved, neither has the other's fingerprint.
        turns = [_find_turn(each.proved or each.fingerprint) for each in new]
        keys = [key for each in new for key in each.list_keys()]

        async def keep(connection: Connection) -> list[bool]:
            await connection.execute(_TAKE_TURNS, turns)
            there = {key for (key,) in await connection.fetch(_FIND, keys)}
            sorted_out = _sort_out(new, there)
            if sorted_out.replaced:
                await connection.execute(_REPLACE, sorted_out.replaced)
            if sorted_out.added:
                await _add(connection, sorted_out.added)
            # Last: some are of what was added just now.
            if sorted_out.copies:
                await connection.execute(_COUNT_COPIES, *_make_columns(sorted_out.copies.items()))
            return sorted_out.are_new

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


class _New(Struct, frozen=True):
    """A report with its row. `proved` is the fingerprint that it would have, were it not posted."""

    report: ReceivedReport
    row: Row
    fingerprint: bytes
    proved: bytes | None

    def list_keys(self) -> list[bytes]:
        """List the fingerprints under which the same report may be there."""
        others = (self.proved, find_posted(self.report, self.fingerprint))
        return [self.fingerprint, *(key for key in others if key is not None)]


class _SortedOut(Struct, frozen=True):
    """What is to be done. `replaced` are those only posted, of what comes proved now."""

    are_new: list[bool]
    added: dict[bytes, _New]
    copies: Counter[bytes]
    replaced: list[bytes]


def _prepare(reports: Sequence[ReceivedReport]) -> list[_New]:
    new = []
    for each in reports:
        row, proved = make_report_row(each)
        assert isinstance(row[0], bytes), "the first column is the fingerprint"
        new.append(_New(each, row, row[0], proved))
    return new


def _sort_out(new: Sequence[_New], there: set[bytes]) -> _SortedOut:
    """Say which are new, one after the other; `there` are the fingerprints that are kept."""
    found = _SortedOut([], {}, Counter(), [])
    for each in new:
        same = next((key for key in (each.proved, each.fingerprint) if key in there), None)
        found.are_new.append(same is None)
        if same is not None:
            found.copies[same] += 1
            continue
        there.add(each.fingerprint)
        found.added[each.fingerprint] = each
        if (posted := find_posted(each.report, each.fingerprint)) in there:
            there.remove(posted)
            del found.copies[posted]
            if found.added.pop(posted, None) is None:
                found.replaced.append(posted)
    return found


async def _add(connection: Connection, added: Mapping[bytes, _New]) -> None:
    columns = _make_columns(each.row for each in added.values())
    results: list[Row] = []
    for fingerprint, number, copies in await connection.fetch(_ADD, *columns):
        # Unless a node of an earlier release, which takes no turns, has just kept it.
        if not copies:
            results += make_result_rows(number, added[fingerprint].report)
    if results:
        await connection.execute(_ADD_RESULTS, *_make_columns(results))


def _make_columns(rows: Iterable[Sequence[object]]) -> list[list[object]]:
    """Give rows as columns: one statement takes all of them."""
    return list(map(list, zip(*rows, strict=True)))


def _find_turn(fingerprint: bytes) -> int:
    """Give the number under which whoever keeps a report with this fingerprint takes turns."""
    return int.from_bytes(fingerprint[:8], "big", signed=True)
