"""`letterlock demo`, whole: it shows what it claims, and notices when a claim does not hold."""

import errno
import os
import re
import resource
import shlex
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from letterlock.base.config.values import ListenAddress
from letterlock.base.errors import LocalError
from letterlock.demo import stage
from letterlock.demo.play import run
from letterlock.demo.setting import RIGHT_HOST, WRONG_IP, Setting
from letterlock.node.listeners import Listeners
from letterlock.protocols.mta_sts.policy import MtaStsMode

SOURCE = Path(__file__).resolve().parents[2] / "src"
DEMO = (sys.executable, "-m", "letterlock", "demo")


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Give what the demo runs in: nothing of the tester's, and a folder of its own."""
    path = os.environ.get("PATH", os.defpath)
    return {"PYTHONPATH": str(SOURCE), "PATH": path, "TMPDIR": str(folder), **more}


@contextmanager
def staying_demo(folder: Path) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """Run the demo until it waits for Ctrl-C; gives the process and the lines of its invitation."""
    with subprocess.Popen(
        DEMO, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            lines: list[str] = []
            for line in process.stdout:
                if lines or "until Ctrl-C" in line:
                    lines.append(line)
                if "receiver/mail.log" in line:
                    break
            yield process, lines
        finally:
            process.kill()


@dataclass(frozen=True)
class Played:
    """A demo that was run to its end: what it showed, and the seconds of the CPU that it took."""

    text: str
    cpu: float


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("demo")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*DEMO, "--once"],
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert list(folder.iterdir()) == []
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Played(done.stdout, cpu)


@pytest.fixture
def shown(played: Played) -> str:
    return played.text


def test_every_step_holds_in_less_than_10_seconds_of_the_cpu(played: Played) -> None:
    """On a machine with nothing else to do it takes no longer."""
    summary = re.search(r"All (\d+) claims held, in ([\d.]+) s", played.text)
    assert summary is not None
    assert int(summary[1]) == played.text.count("\n   holds  ")
    assert "DOES NOT HOLD" not in played.text
    assert played.cpu < 10


def test_lines_fit_a_terminal(shown: str) -> None:
    """Only what is there to be copied, which no line break may cut, can be longer."""
    long_ones = [line for line in shown.splitlines() if len(line) > 80]
    assert [line for line in long_ones if "letterlock.toml" not in line] == []
    assert "\x1b" not in shown


def test_each_decision_is_told_with_what_it_rests_on(shown: str) -> None:
    flat = " ".join(shown.split())
    for pattern in (
        r"issued for mx\.demo\.example, by http-01; CAA: allow mx\.listed\.example, ",
        r"4 certificates, 4 names, 4 looks at CAA",
        r"refused mx\.wrong\.example: caa: .* it allows another\.example, not ca\.authority\.",
        r"holds in the queue when the client heard 250, as \w+ ",
        r"looked up MX demo\.example: 10 mx\.demo\.example \(insecure\)",
        r"required verify, by policy table: demo\.example verify",
        r"handshake TLSv1\.3 \w+, \S+ certificate",
        r"judged verified: the certificate is for mx\.demo\.example holds",
        r"< 250 2\.0\.0 Ok: queued as (\w+) .* by mx\.demo\.example \S+ with ESMTPS id \1 ",
        r"judged not verified: the certificate is for mx\.demo\.example; wanted: mx\.wrong",
        r"MX signed\.example: 10 mx\.signed\.example \(secure\)",
        r"A mx\.signed\.example: 127\.0\.0\.2 \(secure\)",
        r"TLSA \S+mx\.signed\.example: 3 1 1 (\w{8})\.\.\. .* TLSA record 3 1 1 \1\.\.\. matches",
        r"required dane, by DANE: by the TLSA records of mx\.signed\.example ",
        r"certificate for mx\.signed\.example, issued by CN=mx\.signed\.example ",
        r"policy mode enforce, mx mx\.listed\.example, for 7 days",
        r"required verify, by MTA-STS: the policy of listed\.example enforces",
        r"policy mode enforce, mx mx\.unlisted\.example, for 7 days",
        r"queue show \w+ --config",
        r"not tried: MTA-STS: the policy of unlisted\.example \(enforce\) does not list mx\.demo\.",
        r"2 mails came to tls-reports@demo\.example, signed by sender\.example",
        r"tlsrpt list unlisted\.example --config \S+/receiver/letterlock\.toml \d+ [\d-]+ sender\.",
        r"tlsrpt summary unlisted\.example --config \S+/receiver/letterlock\.toml unlisted\.",
        r"FAILED MTA-STS: 1 of 1 session failed, 100\.00%",
        r"1 validation-failure at mx\.demo\.example \(mtasts-policy-mx-mismatch\) under MTA-STS, ",
        r"senders sender\.example, 1 day, ",
        r"and what the receiver was told agree: unlisted\.example 1 failed, listed\.example 1 fine",
    ):
        assert re.search(pattern, flat), pattern
    assert re.findall(r"> MAIL|> QUIT", shown) == ["> MAIL"]
    outcomes = re.findall(r"\n   (\w+)@\S+ +(sent|waits) ", shown)
    assert outcomes == [
        ("alice", "sent"),
        ("bob", "waits"),
        ("carol", "sent"),
        ("dave", "sent"),
        ("erin", "waits"),
    ]


