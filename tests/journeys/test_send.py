"""sendmail(1) with a node: mail of programs of this machine, the node up, down or killed."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from letterlock.storage.drop import FORMAT
from tests.journeys.running_node import NodeFiles, RunningNode, running
from tests.send.sending import BARE, COMMAND, PATIENCE, SOURCE, run_send

NOBODY = 65534
TEXT = b"Subject: hello\n\nhello from a program\n"
RECEIVED = r"mx.example.org \(Letterlock, from userid {}\)"
_BECOME_NOBODY = f"import os; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


@pytest.fixture
def files(tmp_path: Path) -> NodeFiles:
    files = NodeFiles(tmp_path / "node")
    files.set("send", origin="example.org")
    return files


@pytest.fixture
def open_files() -> Iterator[NodeFiles]:
    """Give a node whose drop folder other users reach; pytest's folders are closed to them."""
    folder = Path("/tmp") / f"letterlock-{os.getpid()}-{os.urandom(4).hex()}"
    folder.mkdir(mode=0o755)
    try:
        files = NodeFiles(folder)
        files.set("send", origin="example.org", drop_dir=str(folder / "drop"))
        yield files
    finally:
        shutil.rmtree(folder)


def _send(files: NodeFiles, *words: str, text: bytes = TEXT) -> int:
    return run_send("-C", str(files.config), *words, text=text).returncode


def _drops(files: NodeFiles) -> list[Path]:
    return sorted((files.data / "drop").glob("[mt][sm][gp].*"))


def _wait_empty(node: RunningNode) -> None:
    node.wait_for(lambda: _drops(node.files) == [], "the removal of what was taken")


def test_a_program_sends_and_the_mail_is_there(files: NodeFiles) -> None:
    """The bell makes it a matter of milliseconds: no look that comes by itself is waited for."""
    with running(files) as node:
        node.wait_log("mail is handed in at")
        assert _send(files, "-t", text=b"To: alice\nBcc: postmaster\n" + TEXT) == 0
        node.wait_log("status=sent", count=2)
        _wait_empty(node)
    (mail,) = files.mails("alice")
    assert f"Letterlock, from userid {os.geteuid()})" in mail
    assert "\nTo: alice@example.org\n" in mail
    assert "Bcc" not in mail
    assert files.mails("postmaster")[0].partition("\n\n")[2] == "hello from a program\n"


def test_what_was_dropped_while_the_node_was_down_is_taken_when_it_is_up(
    files: NodeFiles,
) -> None:
    with running(files) as node:
        node.wait_log("mail is handed in at")
    codes = [_send(files, "-i", "alice") for _ in range(3)]
    assert codes == [0, 0, 0]
    assert len(_drops(files)) == 3
    with running(files) as node:
        node.wait_log("status=sent", count=3)
        _wait_empty(node)
    assert len(files.mails()) == 3


def test_a_reload_hands_the_folder_over(files: NodeFiles) -> None:
    with running(files) as node:
        node.wait_log("mail is handed in at")
        node.reload()
        node.wait_log("mail is handed in at", count=2)
        assert _send(files, "alice") == 0
        node.wait_log("status=sent")
        _wait_empty(node)
    assert len(files.mails()) == 1


def test_a_worker_that_is_killed_loses_nothing(files: NodeFiles) -> None:
    """At least once: a file is gone only when its message is in the queue."""
    with running(files) as node:
        node.wait_log("mail is handed in at")
        (worker, *_) = node.worker_pids()
        senders = [
            subprocess.Popen([*COMMAND, "-C", str(files.config), "alice"], stdin=subprocess.PIPE)
            for _ in range(12)
        ]
        for number, sender in enumerate(senders):
            assert sender.stdin is not None
            sender.stdin.write(TEXT.replace(b"hello\n", b"number %d\n" % number, 1))
            sender.stdin.close()
        node.wait_log("status=sent")
        os.kill(worker, signal.SIGKILL)
        assert [sender.wait(PATIENCE) for sender in senders] == [0] * 12
        node.wait_for(lambda: len({_subject(mail) for mail in files.mails()}) == 12, "all messages")
        _wait_empty(node)


def _subject(mail: str) -> str:
    return next(line for line in mail.splitlines() if line.startswith("Subject"))


