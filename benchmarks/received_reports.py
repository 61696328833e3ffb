"""Reports of others kept a second, and how long one domain's summary takes among a million.

JSON comes, is read, and is committed with its row for each policy, 200 reports at a time, as
`tlsrpt import` does it. Then the database is filled by SQL: 100 domains, 20 senders, 500 days; and
90 days of one domain are added up, failures before them included. On one core; files are in the
folder for temporary ones.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import apsw

from letterlock.base.clock import SystemClock
from letterlock.services.intake.keeping import importing
from letterlock.services.intake.summary import summarize
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.received_reports import SqliteReceived
from tests.protocols.tlsrpt.corpus import encode, make_document

REPORTS = 10_000
MIN_RATE = 5000.0
STORED = 1_000_000
MAX_SUMMARY_MS = 200.0
_DOMAINS, _SENDERS = 100, 20
_LAST = date(2026, 11, 21)
_DAYS = 90
_ROUNDS = 7
_KEEP = timedelta(days=3650)

# The reports kept before stay: their ids are lower.
_FILL_REPORTS = f"""
    WITH RECURSIVE
        number (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < {STORED}),
        model AS (SELECT * FROM received_reports LIMIT 1)
    INSERT INTO received_reports
        (fingerprint, day, received, way, standing, submitter, note, facts, octets)
    SELECT randomblob(32), date('{_LAST}', -(n / {_DOMAINS * _SENDERS}) || ' days'), received, way,
        standing, 'sender' || (n / {_DOMAINS} % {_SENDERS}) || '.example', note, facts, octets
    FROM number, model
"""
_FILL_RESULTS = f"""
    WITH model AS (SELECT * FROM received_results LIMIT 1)
    INSERT INTO received_results
    SELECT filled.id, 0, 'domain' || (filled.id % {_DOMAINS}) || '.example', filled.day, type,
        successful, iif(filled.id % 50 = 0, failed, 0), policy,
        iif(filled.id % 50 = 0, failures, NULL)
    FROM received_reports AS filled, model WHERE filled.submitter LIKE 'sender%'
"""


def measure() -> Iterator[str]:
    """Give the lines of the results."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "node.sqlite"
        clock, cpu = asyncio.run(_measure_keeping(path))
        rate = REPORTS / cpu
        yield (
            f"JSON to committed rows: {rate:.0f}/s, {cpu / REPORTS * 1e6:.0f} us of the CPU each; "
            f"{REPORTS / clock:.0f}/s by the clock   at least {MIN_RATE:.0f}/s: "
            f"{_verdict(is_met=rate >= MIN_RATE)}"
        )
        _fill(path)
        results, times = asyncio.run(_measure_summary(path))
        milliseconds = median(times) * 1000
        size = path.stat().st_size >> 20
        yield (
            f"a summary of {_DAYS} days, {results} results, among {STORED} reports ({size} MiB): "
            f"{milliseconds:.0f} ms   at most {MAX_SUMMARY_MS:.0f} ms: "
            f"{_verdict(is_met=milliseconds <= MAX_SUMMARY_MS)}"
        )


async def _measure_keeping(path: Path) -> tuple[float, float]:
    """Give seconds by the clock, and of the CPU."""
    files = [encode(make_document(**{"report-id": str(number)})) for number in range(REPORTS)]
    clock = SystemClock()
    started, cpu = time.monotonic(), time.process_time()
    async with importing(SqliteReceived(NodeDatabase(path, clock)), clock, _KEEP) as work:
        for octets in files:
            await work.add("report.json", octets)
    assert work.counts.new == REPORTS
    return time.monotonic() - started, time.process_time() - cpu


def _fill(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA synchronous = off")
    connection.execute("BEGIN")
    connection.execute(_FILL_REPORTS)
    connection.execute(_FILL_RESULTS)
    connection.execute("COMMIT")
    connection.close()


async def _measure_summary(path: Path) -> tuple[int, list[float]]:
    """Give how many results one has, and the seconds that each took, by the clock."""
    store = SqliteReceived(NodeDatabase(path, SystemClock()))
    await store.open()
    until = _LAST + timedelta(days=1)
    since = until - timedelta(_DAYS)
    times = []
    reports = 0
    for number in range(_ROUNDS):
        name = f"domain{number}.example"
        started = time.monotonic()
        found = await store.list_results(name, since, until)
        before = await store.list_results(name, date.min, since, only_failing=True)
        reports = summarize(name, found, before, since, until).reports
        times.append(time.monotonic() - started)
    await store.close()
    assert reports == _DAYS * _SENDERS
    return reports, times


def _verdict(*, is_met: bool) -> str:
    return "met" if is_met else "MISSED"
