"""Measurements side by side: rounds in which each server has its turn, medians, ratios, a table."""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import postfix
from benchmarks.certificates import write_certificate
from benchmarks.programs import BuildError, LoadResult, Programs, build
from benchmarks.servers import Server


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. CPU in seconds a message, of the server's whole process tree."""

    rate: float
    cpu: float
    p50_ms: float
    p99_ms: float


def take_sample(server: Server, count: int, run: Callable[[], LoadResult]) -> Sample:
    """Run a load of `count` items on a server; its CPU is counted while that runs."""
    before = server.cpu_seconds()
    result = run()
    cpu = server.cpu_seconds() - before
    return Sample(count / result.seconds, cpu / count, result.p50_ms, result.p99_ms)


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    rounds: int
    messages: int
    rows: str
    has_postfix: bool


@dataclass(frozen=True, slots=True)
class Stage:
    """What every row of a benchmark has to work with."""

    programs: Programs
    certificate: tuple[Path, Path]
    options: Options

    @property
    def has_postfix(self) -> bool:
        return self.options.has_postfix

    def wants(self, row: str) -> bool:
        return self.options.rows in row


@dataclass(slots=True)
class Contest:
    """Samples of each server at one work."""

    title: str
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def measure(self, rounds: int, turns: Mapping[str, Callable[[], Sample]]) -> None:
        """Let the servers take turns, so that what else the machine does meets them all."""
        for _ in range(rounds):
            for name, turn in turns.items():
                try:
                    sample = turn()
                except RuntimeError as error:
                    raise RuntimeError(f"{self.title}: {name}: {error}") from error
                self.samples.setdefault(name, []).append(sample)

    def lines(self) -> Iterator[str]:
        """Give the table's lines: one for each server, then the ratio of the last to the first."""
        for name, samples in self.samples.items():
            middle = _middle(samples)
            rates = [sample.rate for sample in samples]
            spread = f"({min(rates):.0f}-{max(rates):.0f})"
            yield (
                f"{self.title:<32}{name:<15}{middle.rate:6.0f} {spread:<13}"
                f"{middle.cpu * 1e6:7.0f}{middle.p50_ms:9.1f}{middle.p99_ms:9.1f}"
            )
        if len(self.samples) > 1:
            first, *_, last = (_middle(samples) for samples in self.samples.values())
            yield (
                f"{'':<32}{'ratio':<15}{last.rate / first.rate:5.2f}x {'':<13}"
                f"{last.cpu / first.cpu:6.2f}x{last.p50_ms / first.p50_ms:8.2f}x"
                f"{last.p99_ms / first.p99_ms:8.2f}x"
            )


@contextmanager
def stage(description: str, messages: int, unit: str = "messages") -> Iterator[Stage]:
    """Read the command line, build the programs; exits with a line where that can't be done."""
    options = _read_options(description, messages, unit)
    with tempfile.TemporaryDirectory(prefix="letterlock-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # Postfix's processes must get in
        try:
            programs = build(folder)
        except BuildError as error:
            print(f"skipped: {error}; the loader needs a C compiler and OpenSSL's headers")
            sys.exit(0)
        print(
            f"{description}: {os.cpu_count()} cores, Python {platform.python_version()} "
            f"({Path(sys.executable).resolve()}), medians "
            f"of {options.rounds} runs, load average {os.getloadavg()[0]:.1f} at the start"
        )
        print(
            f"{'work':<32}{'server':<15}{f'{unit}/s (range)':<20}"
            f"{'CPU us':>7}{'p50 ms':>9}{'p99 ms':>9}"
        )
        yield Stage(programs, write_certificate(folder), options)


def _read_options(description: str, messages: int, unit: str) -> Options:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each server (%(default)s)")
    parser.add_argument(
        "--messages", type=int, default=messages, help=f"{unit} in a run (%(default)s)"
    )
    parser.add_argument("--rows", default="", help="only rows whose name has this in it")
    parser.add_argument("--alone", action="store_true", help="without Postfix")
    given = parser.parse_args()
    reason = postfix.why_not()
    if reason is not None and not given.alone:
        print(f"without a comparison: {reason}")
    return Options(given.rounds, given.messages, given.rows, reason is None and not given.alone)


def _middle(samples: Sequence[Sample]) -> Sample:
    return Sample(
        median(sample.rate for sample in samples),
        median(sample.cpu for sample in samples),
        median(sample.p50_ms for sample in samples),
        median(sample.p99_ms for sample in samples),
    )
