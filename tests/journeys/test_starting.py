"""What keeps a node from starting is one line and exit code 2; what does not is said."""

import os
import pwd
import re
import smtplib
import socket
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from letterlock.node.shards import MAX_BROKEN
from tests.journeys.asking import COMMAND, make_files
from tests.journeys.collecting import collecting, make_collector
from tests.journeys.running_node import (
    PATIENCE,
    NodeFiles,
    RunningNode,
    mx_certificate,
    running,
    started,
)
from tests.programs import SOURCE, command_environment

_LOGGED = re.compile(r"[A-Z][a-z]{2} [ \d]\d [\d:]{8} ")
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def refuse(files: NodeFiles) -> str:
    """Start a node that must not start; gives its one line, which begins with the setting."""
    files.write()
    answer = files.command("serve")
    assert answer.code == 2, answer.error
    lines = [line for line in answer.error.splitlines() if not _LOGGED.match(line)]
    assert len(lines) == 1, answer.error
    start = f"letterlock: {files.config}:"
    assert lines[0].startswith(start)
    line, column, said = lines[0].removeprefix(start).split(":", 2)
    said = said.removeprefix(" ")
    # What comes in front of the colon is the key, and stands at that place.
    written = files.config.read_text().splitlines()[int(line) - 1][int(column) - 1 :]
    assert written.startswith(said.partition(":")[0].rpartition(".")[2])
    return said


def test_two_nodes_do_not_share_a_data_folder(tmp_path: Path) -> None:
    files = NodeFiles(tmp_path)
    with running(files):
        line = refuse(files)
    assert line == f"data_dir: another node runs on {files.data}; stop it"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_in_use_is_named(tmp_path: Path, workers: int) -> None:
    """Also when it is another node's, with which the kernel would let us share it."""
    with running(NodeFiles(tmp_path / "first", settings={"node": {"workers": 2}})) as first:
        second = NodeFiles(tmp_path / "second")
        second.change("node", workers=workers)
        second.change("receive", listen=[f"127.0.0.1:{first.port}"])
        line = refuse(second)
    assert line.startswith(f"receive.listen: 127.0.0.1:{first.port}: Address already in use; ")


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("receive", {"listen": ["192.0.2.1:25"]}, "receive.listen: 192.0.2.1:25: Cannot assign"),
        ("node", {"user": "nobody-of-that-name"}, "node.user: there is no user"),
        ("node", {"control_socket": "/proc/x/control"}, "data_dir: /proc/x: No such file"),
        (
            "tls",
            {"certificates": [{"certificate": "a", "key": "b"}]},
            "tls.certificates[1].certificate: {folder}/a: No such file",
        ),
        (
            "deliver",
            {"client_certificate": "a", "client_key": "b"},
            "deliver.client_certificate: {folder}/a: No such file",
        ),
        (
            "queue",
            {"engine": "postgres", "url_file": "gone"},
            "queue.url_file: {folder}/gone: No such file",
        ),
    ],
)
def test_what_cannot_be_used_is_one_line(
    tmp_path: Path, section: str, values: dict[str, object], message: str
) -> None:
    files = NodeFiles(tmp_path)
    files.change(section, **values)
    assert refuse(files).startswith(message.format(folder=tmp_path))


def test_without_certificates_starttls_is_not_offered_and_status_says_so(tmp_path: Path) -> None:
    files = NodeFiles(tmp_path)
    with running(files) as node:
        with node.client() as client:
            client.ehlo()
            assert not client.has_extn("starttls")
            assert client.docmd("STARTTLS")[0] in {502, 454}
        status = files.command("status", "--json")
    assert status.code == 1
    problem = "tls.certificates: none is set, so STARTTLS is not offered"
    assert problem in status.document["problems"]


def test_an_unreadable_policy_table_holds_mail_that_it_may_be_for(tmp_path: Path) -> None:
    """Nobody knows which mail it was to protect; local mail needs no policy."""
    files = NodeFiles(tmp_path, hostname="relay.example.net", domains=("example.net",))
    files.change("policy", postfix_table=str(tmp_path / "gone"))
    files.change("deliver", routes={"example.com": "[127.0.0.9]:9"})
    with running(files) as node:
        remote, local = node.send(to="x@example.com"), node.send(to="alice@example.net")
        found = node.wait_log(rf"{remote}: to=<.*dsn=4\.7\.5, status=deferred \((.*)\)")
        assert f"{tmp_path / 'gone'}: No such file" in found[1]
        node.wait_delivered(local)
        problems = files.command("status", "--json").document["problems"]
        assert any(f"{tmp_path / 'gone'}: No such file" in problem for problem in problems)
        # It is read again at a reload, and the mail goes on.
        (tmp_path / "gone").write_text("example.com may\n")
        node.reload()
        since = len(node.lines)
        retry = ("queue", "retry", remote, "--json")
        node.wait_for(lambda: files.command(*retry).document["changed"] == 1, "its new owner")
        node.wait_log(rf"{remote}: to=<.*dsn=4\.4\.1", since=since)


