"""All tests in several processes: what each says is shown, and a failure of any is one."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools import run_tests


def saying(words: str, code: int) -> Sequence[str]:
    return [sys.executable, "-c", f"import sys; print({words!r}); sys.exit({code})"]


@pytest.mark.parametrize(
    ("codes", "code"), [((0, 0), 0), ((1, 0), 1), ((0, 1), 1), ((0, 5), 0), ((5, 3), 3)]
)
def test_a_failure_of_any_process_is_one(
    codes: tuple[int, int], code: int, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    commands = [saying("2 passed in 0.01s", codes[0]), saying("3 passed in 1.00s", codes[1])]
    assert run_tests.run_all(commands, tmp_path, at_once=1) == code
    lines = capfdbinary.readouterr().out.splitlines()
    assert sorted(lines[:2]) == [b"2 passed in 0.01s", b"3 passed in 1.00s"]
    assert lines[2].startswith(b"5 passed in ")
    assert lines[3:] == []


def test_the_last_line_of_each_run_is_counted_whatever_its_colour() -> None:
    first = b"1 passed in 0.01s\n..\n12 passed, 1 skipped, 3 deselected in 1.50s\n"
    second = b"\x1b[31m= \x1b[1m2 failed\x1b[0m, \x1b[32m30 passed\x1b[0m in 62.10s (0:01:02) =\n"
    counted = "42 passed, 1 skipped, 3 deselected, 2 failed"
    assert run_tests._count([first, second]) == counted
    assert run_tests._count([b"ended by a signal\n", b""]) == "no tests"


def test_every_file_of_a_folder_apart_is_in_one_share() -> None:
    rest, *shares = run_tests.share_out(run_tests.ROOT)
    named = [path for share in shares for path in share]
    assert len(named) == len(set(named))
    assert all(shares), "a process without a file would run every test"
    assert {f"--ignore={folder}" for folder in run_tests.APART} == set(rest)
    for folder in run_tests.APART:
        files = {
            str(p.relative_to(run_tests.ROOT)) for p in (run_tests.ROOT / folder).rglob("test_*.py")
        }
        assert {path for path in named if path.startswith(f"{folder}/")} == files


def test_arguments_are_pytests(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def call(command: Sequence[str], cwd: Path) -> int:
        calls.append((command[1:], cwd))
        assert "PYTHONDONTWRITEBYTECODE" not in os.environ
        return 7

    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr("subprocess.call", call)
    assert run_tests.main(["tests/base", "-x"]) == 7
    assert calls == [(["-m", "pytest", "tests/base", "-x"], run_tests.ROOT)]
