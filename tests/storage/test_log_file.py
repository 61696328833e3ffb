"""The log as a file: turned over, kept for so long, written on when somebody else renamed it."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.storage.log_file import LogFile, Turnover
from tests.fakes import START, FakeClock

DAILY = Turnover(timedelta(days=1), 10_000, timedelta(days=3), 100)
DAY = timedelta(days=1)


class Logged:
    """A file and its clock."""

    def __init__(self, folder: Path, turnover: Turnover = DAILY) -> None:
        self.path = folder / "mail.log"
        self.clock = FakeClock()
        self.file = LogFile(self.path, turnover, self.clock)

    def write(self, *lines: str) -> int:
        """Write lines, a second later."""
        self.clock.move(timedelta(seconds=1))
        return self.file.take([f"{line}\n".encode() for line in lines])

    def texts(self) -> dict[str, str]:
        """Give the contents of all files that are put aside or written to."""
        return {path.name: path.read_text() for path in sorted(self.path.parent.glob("mail.log*"))}


def stamp(path: Path, clock: FakeClock) -> None:
    os.utime(path, (clock.now().timestamp(),) * 2)


def test_lines_are_appended_to_a_file_for_the_nodes_user_and_group(tmp_path: Path) -> None:
    log = Logged(tmp_path)
    assert log.write("one", "two") == 2
    assert log.write("three") == 1
    assert log.texts() == {"mail.log": "one\ntwo\nthree\n"}
    assert log.path.stat().st_mode & 0o777 == 0o640


def test_a_new_file_is_begun_each_day_utc(tmp_path: Path) -> None:
    log = Logged(tmp_path)
    log.write("one")
    log.clock.move(timedelta(hours=11))
    log.write("two")
    log.clock.move(timedelta(hours=1))
    log.write("three")
    assert log.texts() == {"mail.log": "three\n", "mail.log.20260302T000003Z": "one\ntwo\n"}


def test_and_at_a_size(tmp_path: Path) -> None:
    log = Logged(tmp_path, replace(DAILY, max_octets=10))
    for text in ("12345", "12345", "6"):
        log.write(text)
    assert sorted(log.texts().values()) == ["12345\n12345\n", "6\n"]


def test_without_a_period_somebody_else_does_it(tmp_path: Path) -> None:
    """As logrotate: rename, and a new file is made within a second, by every process."""
    log = Logged(tmp_path, replace(DAILY, every=timedelta(0), max_octets=1))
    other = LogFile(log.path, DAILY, log.clock)
    log.write("one")
    other.take([b"other\n"])
    log.path.rename(tmp_path / "mail.log.1")
    log.clock.move(100 * DAY)
    other.take([b"new\n"])
    log.write("two")
    assert log.texts() == {"mail.log": "new\ntwo\n", "mail.log.1": "one\nother\n"}


def test_old_files_are_removed(tmp_path: Path) -> None:
    log = Logged(tmp_path)
    strange = tmp_path / "mail.log.1.gz"
    strange.write_text("not ours")
    for day in range(7):
        log.write(str(day))
        stamp(log.path, log.clock)
        log.clock.move(DAY)
    kept = [text for name, text in log.texts().items() if name != strange.name]
    assert kept == ["6\n", "4\n", "5\n"]
    assert strange.exists()


def test_of_many_files_some_are_kept(tmp_path: Path) -> None:
    """However much somebody lets us write: the disk is not filled by it."""
    log = Logged(tmp_path, replace(DAILY, max_octets=1, keep_files=2))
    for number in range(6):
        log.write(str(number))
    assert sorted(log.texts().values()) == ["3\n", "4\n", "5\n"]


def test_two_processes_turn_it_over_once(tmp_path: Path) -> None:
    log = Logged(tmp_path)
    other = LogFile(log.path, DAILY, log.clock)
    log.write("one")
    other.take([b"other\n"])
    log.clock.move(DAY)
    log.write("two")
    log.clock.move(timedelta(seconds=1))
    other.take([b"new\n"])
    assert sorted(log.texts().values()) == ["one\nother\n", "two\nnew\n"]


def test_files_of_one_second_have_names_of_their_own(tmp_path: Path) -> None:
    log = Logged(tmp_path, replace(DAILY, max_octets=1))
    for number in range(3):
        log.clock.set_wall(START)
        log.write(str(number))
        log.clock.set_wall(START)
    assert list(log.texts().values()) == ["2\n", "0\n", "1\n"]


def test_a_folder_that_is_gone_is_a_fault_until_it_is_back(tmp_path: Path) -> None:
    log = Logged(tmp_path / "folder")
    assert log.write("one") == 0
    assert "No such file" in log.file.fault
    (tmp_path / "folder").mkdir()
    assert log.write("one") == 1
    assert log.file.fault == ""


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mail.log").symlink_to(tmp_path / "else")
    log = Logged(tmp_path)
    assert log.write("one") == 0
    assert not (tmp_path / "else").exists()


@contextmanager
def limited(octets: int) -> Iterator[None]:
    """Let files grow no further: as a full disk does."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("room", range(13))
def test_on_a_full_disk_lines_wait_and_a_broken_one_is_repeated_whole(
    tmp_path: Path, room: int
) -> None:
    log = Logged(tmp_path)
    lines = [b"one\n", b"two\n", b"three\n"]
    log.file.take([b"-\n"])
    with limited(2 + room):
        taken = log.file.take(lines)
    assert taken == (0 if room < 4 else 1 if room < 8 else 2)
    assert log.file.fault
    assert log.file.take(lines[taken:]) == 3 - taken
    assert log.file.fault == ""
    text = log.path.read_text()
    whole = [line for line in text.splitlines() if line in {"-", "one", "two", "three"}]
    # One of which the line end alone was missing stands there twice.
    assert list(dict.fromkeys(whole)) == ["-", "one", "two", "three"]
    assert len(text.splitlines()) <= 5
