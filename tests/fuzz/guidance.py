"""Running targets under Atheris, in its own environment and processes.

What it finds is kept in `.fuzz/NAME`: the corpus, which the next run begins with, the inputs of
findings for `--replay`, and its log.
"""

import hashlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.fuzz.mutator import MAX_SECONDS
from tests.fuzz.target import Target
from tools.side_environment import is_current, side_python

ROOT = Path(__file__).resolve().parent.parent.parent
KEPT = ROOT / ".fuzz"
MAX_MEGABYTES = 1024
"""Of memory for the whole process; with everything loaded it has a tenth of that."""

_MAX_SAID = 2000


def is_here() -> bool:
    """Say whether Atheris is there, in the version that is asked for."""
    return is_current("fuzz")


def run_guided(
    targets: Sequence[Target],
    *,
    runs: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    kept: Path = KEPT,
    module: str = "tests.fuzz.targets",
) -> Iterator[tuple[Target, str | None]]:
    """Run targets; gives each with None, or with what was said when something was found.

    Each ends after `runs`, or after `seconds`, whichever comes first; None is no limit. `module` is
    where they all are: what it imports is prepared first, the less the sooner.
    """
    for target in targets:
        _prepare(target, kept / target.name)
    options = [
        f"-timeout={MAX_SECONDS:.0f}",
        f"-rss_limit_mb={MAX_MEGABYTES}",
        f"-seed={seed + 1}",  # libFuzzer takes 0 for chance
        "-len_control=10",  # what is long is tried soon: a run here is short
        "-print_final_stats=1",
        *([] if runs is None else [f"-runs={runs}"]),
        *([] if seconds is None else [f"-max_total_time={max(1, round(seconds))}"]),
    ]
    names = [target.name for target in targets]
    guided: list[str | Path] = [side_python("fuzz"), "-m", "tests.fuzz.guided", module]
    with (
        (kept / "log").open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            [*guided, kept, *names, "--", *options],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        for target, line in zip(targets, process.stdout, strict=False):
            name, status = line.split()
            assert name == target.name
            said = None if status == "0" else _read_end(kept / name / "log")
            yield target, said
    if process.returncode != 0:
        raise ChildProcessError(f"Atheris did not start: {_read_end(kept / 'log')}")


def _read_end(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-_MAX_SAID:]


def _prepare(target: Target, folder: Path) -> None:
    for name in ("corpus", "seeds"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for octets in target.seeds:
        (folder / "seeds" / hashlib.sha1(octets).hexdigest()).write_bytes(octets)
    (folder / "words").write_text("".join(map(_format_word, target.words)), encoding="ascii")


def _format_word(word: bytes) -> str:
    """Write a line of libFuzzer's dictionary."""
    return '"' + "".join(f"\\x{octet:02x}" for octet in word) + '"\n'
