"""Targets under Atheris, one after the other: run in `.venv-fuzz` by `guidance`.

Prints a line for each: its name, and the status that its process ended with. All are forked from
this one, since loading and instrumenting everything takes longer than a short run.
"""

import os
import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped] # in .venv-fuzz only

# Nothing of ours may be imported before: what is already there is not instrumented.
atheris.enabled_hooks.add("str")
with atheris.instrument_imports(include=["letterlock"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Run targets: a folder, their names, and after `--` libFuzzer's arguments."""
    split = sys.argv.index("--")
    folder, *names = sys.argv[1:split]
    for name in names:
        child = os.fork()
        if child == 0:
            _run(name, Path(folder) / name, sys.argv[split + 1 :])
        _, status = os.waitpid(child, 0)
        print(name, os.waitstatus_to_exitcode(status), flush=True)


def _run(name: str, folder: Path, arguments: list[str]) -> None:
    """Run one; Atheris ends the process, with another status than 0 when it found something."""
    os.chdir(folder)
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    target = TARGETS[name]
    own = [f"-max_len={target.max_octets}", "corpus", "seeds"]
    own += ["-dict=words"] if target.words else []
    atheris.Setup([sys.argv[0], *arguments, *own], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