def test_the_recorded_run_is_of_this_demo(shown: str) -> None:
    readme = (SOURCE.parent / "README.md").read_text("utf-8")
    _, _, rest = readme.partition("```\n$ make demo ARGS=--once\n")
    recorded, _, _ = rest.partition("```")
    assert leave_out_what_differs(recorded) == leave_out_what_differs(shown)


def leave_out_what_differs(shown: str) -> str:
    """Leave out ids, ports, sizes, times, places, and how lines are broken."""
    text = " ".join(shown.split())
    for pattern in (
        r"(?<=\$ ).*? (?=queue show|tlsrpt (?:list|summary))",
        r"\b\d+(?= \d{4}-\d{2}-\d{2} sender\.example: )",
        r"\d{4}-\d{2}-\d{2}(?:\.[0-9a-f]{24})?(?![\dT])",
        r"\S*/letterlock-\w{8}/",
        r"\b[0-9A-Za-z]{15}\b",
        r"\b[0-9a-f]{8}(?=\.\.\.)",
        r"\b\w{3}, \d+ \w{3} \d{4} [\d:]{8} \+0000",
        r"\b\d{4}-\d{2}-\d{2}T[\d:]{8}Z",
        r"\b\d+\.\d s",
        r"(?<=SIZE=)\d+",
        r"(?<=[:_])\d{4,5}\b",
    ):
        text = re.sub(pattern, "...", text)
    return text


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        pytest.param(
            Setting(is_wrong_host_certified=True),
            "DOES NOT HOLD it is not mx.wrong.example: a certificate-host-mismatch",
            id="a right certificate where the wrong one should be",
        ),
        pytest.param(
            Setting(level="may"),
            "DOES NOT HOLD the level was verify, and the host proved",
            id="a policy that asks for nothing",
        ),
        pytest.param(
            Setting(is_authority_trusted=False),
            "can't go on: the message was not sent",
            id="an authority that nobody trusts",
        ),
        pytest.param(
            Setting(is_right_key_published=False),
            "DOES NOT HOLD mx.signed.example has the key of its TLSA record",
            id="a TLSA record of another key",
        ),
        pytest.param(
            Setting(policy_mode=MtaStsMode.TESTING),
            "DOES NOT HOLD the policy decided: mx.listed.example is listed, and proved",
            id="a policy that is only tested",
        ),
        pytest.param(
            Setting(other_host=RIGHT_HOST),
            "DOES NOT HOLD mx.demo.example is not in the policy: no connection, no MAIL",
            id="a policy that lists the host after all",
        ),
        pytest.param(
            Setting(expects_reports_at="somebody@demo.example"),
            "DOES NOT HOLD on their way the receiver kept a report about each domain",
            id="a receiver that expects its reports elsewhere",
        ),
    ],
)
def test_a_claim_that_does_not_hold_is_noticed(
    setting: Setting,
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    assert run(once=False, setting=setting) == 1
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert complaint in shown
    assert list(tmp_path.iterdir()) == []


def test_it_can_be_played_with_until_ctrl_c(tmp_path: Path) -> None:
    with staying_demo(tmp_path) as (process, lines):
        (folder,) = tmp_path.iterdir()
        assert (folder / "sender" / "certificate.key").stat().st_mode & 0o077 == 0
        server = next(iter(re.findall(r"--server (\S+):(\d+)", "".join(lines))))
        send_by_hand(*server)
        wait_for_messages(folder / "receiver" / "data" / "mail" / "demo.example" / "alice", 2)
        explained, tried, listing, retried, certified, status = map(
            run_as_shown, find_commands(lines)
        )
        assert "mx.demo.example" in certified
        assert "not usable MTA-STS: the policy of unlisted.example (enforce)" in explained
        assert "verdict    authenticated: verified: TLSA record" in tried
        assert "bob@wrong.example" in listing
        assert "does not list mx.demo.example" in " ".join(listing.split())
        assert "certificate is for mx.demo.example" in " ".join(listing.split())
        assert "2 messages changed" in retried
        assert "out.sender.example" in status
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert f"{folder} is removed" in " ".join(rest.split())
    assert list(tmp_path.iterdir()) == []


def test_it_cleans_up_when_it_is_terminated(tmp_path: Path) -> None:
    with staying_demo(tmp_path) as (process, _):
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


def send_by_hand(host: str, port: str) -> None:
    with smtplib.SMTP(host, int(port), "here", timeout=60) as client:
        client.starttls()
        client.sendmail("you@sender.example", "alice@demo.example", "By hand")


def wait_for_messages(mailbox: Path, number: int) -> None:
    deadline = time.monotonic() + 60
    while len(list((mailbox / "new").iterdir())) < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def run_as_shown(command: str) -> str:
    """Run a command as a shell would, and give what it wrote.

    It ends with 0, or with 1 where its news is bad.
    """
    done = subprocess.run(
        shlex.split(command),
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) in ((0, ""), (1, ""))
    return done.stdout


def find_commands(lines: Sequence[str]) -> list[str]:
    """Find the letterlock commands, each on a line of its own."""
    found = [line.strip() for line in lines if " -m letterlock " in line]
    assert len(found) == 6
    return found


def test_addresses_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_to_listen(monkeypatch, errno.EADDRNOTAVAIL)
    with pytest.raises(LocalError, match=r"needs 127\.0\.0\.1, 127\.0\.0\.2 and 127\.0\.0\.3"):
        run(once=True)


def test_ports_that_are_all_taken_are_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = refuse_to_listen(monkeypatch, errno.EADDRINUSE)
    with pytest.raises(LocalError, match="Address already in use") as raised:
        run(once=True)
    assert len(str(raised.value).splitlines()) == 1
    assert len(tries) > 1


def test_another_port_is_tried_when_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = refuse_to_listen(monkeypatch, errno.EADDRINUSE, times=2)
    with stage.listening() as (sending, receiving):
        addresses = [*sending.addresses, *receiving.addresses]
    assert len(tries) == 3
    assert {address.port for address in addresses} == {tries[-1]}


def test_another_port_for_the_challenges_is_tried_too(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = refuse_to_listen(monkeypatch, errno.EADDRINUSE, times=2)
    assert stage.find_free_port() == tries[2]
    assert len(tries) == 3


def test_no_connection_gets_the_port_for_the_challenges_before_the_node_listens() -> None:
    """ip(7), ip_local_port_range: the authority is made in between, and others connect."""
    given = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()
    assert stage.find_free_port() not in range(int(given[0]), int(given[1]) + 1)


def refuse_to_listen(
    monkeypatch: pytest.MonkeyPatch, number: int, *, times: int = 1000
) -> list[int]:
    """Let the receiver's last address fail so many times; gives the ports that were tried."""
    tries: list[int] = []

    class Refusing(Listeners):
        def open(self, wanted: Sequence[ListenAddress], workers: int) -> None:
            if wanted[-1].host == WRONG_IP:
                tries.append(wanted[-1].port)
                if len(tries) <= times:
                    error = OSError(number, os.strerror(number))
                    raise LocalError(f"receive.listen: {wanted[-1]}: {error.strerror}") from error
            super().open(wanted, workers)

    monkeypatch.setattr(stage, "Listeners", Refusing)
    return tries
