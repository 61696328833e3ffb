"""`letterlock check --watch`: a process, until a signal; who is told; a restart."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from letterlock.cli.check_run import find_state_folder
from letterlock.cli.root import main
from letterlock.storage.check_runs import CheckRuns
from tests.interop.background import zones
from tests.journeys.running_node import PATIENCE
from tests.programs import ForkedProgram

DOMAIN = "null.example"
"""RFC 7505: it takes no mail, and no host has to be asked; a preference of 10 makes it a fault."""


@pytest.fixture(scope="module")
def resolver() -> Iterator[str]:
    with zones({"com": "@ NS ns.com.", DOMAIN: "@ MX 10 ."}, authentic_data=True) as address:
        yield address


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def config(tmp_path: Path, resolver: str) -> str:
    path = tmp_path / "letterlock.toml"
    path.write_text(
        f"""\
hostname = "mx.example.net"
domains = ["example.net"]
contact = "postmaster@example.net"
data_dir = "{tmp_path / "data"}"
[dns]
resolver = "{resolver}"
"""
    )
    return str(path)


def write_program(path: Path, output: Path) -> str:
    """Make a program that keeps its arguments, its variables and its input; whole, or not there."""
    path.write_text(
        f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {output}.args\nenv > {output}.env\n"
        f"cat > {output}.new && mv {output}.new {output}\n"
    )
    path.chmod(0o700)
    return str(path)


def wait_until(process: ForkedProgram, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def watch_until(
    is_so: Callable[[], bool], signum: int, arguments: list[str], output: Path
) -> tuple[int, str, str]:
    """Watch until that is so, then send a signal; gives exit code, output and errors."""
    with output.open("wb") as file:
        process = ForkedProgram(["check", "--watch", *arguments], stdout=file.fileno())
    with process.stderr:
        try:
            wait_until(process, is_so)
            process.send_signal(signum)
            code = process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
        return code, output.read_text(), process.stderr.read()


def test_what_changed_is_told_everywhere_and_it_ends_in_order(config: str, tmp_path: Path) -> None:
    mail, hook, output = tmp_path / "mail", tmp_path / "hook", tmp_path / "out"
    arguments = ["--config", config, "--every", "31d", "--times", "1", DOMAIN]
    arguments += ["--mail", "alarm@example.net"]
    arguments += ["--sendmail", write_program(tmp_path / "sendmail", mail)]
    arguments += ["--command", write_program(tmp_path / "command", hook)]
    kept = CheckRuns(find_state_folder() / "watch")

    def is_looked_at() -> bool:
        if kept.load(DOMAIN) is None:
            return False
        # Two at a time would tell everything twice.
        assert main(["check", "--watch", "--config", config, DOMAIN]) == 2
        return True

    code, lines, errors = watch_until(is_looked_at, signal.SIGTERM, arguments, output)
    assert (code, lines) == (0, ""), errors
    assert "1 domain is watched, from now on" in errors
    assert not hook.exists()
    known = kept.load(DOMAIN)
    assert known is not None
    (gone, *_) = [each for each in known["findings"] if each["id"] == "mx-null"]
    known["findings"].remove(gone)
    kept.save(DOMAIN, known)
    kept.save("/schedule", {})

    def is_told() -> bool:
        return hook.exists() and kept.load("/untold") == {"mail": [], "command": []}

    code, lines, errors = watch_until(is_told, signal.SIGINT, arguments, output)
    assert code == 0
    (line,) = lines.splitlines()
    assert f" {DOMAIN}: critical: mx-null began at {DOMAIN}: " in line
    message = message_from_bytes(mail.read_bytes(), policy=policy.default)
    assert message["Subject"] == f"critical: mx-null began at {DOMAIN}"
    assert message["From"] == "postmaster@example.net"
    assert line in message.get_content()
    arguments_given = Path(f"{mail}.args").read_text().splitlines()
    assert arguments_given == ["-i", "-f", "postmaster@example.net", "--", "alarm@example.net"]
    (change,) = json.loads(hook.read_bytes())["changes"]
    assert (change["event"], change["what"], change["domain"]) == ("begins", "mx-null", DOMAIN)
    assert "LETTERLOCK_SEVERITY=critical" in Path(f"{hook}.env").read_text().splitlines()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--every", "1h"], "--every is for --watch"),
        (["--silence", "caa-missing"], "--silence is for --watch"),
        (["--watch", "--diff"], "--watch and --diff cannot both be"),
        (["--watch", "--resume"], "--watch and --resume cannot both be"),
        (["--watch", "--every", "1"], '--every: not a duration such as "30s"'),
        (["--watch", "--every", "59s"], "--every: from 1m to 31d"),
        (
            ["--watch", "--silence", "mx-null", "--silence", "caa-mising"],
            "--silence: no finding has the id 'caa-mising'; did you mean caa-missing?",
        ),
        (["--watch", "--silence", "z\n"], "no finding has the id 'z\\n'; ids are as in the lines"),
        (["--watch", "--mail", "nobody"], "--mail: nobody: "),
        (["--watch", "--mail", "a@b.example"], "/sendmail is not there: say what takes mail"),
        (["--watch", "--command", "{data}"], "is not executable"),
        (["--watch", "--mail", "a@b.example", "--sendmail", "{data}"], "is not executable"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str],
    said: str,
    config: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("letterlock.cli.check_watch.SENDMAIL", Path("/nonexistent/sendmail"))
    given = [each.format(data=config) for each in arguments]
    assert main(["check", "--config", config, *given, DOMAIN]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_where_nothing_can_be_kept_it_does_not_start(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_text("no folder")
    assert main(["check", "--watch", "--config", config, DOMAIN]) == 2
    assert "XDG_STATE_HOME says where it is kept what was told" in capsys.readouterr().err
