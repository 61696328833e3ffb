"""One moment of a queue in use: what is in it is whole, whatever is delivered meanwhile."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from letterlock.storage.queue import SPILL_BYTES, StoreUnavailable
from letterlock.storage.sqlite import snapshot
from letterlock.storage.sqlite.queue import SqliteQueue
from letterlock.storage.sqlite.snapshot import (
    check_bodies,
    copy_frozen,
    frozen_file,
    frozen_queue,
    staging_folder,
)
from tests.fakes import FakeClock
from tests.storage.messages import Mail

LARGE = b"x" * (SPILL_BYTES + 1)
"""Of a message whose body is a file."""


async def open_mail(folder: Path, clock: FakeClock, shard: int = 0) -> Mail:
    store = SqliteQueue(folder / f"shard-{shard:03d}.db", clock)
    await store.open()
    return Mail(store, clock)


async def deliver_all(mail: Mail) -> None:
    for claim in await mail.claim():
        assert await mail.deliver(claim)


def copy_to(target: Path, shard: snapshot.ShardSnapshot) -> Path:
    """Put a shard and its bodies where another node would have them."""
    bodies = target / "bodies" / shard.path.stem
    bodies.mkdir(parents=True)
    for body in shard.bodies:
        (bodies / body.name).write_bytes(body.read_bytes())
    copy_frozen(shard.connection, target / shard.path.name, lambda _octets: None)
    return target / shard.path.name


async def read_all(path: Path, clock: FakeClock) -> dict[str, bytes]:
    check_bodies(path)
    store = SqliteQueue(path, clock)
    await store.open()
    found = {}
    for message in await store.list_messages():
        pieces = [piece async for piece in store.read_body(message.queue_id)]
        found[str(message.queue_id)] = b"".join(pieces)
    await store.close()
    return found


async def test_a_copy_has_what_was_there_and_not_what_came_later(
    tmp_path: Path, clock: FakeClock
) -> None:
    mail = await open_mail(tmp_path / "queue", clock)
    small, large = await mail.save(content=b"a"), await mail.save(content=LARGE)
    with frozen_queue(tmp_path / "queue") as (shard,):
        await mail.save(content=b"later")
        await deliver_all(mail)
        await until(lambda: not list((tmp_path / "queue/bodies/shard-000").iterdir()))
        assert shard.messages == 2
        copy = copy_to(tmp_path / "copy", shard)
    await mail.store.close()
    assert await read_all(copy, clock) == {small: b"a", large: LARGE}
    assert list((tmp_path / "queue/bodies").glob(".backup-*")) == []


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 - a thread does it, and sets no event
            await asyncio.sleep(0.001)


async def test_a_body_that_came_after_the_first_look_is_there(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that went after it has no message any more."""
    mail = await open_mail(tmp_path / "queue", clock)
    await mail.save(content=LARGE)
    ready, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    link_all = snapshot._link_all

    def look(bodies: Path, links: Path) -> None:
        link_all(bodies, links)
        loop.call_soon_threadsafe(ready.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(30)

    monkeypatch.setattr(snapshot, "_link_all", look)

    def copy() -> Path:
        with frozen_queue(tmp_path / "queue") as (shard,):
            return copy_to(tmp_path / "copy", shard)

    copying = asyncio.ensure_future(asyncio.to_thread(copy))
    await ready.wait()
    await deliver_all(mail)
    second = await mail.save(content=LARGE)
    go_on.set()
    copied = await copying
    await mail.store.close()
    assert await read_all(copied, clock) == {second: LARGE}


async def test_all_shards_are_of_one_moment(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one is looked at, no other can take a message; afterwards they do again."""
    mails = [await open_mail(tmp_path / "queue", clock, number) for number in range(3)]
    freeze = snapshot._freeze
    stopped: list[bool] = []

    def look(path: Path, reader: apsw.Connection, links: Path) -> snapshot.ShardSnapshot:
        stopped.extend(is_stopped(each) for each in (tmp_path / "queue").glob("shard-*.db"))
        return freeze(path, reader, links)

    monkeypatch.setattr(snapshot, "_freeze", look)
    with frozen_queue(tmp_path / "queue") as shards:
        assert len(shards) == 3
        assert stopped == [True] * 9
        for mail in mails:
            await mail.save()
    for mail in mails:
        await mail.store.close()


def is_stopped(path: Path) -> bool:
    """Tell whether somebody else has a transaction that writes."""
    connection = apsw.Connection(str(path))
    try:
        connection.execute("BEGIN IMMEDIATE")
    except apsw.BusyError:
        return True
    finally:
        connection.close(force=True)
    return False


async def test_a_shard_that_is_being_made_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "queue").mkdir()
    apsw.Connection(str(tmp_path / "queue/shard-000.db")).close()
    with frozen_queue(tmp_path / "queue") as (shard,):
        assert (shard.schema, shard.messages, shard.bodies) == (0, 0, ())


async def test_without_second_names_a_body_is_copied(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = await open_mail(tmp_path / "queue", clock)
    queue_id = await mail.save(content=LARGE)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with frozen_queue(tmp_path / "queue") as (shard,):
        copy = copy_to(tmp_path / "copy", shard)
    await mail.store.close()
    assert await read_all(copy, clock) == {queue_id: LARGE}


async def test_a_damaged_database_makes_no_backup(tmp_path: Path, clock: FakeClock) -> None:
    mail = await open_mail(tmp_path / "queue", clock)
    for number in range(40):
        await mail.save(content=b"x" * 5000 + str(number).encode())
    await mail.store.close()
    path = tmp_path / "queue/shard-000.db"
    octets = bytearray(path.read_bytes())
    octets[4096 * 3 : 4096 * 9] = bytes(4096 * 6)
    path.write_bytes(octets)
    with (
        pytest.raises(StoreUnavailable, match=r"shard-000\.db: "),
        frozen_file(path) as (connection, _),
    ):
        copy_frozen(connection, tmp_path / "copy.db", lambda _octets: None)


async def test_a_disk_that_is_nearly_full_is_told_before(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = await open_mail(tmp_path / "queue", clock)
    monkeypatch.setattr(snapshot, "SPARE_BYTES", 1 << 60)
    with (
        frozen_queue(tmp_path / "queue") as (shard,),
        pytest.raises(StoreUnavailable, match=r"MiB must be free") as caught,
    ):
        copy_to(tmp_path / "copy", shard)
    assert caught.value.is_full
    await mail.store.close()


def test_what_a_killed_backup_left_is_removed_and_not_what_lives(tmp_path: Path) -> None:
    with staging_folder(tmp_path) as living:
        (tmp_path / ".backup-dead").mkdir()
        (tmp_path / ".backup-dead" / "body").touch()
        with staging_folder(tmp_path):
            assert living.is_dir()
            assert not (tmp_path / ".backup-dead").exists()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE messages SET body_file = '../../../etc/passwd'",
        "UPDATE messages SET body_file = 'abcdef0123456789'",
        "UPDATE messages SET size = size + 1",
    ],
)
async def test_a_shard_that_names_what_is_not_its_own_is_found(
    tmp_path: Path, clock: FakeClock, change: str
) -> None:
    mail = await open_mail(tmp_path / "queue", clock)
    await mail.save(content=LARGE)
    await mail.store.close()
    path = tmp_path / "queue/shard-000.db"
    check_bodies(path)
    connection = apsw.Connection(str(path))
    connection.execute(change)
    connection.close()
    with pytest.raises(StoreUnavailable, match="is not there, or not whole"):
        check_bodies(path)