_STEPS = {
    "while it writes": "os.write",
    "before the file is synced": "os.fsync",
    "before it gets its name": "os.rename",
}


@pytest.mark.parametrize("step", _STEPS)
def test_a_sender_that_is_killed_leaves_no_half_mail(files: NodeFiles, step: str) -> None:
    """Nor is it said to be sent. What it left is no message, and is swept when it is old."""
    with running(files) as node:
        node.wait_log("mail is handed in at")
        killed = _run_killed(files, _STEPS[step])
        assert killed == -signal.SIGKILL
        (left,) = _drops(files)
        assert left.name.startswith("tmp.")
        assert _send(files, "alice") == 0
        node.wait_log("status=sent")
        assert len(files.mails()) == 1
        os.utime(left, (1000, 1000))
        assert _send(files, "alice") == 0
        _wait_empty(node)
        node.wait_log("status=sent", count=2)
    assert len(files.mails()) == 2


def _run_killed(files: NodeFiles, call: str) -> int:
    """Run the program, which dies as it comes to a call of the system."""
    program = COMMAND[2].replace(
        "from letterlock", f"import os, signal; {call} = lambda *a, **k: os.kill(os.getpid(), 9); "
        "from letterlock", 1)  # fmt: skip
    words = ["-C", str(files.config), "alice"]
    done = subprocess.run([sys.executable, "-c", program, *words], input=TEXT, check=False)
    return done.returncode


def _make_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _make_folder(path: Path) -> None:
    (path / "full").mkdir(parents=True)


def _make_no_message(path: Path) -> None:
    _write_whole(path, b"hello")


def _make_later(path: Path) -> None:
    _write_whole(path, FORMAT.replace(b"1", b"2"))


def _write_whole(path: Path, octets: bytes) -> None:
    """Write it under another name: it may be looked at at any time."""
    staged = path.with_name("tmp.hand")
    staged.write_bytes(octets)
    staged.rename(path)


@pytest.mark.parametrize(
    ("make", "says", "stays"),
    [
        (_make_link, "is removed: it cannot be opened", False),
        (os.mkfifo, "is removed: it is not a file", False),
        (_make_no_message, "is removed: it is not of a form", False),
        (_make_folder, "it cannot be removed", True),
        (_make_later, "it stays", True),
    ],
)
def test_strange_things_in_the_folder_harm_nobody(
    files: NodeFiles, make: Callable[[Path], object], says: str, *, stays: bool
) -> None:
    with running(files) as node:
        node.wait_log("mail is handed in at")
        make(files.data / "drop" / "msg.strange")
        assert _send(files, "alice") == 0
        node.wait_log(f"pickup.*msg.strange.*{says}")
        node.wait_log("status=sent")
        assert _send(files, "alice") == 0
        node.wait_log("status=sent", count=2)
        assert node.log.count("msg.strange") == 1  # it is told once
    assert [path.name for path in _drops(files)] == (["msg.strange"] if stays else [])


def test_a_message_that_is_too_large_is_refused_and_one_dropped_by_hand_comes_back(
    files: NodeFiles,
) -> None:
    files.set("receive", max_message_bytes="64KiB")
    with running(files) as node:
        node.wait_log("mail is handed in at")
        assert _send(files, "alice", text=b"x" * 70_000) == 69
        hand = files.data / "drop" / "msg.hand"
        _write_whole(hand, FORMAT + b"sender alice\nrecipient bob\n\n" + b"x" * 70_000)
        node.wait_log("pickup.*refused: .*larger than 65536")
        node.wait_log("status=sent")
    (mail,) = files.mails()
    assert "Undelivered Mail Returned to Sender" in mail


def test_mail_of_programs_follows_aliases_and_is_signed(files: NodeFiles) -> None:
    """RFC 6376 §5, RFC 5321 §3.9.1: as that of clients of our own."""
    aliases = files.folder / "aliases"
    aliases.write_text("root: alice\n")
    files.set("maps", aliases=str(aliases))
    with running(files) as node:
        node.wait_log("DKIM: made", count=2)
        assert _send(files, "-f", "www", "root") == 0
        node.wait_log("status=sent")
    (mail,) = files.mails()
    assert mail.count("\nDKIM-Signature: ") == 2
    assert "\nFrom: " in mail


