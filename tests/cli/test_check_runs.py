"""`letterlock check` over many domains: their hosts are shared; a run that was ended goes on."""

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from letterlock.base.config.sections import Config
from letterlock.cli.check_run import find_state_folder
from letterlock.cli.root import main
from letterlock.node.checking import Asked
from letterlock.storage.check_progress import CheckProgress, Finished
from tests.interop.background import in_background, zones
from tests.journeys.running_node import PATIENCE
from tests.misbehaving import Conduct, Server, serving
from tests.network.certificates import authority, issue
from tests.programs import ForkedProgram

SHARED = 8
"""Domains whose mail goes to one host of two addresses, which speaks no TLS."""
QUICK = ("--pace", "0", "--timeout", "5", "--retries", "0")


@dataclass
class Lab:
    """Hosts: `good` is asked three times, `clear` once; `busy` puts everybody off."""

    good: Server
    clear: Server
    clear_too: Server
    busy: Server
    resolver: str

    def count(self) -> list[int]:
        servers = (self.good, self.clear, self.clear_too, self.busy)
        return [each.seen.connections for each in servers]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    conducts = (
        Conduct(issue(("mx.good.example",))),
        Conduct(has_starttls=False),
        Conduct(has_starttls=False),
        Conduct(answers={"banner": "421 4.3.2 too many connections"}),
    )
    with in_background(serving(*conducts)) as servers:
        good, clear, clear_too, busy = servers
        records = {
            "com": "@ NS ns.com.",
            "good.example": f"@ MX 10 mx\nmx A {good.ip}",
            "clear.example": f"mx A {clear.ip}\nmx A {clear_too.ip}",
            "busy.example": f"@ MX 10 mx\nmx A {busy.ip}",
            **{f"d{number}.example": "@ MX 10 mx.clear.example." for number in range(SHARED)},
        }
        with zones(records, authentic_data=True) as resolver:
            yield Lab(good, clear, clear_too, busy, resolver)


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def config(tmp_path: Path, lab: Lab) -> str:
    (tmp_path / "ca.pem").write_bytes(authority().pem)
    path = tmp_path / "letterlock.toml"
    path.write_text(
        f"""\
hostname = "mx.example.net"
domains = ["example.net"]
contact = "postmaster@example.net"
data_dir = "{tmp_path / "data"}"
[deliver]
port = {lab.good.port}
[policy]
trust_files = ["{tmp_path / "ca.pem"}"]
[dns]
resolver = "{lab.resolver}"
"""
    )
    return str(path)


@pytest.fixture
def many(tmp_path: Path) -> str:
    path = tmp_path / "many"
    path.write_text("".join(f"d{number}.example\n" for number in range(SHARED)))
    return str(path)


def count_kept() -> list[int]:
    """Count the whole lines of each run's file."""
    files = (find_state_folder() / "runs").glob("*.jsonl")
    return [file.read_bytes().count(b"\n") for file in files]


def end_when_kept(process: ForkedProgram, number: int, signum: int) -> int:
    """Send the signal when so many are done; gives the exit code."""
    deadline = time.monotonic() + PATIENCE
    try:
        while count_kept() != [number]:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline, count_kept()
            time.sleep(0.02)
        process.send_signal(signum)
        return process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()


