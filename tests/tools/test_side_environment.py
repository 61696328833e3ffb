"""An environment beside `.venv` is made from its file once, and says in one line why it cannot."""

import re
import subprocess
from pathlib import Path

import pytest

from tools import environment, side_environment

FILES = sorted(side_environment.FOLDER.glob("*.txt"))


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(side_environment, "FOLDER", tmp_path / "side")
    (tmp_path / "side").mkdir()
    (tmp_path / "side" / "oracles.txt").write_text("# none\n")
    return tmp_path


def test_it_is_made_once_and_anew_when_its_file_changed(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not side_environment.is_current("oracles")
    side_environment.main(["oracles"])
    assert side_environment.is_current("oracles")
    assert capsys.readouterr().out.startswith("making .venv-oracles")
    side_environment.main(["oracles"])
    assert capsys.readouterr().out == ""
    (repository / "side" / "oracles.txt").write_text("# still none\n")
    assert not side_environment.is_current("oracles")


@pytest.mark.usefixtures("repository")
def test_it_sees_the_packages_of_the_main_one_behind_its_own() -> None:
    side_environment.main(["oracles"])
    done = subprocess.run(
        [side_environment.side_python("oracles"), "-c", "import idna; print(idna.__file__)"],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.stderr == ""
    assert Path(done.stdout).is_relative_to(environment.ENVIRONMENT)


def test_what_cannot_be_installed_is_said_and_not_taken_for_made(repository: Path) -> None:
    hashed = "nothing @ file:///nowhere/nothing-1.0-py3-none-any.whl --hash=sha256:" + "0" * 64
    (repository / "side" / "oracles.txt").write_text(f"{hashed}\n")
    with pytest.raises(SystemExit, match=r"\Aletterlock: pip could not install .*oracles\.txt"):
        side_environment.main(["oracles"])
    assert not side_environment.is_current("oracles")


def test_a_name_without_a_file_is_refused(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del repository
    with pytest.raises(SystemExit):
        side_environment.main(["other"])
    assert "oracles" in capsys.readouterr().err


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_each_requirement_is_pinned_with_its_hashes(file: Path) -> None:
    text = re.sub(r"#.*\n", "\n", file.read_text(encoding="utf-8")).replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if line.strip() and line[0] != "-"]
    assert requirements
    for requirement in requirements:
        pinned = r"[a-z0-9-]+==[0-9.]+(post[0-9]+)?( +--hash=sha256:[0-9a-f]{64})+ *"
        assert re.fullmatch(pinned, requirement)
