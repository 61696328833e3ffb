"""Wall time of one message handed in by a program: letterlock-sendmail beside Postfix's sendmail.

Each program is started, reads a message of 2 kB, keeps it on the disk (synced) and ends; both in
turn, round by round, and Python itself, starting and ending, for comparison.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from tests.interop.postfix_instance import postfix_files
from tests.send.sending import SOURCE, DropPlace

LIMIT_MILLISECONDS = 60.0
PYTHON = "/usr/bin/python3"
"""Debian's: what is installed from a wheel there runs by it."""
MESSAGE = b"From: jo\nTo: alice\nSubject: a job's output\n\n" + 25 * (79 * b"x" + b"\n")
RECIPIENT = "alice@example.org"

_SCRIPT = """\
#!{python} -sP
import sys
sys.path.insert(0, {source!r})
from letterlock.send.command import main
sys.exit(main())
"""


def main() -> int:
    """Run it; gives 1 when ours takes longer than the limit."""
    options = _read_options()
    with tempfile.TemporaryDirectory(prefix="letterlock-bench-") as name:
        folder = Path(name)
        turns = {"python alone": _measure([options.python, "-I", "-c", "pass"])}
        turns["letterlock-sendmail"] = _measure(_install(folder, options))
        if os.geteuid() == 0 and Path("/usr/sbin/postdrop").exists():
            with postfix_files() as files:
                files.write()
                files.make_queue()
                words = ["/usr/sbin/sendmail", "-i", RECIPIENT]
                turns["Postfix's sendmail"] = _measure(words, files.environment)
                times = _take_turns(turns, options.rounds)
        else:
            times = _take_turns(turns, options.rounds)
    return _tell(times, options)


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=60)
    default = PYTHON if Path(PYTHON).exists() else sys.executable
    parser.add_argument("--python", default=default, help="the interpreter (%(default)s)")
    parser.add_argument("--program", help="an installed letterlock-sendmail, in place of this tree")
    return parser.parse_args()


def _install(folder: Path, options: argparse.Namespace) -> list[str]:
    """Give the command; without --program, of a script as an installer writes it."""
    place = DropPlace(folder).make()
    if options.program is not None:
        return [options.program, "-C", str(place.config), "-i", RECIPIENT]
    script = folder / "letterlock-sendmail"
    script.write_text(_SCRIPT.format(python=options.python, source=str(SOURCE)))
    script.chmod(0o755)
    return [str(script), "-C", str(place.config), "-i", RECIPIENT]


def _measure(words: list[str], environment: Mapping[str, str] | None = None) -> Callable[[], float]:
    def run() -> float:
        """Give the milliseconds of one run."""
        start = time.perf_counter()
        # Postfix warns that nobody picks its message up.
        subprocess.run(words, input=MESSAGE, check=True, env=environment, stderr=subprocess.DEVNULL)
        return 1000 * (time.perf_counter() - start)

    return run


def _take_turns(turns: Mapping[str, Callable[[], float]], rounds: int) -> Mapping[str, list[float]]:
    for run in turns.values():
        run()  # what is compiled once, and read from the disk once
    times: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, run in turns.items():
            times[name].append(run())
    return times


def _tell(times: Mapping[str, list[float]], options: argparse.Namespace) -> int:
    version = subprocess.run([options.python, "-V"], capture_output=True, text=True, check=True)
    print(f"{version.stdout.strip()} ({options.python}), {platform.machine()}, milliseconds")
    for name, taken in times.items():
        print(
            f"{name:22} min {min(taken):6.1f}  median {median(taken):6.1f}  max {max(taken):6.1f}"
        )
    ours = min(times["letterlock-sendmail"])
    if (theirs := times.get("Postfix's sendmail")) is not None:
        print(f"ratio to Postfix's: {ours / min(theirs):.2f}")
    # The least: what others do on the machine at the same time is not the program's doing.
    is_met = ours < LIMIT_MILLISECONDS
    print(f"limit of {LIMIT_MILLISECONDS:.0f} ms: {'met' if is_met else 'NOT met'}")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
