"""Make an environment beside `.venv`, for what tests use as a program and never import.

`python -m tools.side_environment fuzz` makes `.venv-fuzz` from `tools/side/fuzz.txt`: requirements
for pip, each with its version and hashes, and an option that says if any may be built from source.
Behind its own packages it sees those of `.venv`. It is made anew when its file or the interpreter
changed. Why: docs/decisions/0005-fuzzing.md.
"""

import argparse
import hashlib
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from tools import environment

FOLDER = Path(__file__).resolve().parent / "side"


class SideError(Exception):
    """The environment cannot be made here; the message is one line."""


def main(arguments: Sequence[str]) -> None:
    """Make the environments that are named. Ends the program with 1 and one line if it cannot."""
    parser = argparse.ArgumentParser(description="Make environments beside .venv.")
    parser.add_argument(
        "name", nargs="+", choices=sorted(path.stem for path in FOLDER.glob("*.txt"))
    )
    for name in parser.parse_args(arguments).name:
        try:
            make(name)
        except SideError as error:
            sys.exit(f"letterlock: {error}")


def side_python(name: str) -> Path:
    """Give the interpreter of a side environment, there or not."""
    return environment.ROOT / f".venv-{name}" / "bin" / "python"


def is_current(name: str) -> bool:
    """Say whether the environment is there, made from what its file says now."""
    stamp = _stamp(name)
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == _origin(name)


def make(name: str) -> None:
    """Make the environment if it is not there or not current. Raises SideError."""
    if is_current(name):
        return
    print(f"making .venv-{name} from tools/side/{name}.txt", flush=True)
    folder = environment.ROOT / f".venv-{name}"
    venv.create(folder, clear=True, symlinks=True)
    # The pip of `.venv` does it: to put one into each environment takes longer than all the rest.
    pip = [str(environment.ENVIRONMENT / "bin" / "python"), "-m", "pip", "--python"]
    pip += [str(side_python(name)), "--disable-pip-version-check", "install", "-qq", "--no-input"]
    options = ["--no-deps", "--no-compile", "--require-hashes", "-r", str(FOLDER / f"{name}.txt")]
    done = subprocess.run([*pip, *options], check=False)
    if done.returncode != 0:
        raise SideError(f"pip could not install tools/side/{name}.txt (its reason is above)")
    packages = next((folder / "lib").glob("python*/site-packages"))
    main_packages = environment.ENVIRONMENT / packages.relative_to(folder)
    (packages / "letterlock.pth").write_text(f"{main_packages}\n", encoding="utf-8")
    _stamp(name).write_text(_origin(name), encoding="utf-8")


def _stamp(name: str) -> Path:
    return environment.ROOT / f".venv-{name}" / "made-from"


def _origin(name: str) -> str:
    digest = hashlib.sha256((FOLDER / f"{name}.txt").read_bytes()).hexdigest()
    return f"{name}.txt {digest}\npython {sys.version}\n{sys.base_prefix}\n"


if __name__ == "__main__":
    main(sys.argv[1:])
