"""Make `.venv` from `uv.lock` with nothing but Python: `make venv`, and before every other target.

It is made anew when the lock file or the interpreter changed, and left alone otherwise. pip
installs wheels only, checks their hashes, and takes them from the index that the user has set. The
project itself is put on the path as it lies here, with a launcher for each of its commands.
"""

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path
from typing import NoReturn

from tools.lock_requirements import LockError, format_requirements

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
STAMP = ENVIRONMENT / "made-from"
"""Says what the environment was made from; written last, so that a broken one is made anew."""

# The shell reads the second line as a command, Python as a string: a first line with a path in it
# may have neither spaces nor more than 127 octets.
START = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
"""
LAUNCHER = """\
import sys
from {module} import {function}
sys.exit({function}())
"""


def main() -> None:
    """Make the environment if it is not there or not current."""
    lock = (ROOT / "uv.lock").read_bytes()
    origin = (
        f"uv.lock {hashlib.sha256(lock).hexdigest()}\npython {sys.version}\n{sys.base_prefix}\n"
    )
    if not STAMP.is_file() or STAMP.read_text(encoding="utf-8") != origin:
        _build(lock)
        STAMP.write_text(origin, encoding="utf-8")
    _write_launchers()


def _build(lock: bytes) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if importlib.util.find_spec("ensurepip") is None:
        _stop(f"Python {version} cannot make environments: apt-get install python{version}-venv")
    print(f"making .venv with Python {version} from uv.lock", flush=True)
    try:
        requirements = format_requirements(tomllib.loads(lock.decode()))
    except LockError as error:
        _stop(f"uv.lock: {error}")
    venv.create(ENVIRONMENT, clear=True, symlinks=True, with_pip=True)
    _install(requirements)
    folder = next((ENVIRONMENT / "lib").glob("python*/site-packages"))
    (folder / "letterlock.pth").write_text(f"{ROOT / 'src'}\n", encoding="utf-8")


def _install(requirements: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write(requirements)
        file.flush()
        pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        options = [
            "-qq",
            "--no-input",
            "--no-deps",
            "--no-compile",
            "--require-hashes",
            "--only-binary=:all:",
        ]
        done = subprocess.run([*pip, "install", *options, "-r", file.name], check=False)
    if done.returncode != 0:
        _stop("pip could not install what uv.lock lists (its reason is above)")


def _write_launchers() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for command, target in settings["project"]["scripts"].items():
        module, _, function = target.partition(":")
        _write_launcher(command, LAUNCHER.format(module=module, function=function))
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    for source, command in wheel["shared-scripts"].items():
        # Its first line, `#!python`, is for installers.
        _write_launcher(command, (ROOT / source).read_text(encoding="utf-8").partition("\n")[2])


def _write_launcher(command: str, program: str) -> None:
    path = ENVIRONMENT / "bin" / command
    text = START.format(python=ENVIRONMENT / "bin" / "python") + program
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)


def _stop(reason: str) -> NoReturn:
    sys.exit(f"letterlock: {reason}")


if __name__ == "__main__":
    main()