def test_the_queue_is_listed_as_mailq_does(files: NodeFiles) -> None:
    with running(files) as node:
        node.wait_log("mail is handed in at")
        assert _send(files, "al@far.example") == 0
        node.wait_log("status=deferred")
        listed = run_send("-bp", "-C", str(files.config))
        assert listed.returncode == 0, listed.stderr
        assert "al@far.example" in listed.stdout


@needs_root
def test_another_user_is_shown_his_own_mail(open_files: NodeFiles) -> None:
    """As Postfix shows mailq to anybody, but for what others wrote: `send.show_queue`."""
    files = open_files
    with running(files) as node:
        node.wait_log("handed in at .*, by all users")
        assert _send(files, "roots@far.example") == 0
        assert _as_nobody(files, "nobodys@far.example", text=TEXT).returncode == 0
        node.wait_log("status=deferred", count=2)
        node.wait_for((files.folder / "drop" / "queue").exists, "the socket")
        listed = _as_nobody(files, "-bp")
        assert listed.returncode == 0, listed.stderr
        assert b"nobodys@far.example" in listed.stdout
        assert b"roots@" not in listed.stdout
        assert b"in 1 Request." in listed.stdout
        everything = run_send("-bp", "-C", str(files.config)).stdout
        assert "roots@far.example" in everything
        assert "nobodys@far.example" in everything
    done = _as_nobody(files, "-bp")
    assert done.returncode == 75
    assert b"the node must run" in done.stderr
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as fake:
        # Somebody else's socket is not believed.
        path = files.folder / "drop" / "queue"
        fake.bind(str(path))
        path.chmod(0o666)
        fake.listen()
        os.chown(files.folder / "drop", 1, -1)
        assert b"it is not the node's" in _as_nobody(files, "-bp").stderr


def _as_nobody(
    files: NodeFiles, *words: str, text: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    """Run the program as nobody, who becomes so once Python is loaded."""
    program = COMMAND[2].replace("sys.exit", f"{_BECOME_NOBODY}; sys.exit")
    # What is loaded later may be where only root gets.
    program = f"import letterlock.send.own_queue, letterlock.send.dropping; {program}"
    program = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); {program}"
    command = [*COMMAND[:2], program, "-C", str(files.config), *words]
    return subprocess.run(command, input=text, capture_output=True, cwd="/", check=False)


def test_it_can_be_switched_off(files: NodeFiles) -> None:
    files.set("send", enabled=False)
    with running(files):
        assert not (files.data / "drop").exists()
        assert _send(files, "alice") == 75


@needs_root
def test_another_user_sends_and_sees_nothing_of_others(open_files: NodeFiles) -> None:
    """Without setuid: the group that a file gets from its folder lets the node read it."""
    files = open_files
    with running(files) as node:
        node.wait_log("handed in at .*, by all users")
        # Python itself may be where only root gets: it becomes nobody once it is loaded.
        program = COMMAND[2].replace("sys.exit", f"{_BECOME_NOBODY}; sys.exit")
        command = [*COMMAND[:2], program, "-C", str(files.config), "alice"]
        done = subprocess.run(command, input=TEXT, capture_output=True, cwd="/", check=False)
        assert done.returncode == 0, done.stderr
        node.wait_log("client=local.uid 65534, nobody.*from=<nobody@example.org>")
        node.wait_log("status=sent")
    assert f"from userid {NOBODY})" in files.mails()[0]
    drop = files.folder / "drop"
    # The node is down: two more, of root's and nobody's, that wait.
    assert run_send("-C", str(files.config), "alice", text=TEXT).returncode == 0
    (waiting,) = drop.glob("msg.*")
    for words in (
        ["ls", str(drop)],
        ["cat", str(waiting)],
        ["rm", "-f", str(waiting)],
        ["mv", str(waiting), str(drop / "msg.x")],
        ["rm", "-f", str(drop / "bell")],
    ):
        done = _run_as_nobody(words)
        assert done.returncode != 0, words
        assert b"ermi" in done.stderr, done.stderr  # permission denied, not permitted
    assert waiting.exists()


def _run_as_nobody(words: list[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        words,
        input=TEXT,
        capture_output=True,
        timeout=PATIENCE,
        cwd="/",
        env=BARE,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        check=False,
    )
