"""Which shards there are; and that a folder which cannot be read is never an empty one."""

from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.node.shards import Shards
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.shard_files import find_shards
from letterlock.storage.sqlite.snapshot import frozen_queue
from tests.fakes import FakeLog


@pytest.fixture
def unreadable(tmp_path: Path) -> Path:
    """Give a folder that root cannot read either."""
    path = tmp_path / "queue"
    path.symlink_to(path)
    return path


def test_shards_are_found_by_name(tmp_path: Path) -> None:
    for name in ("shard-001.db", "shard-000.db", "shard-000.db-wal", "shard-000.db.lock", "bodies"):
        (tmp_path / name).touch()
    assert find_shards(tmp_path) == [tmp_path / "shard-000.db", tmp_path / "shard-001.db"]
    assert find_shards(tmp_path / "none") == []


async def test_a_folder_that_cannot_be_read_is_not_empty(unreadable: Path) -> None:
    with pytest.raises(StoreUnavailable, match=f"{unreadable}: .*symbolic links"):
        find_shards(unreadable)
    shards = Shards(unreadable, SystemClock(), FakeLog(), timedelta(days=1))
    with pytest.raises(StoreUnavailable, match="symbolic links"):
        await shards.adopt(lambda _: False)


def test_a_backup_does_not_take_a_folder_that_cannot_be_read_for_empty(unreadable: Path) -> None:
    with pytest.raises(StoreUnavailable, match="symbolic links"), frozen_queue(unreadable):
        pass
