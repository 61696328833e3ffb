"""What users are shown of the queue."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.sections import Config, QueueSection
from letterlock.base.config.sending import SendSection, ShownQueue
from letterlock.base.domains import Domain
from letterlock.node.own_queue import OwnQueue
from letterlock.node.pickup import find_user_by_id
from letterlock.protocols.smtp.envelope import Envelope, Recipient
from letterlock.storage.queue import NewMessage, QueueId
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.fakes import FakeLog

OTHER = 12345


async def make(folder: Path, shown: ShownQueue) -> OwnQueue:
    """Make one over a shard with a message of OTHER's, of somebody's, and of a client's."""
    config = Config(
        Domain("mx.example.org"), (Domain("example.org"),), "a@example.org", folder,
        send=SendSection(show_queue=shown),
    )  # fmt: skip
    queue = SqliteQueue(config.queue_dir / "shard-000.db", SystemClock())
    await queue.open()
    for number, origin in enumerate(
        (
            {"client": "local", "user": find_user_by_id(OTHER).name},
            {"client": "local", "user": "somebody"},
            {"client": "x [192.0.2.1]", "user": find_user_by_id(OTHER).name},
        )
    ):
        await _save(queue, number, origin)
    await queue.close()
    return OwnQueue(config, lambda: (), FakeLog())


async def _save(queue: SqliteQueue, number: int, origin: dict[str, Any]) -> None:
    writer, now = queue.write_body(), SystemClock().now()
    if (waiting := writer.write(b"Subject: hi\r\n\r\nhi\r\n")) is not None:
        await waiting
    await queue.save(
        NewMessage(
            queue_id=QueueId(f"43YzPdFWgWnfg{number}A"),
            envelope=Envelope(sender="", recipients=(Recipient(f"to{number}@far.example"),)),
            destinations=("far.example",),
            body=await writer.finish(),
            received=now,
            expires=replace_year(now),
            origin=origin,
        )
    )


def replace_year(now: Any) -> Any:
    return now.replace(year=now.year + 1, day=1)


@pytest.mark.parametrize(
    ("shown", "user", "seen"),
    [
        (ShownQueue.OWN, OTHER, ["to0"]),
        (ShownQueue.ALL, OTHER, ["to0", "to1", "to2"]),
        (ShownQueue.OWN, 0, ["to0", "to1", "to2"]),
        (ShownQueue.OWN, os.geteuid(), ["to0", "to1", "to2"]),
        (ShownQueue.OWN, OTHER + 1, []),
    ],
)
async def test_a_user_sees_what_he_handed_in(
    tmp_path: Path, shown: ShownQueue, user: int, seen: list[str]
) -> None:
    text = (await (await make(tmp_path, shown)).tell(user)).decode()
    assert [f"to{number}" for number in range(3) if f"to{number}@" in text] == seen
    assert ("Mail queue is empty" in text) is not bool(seen)


async def test_a_queue_that_cannot_be_read_is_said_to_be(tmp_path: Path) -> None:
    own = await make(tmp_path, ShownQueue.OWN)
    (shard,) = (tmp_path / "queue").glob("shard-*.db")
    shard.write_bytes(b"x" * 4096)
    assert (await own.tell(0)).startswith(b"mailq: the queue cannot be read")


async def test_a_folder_that_cannot_be_read_is_no_empty_queue(tmp_path: Path) -> None:
    own = await make(tmp_path, ShownQueue.OWN)
    (tmp_path / "queue").rename(tmp_path / "away")
    (tmp_path / "queue").symlink_to("queue")
    told = (await own.tell(0)).decode()
    assert told.startswith(f"mailq: the queue cannot be read: {tmp_path}/queue: Too many levels")


async def test_a_store_that_nodes_share_is_asked(tmp_path: Path) -> None:
    own = await make(tmp_path, ShownQueue.OWN)
    config = replace(own.config, queue=QueueSection(engine=QueueEngine.POSTGRES))
    queue = SqliteQueue(config.queue_dir / "shard-000.db", SystemClock())
    await queue.open()
    shared = OwnQueue(config, lambda: [SimpleNamespace(store=queue)], FakeLog())  # type: ignore[list-item] # what is asked of it
    assert b"to0@far.example" in await shared.tell(OTHER)
    await queue.close()


async def test_a_folder_that_comes_later_is_used_then(tmp_path: Path) -> None:
    own = await make(tmp_path, ShownQueue.OWN)
    running = asyncio.ensure_future(own.run())
    await asyncio.sleep(0)
    folder = own.config.send.drop_dir
    folder.mkdir()
    async with asyncio.timeout(60):
        while not is_there(folder / "queue"):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def is_there(path: Path) -> bool:
    return path.is_socket()


async def test_it_can_be_switched_off(tmp_path: Path) -> None:
    own = await make(tmp_path, ShownQueue.NONE)
    await own.run()
    assert not (tmp_path / "drop").exists()
