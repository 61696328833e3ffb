"""A full disk, a queue that cannot be written: mail is refused for now, and none is lost."""

import os
import re
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from letterlock.storage.sqlite.queue import DEFAULT_RESERVE_BYTES
from tests.journeys.running_node import Client, NodeFiles, RunningNode, running

MIB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of its own; skipped where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = DEFAULT_RESERVE_BYTES + 24 * MIB
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def hand_in(client: Client, text: str) -> tuple[int, bytes]:
    client.begin("bob@example.net", ["alice@example.org"])
    return client.data(text)


def test_a_full_disk_refuses_mail_until_there_is_space(small_disk: Path) -> None:
    """RFC 5321 §4.2.3 (452), RFC 3463 §3.4 (4.3.1): what is refused leaves nothing behind."""
    files = NodeFiles(small_disk / "node")
    filler = small_disk / "filler"
    with running(files) as node, node.client() as client:
        first = node.send()
        node.wait_delivered(first)
        node.wait_settled(first)
        filler.write_bytes(bytes(30 * MIB))
        assert hand_in(client, "Subject: small\n\n")[1].startswith(b"4.3.1 ")
        code, _ = hand_in(client, "Subject: small\n\nhello\n")
        assert code == 452
        # Now to the last octet, so that a body cannot be written either.
        fill_up(filler)
        code, reply = hand_in(client, "Subject: large\n\n" + "x" * 60 + "\n" + "y" * 2 * MIB)
        assert (code, reply[:6]) == (452, b"4.3.1 ") or code in {452, 451}
        filler.unlink()
        code, reply = hand_in(client, "Subject: again\n\nhello\n")
        assert code == 250
        last = reply.decode().split()[-1]
        node.wait_delivered(last)
        node.wait_settled(last)
        assert sorted(mail.count("Subject: ") for mail in files.mails()) == [1, 1]
        assert files.command("queue", "list", "--json").document["messages"] == []
        bodies = files.data / "queue" / "bodies"
        node.wait_for(lambda: not any(map(Path.is_file, bodies.rglob("*"))), "the end of bodies")


def fill_up(filler: Path) -> None:
    with filler.open("ab", buffering=0) as file:
        size = MIB
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2


def test_a_read_only_disk_keeps_a_node_from_starting(small_disk: Path) -> None:
    """With a line that says so; when it can be written again, what was queued is there."""
    files = NodeFiles(small_disk / "node")
    files.change("deliver", routes={"away.example": "[127.0.0.1]:9"})
    with running(files) as node:
        queue_id = node.send(to="carol@away.example")
        node.wait_log(rf"{queue_id}: to=<.*status=deferred")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    answer = files.command("serve")
    assert (answer.code, answer.error.count("\n")) == (2, 1), answer.error
    assert re.search(r"letterlock\.toml:\d+:1: data_dir: .*Read-only file system", answer.error)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    with running(files):
        (waiting,) = files.command("queue", "list", "--json").document["messages"]
        assert waiting["id"] == queue_id


def test_a_file_size_limit_is_a_refusal_and_no_crash(tmp_path: Path) -> None:
    """SIGXFSZ and EFBIG, as an operator's limits bring them about."""
    files = NodeFiles(tmp_path)
    limit = 4 * MIB

    def set_limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    with running(files, preexec_fn=set_limit) as node, node.client() as client:
        code, reply = hand_in(client, "Subject: large\n\n" + ("y" * 70 + "\n") * (8 * MIB // 71))
        assert code in {451, 452}, reply
        node.wait_delivered(node.send())
        assert "ended with" not in node.log


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unwritable for root")
def test_a_queue_made_unwritable_is_told(tmp_path: Path) -> None:
    files = NodeFiles(tmp_path)
    with running(files) as node, node.client() as client:
        # Where large bodies go: the database's own file is open already.
        folders = [files.data / "queue" / "bodies", *(files.data / "queue" / "bodies").iterdir()]
        for folder in folders:
            folder.chmod(0o500)
        code, _ = hand_in(client, "Subject: large\n\n" + ("y" * 70 + "\n") * (2 * MIB // 71))
        assert code in {451, 452}
        for folder in folders:
            folder.chmod(0o700)
        assert hand_in(client, "Subject: again\n\n")[0] == 250


def test_a_queue_file_that_is_gone_or_broken_is_told_and_others_are_used(tmp_path: Path) -> None:
    """What an operator should never do: the node goes on, and does not answer 250 for nothing."""
    files = NodeFiles(tmp_path)
    queue = files.data / "queue"
    with running(files) as node:
        node.wait_delivered(node.send())
        for path in queue.glob("shard-000.db*"):
            if not path.name.endswith(".lock"):
                path.unlink()
        with node.client() as client:
            code, reply = hand_in(client, "Subject: into the void\n\n")
        if code == 250:
            node.wait_delivered(reply.decode().split()[-1])
        else:
            assert code == 451
        node.files.change("local", mailboxes=["alice", "postmaster", "dora"])
        node.files.write()
        node.reload()
        node.wait_for(lambda: is_taken(node), "a queue that can be written")


def is_taken(node: RunningNode) -> bool:
    with node.client() as client:
        return hand_in(client, "Subject: after\n\nhello\n")[0] == 250


def test_a_large_message_is_never_whole_in_memory(tmp_path: Path) -> None:
    """Both ways: in over the network, out into the Maildir."""
    files = NodeFiles(tmp_path)
    size = 48 * MIB
    with running(files) as node:
        (worker,) = node.worker_pids()
        before = peak_octets(worker)
        text = "Subject: large\n\n" + ("z" * 70 + "\n") * (size // 72)
        queue_id = node.send(text)
        node.wait_delivered(queue_id)
        assert peak_octets(worker) - before < 24 * MIB
        (mail,) = (files.data / "mail" / "example.org" / "alice" / "new").iterdir()
        assert mail.stat().st_size > size * 0.95


def peak_octets(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
