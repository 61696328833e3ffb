"""Serving 10,000 certificates: start-up, memory, the choice, and a handshake beside one of one.

Each has its own name and key, and clients ask for all of them alike: no name is in a cache more
than another. A handshake is the server's side of a full one in TLS 1.3, without sockets.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.many_certificates import Figures, write_many
from tools import environment

MAX_START_SECONDS = 5.0
MAX_MEMORY = 200.0
MAX_CHOOSE_US = 20.0
MAX_RATIO = 1.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="processes measured (%(default)s)")
    parser.add_argument("--names", type=int, default=10_000, help="certificates (%(default)s)")
    # `make bench` gives all benchmarks the same options.
    options, _ = parser.parse_known_args()
    print(
        f"certificates: {os.cpu_count()} cores, Python {platform.python_version()}, medians of "
        f"{options.rounds} runs, load average {os.getloadavg()[0]:.1f} at the start"
    )
    # Syncing 10,000 of them to a disk takes minutes, and is not what is measured.
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="letterlock-bench-", dir=place) as name:
        folder = Path(name) / "certificates"
        write_many(folder, options.names)
        for line in _describe([_measure(folder) for _ in range(options.rounds)]):
            print(line)


def _measure(folder: Path) -> Figures:
    command = [sys.executable, "-m", "benchmarks.many_certificates", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=environment.ROOT)
    return Figures(**json.loads(done.stdout))


def _describe(runs: list[Figures]) -> Iterator[str]:
    yield f"{runs[0].count} names, files of {runs[0].octets} octets"
    start = median(run.start_seconds for run in runs)
    yield _row("start-up", start, "s", MAX_START_SECONDS)
    yield _row("start-up, CPU", median(run.start_cpu for run in runs), "s")
    yield _row("memory before", median(run.bare_memory for run in runs), "MiB")
    yield _row("memory at the start", median(run.start_memory for run in runs), "MiB")
    full = median(run.full_memory for run in runs)
    yield _row("memory when all were asked for", full, "MiB", MAX_MEMORY)
    yield _row("choice", median(run.choose_us for run in runs), "us", MAX_CHOOSE_US)
    yield _row("choice, the name's first", median(run.first_choose_us for run in runs), "us")
    yield _row("handshake, one of one", median(run.one_handshake_us for run in runs), "us")
    yield _row("handshake, one of all", median(run.many_handshake_us for run in runs), "us")
    # Of each run, since the machine's pace changes from one to the next.
    ratio = median(run.many_handshake_us / run.one_handshake_us for run in runs)
    yield _row("ratio", ratio, "x", MAX_RATIO)


def _row(title: str, value: float, unit: str, limit: float | None = None) -> str:
    line = f"{title:<32}{value:8.2f} {unit:<4}"
    if limit is None:
        return line.rstrip()
    return f"{line} at most {limit:g}: {'met' if value <= limit else 'MISSED'}"


if __name__ == "__main__":
    main()
