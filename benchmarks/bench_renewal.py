"""What a look at all certificates costs: read their states, and decide for each whether it is due.

A node does that every half minute. The names are in a SQLite file as a node keeps them; some have
failed before, a hundredth is due. The bound is 1 s of CPU for 10,000 names.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import process_time

import apsw

from letterlock.base.clock import SystemClock
from letterlock.protocols.acme.renewal import RenewalPlan, Trouble
from letterlock.protocols.acme.renewal_info import RenewalInfo
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.services.certify.keeping import find_next_time, list_states
from letterlock.storage.certificates import (
    ROW_COLUMNS,
    CertificateId,
    CertificateState,
    KeptFacts,
    make_row,
)
from letterlock.storage.sqlite.certificates import SqliteCertificates
from letterlock.storage.sqlite.node import NodeDatabase

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DIRECTORIES = ("https://one.example/directory", "https://two.example/directory")
DUE_ONE_IN = 100
FAILED_ONE_IN = 20
TAKEOVER_AFTER = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="looks (%(default)s)")
    parser.add_argument("--names", type=int, default=10_000, help="certificates (%(default)s)")
    # `make bench` gives all benchmarks the same options.
    options, _ = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="letterlock-bench-") as folder:
        asyncio.run(_measure(Path(folder) / "node.sqlite", options.names, options.rounds))


async def _measure(path: Path, names: int, rounds: int) -> None:
    database = NodeDatabase(path, SystemClock())
    store = SqliteCertificates(database)
    await store.open()
    await database.run(lambda connection: _fill(connection, names))
    reading, deciding = [], []
    due = 0
    for _ in range(rounds):
        begin = process_time()
        states = await list_states(store)
        middle = process_time()
        due = sum(_find_time(state) <= NOW for state in states.values())
        deciding.append(process_time() - middle)
        reading.append(middle - begin)
    await store.close()
    print(f"a look at {names} certificates, {due} due: medians of {rounds}, CPU")
    print(f"read their states  {median(reading) * 1000:7.0f} ms")
    print(f"decide for each    {median(deciding) * 1000:7.0f} ms")


def _find_time(state: CertificateState) -> datetime:
    return find_next_time(state, DIRECTORIES, TAKEOVER_AFTER, NOW)


def _fill(connection: apsw.Connection, names: int) -> None:
    places = ", ".join("?" for _ in ROW_COLUMNS)
    sql = f"INSERT INTO certificates ({', '.join(ROW_COLUMNS)}) VALUES ({places})"
    for number, state in enumerate(_make_states(names)):
        row = (state.id.name, state.id.key_type, number + 1, *make_row(state))
        connection.execute(sql, row)


def _make_states(names: int) -> Iterator[CertificateState]:
    for number in range(names):
        name = f"mx{number}.mail.example.org"
        issued = NOW - DAY * (number % 59)
        facts = KeptFacts(
            *(f"{number:032x}", (name,), issued, issued + 90 * DAY, bytes(32), "CN=Bench CA"),
            *(DIRECTORIES[0], issued),
        )
        start = issued + (60 if number % DUE_ONE_IN else 0) * DAY
        window = RenewalInfo(start, start + DAY)
        plan = RenewalPlan(start, window, NOW + timedelta(hours=6))
        state = CertificateState(CertificateId(name, KeyType.ECDSA), facts, plan)
        if number % FAILED_ONE_IN == 1:
            before = NOW - timedelta(hours=1)
            trouble = Trouble(DIRECTORIES[0], 2, before, before, "the authority is down")
            state = replace(state, troubles=(trouble,))
        yield state


if __name__ == "__main__":
    main()
