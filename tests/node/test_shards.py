"""Which queue is whose, as the workers of one node and of two generations meet over it."""

from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.node import shards as module
from letterlock.node.shards import MAX_BROKEN, Shards, is_empty
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.fakes import FakeClock, FakeLog
from tests.storage.messages import Mail


@pytest.fixture
def log() -> FakeLog:
    return FakeLog()


@pytest.fixture
def shards(tmp_path: Path, log: FakeLog) -> Shards:
    return make(tmp_path, log)


def make(folder: Path, log: FakeLog) -> Shards:
    return Shards(folder, SystemClock(), log, timedelta(days=10))


async def leave_mail(folder: Path, name: str) -> None:
    """Make a shard with a message in it that nobody owns."""
    store = SqliteQueue(folder / name, SystemClock())
    await store.open()
    await Mail(store, FakeClock(SystemClock().now())).save()
    await store.close()


async def test_each_worker_takes_a_shard_of_its_own(tmp_path: Path, shards: Shards) -> None:
    path, first = await shards.take_free()
    other, second = await make(tmp_path, FakeLog()).take_free()
    assert (path.name, other.name) == ("shard-000.db", "shard-001.db")
    await first.close()
    again, third = await make(tmp_path, FakeLog()).take_free()
    assert again == path
    await second.close()
    await third.close()


async def test_only_what_nobody_owns_and_holds_mail_is_adopted(
    tmp_path: Path, shards: Shards
) -> None:
    path, own = await shards.take_free()
    await leave_mail(tmp_path, "shard-001.db")
    adopter = make(tmp_path, FakeLog())
    found = await adopter.adopt(lambda _: False)
    assert found is not None
    assert found[0].name == "shard-001.db"
    assert not await is_empty(found[1])
    assert await make(tmp_path, FakeLog()).adopt(lambda _: False) is None
    await found[1].close()
    await own.close()
    # An empty one is looked at once, and again when it has changed.
    assert await adopter.adopt(lambda item: item.name == "shard-001.db") is None
    await leave_mail(tmp_path, path.name)
    found = await adopter.adopt(lambda item: item.name == "shard-001.db")
    assert found is not None
    assert found[0] == path
    await found[1].close()


async def test_a_broken_shard_is_its_own_problem(
    tmp_path: Path, shards: Shards, log: FakeLog
) -> None:
    (tmp_path / "shard-000.db").write_bytes(b"no database at all, and that at length\n" * 99)
    await leave_mail(tmp_path, "shard-002.db")
    path, own = await shards.take_free()
    assert path.name == "shard-001.db"
    found = await shards.adopt(lambda item: item == path)
    assert found is not None
    assert found[0].name == "shard-002.db"
    (problem,) = shards.problems
    assert f"mail in {tmp_path / 'shard-000.db'} waits" in problem
    assert len(log.texts) == 1
    # Mended, or taken away, it is no problem any more.
    (tmp_path / "shard-000.db").unlink()
    await leave_mail(tmp_path, "shard-000.db")
    await found[1].close()
    again = await shards.adopt(lambda item: item == path)
    assert again is not None
    assert shards.problems == ()
    await again[1].close()
    await own.close()


async def test_a_broken_shard_that_is_gone_is_no_problem(tmp_path: Path, shards: Shards) -> None:
    broken = tmp_path / "shard-000.db"
    broken.mkdir()
    assert await shards.adopt(lambda _: False) is None
    assert len(shards.problems) == 1
    broken.rmdir()
    assert await shards.adopt(lambda _: False) is None
    assert not shards.problems


async def test_a_shard_that_is_mended_when_it_is_taken_is_no_problem(
    tmp_path: Path, shards: Shards
) -> None:
    broken = tmp_path / "shard-000.db"
    broken.mkdir()
    assert await shards.adopt(lambda _: False) is None
    broken.rmdir()
    path, own = await shards.take_free()
    assert path == broken
    assert shards.problems == ()
    await own.close()


@pytest.mark.parametrize(("is_full", "tries"), [(True, 1), (False, MAX_BROKEN)])
async def test_a_disk_that_fails_is_said_and_not_tried_for_ever(
    shards: Shards, monkeypatch: pytest.MonkeyPatch, is_full: bool, tries: int
) -> None:
    tried: list[Path] = []

    class Failing:
        def __init__(self, path: Path, *_: object, **__: object) -> None:
            tried.append(path)

        async def open(self) -> None:
            raise StoreUnavailable(f"{tried[-1].name}: no", is_full=is_full)

    monkeypatch.setattr(module, "SqliteQueue", Failing)
    with pytest.raises(StoreUnavailable, match=r"shard-000\.db: no"):
        await shards.take_free()
    assert len(tried) == tries
    # None is broken: it is the disk.
    assert shards.problems == ()
