"""Run all tests, shared out over processes; or, given arguments for pytest, those in one.

Tests that start nodes and peers wait half of the time, so there are two processes for each core.
What a process says is shown when it has ended, and at last a line that counts all; what tests wrote
is kept where one failed. They keep their bytecode, whatever PYTHONDONTWRITEBYTECODE says: without
it each of hundreds of processes that tests start compiles the program anew, and pytest all tests.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
APART = {
    "tests/storage": 1,
    "tests/demo": 1,
    "tests/protocols": 1,
    "tests/services": 2,
    "tests/journeys": 4,
    "tests/interop": 3,
    "tests/upgrade": 1,
    "tests/proof": 1,
}
"""Folders that are processes of their own, as many as are said here, the longest ones first. All
other tests are in one more, which takes longest: some 2 minutes of a core."""

_SUMMARY = re.compile(rb"^[^\n]*\b\d+ [a-z]+[^\n]* in \d+\.\d+s[^\n]*$", re.MULTILINE)
_COUNTS = re.compile(rb"(\d+) (passed|failed|errors?|skipped|deselected|xfailed)\b")
_COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
_NO_TESTS = 5
"""Pytest's exit code where it found none."""


def main(arguments: Sequence[str]) -> int:
    """Run the tests; gives pytest's exit code, of several the first that tells of a failure."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    pytest = [sys.executable, "-m", "pytest"]
    if arguments:
        return subprocess.call([*pytest, *arguments], cwd=ROOT)
    if sys.stdout.isatty():
        pytest.append("--color=yes")
    # In pytest's own place two of them may remove the same old folder, and one then fails.
    folders = Path(tempfile.mkdtemp(prefix="letterlock-"))
    commands = [
        [*pytest, f"--basetemp={folders / str(number)}", *share]
        for number, share in enumerate(share_out(ROOT))
    ]
    code = run_all(commands, ROOT, at_once=2 * (os.cpu_count() or 1))
    if code == 0:
        shutil.rmtree(folders, ignore_errors=True)
    return code


def share_out(root: Path) -> list[list[str]]:
    """Give pytest's arguments for each process: together they name every test once.

    What takes longest is first, so that nothing runs alone at the end.
    """
    shares = [[f"--ignore={folder}" for folder in APART]]
    for folder, count in APART.items():
        files = sorted(str(path.relative_to(root)) for path in (root / folder).rglob("test_*.py"))
        # Neighbours in the alphabet are alike, and take as long.
        shares += [files[start::count] for start in range(count)]
    return shares


def run_all(commands: Sequence[Sequence[str]], folder: Path, *, at_once: int) -> int:
    """Run commands in a folder, so many at a time; show each when it has ended, then the count."""
    began = time.monotonic()
    said, codes = [], []
    with ThreadPoolExecutor(at_once) as threads:
        running = [threads.submit(_run, command, folder) for command in commands]
        for ended in as_completed(running):
            done = ended.result()
            sys.stdout.buffer.write(done.stdout)
            sys.stdout.buffer.flush()
            said.append(done.stdout)
            codes.append(done.returncode)
    took = time.monotonic() - began
    print(f"{_count(said)} in {took:.1f}s, in {len(commands)} processes", flush=True)
    return next((code for code in codes if code not in (0, _NO_TESTS)), min(codes))


def _run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )


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
