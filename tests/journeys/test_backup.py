"""A backup of a node that runs, and what is restored from it."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from pwd import getpwnam
from tempfile import mkdtemp
from typing import Any

import pytest

from letterlock import __version__
from letterlock.cli.root import main
from letterlock.storage.backup.reading import load_manifest, pair_members
from letterlock.storage.backup.writing import ArchiveWriter
from tests.journeys.running_node import (
    PATIENCE,
    Answer,
    NodeFiles,
    RunningNode,
    running,
)
from tests.peers import unprivileged_account
from tests.proof.mail_load import sink
from tests.storage.postgres_server import PostgresServer

LARGE = "Subject: large\n\n" + ("x" * 70 + "\n") * 5000
AWAY = "[127.0.0.9]:9"
PARTS = ("settings", "queue", "node.sqlite", "dkim", "log.key", "mail")


def make_files(folder: Path, route: str = AWAY) -> NodeFiles:
    files = NodeFiles(folder, "relay.example.net", ("example.net",))
    files.change("deliver", routes={"away.example": route})
    files.change("node", workers=2)
    return files


def call(files: NodeFiles, *arguments: str) -> Answer:
    """Run `letterlock ARGUMENTS --config ...` in this process: half a second less for each."""
    with redirect_stdout(StringIO()) as output, redirect_stderr(StringIO()) as error:
        code = main([*arguments, "--config", str(files.config)])
    return Answer(code, output.getvalue(), error.getvalue())


@dataclass
class BackedUp:
    """A node that had mail, and the backup that was made of it while it ran."""

    files: NodeFiles
    archive: Path
    made: Answer
    while_it_runs: Answer
    """What a restore into its folder said meanwhile."""
    queue_ids: tuple[str, ...]

    def restore(self, folder: Path, *options: str) -> Answer:
        return call(self.files, "restore", str(self.archive), "--to", str(folder), *options)

    def find_elsewhere(self, folder: Path, route: str = AWAY) -> NodeFiles:
        """Give the settings of a node whose data was restored to `folder`/data."""
        return make_files(folder, route)


@contextmanager
def redirected_input(text: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", TextIOWrapper(BytesIO(text.encode())))
        yield


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> BackedUp:
    folder = tmp_path_factory.mktemp("backup")
    files = make_files(folder / "node")
    (folder / "members").write_text("alice\n")
    (folder / "aliases").write_text(f"team: :include:{folder}/members\n")
    files.change("maps", aliases=str(folder / "aliases"))
    files.change("log", redact_clients=True)
    with running(files) as node:
        delivered = node.send(to="alice@example.net")
        node.wait_delivered(delivered)
        sent = [node.send(to="bob@away.example"), node.send(LARGE, to="bob@away.example")]
        for queue_id in sent:
            node.wait_log(rf"{queue_id}: to=<.*status=deferred")
        with redirected_input("a long password\n"):
            assert call(files, "user", "add", "carol").code == 0
        made = call(files, "backup", str(folder), "--mailboxes", "--json")
        while_it_runs = call(files, "restore", made.document["file"])
        assert node.stop() == 0
    assert made.code == 0, made.error
    archive = Path(made.document["file"])
    return BackedUp(files, archive, made, while_it_runs, tuple(sent))


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
    assert kinds == {*PARTS, "manifest.json"}
    staged = [*folder.glob(".*"), *(backed_up.files.data / "queue/bodies").glob(".*")]
    assert staged == []


def test_a_check_compares_every_part(backed_up: BackedUp, tmp_path: Path) -> None:
    checked = call(backed_up.files, "restore", "--check", str(backed_up.archive), "--json")
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
        answer = call(backed_up.files, "restore", str(damaged), *arguments)
        assert answer.code == 1
        assert f"{damaged}: queue/bodies/shard-" in answer.error
        assert answer.error.count("\n") == 1
    assert not (tmp_path / "to").exists()


@contextmanager
def sink_of_all() -> Iterator[tuple[int, list[bytes]]]:
    """Run a server that takes everything; gives its port and the list of what came."""
    taken: list[bytes] = []
    with sink() as server:
        server.take = taken.append  # type: ignore[assignment,method-assign]
        yield server.port, taken


def test_what_is_restored_waits_for_its_next_try(backed_up: BackedUp, tmp_path: Path) -> None:
    restored = backed_up.restore(tmp_path / "data", "--json")
    assert restored.code == 0, restored.error
    assert restored.document["held"] == 0
    for path in (tmp_path / "data").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    for name in ("dkim/example.net/relay.pem", "log.key"):
        assert (tmp_path / "data" / name).read_bytes() == (backed_up.files.data / name).read_bytes()
    files = backed_up.find_elsewhere(tmp_path)
    files.write()
    listed = call(files, "queue", "list", "--json").document["messages"]
    assert {each["id"] for each in listed} == set(backed_up.queue_ids)
    assert "held" not in call(files, "queue", "list").output


def test_held_mail_waits_until_it_is_released_and_all_else_is_there(
    backed_up: BackedUp, tmp_path: Path
) -> None:
    restored = backed_up.restore(tmp_path / "data", "--hold", "--json")
    assert restored.document["held"] == 2
    with sink_of_all() as (port, taken):
        files = backed_up.find_elsewhere(tmp_path, f"[127.0.0.1]:{port}")
        with running(files) as node:
            listed = call(files, "queue", "list")
            assert "held: restored from the backup of 20" in listed.output
            new = node.send(to="bob@away.example")
            node.wait_delivered(new)
            assert new not in backed_up.queue_ids
            assert len(taken) == 1
            assert call(files, "queue", "release", "--all", "--json").document["changed"] == 2
            for queue_id in backed_up.queue_ids:
                node.wait_delivered(queue_id)
            users = call(files, "user", "list", "--json").document["users"]
            assert [user["name"] for user in users] == ["carol"]
            assert len(files.mails()) == 1  # its mailbox was restored, and nothing came again
    assert len(taken) == 3
    assert sum(len(content) > 300_000 for content in taken) == 1


def rewrite(archive: Path, target: Path, *, has_bodies: bool = True) -> Path:
    """Make another backup of one: with a dropped message, and perhaps without large bodies."""
    with archive.open("rb") as file, target.open("wb") as out:
        manifest, writer = load_manifest(file), ArchiveWriter(out)
        writer.add_octets("drop/msg.1", b"dropped")
        for part, member in pair_members(file, manifest):
            if has_bodies or not part.name.startswith("queue/bodies/"):
                writer.add_octets(part.name, b"".join(member.read()))
        writer.finish(manifest)
    return target


def test_a_restore_that_fails_leaves_what_was_there_and_nothing_else(
    backed_up: BackedUp, tmp_path: Path
) -> None:
    """Its files are as the manifest says, and yet a message has no body."""
    archive = rewrite(backed_up.archive, tmp_path / "a.tar", has_bodies=False)
    files = make_files(tmp_path / "node")
    mail = tmp_path / "mail"
    (mail / "example.net").mkdir(parents=True)
    (mail / "example.net" / "other").touch()
    files.change("local", mail_dir=str(mail))
    files.write()
    assert call(files, "restore", "--check", str(archive)).code == 0
    answer = call(files, "restore", str(archive))
    assert answer.code == 3
    assert "is not there, or not whole" in answer.error
    assert list(files.data.iterdir()) == []
    assert [path.name for path in mail.rglob("*") if path.is_file()] == ["other"]
    done = call(files, "restore", "--hold", "--json", str(backed_up.archive))
    assert done.code == 0, done.error
    assert len([path for path in mail.rglob("*") if path.is_file()]) == 2
    assert not (files.data / "mail").exists()


def test_dropped_mail_is_kept_aside_with_the_rest(backed_up: BackedUp, tmp_path: Path) -> None:
    archive = rewrite(backed_up.archive, tmp_path / "a.tar")
    for options, place in (((), "drop"), (("--hold",), "restored-drop")):
        folder = tmp_path / place
        answer = call(
            backed_up.files, "restore", str(archive), "--to", str(folder), "--json", *options
        )
        assert (folder / place / "msg.1").read_bytes() == b"dropped"
        notes = " ".join(answer.document["notes"])
        assert ("dropped mail is in" in notes) is bool(options)


def _nines(digits: re.Match[bytes]) -> bytes:
    return b"9" * len(digits[0])


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

    def test_a_node_that_runs(self, backed_up: BackedUp) -> None:
        answer, folder = backed_up.while_it_runs, backed_up.files.data
        assert answer.code == 2
        assert answer.error == f"letterlock: {folder}: a node runs there; stop it first\n"

    def test_a_backup_of_a_newer_schema(self, backed_up: BackedUp, tmp_path: Path) -> None:
        newer = tmp_path / "newer.tar"
        octets = backed_up.archive.read_bytes()
        # As many digits: what says how long the member is stays true.
        newer.write_bytes(re.sub(rb'(?<="queue_schema": )\d+', _nines, octets, count=1))
        answer = call(backed_up.files, "restore", str(newer), "--to", str(tmp_path / "to"))
        assert answer.code == 2
        assert "restore it with that release or a later one" in answer.error
        assert answer.error.count("\n") == 1
        assert not (tmp_path / "to").exists()

    def test_a_place_that_is_not_told(
        self, backed_up: BackedUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with redirect_stderr(StringIO()) as error:
            assert main(["restore", str(backed_up.archive)]) == 2
        assert "name the folder with --to" in error.getvalue()

    def test_a_restore_that_was_killed_is_no_data_of_a_node(
        self, backed_up: BackedUp, tmp_path: Path
    ) -> None:
        files = make_files(tmp_path)
        files.data.mkdir()
        (files.data / "restore-unfinished").touch()
        files.write()
        node = RunningNode(files)
        node.process.wait(PATIENCE)
        assert node.stop() == 2
        assert "a restore into" in node.log
        assert "did not end; empty it and restore again" in node.log
        answer = backed_up.restore(files.data)
        assert answer.code == 2
        assert answer.error == (
            f"letterlock: {files.data}: a restore into it did not end; empty it and restore again\n"
        )

    @pytest.mark.parametrize("made", range(1, 4))
    def test_one_that_was_killed_in_its_first_moment_is_told(
        self, backed_up: BackedUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: int
    ) -> None:
        """Whatever it has made by then: a node would take an empty folder for its own."""
        folder, left = tmp_path / "data", made

        def open_and_die(path: Any, flags: int, *more: Any, **named: Any) -> int:
            nonlocal left
            if flags & os.O_CREAT and str(path).startswith(str(folder)):
                if left == 0:
                    os._exit(9)
                left -= 1
            return real_open(path, flags, *more, **named)

        real_open = os.open
        child = os.fork()
        if child == 0:
            monkeypatch.setattr(os, "open", open_and_die)
            backed_up.restore(folder)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        assert "restore-unfinished" in [path.name for path in folder.iterdir()]
        assert "did not end; empty it" in backed_up.restore(folder).error


def test_a_file_that_cannot_be_read_is_told_and_the_rest_is_kept(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root can read all")
    files = make_files(tmp_path / "node")
    (tmp_path / "aliases").touch(0o000)
    files.change("maps", aliases=str(tmp_path / "aliases"))
    files.data.mkdir(parents=True)
    files.write()
    answer = call(files, "backup", str(tmp_path / "a.tar"))
    assert answer.code == 1
    assert f"not in it: {tmp_path}/aliases: no permission" in answer.error
    assert call(files, "restore", "--check", str(tmp_path / "a.tar")).code == 0


def test_a_node_that_is_down_or_was_killed_is_backed_up_too(tmp_path: Path) -> None:
    files = make_files(tmp_path / "node")
    with running(files) as node:
        queue_id = node.send(LARGE, to="bob@away.example")
        pids = (node.process.pid, *node.worker_pids())
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        node.process.wait(PATIENCE)
    answer = call(files, "backup", str(tmp_path / "a.tar"), "--json")
    assert answer.document["messages"] == 1, answer.error
    assert ": 1 message as of " in call(files, "backup", str(tmp_path / "b.tar")).output
    shutil.rmtree(files.data)
    restored = call(files, "restore", str(tmp_path / "a.tar"))
    assert restored.code == 0
    assert ": 1 message, " in restored.output
    assert queue_id in call(files, "queue", "list").output


def test_a_hook_of_the_settings_is_a_program_again(tmp_path: Path) -> None:
    """The settings could not be used after a restore: `not a program that this user may run`."""
    files = make_files(tmp_path / "node")
    hook, key = tmp_path / "hook", tmp_path / "key"
    for path, mode in ((hook, 0o755), (key, 0o600)):
        path.write_text("#!/bin/sh\n")
        path.chmod(mode)
    files.change("dns_changes", method="exec", hook=str(hook), key_file=str(key))
    with running(files) as node:
        made = call(files, "backup", str(tmp_path / "a.tar"), "--json")
        assert node.stop() == 0
    assert (made.code, made.document["skipped"]) == (0, []), made.error
    restored = tmp_path / "new"
    assert call(files, "restore", str(tmp_path / "a.tar"), "--to", str(restored)).code == 0
    settings = f"{restored}/restored-settings"
    modes = [Path(f"{settings}{path}").stat().st_mode & 0o777 for path in (hook, key)]
    assert modes == [0o700, 0o600]


def test_root_acts_as_the_owner_of_the_data(tmp_path: Path) -> None:
    account = unprivileged_account()
    if account is None:
        pytest.skip("only root can act as others")
    owner, folder = getpwnam(account), Path(mkdtemp(prefix="letterlock-"))
    try:
        folder.chmod(0o755)
        files = make_files(folder / "node")
        (folder / "secret").write_text("x")
        (folder / "secret").chmod(0o600)
        files.change("dns_changes", key_file=str(folder / "secret"))
        files.change("node", user=account)
        for path in (files.data / "drop", files.data / "queue"):
            path.mkdir(parents=True, mode=0o700)
        (files.data / "drop" / "msg.1").write_bytes(b"letterlock-drop 1\n")
        for path in (files.data, *files.data.iterdir()):
            shutil.chown(path, account, owner.pw_gid)
        files.write()
        made = call(files, "backup", str(tmp_path / "a.tar"), "--json")
        assert (made.code, made.document["skipped"]) == (0, []), made.error
        assert (tmp_path / "a.tar").stat().st_uid == 0
        for restored, is_there in ((folder / "new", False), (folder / "empty", True)):
            if is_there:
                restored.mkdir()
                shutil.chown(restored, account, owner.pw_gid)
            done = call(files, "restore", str(tmp_path / "a.tar"), "--to", str(restored))
            assert done.code == 0, done.error
            dropped = restored / "drop" / "msg.1"
            assert (dropped.stat().st_uid, dropped.stat().st_mode & 0o777) == (0, 0o640)
            others = {path.stat().st_uid for path in restored.rglob("*") if path != dropped}
            assert {restored.stat().st_uid, *others} == {owner.pw_uid}
            assert list(restored.glob("restored-settings/**/secret"))
    finally:
        shutil.rmtree(folder)


def test_root_reads_for_nobody_what_he_may_not_read(tmp_path: Path) -> None:
    """Who owns a folder may put links into it, and is given what is restored."""
    account = unprivileged_account()
    if account is None:
        pytest.skip("only root can act as others")
    folder = Path(mkdtemp(prefix="letterlock-"))
    try:
        folder.chmod(0o755)
        (folder / "shadow").write_text("secret")
        (folder / "shadow").chmod(0o600)
        (folder / "home").mkdir()
        (folder / "home" / "list").symlink_to(folder / "shadow")
        (folder / "by-root").symlink_to(folder / "home")
        shutil.chown(folder / "home", account)
        shutil.chown(tmp_path, account)
        files = make_files(folder / "node")
        files.change("maps", virtual=str(folder / "by-root" / "list"))
        files.change("log", to="file", file=str(tmp_path / "mail.log"))
        (tmp_path / "mail.log").write_text("who wrote to whom")
        files.data.mkdir(parents=True)
        files.write()
        made = call(files, "backup", str(folder / "a.tar"), "--json")
        path = folder / "by-root" / "list"
        assert made.document["skipped"] == [
            f"{path}: the user who owns its folder has no permission to read it; chown one of them"
        ]
        octets = (folder / "a.tar").read_bytes()
        assert b"secret" not in octets
        assert b"who wrote to whom" not in octets
    finally:
        shutil.rmtree(folder)


@pytest.mark.peer("postgresql")
def test_a_queue_in_postgresql_is_in_it_too(tmp_path: Path, postgres: PostgresServer) -> None:
    files = make_files(tmp_path / "node")
    files.change("queue", engine="postgres", url=postgres.create_schema())
    archive = str(tmp_path / "a.tar")
    with running(files) as node:
        sent = [node.send(text, to="bob@away.example") for text in ("Subject: a\n\na\n", LARGE)]
        made = call(files, "backup", archive, "--json")
        assert made.document["messages"] == 2, made.error
    shutil.rmtree(files.data)
    refused = call(files, "restore", archive)
    assert refused.code == 2
    assert "it is not empty; make a new one (createdb)" in refused.error
    assert not list(files.data.iterdir())
    without = make_files(tmp_path / "sqlite")
    without.write()
    refused = call(without, "restore", archive)
    assert refused.code == 2
    assert "the backup is of a queue in PostgreSQL" in refused.error
    with sink_of_all() as (port, taken):
        files.change("deliver", routes={"away.example": f"[127.0.0.1]:{port}"})
        files.change("queue", url=postgres.create_schema())
        files.write()
        restored = call(files, "restore", archive, "--hold", "--json")
        assert restored.document["held"] == 2, restored.error
        with running(files) as node:
            assert call(files, "queue", "release", "--all", "--json").document["changed"] == 2
            for queue_id in sent:
                node.wait_delivered(queue_id)
        assert sorted(len(content) > 300_000 for content in taken) == [False, True]


def test_a_full_disk_is_told_with_the_file(backed_up: BackedUp, tmp_path: Path) -> None:
    """And what was written until then goes."""
    with small_disk(tmp_path / "small", "128k") as small:
        answer = call(backed_up.files, "backup", str(small / "a.tar"))
        assert (answer.code, list(small.iterdir())) == (3, [])
        assert answer.error == f"letterlock: backup: {small}/a.tar: No space left on device\n"
        answer = backed_up.restore(small / "data")
        assert (answer.code, list((small / "data").iterdir())) == (3, [])
        found = re.escape(f"letterlock: restore: {small}/data/") + r"\S+: No space left on device\n"
        assert re.fullmatch(found, answer.error)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Give a folder with so much space, where we may mount."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_where_it_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    files = make_files(tmp_path / "node")
    files.data.mkdir(parents=True)
    files.write()
    answer = call(files, "backup", str(tmp_path / "missing" / "a.tar"))
    assert answer.code == 3
    assert answer.error.count("\n") == 1
    assert "missing" in answer.error
    answer = call(files, "backup", f"{tmp_path}/missing/")
    assert answer.code == 2
    assert answer.error.startswith(f"letterlock: backup: {tmp_path}/missing/: there is no such fo")
    assert not (tmp_path / "missing").exists()
    shutil.rmtree(files.data)
    answer = call(files, "backup", str(tmp_path / "a.tar"))
    assert answer.code == 3
    assert answer.error == f"letterlock: backup: {files.data}: No such file or directory\n"
