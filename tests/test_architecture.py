"""The shape of the code base: what no linter sees. Floors are import contracts (`make imports`)."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import letterlock

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "letterlock"

MAX_MODULE_LINES = 400
VAGUE_NAMES = {"utils", "helpers", "common", "manager", "handler", "data", "info", "misc"}
# They make a command slow to start: each command loads what it needs when it runs.
NOT_FOR_CLI = (
    "asyncio",
    "ssl",
    "OpenSSL",
    "dns",
    "cryptography",
    "apsw",
    "msgspec",
    "rich",
    "tomllib",
    "uvloop",
)


def test_a_module_fits_in_400_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in SOURCE.rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_MODULE_LINES
    }
    assert long == {}


def test_names_say_what_is_inside() -> None:
    vague = [path for path in SOURCE.rglob("*") if path.stem in VAGUE_NAMES]
    assert vague == []


def test_the_tests_mirror_the_source() -> None:
    """A package's tests are in its mirror, or beside it (one suite for both databases)."""
    untested = []
    modules = (path for path in SOURCE.rglob("*.py") if not path.stem.startswith("__"))
    for folder in sorted({path.parent for path in modules}):
        beside = ROOT / "tests" / folder.relative_to(SOURCE).parent
        package = ".".join(folder.relative_to(SOURCE.parent).parts)
        if not any(package in path.read_text(encoding="utf-8") for path in beside.rglob("*.py")):
            untested.append(package)
    assert untested == []


def test_nobody_waits_in_a_way_that_overhears_its_end() -> None:
    """Before Python 3.12 `asyncio.wait_for` may lose a cancellation: see `base.waiting`."""
    found = [
        str(path.relative_to(ROOT))
        for path in SOURCE.rglob("*.py")
        if "asyncio.wait_for(" in path.read_text(encoding="utf-8")
    ]
    assert found == []


def test_no_server_takes_away_a_unix_socket_unasked() -> None:
    """Since Python 3.13 such a server does when it ends; `create_server` serves them too."""
    found = [
        str(path.relative_to(ROOT))
        for path in SOURCE.rglob("*.py")
        if re.search(r"(start|create)_unix_server\(", path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_the_command_line_loads_only_what_every_command_needs() -> None:
    program = "import sys, letterlock.cli; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "src")},  # nothing of ours: coverage would load tomllib
    ).stdout
    assert [name for name in NOT_FOR_CLI if name in output.split()] == []


def test_a_command_that_takes_one_part_of_a_node_does_not_load_the_others() -> None:
    """What a package imports comes with each of its modules: 1.2 s of the CPU, here."""
    source = (SOURCE / "node" / "__init__.py").read_text(encoding="utf-8")
    assert "import" not in source.replace("imported", "")


def test_no_file_names_a_place_of_the_machine_it_was_written_on() -> None:
    # Put together here, so that this file has none of them.
    places = tuple("/" + name + "/" for name in ("work", "root", "shared"))
    found = [
        f"{path.relative_to(ROOT)}: {place}"
        for path in _texts()
        for place in places
        if place in path.read_text(encoding="utf-8")
    ]
    assert found == []


def test_the_version_is_the_same_everywhere() -> None:
    assert _read_toml("pyproject.toml")["project"]["version"] == letterlock.__version__


def test_the_lock_file_has_what_the_project_asks_for() -> None:
    project = _read_toml("pyproject.toml")
    locked = next(
        package
        for package in _read_toml("uv.lock")["package"]
        if package["name"] == project["project"]["name"]
    )
    asked = {_requirement_name(text) for text in project["project"]["dependencies"]}
    for extra, texts in project["project"]["optional-dependencies"].items():
        asked |= {f"{_requirement_name(text)} for {extra}" for text in texts}
    for group, texts in project["dependency-groups"].items():
        asked |= {f"{_requirement_name(text)} for {group}" for text in texts}
    has = {entry["name"] for entry in locked["dependencies"]}
    for kind in ("optional-dependencies", "dev-dependencies"):
        for group, entries in locked[kind].items():
            has |= {f"{entry['name']} for {group}" for entry in entries}
    assert asked == has, "`uv lock` was not run after pyproject.toml changed"


def _texts() -> list[Path]:
    folders = ("src", "tests", "tools", "docs", "changes", "benchmarks", ".ci")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    paths += [ROOT / "Makefile", ROOT / "pyproject.toml", *ROOT.glob("*.md")]
    return [path for path in paths if path.suffix not in {".pyc", ".der", ".bin", ".xz", ".png"}]


def _read_toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


def _requirement_name(text: str) -> str:
    return re.split(r"[\[<>=!~; ]", text, maxsplit=1)[0]
