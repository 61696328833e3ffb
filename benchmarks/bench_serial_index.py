"""The index of a list like the one of 2020: made, kept and asked, beside SQLite and zgrep.

Each side runs in a process of its own, whose memory is counted; both get the same list. zgrep is
what people did: it reads all for each question.
"""

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import apsw

from benchmarks.incident_list import ENTRIES, write_list
from letterlock.protocols.incidents.lists import SerialListReader
from letterlock.protocols.incidents.serials import MAX_SERIAL_OCTETS
from letterlock.storage.serial_lists.index import open_list
from letterlock.storage.serial_lists.source import ListFile

MAX_INDEX_OCTETS = 60e6
MAX_SECONDS = 20.0
MAX_RSS_KIB = 200 * 1024
MAX_LOOKUP_US = 10.0
QUESTIONS = 20_000
MISSING = "0000112233445566778899aabbccddeeff00"

Find = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Made:
    """A way to look serial numbers up, and how many octets it keeps."""

    find: Find
    octets: int


def make_ours(path: Path, folder: Path) -> Made:
    kept = folder / "list.index"
    opened = open_list(path, kept, lambda _done, _total: None)
    return Made(opened.index.find, kept.stat().st_size)


def make_sqlite(path: Path, folder: Path) -> Made:
    """As one would do it: a table, filled in one transaction."""
    kept = folder / "list.sqlite"
    database = apsw.Connection(str(kept))
    database.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
    database.execute("CREATE TABLE serials (serial BLOB PRIMARY KEY, line INTEGER) WITHOUT ROWID")
    reader = SerialListReader()
    with database, ListFile(path) as source:
        for block in source.read_unpacked():
            rows = [(encode(serial), line) for line, serial in reader.receive(block)]
            database.executemany("INSERT INTO serials VALUES (?, ?)", rows)
        for line, serial in reader.finish():
            database.execute("INSERT INTO serials VALUES (?, ?)", (encode(serial), line))
    question = "SELECT line FROM serials WHERE serial = ?"

    def find(serial: int) -> object:
        return database.execute(question, (encode(serial),)).fetchone()

    return Made(find, kept.stat().st_size)


def encode(serial: int) -> bytes:
    return serial.to_bytes(MAX_SERIAL_OCTETS).lstrip(b"\0")


SIDES: Mapping[str, Callable[[Path, Path], Made]] = {"ours": make_ours, "sqlite": make_sqlite}


def measure(side: str, path: Path, hits: list[int]) -> dict[str, float]:
    """Make it and ask it, in this process; gives figures."""
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        start, cpu = time.perf_counter(), time.process_time()
        made = SIDES[side](path, Path(name))
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        chance = random.Random(1)
        misses = [chance.getrandbits(8 * 17) | 3 << (8 * 17) for _ in range(len(hits))]
        assert all(made.find(hit) is not None for hit in hits)
        assert all(made.find(miss) is None for miss in misses)
        return {
            "octets": made.octets,
            "seconds": seconds,
            "cpu": cpu,
            "rss_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "hit_us": time_questions(made.find, hits),
            "miss_us": time_questions(made.find, misses),
        }


def time_questions(find: Find, serials: list[int]) -> float:
    """Give microseconds for one, warm: the best of five turns."""
    turns = []
    for _ in range(5):
        start = time.perf_counter()
        for serial in serials:
            find(serial)
        turns.append((time.perf_counter() - start) / len(serials) * 1e6)
    return min(turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=ENTRIES, help="(%(default)s)")
    parser.add_argument("--list", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    # `make bench` gives all benchmarks the same options.
    options, _ = parser.parse_known_args()
    if options.side:
        asked = [int(text, 16) for text in json.load(sys.stdin)]
        print(json.dumps(measure(options.side, options.list, asked)))
        return
    with tempfile.TemporaryDirectory(prefix="letterlock-bench-") as name:
        path = Path(name) / "list.gz"
        kept = write_list(path, options.entries)
        print(
            f"a list of {options.entries} serial numbers, {path.stat().st_size / 1e6:.0f} MB "
            f"packed: {os.cpu_count()} cores, Python {platform.python_version()}, load average "
            f"{os.getloadavg()[0]:.1f} at the start"
        )
        hits = (kept * (QUESTIONS // len(kept) + 1))[:QUESTIONS]
        for side in SIDES:
            print(describe(side, run(side, path, hits)))
        print(
            f"zgrep       {run_zgrep(path):8.1f} s for one question that the list answers with no"
        )


def run(side: str, path: Path, hits: list[str]) -> dict[str, float]:
    """Measure a side in a process of its own."""
    program = [sys.executable, "-m", "benchmarks.bench_serial_index"]
    command = [*program, "--side", side, "--list", str(path)]
    told = subprocess.run(
        command, input=json.dumps(hits), stdout=subprocess.PIPE, text=True, check=True
    )
    figures: dict[str, float] = json.loads(told.stdout)
    return figures


def run_zgrep(path: Path) -> float:
    start = time.perf_counter()
    found = subprocess.run(["zgrep", "-c", MISSING, str(path)], stdout=subprocess.PIPE, check=False)
    assert found.stdout == b"0\n"
    return time.perf_counter() - start


def describe(side: str, figures: Mapping[str, float]) -> str:
    line = (
        f"{side:<12}{figures['octets'] / 1e6:8.1f} MB{figures['seconds']:8.1f} s"
        f"{figures['cpu']:8.1f} s CPU{figures['rss_kib'] / 1024:8.0f} MiB RSS"
        f"{figures['hit_us']:8.2f} us found{figures['miss_us']:8.2f} us not found"
    )
    return line + (judge(figures) if side == "ours" else "")


def judge(figures: Mapping[str, float]) -> str:
    """Say whether it is as good as was asked for, on a machine with a core to spare."""
    is_met = {
        "size": figures["octets"] < MAX_INDEX_OCTETS,
        "time": figures["seconds"] < MAX_SECONDS,
        "memory": figures["rss_kib"] < MAX_RSS_KIB,
        "lookup": max(figures["hit_us"], figures["miss_us"]) < MAX_LOOKUP_US,
    }
    missed = [name for name, is_good in is_met.items() if not is_good]
    return f"\n{'':<12}MISSED: {', '.join(missed)}" if missed else f"\n{'':<12}all met"


if __name__ == "__main__":
    main()
