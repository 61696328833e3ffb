"""Run all tests in two processes at a time, or, given arguments for pytest, in one.

Tests that start nodes wait most of the time, and use one core each: two processes take little more
than half as long on two cores. What the second one says comes when both have ended, and a line that
counts all. Everything that is in no folder of APART is in the first.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
APART = ("tests/journeys", "tests/proof", "tests/demo", "tests/node")
"""About as much work as all the others."""

_SUMMARY = re.compile(rb"^[^\n]*\b\d+ [a-z]+[^\n]* in \d+\.\d+s[^\n]*$", re.MULTILINE)
_COUNTS = re.compile(rb"(\d+) (passed|failed|errors?|skipped|deselected|xfailed)\b")
_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
_NO_TESTS = 5
"""Pytest's exit code where it found none."""


def main(arguments: Sequence[str]) -> int:
    """Run the tests; gives pytest's exit code, of two the one that tells of a failure."""
    pytest = [sys.executable, "-m", "pytest"]
    if arguments or (os.cpu_count() or 1) == 1:
        return subprocess.call([*pytest, *arguments], cwd=ROOT)
    if sys.stdout.isatty():
        pytest.append("--color=yes")
    ignored = [f"--ignore={folder}" for folder in APART]
    return run_both([*pytest, *ignored], [*pytest, *APART], ROOT)


def run_both(first: Sequence[str], second: Sequence[str], folder: Path) -> int:
    """Run two commands at a time, in a folder; show the first as it goes, then the second."""
    began = time.monotonic()
    with (
        tempfile.TemporaryFile() as kept,
        subprocess.Popen(second, cwd=folder, stdout=kept, stderr=subprocess.STDOUT) as later,
        subprocess.Popen(first, cwd=folder, stdout=subprocess.PIPE) as shown,
    ):
        try:
            assert shown.stdout is not None
            said = [_show(shown.stdout)]
        except KeyboardInterrupt:
            # Both had it too, and end by themselves.
            said = []
        codes = [shown.wait(), later.wait()]
        kept.seek(0)
        said.append(_show(kept))
    print(f"{_count(said)} in {time.monotonic() - began:.1f}s, in two processes", flush=True)
    return next((code for code in codes if code not in (0, _NO_TESTS)), min(codes))


def _show(source: IO[bytes]) -> bytes:
    """Pass on what comes, piece by piece, until its end; gives all of it."""
    pieces = []
    while piece := os.read(source.fileno(), 65536):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        pieces.append(piece)
    return b"".join(pieces)


def _count(said: Iterable[bytes]) -> str:
    """Add up the last lines of runs."""
    counts: Counter[str] = Counter()
    for each in said:
        lines = _SUMMARY.findall(_COLOUR.sub(b"", each))
        for number, word in _COUNTS.findall(lines[-1] if lines else b""):
            counts[word.decode()] += int(number)
    return ", ".join(f"{number} {word}" for word, number in counts.items()) or "no tests"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
