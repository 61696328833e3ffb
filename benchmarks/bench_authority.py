"""Certificates from our authority, beside Debian's Pebble: CPU of each, how long each takes.

A closed loop of clients orders, proves by http-01, finalizes and fetches; both authorities get the
same names and proofs, in turn. Pebble keeps nothing, looks no CAA up and lints nothing; ours does
all three. CPU is that of the authority's whole process tree.
"""

import argparse
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.acme_load import LoadFigures
from benchmarks.authorities import (
    LETTERLOCK,
    PEBBLE,
    MeasuredAuthority,
    find_pebble,
    running_letterlock,
    running_names,
    running_pebble,
)

MAX_CPU_RATIO = 1.5
MAX_P99_MS = 250.0
MAX_NAMES_RATIO = 3.0
MANY_NAMES = 10
WARM_UP = 16
PEBBLE_TRIES = 3


@dataclass(frozen=True, slots=True)
class Row:
    """A load, `names` in each certificate."""

    clients: int
    names: int

    @property
    def title(self) -> str:
        names = "1 name" if self.names == 1 else f"{self.names} names"
        return f"{names}, {self.clients} clients"


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. For a certificate: seconds of the authority's CPU, octets that it keeps for good."""

    cpu: float
    stored: float
    figures: LoadFigures

    @property
    def rate(self) -> float:
        return self.figures.issued / self.figures.seconds


Take = Callable[[Row, int], Sample]
ROWS = (Row(1, 1), Row(16, 1), Row(16, MANY_NAMES))
BUSY, MANY = ROWS[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (%(default)s)")
    parser.add_argument("--count", type=int, default=320, help="in a turn (%(default)s)")
    parser.add_argument("--steps", action="store_true", help="tell how long each request takes")
    # `make bench` gives all benchmarks the same options.
    options, _ = parser.parse_known_args()
    print(
        f"certificates issued: {os.cpu_count()} cores, Python {platform.python_version()}, medians "
        f"of {options.rounds} runs, load average {os.getloadavg()[0]:.1f} at the start"
    )
    with tempfile.TemporaryDirectory(prefix="letterlock-bench-") as name, ExitStack() as stack:
        contestants = _start(stack, Path(name))
        samples = {
            row: _measure(row, contestants, options.rounds, _share(row, options.count))
            for row in ROWS
        }
    for row, by_name in samples.items():
        for line in _describe(row, by_name, has_steps=options.steps):
            print(line)
    for line in _judge(samples):
        print(line)


def _start(stack: ExitStack, folder: Path) -> dict[str, Take]:
    """Start the world and ours; gives how a turn of each is taken."""
    ports = stack.enter_context(running_names(folder))
    found: dict[str, Take] = {}
    program = find_pebble()
    if program is None:
        print("without Pebble, which is not installed: `make peers` brings it")
    else:
        found[PEBBLE] = partial(_take_of_pebble, program, folder, ports)
    ours = stack.enter_context(running_letterlock(folder / "ours", *ports))
    found[LETTERLOCK] = partial(_take, ours)
    return found


def _take_of_pebble(
    program: Path, folder: Path, ports: tuple[int, int], row: Row, count: int
) -> Sample:
    """Start one for each turn: it has nothing to load, and keeps nothing.

    By chance 2.4 answers nobody any more, when many ask at once: then another is started.
    """
    for number in range(PEBBLE_TRIES):
        try:
            with running_pebble(program, folder, *ports) as pebble:
                _take(pebble, row, WARM_UP)
                return _take(pebble, row, count)
        except RuntimeError as error:
            if number + 1 == PEBBLE_TRIES:
                raise
            print(f"{row.title}: Pebble is started again: {error}")
    raise AssertionError("the last try gives or raises")


def _share(row: Row, count: int) -> int:
    """Give how many certificates a row has: less where each is more work."""
    wanted = count // (row.names if row.clients > 1 else 4)
    return max(row.clients, wanted - wanted % row.clients)


def _measure(
    row: Row, contestants: Mapping[str, Take], rounds: int, count: int
) -> dict[str, list[Sample]]:
    """Let them take turns, so that what else the machine does meets them all."""
    samples: dict[str, list[Sample]] = {name: [] for name in contestants}
    contestants[LETTERLOCK](row, WARM_UP)
    for _ in range(rounds):
        for name, take in contestants.items():
            samples[name].append(take(row, count))
    return samples


def _take(authority: MeasuredAuthority, row: Row, count: int) -> Sample:
    before, stored = authority.cpu_seconds(), authority.stored_octets()
    figures = authority.issue(count, row.clients, row.names)
    cpu = authority.cpu_seconds() - before
    stored = authority.stored_octets() - stored
    return Sample(cpu / figures.issued, stored / figures.issued, figures)


def _describe(row: Row, samples: dict[str, list[Sample]], *, has_steps: bool) -> Iterator[str]:
    for name, taken in samples.items():
        yield (
            f"{row.title:<22}{name:<12}{_middle(taken, lambda one: one.rate):8.1f}/s"
            f"{_middle(taken, lambda one: one.cpu * 1e3):9.2f} ms CPU each"
            f"{_middle(taken, lambda one: one.figures.p50_ms):9.1f} ms p50"
            f"{_middle(taken, lambda one: one.figures.p99_ms):9.1f} ms p99"
            f"{_middle(taken, lambda one: one.figures.requests / one.figures.issued):7.1f} requests"
        )
        if has_steps:
            steps = taken[-1].figures.step_p50_ms
            yield "    " + ", ".join(f"{step} {value:.1f}" for step, value in steps.items())


def _judge(samples: dict[Row, dict[str, list[Sample]]]) -> Iterator[str]:
    ours, others = samples[BUSY][LETTERLOCK], samples[BUSY].get(PEBBLE)
    cpu = _middle(ours, lambda one: one.cpu)
    if others is not None:
        ratio = cpu / _middle(others, lambda one: one.cpu)
        yield _row("CPU, of Pebble's", ratio, "x", MAX_CPU_RATIO)
    p99 = _middle(ours, lambda one: one.figures.p99_ms)
    yield _row(f"p99, {BUSY.title}", p99, "ms", MAX_P99_MS)
    stored = _middle(ours, lambda one: one.stored)
    yield f"kept for good, {BUSY.title}: {stored / 1024:.1f} KiB each"
    many = _middle(samples[MANY][LETTERLOCK], lambda one: one.cpu)
    yield _row(f"CPU, {MANY_NAMES} names, of one's", many / cpu, "x", MAX_NAMES_RATIO)


def _row(title: str, value: float, unit: str, limit: float) -> str:
    verdict = "met" if value <= limit else "MISSED"
    return f"{title:<32}{value:8.2f} {unit:<4} at most {limit:g}: {verdict}"


def _middle(samples: Sequence[Sample], of: Callable[[Sample], float]) -> float:
    return median(of(sample) for sample in samples)


if __name__ == "__main__":
    main()
