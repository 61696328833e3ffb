"""A backup of a node that runs, and what is restored from it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from letterlock import __version__
from tests.journeys.running_node import (
    Answer,
    NodeFiles,
    RunningNode,
    command_environment,
    running,
)
from tests.proof.mail_load import sink
from tests.storage.postgres_server import PostgresServer

LARGE = "Subject: large\n\n" + ("x" * 70 + "\n") * 5000
AWAY = "[127.0.0.9]:9"


def make_files(folder: Path, route: str = AWAY) -> NodeFiles:
    files = NodeFiles(folder, "relay.example.net", ("example.net",))
    files.change("deliver", routes={"away.example": route})
    files.change("node", workers=2)
    return files


@dataclass
class BackedUp:
    """A node that had mail, and the backup that was made of it while it ran."""

    files: NodeFiles
    archive: Path
    made: Answer
    queue_ids: tuple[str, ...]
    delivered: str

    def restore(self, folder: Path, *options: str) -> Answer:
        return self.files.command("restore", str(self.archive), "--to", str(folder), *options)

    def find_elsewhere(self, folder: Path, route: str = AWAY) -> NodeFiles:
        """Give the settings of a node whose data was restored to `folder`/data."""
        return make_files(folder, route)


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> BackedUp:
    folder = tmp_path_factory.mktemp("backup")
    files = make_files(folder / "node")
    (folder / "members").write_text("alice\n")
    (folder / "aliases").write_text(f"team: :include:{folder}/members\n")
    files.change("maps", aliases=str(folder / "aliases"))
    with running(files) as node:
        delivered = node.send(to="alice@example.net")
        node.wait_delivered(delivered)
        sent = [node.send(to="bob@away.example"), node.send(LARGE, to="bob@away.example")]
        for queue_id in sent:
            node.wait_log(rf"{queue_id}: to=<.*status=deferred")
        added = subprocess.run(
            [sys.executable, "-m", "letterlock", "user", "add", "carol", "--config",
             str(files.config)],
            input="a long password\n", env=command_environment(), text=True, check=False,
            capture_output=True,
        )  # fmt: skip
        assert added.returncode == 0, added.stderr
        made = files.command("backup", str(folder), "--mailboxes", "--json")
        assert node.stop() == 0
    assert made.code == 0, made.error
    return BackedUp(files, Path(made.document["file"]), made, tuple(sent), delivered)


def test_it_tells_what_is_in_it(backed_up: BackedUp) -> None:
    document = backed_up.made.document
    assert document["messages"] == 2
    assert document["skipped"] == []
    assert document["bytes"] == backed_up.archive.stat().st_size
    assert backed_up.archive.stat().st_mode & 0o777 == 0o600
    assert backed_up.made.error == ""
    parts = subprocess.run(
        ["tar", "tf", str(backed_up.archive)], check=True, capture_output=True, text=True
    ).stdout.split()
    folder = backed_up.archive.parent
    for name in ("aliases", "members", "node/letterlock.toml"):
        assert f"settings{folder}/{name}" in parts
    kinds = {part.partition("/")[0] for part in parts}
    assert kinds == {"settings", "queue", "node.sqlite", "dkim", "mail", "manifest.json"}
    staged = [*folder.glob(".*"), *(backed_up.files.data / "queue/bodies").glob(".*")]
    assert staged == []


def test_a_check_compares_every_part(backed_up: BackedUp, tmp_path: Path) -> None:
    checked = backed_up.files.command("restore", "--check", str(backed_up.archive), "--json")
    assert checked.code == 0, checked.error
    assert checked.document["messages"] == 2
    assert checked.document["release"] == __version__
    assert checked.document["data_dir"] is None
    octets = bytearray(backed_up.archive.read_bytes())
    at = octets.index(b"x" * 70)
    octets[at] ^= 1
    damaged = tmp_path / "damaged.tar"
    damaged.write_bytes(octets)
    for arguments in (["--check"], ["--to", str(tmp_path / "to")]):
        answer = backed_up.files.command("restore", str(damaged), *arguments)
        assert answer.code == 1
        assert f"{damaged}: queue/bodies/shard-" in answer.error
        assert answer.error.count("\n") == 1
    assert not (tmp_path / "to").exists()


def test_what_is_restored_is_delivered_with_accounts_and_keys(
    backed_up: BackedUp, tmp_path: Path
) -> None:
    restored = backed_up.restore(tmp_path / "data", "--json")
    assert restored.code == 0, restored.error
    assert restored.document["held"] == 0
    for path in (tmp_path / "data").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    keys = "dkim/example.net/relay.pem"
    assert (tmp_path / "data" / keys).read_bytes() == (backed_up.files.data / keys).read_bytes()
    with sink_of_all() as (port, taken):
        files = backed_up.find_elsewhere(tmp_path, f"[127.0.0.1]:{port}")
        with running(files) as node:
            assert files.command("queue", "retry", "--all").code == 0
            for queue_id in backed_up.queue_ids:
                node.wait_delivered(queue_id)
            users = files.command("user", "list", "--json").document["users"]
            assert [user["name"] for user in users] == ["carol"]
            assert len(files.mails()) == 1  # its mailbox was restored, and nothing came again
            new = node.send(to="bob@away.example")
            node.wait_delivered(new)
            assert new not in backed_up.queue_ids
    assert len(taken) == 3
    assert sum(len(content) > 300_000 for content in taken) == 1


@contextmanager
def sink_of_all() -> Iterator[tuple[int, list[bytes]]]:
    """Run a server that takes everything; gives its port and the list of what came."""
    taken: list[bytes] = []
    with sink() as server:
        server.take = taken.append  # type: ignore[assignment,method-assign]
        yield server.port, taken


def test_held_mail_waits_until_it_is_released(backed_up: BackedUp, tmp_path: Path) -> None:
    restored = backed_up.restore(tmp_path / "data", "--hold", "--json")
    assert restored.document["held"] == 2
    with sink_of_all() as (port, taken):
        files = backed_up.find_elsewhere(tmp_path, f"[127.0.0.1]:{port}")
        with running(files) as node:
            listed = files.command("queue", "list")
            assert "held: restored from the backup of 20" in listed.output
            node.wait_delivered(node.send(to="bob@away.example"))
            assert len(taken) == 1
            assert files.command("queue", "release", "--all", "--json").document["changed"] == 2
            for queue_id in backed_up.queue_ids:
                node.wait_delivered(queue_id)
            assert len(taken) == 3


class TestRefused:
    def test_a_folder_that_is_not_empty(self, backed_up: BackedUp, tmp_path: Path) -> None:
        (tmp_path / "x").touch()
        answer = backed_up.restore(tmp_path)
        assert answer.code == 2
        assert answer.error == (
            f"letterlock: {tmp_path}: it is not empty, it has 'x': name an empty folder (--to), or "
            "move away what is there\n"
        )
        assert [each.name for each in tmp_path.iterdir()] == ["x"]

    def test_a_node_that_runs(self, backed_up: BackedUp, tmp_path: Path) -> None:
        files = make_files(tmp_path / "other")
        with running(files):
            answer = files.command("restore", str(backed_up.archive))
        assert answer.code == 2
        assert answer.error == f"letterlock: {files.data}: a node runs there; stop it first\n"

    def test_a_backup_of_a_newer_schema(self, backed_up: BackedUp, tmp_path: Path) -> None:
        newer = tmp_path / "newer.tar"
        octets = backed_up.archive.read_bytes()
        at = octets.index(b'"queue_schema": 3')
        newer.write_bytes(octets[: at + 16] + b"9" + octets[at + 17 :])
        answer = backed_up.files.command("restore", str(newer), "--to", str(tmp_path / "to"))
        assert answer.code == 2
        assert "restore it with that release or a later one" in answer.error
        assert answer.error.count("\n") == 1
        assert not (tmp_path / "to").exists()

    def test_a_place_that_is_not_told(self, backed_up: BackedUp, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "letterlock", "restore", str(backed_up.archive)],
            env=command_environment(), cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert "name the folder with --to" in done.stderr

    def test_a_restore_that_was_killed_is_no_data_of_a_node(
        self, backed_up: BackedUp, tmp_path: Path
    ) -> None:
        files = make_files(tmp_path)
        files.data.mkdir()
        (files.data / "restore-unfinished").touch()
        files.write()
        node = RunningNode(files)
        node.process.wait(30)
        assert node.stop() == 2
        assert "a restore into" in node.log
        assert "did not end; empty it and restore again" in node.log
        assert backed_up.restore(files.data).code == 2


def test_a_file_that_cannot_be_read_is_told_and_the_rest_is_kept(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can read all")
    files = make_files(tmp_path / "node")
    (tmp_path / "aliases").touch(0o000)
    files.change("maps", aliases=str(tmp_path / "aliases"))
    files.data.mkdir(parents=True)
    files.write()
    answer = files.command("backup", str(tmp_path / "a.tar"))
    assert answer.code == 1
    assert f"not in it: {tmp_path}/aliases: no permission" in answer.error
    assert files.command("restore", "--check", str(tmp_path / "a.tar")).code == 0


def test_a_node_that_is_down_or_was_killed_is_backed_up_too(tmp_path: Path) -> None:
    files = make_files(tmp_path / "node")
    with running(files) as node:
        queue_id = node.send(LARGE, to="bob@away.example")
        pids = (node.process.pid, *node.worker_pids())
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        node.process.wait(30)
    answer = files.command("backup", str(tmp_path / "a.tar"), "--json")
    assert answer.document["messages"] == 1, answer.error
    shutil.rmtree(files.data)
    assert files.command("restore", str(tmp_path / "a.tar")).code == 0
    assert queue_id in files.command("queue", "list").output


@pytest.mark.peer("postgresql")
def test_a_queue_in_postgresql_is_in_it_too(tmp_path: Path, postgres: PostgresServer) -> None:
    files = make_files(tmp_path / "node")
    files.change("queue", engine="postgres", url=postgres.create_schema())
    archive = str(tmp_path / "a.tar")
    with running(files) as node:
        sent = [node.send(text, to="bob@away.example") for text in ("Subject: a\n\na\n", LARGE)]
        made = files.command("backup", archive, "--json")
        assert made.document["messages"] == 2, made.error
    shutil.rmtree(files.data)
    refused = files.command("restore", archive)
    assert refused.code == 2
    assert "it is not empty; make a new one (createdb)" in refused.error
    assert not list(files.data.iterdir())
    without = make_files(tmp_path / "sqlite")
    without.write()
    refused = without.command("restore", archive)
    assert refused.code == 2
    assert "the backup is of a queue in PostgreSQL" in refused.error
    with sink_of_all() as (port, taken):
        files.change("deliver", routes={"away.example": f"[127.0.0.1]:{port}"})
        files.change("queue", url=postgres.create_schema())
        files.write()
        restored = files.command("restore", archive, "--hold", "--json")
        assert restored.document["held"] == 2, restored.error
        with running(files) as node:
            assert files.command("queue", "release", "--all", "--json").document["changed"] == 2
            for queue_id in sent:
                node.wait_delivered(queue_id)
        assert sorted(len(content) > 300_000 for content in taken) == [False, True]


def test_where_it_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    files = make_files(tmp_path / "node")
    files.data.mkdir(parents=True)
    files.write()
    answer = files.command("backup", str(tmp_path / "missing" / "a.tar"))
    assert answer.code == 3
    assert answer.error.count("\n") == 1
    assert "missing" in answer.error
    shutil.rmtree(files.data)
    answer = files.command("backup", str(tmp_path / "a.tar"))
    assert answer.code == 3
    assert answer.error == f"letterlock: backup: {files.data}: No such file or directory\n"