def test_domains_that_share_a_host_are_asked_once(
    config: str, many: str, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    before = lab.count()
    assert main(["check", "--config", config, *QUICK, "--json", "--file", many]) == 1
    documents = json.loads(capsys.readouterr().out)
    assert {each["domain"] for each in documents} == {f"d{n}.example" for n in range(SHARED)}
    assert all(len(each["hosts"][0]["addresses"]) == 2 for each in documents)
    made = [now - then for now, then in zip(lab.count(), before, strict=True)]
    assert made == [0, 1, 1, 0]
    # It is complete: there is nothing to go on with.
    assert count_kept() == []


def test_a_run_that_was_killed_goes_on(
    config: str, many: str, lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was done is not asked again, what was begun is, and the list has each once."""
    before = lab.count()
    # The good host is asked three times: the second would be after a minute.
    process = ForkedProgram(
        ["check", "--config", config, "--pace", "60", "--file", many, "good.example"]
    )
    with process.stderr:
        end_when_kept(process, SHARED, signal.SIGKILL)
    (path,) = (find_state_folder() / "runs").iterdir()
    with path.open("a") as file:
        file.write('{"name": "good.exa')
    html = tmp_path / "page.html"
    again = ["check", "--config", config, *QUICK, "--file", many, "good.example"]
    assert main([*again, "--resume", "--json", "--html", str(html)]) == 1
    documents = json.loads(capsys.readouterr().out)
    assert [each["domain"] for each in documents][-1] == "good.example"
    assert len({each["domain"] for each in documents}) == len(documents) == SHARED + 1
    assert html.read_text().count("<h1>") == SHARED + 1
    made = [now - then for now, then in zip(lab.count(), before, strict=True)]
    assert made[1:] == [1, 1, 0]
    assert 3 <= made[0] <= 4
    assert count_kept() == []


def test_who_interrupts_is_told_how_to_go_on(config: str, many: str, tmp_path: Path) -> None:
    html = tmp_path / "page.html"
    with (tmp_path / "out").open("wb") as output:
        arguments = ["--config", config, "--pace", "60", "--json", "--html", str(html)]
        process = ForkedProgram(
            ["check", *arguments, "--file", many, "good.example"], stdout=output.fileno()
        )
    with process.stderr:
        assert end_when_kept(process, SHARED, signal.SIGINT) == 130
        said = process.stderr.read()
    assert f"{SHARED} of {SHARED + 1} are done; --resume goes on with the rest" in said
    # What was told is a list, and no half a page is left.
    assert len(json.loads((tmp_path / "out").read_text())) == SHARED
    assert [path.name for path in tmp_path.iterdir() if "html" in path.name] == []


def test_the_exit_code_is_the_worst_of_those_too_that_were_done_before(
    config: str, lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = f"mx.good.example:{lab.good.port}", f"[{lab.good.ip}]:{lab.good.port}"
    asked = ["check", "--config", config, *QUICK, "--json", "--starttls", "smtp", *place]
    assert main([*asked, "--resume"]) == 0
    whole = json.loads(capsys.readouterr().out)

    def find_something(_config: Config, asked: list[Asked], *others: Any) -> None:
        (document,) = (each for each in whole if each["domain"] == asked[0].name)
        finding = {"id": "x", "severity": "critical", "where": "x", "evidence": "", "fix": ""}
        others[-1](document | {"findings": [finding]})
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("letterlock.node.checking.run", find_something)
        assert main(asked) == 130
    assert "1 of 2 are done" in capsys.readouterr().err
    (path,) = (find_state_folder() / "runs").iterdir()
    kept = path.read_text()
    assert main([*asked, "--resume"]) == 1
    assert len(json.loads(capsys.readouterr().out)) == 2
    # What was found on another day, or at no time that can be told, is asked for again.
    for checked in ("2001-01-01T00:00:00Z", "2001-01-01T00:00:00", "soon"):
        path.write_text(json.dumps(json.loads(kept) | {"checked": checked}) + "\n")
        assert main([*asked, "--resume"]) == 0
        assert len(json.loads(capsys.readouterr().out)) == 2


def test_a_disk_that_fills_up_ends_no_run(
    config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(progress: CheckProgress, finished: Finished) -> None:
        del progress, finished
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CheckProgress, "add", fail)
    assert main(["check", "--config", config, *QUICK, "d0.example", "d1.example", "--json"]) == 1
    told = capsys.readouterr()
    assert len(json.loads(told.out)) == 2
    assert told.err.count("it cannot be gone on with this run") == 1


def test_a_page_may_go_to_what_is_no_file(config: str) -> None:
    """A pipe is not replaced by a file."""
    reader, writer = os.pipe()
    with os.fdopen(reader) as page, os.fdopen(writer, "wb"):
        arguments = ["check", "--config", config, *QUICK, "nowhere.example", "--html"]
        assert main([*arguments, f"/dev/fd/{writer}"]) in {1, 3}
        os.set_blocking(reader, False)
        assert page.read().endswith("</html>\n")


def test_who_put_us_off_is_asked_again_at_the_end(
    config: str, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    before = lab.count()
    quick = ("--pace", "0", "--timeout", "5", "--retries", "9", "--retry-after", "0.01")
    assert main(["check", "--config", config, *quick, "busy.example", "d0.example", "--json"]) == 1
    told = capsys.readouterr()
    documents = {each["domain"]: each for each in json.loads(told.out)}
    assert documents["busy.example"]["hosts"][0]["addresses"][0]["state"] == "blocked"
    # As often as it may be asked in all.
    assert lab.count()[3] - before[3] == 3


def test_who_has_no_home_is_told_what_to_do(
    config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", fail)
    asked = ["check", "--config", config, *QUICK, "d0.example"]
    assert main([*asked, "d1.example"]) == 1
    assert "let XDG_STATE_HOME name a folder" in capsys.readouterr().err
    assert main([*asked, "--diff"]) == 3
    assert main([*asked, "--watch"]) == 3


def test_where_nothing_can_be_kept_the_run_is_done_all_the_same(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_text("no folder")
    asked = ["check", "--config", config, *QUICK, "d0.example", "d1.example"]
    assert main(asked) == 1
    assert "it cannot be gone on with this run" in capsys.readouterr().err
    assert main([*asked, "--resume"]) == 3
    assert "--resume: " in capsys.readouterr().err
