"""`letterlock serve`: the configuration must be right before anything is started."""

from pathlib import Path

import pytest

from letterlock.base.config.faults import refuse_setting
from letterlock.base.config.load import ConfigErrors, FoundConfig
from letterlock.base.config.sections import Config
from letterlock.cli.root import main
from letterlock.node import serving

TEXT = """\
hostname = "mx1.example.org"
domains = ["example.org"]
contact = "postmaster@example.org"
data_dir = "data"
"""


def test_node_is_run_and_can_read_its_configuration_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "letterlock.toml"
    file.write_text(TEXT)
    seen = []

    def serve(config: Config, found: FoundConfig) -> int:
        seen.append(config.hostname)
        file.write_text(TEXT.replace("mx1", "mx2"))
        seen.append(found.load().hostname)
        file.write_text("nonsense")
        with pytest.raises(ConfigErrors):
            found.load()
        return 0

    monkeypatch.setattr(serving, "serve", serve)
    assert main(["serve", "--config", str(file)]) == 0
    assert seen == ["mx1.example.org", "mx2.example.org"]


def test_wrong_configuration_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serving, "serve", pytest.fail)
    file = tmp_path / "letterlock.toml"
    file.write_text(TEXT + "nonsense = 1\n")
    assert main(["serve", "--config", str(file)]) == 2
    assert capsys.readouterr().err == f"letterlock: {file}:5:1: nonsense: is not a setting\n"


def test_a_setting_that_cannot_be_used_is_one_line_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def serve(config: Config, found: FoundConfig) -> int:
        raise refuse_setting(("data_dir",), f"{config.data_dir} is taken, says {found.path.name}")

    monkeypatch.setattr(serving, "serve", serve)
    file = tmp_path / "letterlock.toml"
    file.write_text(TEXT)
    assert main(["serve", "--config", str(file)]) == 2
    said = f"{file}:4:1: data_dir: {tmp_path / 'data'} is taken, says letterlock.toml"
    assert capsys.readouterr().err == f"letterlock: {said}\n"
