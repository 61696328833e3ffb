"""What holds for all commands: exit codes, one line for each error, no traceback, a quick start."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from letterlock.base.errors import LocalError
from letterlock.cli import root as root_module
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.root import INTERRUPTED, PIPE_BROKEN, main, root


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found.append((*path, name))
        if isinstance(command, click.Group):
            found += _commands(command, (*path, name))
    return found


ALL = _commands(root)


@pytest.mark.parametrize("path", [(), *ALL], ids=" ".join)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_help(
    path: tuple[str, ...], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*path, option]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"Usage: {' '.join(('letterlock', *path))}")
    assert shown.err == ""


@pytest.mark.parametrize("path", [path for path in ALL if path[0] not in ("init", "demo", "send")])
def test_every_command_takes_a_configuration(path: tuple[str, ...]) -> None:
    command: click.Command | None = root
    for name in path:
        assert isinstance(command, click.Group)
        command = command.get_command(click.Context(command), name)
    assert command is not None
    if not isinstance(command, click.Group):
        assert "config_path" in [parameter.name for parameter in command.params]


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["--nonsense"], ["config", "nonsense"], ["queue", "show"], ["init", "--dir"]],
)
def test_wrong_usage_is_one_line_and_exit_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("letterlock: ")
    assert shown.err.count("\n") == 1
    assert "-h)" in shown.err


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().err


def test_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("letterlock ")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (LocalError("/x: full; make room"), 2, "letterlock: /x: full; make room\n"),
        (CommandFailed("a\nb"), 3, "letterlock: a\nletterlock: b\n"),
        (CommandFailed("no test \x1b[2J\x9b31m"), 3, "letterlock: no test ?[2J?31m\n"),
        (KeyboardInterrupt(), INTERRUPTED, ""),
        (click.Abort(), INTERRUPTED, ""),
    ],
)
def test_error_ends_a_command_with_its_code(
    error: BaseException,
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _let_fail(monkeypatch, error)
    assert main([]) == code
    assert capsys.readouterr().err == text


def test_defect_is_one_line_that_says_how_to_see_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LETTERLOCK_TRACEBACK", raising=False)
    _let_fail(monkeypatch, TypeError("a\nb"))
    assert main([]) == 3
    shown = capsys.readouterr().err
    assert "TypeError: a b" in shown
    assert "LETTERLOCK_TRACEBACK=1" in shown
    assert shown.count("\n") == 1


def test_traceback_is_shown_to_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTERLOCK_TRACEBACK", "1")
    _let_fail(monkeypatch, TypeError("a"))
    with pytest.raises(TypeError):
        main([])


def _let_fail(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(root_module.root, "main", fail)


def _run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "letterlock", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_exit_code_reaches_the_shell(tmp_path: Path) -> None:
    ended = _run("queue", "list", "--config", "none.toml", folder=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("letterlock: none.toml: does not exist;")
    assert ended.stdout == ""


def test_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "letterlock", "-h"],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    os.close(writer)
    assert ended.returncode == PIPE_BROKEN
    assert ended.stderr == b""


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), PIPE_BROKEN, ""),
        (OSError(errno.ENOSPC, "No space left on device"), 3, "cannot write the output: No space"),
        (CommandFailed("that is wrong", ExitCode.BAD_NEWS), 1, "that is wrong"),
        (TypeError("a"), 3, "a defect of letterlock, TypeError: a"),
    ],
)
def test_what_ends_one_of_several_tasks_is_told_as_if_there_were_one(
    error: Exception,
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As with `letterlock check A B C | head`: that was called a defect."""
    monkeypatch.delenv("LETTERLOCK_TRACEBACK", raising=False)
    monkeypatch.setattr(root_module, "_drop_output", lambda: None)
    _let_fail(monkeypatch, ExceptionGroup("one", [ExceptionGroup("two", [error]), ValueError()]))
    assert main([]) == code
    shown = capsys.readouterr().err
    assert told in shown
    assert shown.count("\n") == bool(told)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_as_if_nobody_read_them(closed: str, tmp_path: Path) -> None:
    """What is opened next must not get their numbers."""
    script = f"{sys.executable} -m letterlock queue list --config none.toml {closed}; echo $?"
    ended = subprocess.run(
        ["/bin/sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ended.stdout == "2\n"
    is_told = ended.stderr.startswith("letterlock: none.toml: does not exist;")
    assert is_told is ("2>&-" not in closed)


def test_numbers_of_closed_streams_stay_theirs(tmp_path: Path) -> None:
    script = (
        "from letterlock.base.streams import open_missing_streams as o; import os, sys; o(); o();"
        "print('lost', flush=True); os.system('echo lost too'); f = open('file', 'w');"
        "f.write(f'{[s.fileno() for s in (sys.stdin, sys.stdout, sys.stderr)]} {f.fileno() > 2}')"
    )
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        subprocess.run(
            ["/bin/sh", "-c", f'{sys.executable} -c "{script}" {closed}'],
            capture_output=True,
            check=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert (tmp_path / "file").read_text() == "[0, 1, 2] True"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["-h"], ["--version"], ["demo", "--once"]], ids=" ".join)
def test_output_that_cannot_be_written_is_named(
    arguments: list[str], unbuffered: str, tmp_path: Path
) -> None:
    """A full disk is no defect of ours."""
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "letterlock", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "PYTHONUNBUFFERED": unbuffered,
            },
        )
    assert ended.stderr == "letterlock: cannot write the output: No space left on device\n"
    assert ended.returncode == 3
