"""Files of tables: when they are read, and which are not."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.services.redirect.files import Unreadable, WatchedFile
from tests.fakes import FakeClock

CLOCK = FakeClock()
NOW = CLOCK.now()


def watch(path: Path, max_octets: int = 100) -> WatchedFile[list[bytes]]:
    return WatchedFile(path, lambda octets, file: [octets, file.encode()], max_octets)


def write(path: Path, content: bytes, age: float = 60) -> None:
    """Write a file so that it is `age` seconds old at NOW."""
    path.write_bytes(content)
    moment = NOW.timestamp() - age
    os.utime(path, (moment, moment))


def test_a_file_is_read_once_while_it_is_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write(path, b"one")
    file = watch(path)
    first = file.load(NOW)
    assert first == [b"one", str(path).encode()]
    assert file.load(NOW) is first


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write(path, b"one")
    file = watch(path)
    file.load(NOW)
    write(path, b"two", age=30)
    assert file.load(NOW) == [b"two", str(path).encode()]


def test_a_replaced_file_is_read_again_whatever_its_time(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write(path, b"one")
    file = watch(path)
    file.load(NOW)
    write(tmp_path / "new", b"two")
    (tmp_path / "new").rename(path)
    assert file.load(NOW) == [b"two", str(path).encode()]


def test_a_file_that_is_being_written_counts_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write(path, b"whole")
    file = watch(path)
    whole = file.load(NOW)
    write(path, b"ha", age=0.5)
    assert file.load(NOW) is whole
    assert file.load(NOW + timedelta(seconds=1)) == [b"ha", str(path).encode()]


def test_a_new_file_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write(path, b"one", age=0)
    assert isinstance(watch(path).load(NOW), list)


def test_a_time_in_the_future_is_no_reason_to_wait(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write(path, b"one")
    file = watch(path)
    file.load(NOW)
    write(path, b"two", age=-1000)
    assert file.load(NOW) == [b"two", str(path).encode()]


def test_a_file_that_is_gone_is_told_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "t"
    file = watch(path)
    assert file.load(NOW) == Unreadable(f"{path}: No such file or directory", is_missing=True)
    write(path, b"one")
    assert isinstance(file.load(NOW), list)
    path.unlink()
    assert isinstance(file.load(NOW), Unreadable)


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert watch(path).load(NOW) == Unreadable(f"{path}: not a regular file")


def test_a_file_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write(path, b"one")
    path.chmod(0o666)
    found = watch(path).load(NOW)
    assert found == Unreadable(f"{path}: everybody may write to it: `chmod o-w` first")


def test_a_file_has_a_size_at_most(tmp_path: Path) -> None:
    path = tmp_path / "t"
    write(path, b"x" * 101)
    assert watch(path, 101).load(NOW) == [b"x" * 101, str(path).encode()]
    assert watch(path).load(NOW) == Unreadable(f"{path}: larger than 0 MiB")
