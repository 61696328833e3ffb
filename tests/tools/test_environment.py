"""The environment is made from the lock file once, and says in one line why it cannot be."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import environment


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A repository with one command, in a folder whose name has a space."""
    root = tmp_path / "a folder"
    (root / "src").mkdir(parents=True)
    (root / "src" / "greeting.py").write_text("def main() -> str:\n    return 'hello'\n")
    (root / "uv.lock").write_text(
        '[[package]]\nname = "greeting"\nversion = "1"\nsource = { editable = "." }\n'
    )
    (root / "scripts").mkdir()
    (root / "scripts" / "welcome").write_text("#!python\nprint('welcome')\n")
    (root / "pyproject.toml").write_text(
        '[project.scripts]\ngreet = "greeting:main"\n'
        '[tool.hatch.build.targets.wheel.shared-scripts]\n"scripts/welcome" = "welcome"\n'
    )
    monkeypatch.setattr(environment, "ROOT", root)
    monkeypatch.setattr(environment, "ENVIRONMENT", root / ".venv")
    monkeypatch.setattr(environment, "STAMP", root / ".venv" / "made-from")
    return root


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, repository: Path) -> list[bytes]:
    """The lock file of each building; what is built is Python alone."""
    builds: list[bytes] = []

    def build(lock: bytes) -> None:
        builds.append(lock)
        (repository / ".venv" / "bin").mkdir(parents=True, exist_ok=True)
        python = repository / ".venv" / "bin" / "python"
        python.unlink(missing_ok=True)
        python.symlink_to(sys.executable)

    monkeypatch.setattr(environment, "_build", build)
    return builds


def test_it_is_made_anew_when_the_lock_file_changed_and_only_then(
    repository: Path, built: list[bytes]
) -> None:
    environment.main()
    environment.main()
    assert len(built) == 1
    (repository / "uv.lock").write_text("# another\n")
    environment.main()
    assert built[1:] == [b"# another\n"]


def test_it_is_made_anew_for_another_interpreter(
    monkeypatch: pytest.MonkeyPatch, built: list[bytes]
) -> None:
    environment.main()
    monkeypatch.setattr(sys, "base_prefix", "/opt/python")
    environment.main()
    assert len(built) == 2


def test_a_command_of_the_project_starts_from_a_folder_with_a_space(
    repository: Path, built: list[bytes]
) -> None:
    environment.main()
    done = subprocess.run(
        [repository / ".venv" / "bin" / "greet"],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "PYTHONPATH": str(repository / "src")},
    )
    assert done.stderr == "hello\n", "sys.exit() prints a text to standard error"
    assert len(built) == 1


@pytest.mark.usefixtures("built")
def test_a_script_of_the_project_is_a_command_too(repository: Path) -> None:
    environment.main()
    command = repository / ".venv" / "bin" / "welcome"
    done = subprocess.run([command], capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "welcome\n", "")


@pytest.mark.usefixtures("repository")
def test_without_ensurepip_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find_spec(name)
    )
    with pytest.raises(SystemExit, match=r"\Aletterlock: .* apt-get install python3\.\d+-venv\Z"):
        environment.main()


def test_a_lock_file_that_cannot_be_read_is_named(repository: Path) -> None:
    (repository / "uv.lock").write_text(
        '[[package]]\nname = "greeting"\nsource = { editable = "." }\n'
        'dependencies = [{ name = "a" }]\n'
        '[[package]]\nname = "a"\nversion = "1"\nsource = { registry = "https://example.org" }\n'
    )
    with pytest.raises(SystemExit, match=r"\Aletterlock: uv\.lock: a has no wheel\Z"):
        environment.main()
    assert not (repository / ".venv").exists()
