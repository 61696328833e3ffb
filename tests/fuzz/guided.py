"""Targets under Atheris, one after the other: run in `.venv-fuzz` by `guidance`.

Arguments: the module that has the targets, a folder, their names, and after `--` libFuzzer's own.
Prints a line for each target: its name, and the status that its process ended with. All are forked
from this one, since loading and instrumenting everything takes longer than a short run.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import atheris  # type: ignore[import-untyped] # in .venv-fuzz only

# Nothing of ours may be imported before: what is already there is not instrumented.
atheris.enabled_hooks.add("str")
with atheris.instrument_imports(include=["letterlock"]):
    from tests.fuzz.target import Target

    FOUND: Mapping[str, Target] | Sequence[Target] = import_module(sys.argv[1]).TARGETS


def main() -> None:
    """Run the targets that are named."""
    split = sys.argv.index("--")
    folder, *names = sys.argv[2:split]
    found = FOUND.values() if isinstance(FOUND, Mapping) else FOUND
    targets = {target.name: target for target in found}
    for name in names:
        child = os.fork()
        if child == 0:
            _run(targets[name], Path(folder) / name, sys.argv[split + 1 :])
        _, status = os.waitpid(child, 0)
        print(name, os.waitstatus_to_exitcode(status), flush=True)


def _run(target: Target, folder: Path, arguments: list[str]) -> None:
    """Run one; Atheris ends the process, with another status than 0 when it found something."""
    os.chdir(folder)
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    own = [f"-max_len={target.max_octets}", "corpus", "seeds"]
    own += ["-dict=words"] if target.words else []
    atheris.Setup([sys.argv[0], *arguments, *own], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
