"""Files that hold keys and mail: readable by the service alone, and never opened past SQLite."""

import subprocess
import sys
from pathlib import Path

import pytest

from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.owner import make_private
from tests.fakes import FakeClock

# The byte range that SQLite's readers hold of a database file (sqlite.org/fileformat2.html, os.h).
CHILD = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR)
try:
    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
except BlockingIOError:
    print("locked")
"""


def is_locked(path: Path) -> bool:
    """Ask as another process: one's own locks don't count."""
    command = [sys.executable, "-c", CHILD, str(path)]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    return child.stdout == "locked\n"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_a_second_store_of_a_process_takes_no_lock_of_the_first(
    tmp_path: Path, clock: FakeClock
) -> None:
    """POSIX locks end when a process closes any descriptor of the file."""
    path = tmp_path / "node.sqlite"
    first, second = NodeDatabase(path, clock), NodeDatabase(path, clock)
    await first.open()
    assert is_locked(path)
    await second.open()
    assert is_locked(path)
    await second.close()
    assert is_locked(path)
    await first.close()
    assert not is_locked(path)


async def test_a_database_that_others_could_read_is_made_private(
    tmp_path: Path, clock: FakeClock
) -> None:
    """As one that came back from a backup."""
    path = tmp_path / "node.sqlite"
    first = NodeDatabase(path, clock)
    await first.open()
    files = [path, *(tmp_path / f"node.sqlite-{end}" for end in ("wal", "shm"))]
    for file in files:
        file.chmod(0o644)
    second = NodeDatabase(path, clock)
    await second.open()
    assert [mode(file) for file in files] == [0o600] * 3
    await second.close()
    await first.close()


def test_a_link_leads_to_a_private_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    make_private(tmp_path / "link")
    assert mode(tmp_path / "file") == 0o600
    (tmp_path / "file").chmod(0o640)
    make_private(tmp_path / "link")
    assert mode(tmp_path / "file") == 0o600


def test_a_file_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="No such file"):
        make_private(tmp_path / "missing" / "file")