def test_a_broken_shard_is_passed_over_and_told(tmp_path: Path) -> None:
    """One file that cannot be read keeps its own mail back, and nothing else."""
    files = NodeFiles(tmp_path)
    shard = files.data / "queue" / "shard-000.db"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"this is no database, and not a small one either\n" * 100)
    with running(files) as node:
        node.wait_delivered(node.send())
        node.wait_log(r"warning: mail in \S+shard-000\.db waits, it cannot be opened: ")
        status = files.command("status", "--json")
        assert status.code == 1
        problems = status.document["problems"]
        assert any("shard-000.db: file is not a database" in problem for problem in problems)
    with sqlite3.connect(shard.with_name("shard-001.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_a_disk_that_fails_at_the_start_is_451_until_it_works(tmp_path: Path) -> None:
    files = NodeFiles(tmp_path)
    folder = files.data / "queue"
    broken = [folder / f"shard-{number:03d}.db" for number in range(MAX_BROKEN)]
    for path in broken:
        path.mkdir(parents=True)
    with running(files) as node:
        with node.client() as client:
            client.begin("bob@example.net", ["alice@example.org"])
            with pytest.raises(smtplib.SMTPDataError, match=r"4\.3\.0"):
                client.data("Subject: now\n\nhello\n")
        node.wait_log("warning: the queue cannot be used now: .*shard-000.db")
        for path in broken:
            path.rmdir()
        node.wait_log("the queue is open")
        node.wait_delivered(node.send())
        # What was seen half mended is forgotten too.
        node.wait_for(lambda: "shard" not in files.command("status").output, "an end of problems")


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep coverage out of a process that becomes another user: it could not write its file."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    monkeypatch.delenv("COVERAGE_PROCESS_START", raising=False)


@pytest.fixture
def open_folder(unmeasured: None) -> Iterator[Path]:
    """Give a folder that everybody may enter; pytest closes its own."""
    del unmeasured
    with tempfile.TemporaryDirectory(prefix="letterlock-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def python_for_all() -> list[str]:
    """Give the start of a command that user nobody can run too: not every Python is everybody's."""
    packages = sysconfig.get_path("purelib")
    version = ".".join(map(str, sys.version_info[:2]))
    for python in (sys.executable, f"/usr/bin/python{version}"):
        program = ["env", f"PYTHONPATH={SOURCE}:{packages}", python, "-m", "letterlock"]
        trial = subprocess.run(
            [*program, "-h"], user="nobody", cwd="/", capture_output=True, check=False
        )
        if not trial.returncode:
            return program
    pytest.skip("no Python here that user nobody can run")


@is_root
def test_root_is_given_up(open_folder: Path) -> None:
    """Started as root it opens its port, then is `node.user`, supervisor and workers both."""
    nobody = pwd.getpwnam("nobody")
    files = NodeFiles(open_folder)
    files.add_certificate(mx_certificate())
    for key in open_folder.glob("*.key"):
        os.chown(key, nobody.pw_uid, nobody.pw_gid)
    files.change("node", user="nobody")
    config = files.write()
    with started(files, [*python_for_all(), "serve", "--config", str(config)]) as node:
        for pid in (node.process.pid, *node.worker_pids()):
            status = Path(f"/proc/{pid}/status").read_text()
            assert f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}" in status
            groups = status.partition("Groups:")[2].partition("\n")[0].split()
            assert groups == [str(nobody.pw_gid)]
        node.wait_delivered(node.send(tls=True))
        owners = {path.stat().st_uid for path in files.data.rglob("*")}
        assert owners == {nobody.pw_uid}
        node.reload()
        assert "reload: new workers start" in node.log
        assert files.command("queue", "list").code == 0


@is_root
def test_commands_of_root_before_the_first_start_leave_all_to_the_node(open_folder: Path) -> None:
    """`user list`, say: a node that is not root could not open what they had made."""
    nobody = pwd.getpwnam("nobody")
    files = NodeFiles(open_folder)
    files.add_certificate(mx_certificate())
    for key in open_folder.glob("*.key"):
        os.chown(key, nobody.pw_uid, nobody.pw_gid)
    files.change("node", user="nobody")
    config = files.write()
    assert not files.data.exists()
    assert files.command("user", "list").code == 0
    owners = {path.stat().st_uid for path in (files.data, *files.data.rglob("*"))}
    assert owners == {nobody.pw_uid}
    with started(files, [*python_for_all(), "serve", "--config", str(config)]) as node:
        node.wait_delivered(node.send(tls=True))
        assert "Permission denied" not in node.log


@is_root
def test_what_stays_root_says_so(tmp_path: Path) -> None:
    """The node, and each program that is served without one."""
    warning = "warning: node.user is not set: what root starts stays root"
    with running(NodeFiles(tmp_path / "node")) as node:
        node.wait_log(warning)
    with collecting(make_collector(tmp_path / "collector")) as collector:
        collector.wait_log(warning)
    files = make_files(tmp_path / "service", "127.0.0.1:9")
    service = RunningNode(files, [*COMMAND, str(files.write())])
    try:
        service.wait_log(warning)
    finally:
        service.stop()


@is_root
@pytest.mark.usefixtures("unmeasured")
def test_a_folder_of_another_user_is_named(tmp_path: Path) -> None:
    files = NodeFiles(tmp_path)
    files.change("node", user="nobody")
    files.data.mkdir(mode=0o700)
    files.write()
    answer = files.command("serve")
    assert answer.code == 2, answer.error
    # Where it stands, nobody may not read any more.
    line = f"letterlock: {files.config}: data_dir: {files.data}: nobody cannot write there; "
    assert f"{line}chown it to nobody" in answer.error


@is_root
def test_a_configuration_found_in_the_current_folder_is_reloaded_after_root_is_given_up(
    open_folder: Path,
) -> None:
    """It must belong to the one who started the node, not to whom it became."""
    files = NodeFiles(open_folder)
    files.change("node", user="nobody")
    files.write()
    if Path("/etc/letterlock/letterlock.toml").exists():
        pytest.skip("this machine has a configuration of its own")
    with started(files, [*python_for_all(), "serve"], cwd=open_folder) as node:
        node.reload()
        assert "reload: new workers start" in node.log


def test_sockets_of_systemd_are_used_and_readiness_is_told(tmp_path: Path) -> None:
    """sd_listen_fds(3), sd_notify(3)."""
    files = NodeFiles(tmp_path)
    # Not to be opened: systemd's sockets come first.
    files.change("receive", listen=["192.0.2.1:25"])
    files.write()
    address = tmp_path / "notify"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        notify.bind(str(address))
        notify.settimeout(PATIENCE)
        port = listener.getsockname()[1]
        # LISTEN_PID must be the process itself: a shell puts in its own, and becomes it.
        shell = 'exec 3<&"$0" && LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
        command = ["/bin/bash", "-c", shell, str(listener.fileno())]
        command += [sys.executable, "-m", "letterlock", "serve", "--config", str(files.config)]
        with started(
            files,
            command,
            pass_fds=[listener.fileno()],
            environment={"NOTIFY_SOCKET": str(address)},
        ) as node:
            assert node.port == port
            assert notify.recv(100) == b"WATCHDOG=1"
            states = [b""]
            while states[-1] != b"READY=1":
                states.append(notify.recv(100))
            node.wait_delivered(node.send())
            # Type=notify-reload: also a reload that changes nothing has to come to its end.
            for extra in ("", "nonsense = true\n"):
                files.write(extra)
                sent = time.monotonic()
                node.reload()
                states = [b""]
                while states[-1] != b"READY=1":
                    states.append(notify.recv(100))
                (told,) = [state for state in states if state.startswith(b"RELOADING=1\n")]
                # systemd ignores a time from before it sent the signal.
                moment = re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=(\d+)", told)
                assert moment is not None
                assert sent <= int(moment[1]) / 1e6 <= time.monotonic()
            assert node.stop() == 0
            states = [b""]
            while states[-1] != b"STOPPING=1":
                states.append(notify.recv(100))


def test_a_missing_configuration_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "letterlock", "serve", "--config", str(tmp_path / "none.toml")],
        env=command_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "none.toml: does not exist" in done.stderr
