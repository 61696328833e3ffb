"""The commands that the demo names can be typed as they stand."""

import sys
from pathlib import Path

import pytest

from letterlock.demo.commands import format_command


def test_the_module_is_named_where_there_is_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/letterlock/__main__.py"])
    assert format_command("status").endswith(" -m letterlock status")


def test_a_program_is_named_as_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [".venv/bin/letterlock"])
    assert format_command("queue", "list") == ".venv/bin/letterlock queue list"


def test_a_program_that_the_shell_finds_is_named_shortly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "letterlock"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [str(program)])
    assert format_command("status") == "letterlock status"


def test_a_folder_with_a_blank_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/letterlock"])
    command = format_command("status", "--config", Path("/tmp/a b/letterlock.toml"))
    assert command.endswith("'/tmp/a b/letterlock.toml'")
