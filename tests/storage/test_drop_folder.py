"""The drop folder as the node sees it: nothing in it is trusted."""

import fcntl
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from letterlock.storage.drop import BELL, FORMAT, LIMITS, MODE, parse_limits
from letterlock.storage.drop_folder import ABANDONED_SECONDS, DropFolder, Found, Refused

WHOLE = FORMAT + b"recipient a@b\n\nhello\n"


@pytest.fixture
def folder(tmp_path: Path) -> DropFolder:
    folder = DropFolder(tmp_path / "a" / "drop")
    folder.prepare({"max_message_bytes": 5})
    return folder


def _list(folder: DropFolder) -> list[str]:
    return folder.list_whole(set())[0]


def test_others_may_leave_files_and_neither_list_nor_remove_them(folder: DropFolder) -> None:
    status = folder.path.stat()
    assert stat.S_IMODE(status.st_mode) == MODE == 0o3733
    assert status.st_gid == os.getegid()
    assert parse_limits((folder.path / LIMITS).read_bytes()) == {"max_message_bytes": 5}


def test_a_folder_that_is_there_is_set_right(folder: DropFolder) -> None:
    folder.path.chmod(0o755)
    (folder.path / LIMITS).unlink()
    (folder.path / LIMITS).mkdir()
    folder.prepare({"max_message_bytes": 6})
    assert stat.S_IMODE(folder.path.stat().st_mode) == MODE
    assert parse_limits((folder.path / LIMITS).read_bytes()) == {"max_message_bytes": 6}


def test_only_whole_files_are_listed_the_oldest_first(folder: DropFolder) -> None:
    for name, age in (("msg.b", 10), ("msg.a", 20), ("tmp.c", 30), ("other", 40), ("msg.d", 5)):
        path = folder.path / name
        path.write_bytes(WHOLE)
        os.utime(path, (1000 - age, 1000 - age))
    assert folder.list_whole({"msg.d", "msg.gone"}) == (["msg.a", "msg.b"], {"msg.d"})


def test_a_file_is_opened_with_what_the_kernel_knows_of_it(folder: DropFolder) -> None:
    path = folder.path / "msg.a"
    path.write_bytes(WHOLE)
    found = folder.open("msg.a")
    assert isinstance(found, Found)
    assert (found.user, found.size, found.file.read()) == (os.geteuid(), len(WHOLE), WHOLE)
    assert folder.open("msg.a") is None  # it is in hands
    found.file.close()
    folder.remove("msg.a")
    assert folder.open("msg.a") is None
    folder.remove("msg.a")


def test_a_file_that_its_writer_holds_is_left_alone(folder: DropFolder) -> None:
    path = folder.path / "msg.a"
    path.write_bytes(WHOLE)
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert folder.open("msg.a") is None


def _link_secret(path: Path) -> None:
    secret = path.parent.parent / "secret"
    secret.write_bytes(WHOLE)
    path.symlink_to(secret)


def _link_hard(path: Path) -> None:
    secret = path.parent.parent / "secret"
    secret.write_bytes(WHOLE)
    path.hardlink_to(secret)


def _bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_link_secret, "cannot be opened"),
        (_link_hard, "second name"),
        (os.mkfifo, "not a file"),
        (Path.mkdir, "not a file"),
        (_bind, "cannot be opened"),
        (lambda path: path.write_bytes(b"hello"), "form"),
        (lambda path: path.write_bytes(b""), "form"),
        (lambda path: path.symlink_to("nowhere"), "cannot be opened"),
    ],
)
def test_what_is_no_file_of_the_form_is_refused_and_can_be_removed(
    folder: DropFolder, make: Callable[[Path], object], reason: str
) -> None:
    """Links to what only the node may read, FIFOs that would hang it, files with two names."""
    make(folder.path / "msg.a")
    found = folder.open("msg.a")
    assert isinstance(found, Refused)
    assert reason in found.reason
    assert not found.is_kept
    folder.remove("msg.a")
    assert _list(folder) == []


def test_a_file_of_a_later_form_is_kept(folder: DropFolder) -> None:
    """For the release that wrote it."""
    (folder.path / "msg.a").write_bytes(b"letterlock-drop 2\nx\n\n")
    found = folder.open("msg.a")
    assert isinstance(found, Refused)
    assert found.is_kept


def test_a_folder_with_something_in_it_stays(folder: DropFolder) -> None:
    (folder.path / "msg.a" / "b").mkdir(parents=True)
    with pytest.raises(OSError, match="not empty"):
        folder.remove("msg.a")


def test_the_bell_is_heard_and_is_never_anothers(folder: DropFolder) -> None:
    (folder.path / BELL).write_bytes(b"no bell")
    bell = folder.open_bell()
    try:
        status = (folder.path / BELL).stat()
        assert stat.S_ISFIFO(status.st_mode)
        assert stat.S_IMODE(status.st_mode) == 0o622
        ringer = os.open(folder.path / BELL, os.O_WRONLY | os.O_NONBLOCK)
        os.write(ringer, b"\n")
        os.close(ringer)
        assert os.read(bell, 10) == b"\n"
        with pytest.raises(BlockingIOError):  # and it does not read as ended
            os.read(bell, 10)
    finally:
        os.close(bell)
    os.close(folder.open_bell())


def test_a_bell_that_somebody_put_there_just_now_is_not_touched(
    folder: DropFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A second name of a file of the node's, say: its mode stays."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"key")
    secret.chmod(0o600)
    monkeypatch.setattr(os, "mkfifo", lambda path, _: os.link(secret, path))
    with pytest.raises(OSError, match="another bell"):
        folder.open_bell()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_what_was_given_up_is_swept_and_what_is_at_work_is_not(folder: DropFolder) -> None:
    names = ["tmp.old", "tmp.held", "tmp.new", "junk", "msg.old"]
    for name in names:
        (folder.path / name).write_bytes(b"x")
        if name != "tmp.new":
            os.utime(folder.path / name, (1000, 1000))
    (folder.path / "tmp.link").symlink_to("nowhere")
    os.utime(folder.path / "tmp.link", (1000, 1000), follow_symlinks=False)
    os.utime(folder.path / LIMITS, (1000, 1000))
    with (folder.path / "tmp.held").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert folder.sweep(1000 + ABANDONED_SECONDS + 1) == 3
    left = {path.name for path in folder.path.iterdir()}
    assert left == {"tmp.held", "tmp.new", "msg.old", LIMITS}


def test_a_folder_above_that_is_closed_is_found(folder: DropFolder) -> None:
    folder.path.parent.chmod(0o700)
    assert folder.find_closed() == folder.path.parent
