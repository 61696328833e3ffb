"""The queue as the commands reach it: read beside a running node, changed through it.

Every shard is read where it lies; that never holds the node up. A change goes to the workers of the
running node, each of which changes the shards it owns; a shard that nobody owns is opened here.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from heapq import merge
from pathlib import Path
from typing import Self

from letterlock.base.clock import Clock
from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.network.control_client import NodeNotRunning, ask_all
from letterlock.storage.queue import (
    MessageStory,
    QueuedMessage,
    QueueId,
    QueueStore,
    StoreUnavailable,
)
from letterlock.storage.sqlite.owner import OwnedElsewhereError
from letterlock.storage.sqlite.reader import SqliteQueueReader

PAGE = 500
"""Messages read at once."""
CONTROL_SECONDS = 60.0
IDS_AT_ONCE = 1000
"""Ids in one request to a node; a request is one line of bounded length."""


class Action(StrEnum):
    """What can be done to messages; `queue.` before it is the node's command."""

    RETRY = "retry"
    HOLD = "hold"
    RELEASE = "release"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Change:
    """What to do to which messages; None: to all. `reason` is for `hold`."""

    action: Action
    queue_ids: tuple[QueueId, ...] | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """How many messages changed, and which part of the queue could not be reached."""

    count: int
    failures: tuple[str, ...] = ()


class StoredQueue:
    """All shards of one node. Use it in a `with`; raises StoreUnavailable as the engine does."""

    def __init__(self, config: Config) -> None:
        if config.queue.engine is not QueueEngine.SQLITE:
            raise LocalError('queue.engine: "postgres" cannot be listed by this release')
        self._paths = sorted(config.queue_dir.glob("shard-*.db"))
        self._stack = ExitStack()
        self._readers: list[SqliteQueueReader] = []

    def __enter__(self) -> Self:
        self._readers = [self._stack.enter_context(SqliteQueueReader(path)) for path in self._paths]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def list_messages(self, *, is_finished: bool = False) -> Iterator[QueuedMessage]:
        """List the messages of all shards in the order of their ids, which is that of arrival."""
        pages = [_read_pages(reader, is_finished=is_finished) for reader in self._readers]
        return merge(*pages, key=lambda message: message.queue_id)

    def find_story(self, queue_id: QueueId) -> MessageStory | None:
        """Find a message's story in any shard."""
        for reader in self._readers:
            if (story := reader.find_story(queue_id)) is not None:
                return story
        return None

    def is_waiting(self, queue_id: QueueId) -> bool:
        """Tell whether the message is in the queue and not finished."""
        story = self.find_story(queue_id)
        return story is not None and story.message.finished is None

    def count(self) -> Mapping[str, int]:
        """Count over all shards, as `QueueStore.count` does for one."""
        total = dict.fromkeys(("messages", "bytes", "queued", "held", "claimed"), 0)
        for reader in self._readers:
            for key, number in reader.count().items():
                total[key] = total.get(key, 0) + number
        return total


def change_queue(config: Config, change: Change, clock: Clock) -> Changed:
    """Change messages wherever they are: through the running node, and in shards it doesn't own."""
    import asyncio  # noqa: PLC0415 - listing starts without it

    count, failures = _change_through_node(config, change)
    for path in sorted(config.queue_dir.glob("shard-*.db")):
        try:
            count += asyncio.run(_change_shard(path, change, clock))
        except OwnedElsewhereError:
            continue  # its owner was asked
        except StoreUnavailable as error:
            failures += (f"{path}: {error}",)
    return Changed(count, failures)


def _change_through_node(config: Config, change: Change) -> tuple[int, tuple[str, ...]]:
    count = 0
    failures: tuple[str, ...] = ()
    for ids in _split_ids(change.queue_ids):
        arguments = {"ids": ids, "reason": change.reason}
        command = f"queue.{change.action}"
        try:
            found = ask_all(config.node.control_socket, command, arguments, CONTROL_SECONDS)
        except NodeNotRunning:
            break
        count += sum(int(answer.get("changed", 0)) for answer in found.answers)
        failures += found.failures
    return count, failures


def _split_ids(queue_ids: Sequence[QueueId] | None) -> Iterator[Sequence[QueueId] | None]:
    if queue_ids is None:
        yield None
        return
    for start in range(0, len(queue_ids), IDS_AT_ONCE):
        yield queue_ids[start : start + IDS_AT_ONCE]


async def _change_shard(path: Path, change: Change, clock: Clock) -> int:
    from letterlock.storage.sqlite.queue import SqliteQueue  # noqa: PLC0415 - not to read only

    store: QueueStore = SqliteQueue(path, clock)
    await store.open()
    try:
        return await apply_change(store, change, clock)
    finally:
        await store.close()


async def apply_change(store: QueueStore, change: Change, clock: Clock) -> int:
    """Do it to one store; gives how many messages changed."""
    match change.action:
        case Action.RETRY:
            return await store.retry(change.queue_ids, clock.now())
        case Action.HOLD:
            return await store.hold(change.queue_ids, change.reason)
        case Action.RELEASE:
            return await store.release(change.queue_ids, clock.now())
        case Action.DELETE:
            return await store.delete(change.queue_ids, clock.now())


def _read_pages(reader: SqliteQueueReader, *, is_finished: bool) -> Iterator[QueuedMessage]:
    after: QueueId | None = None
    while page := reader.list_messages(limit=PAGE, after=after, is_finished=is_finished):
        yield from page
        after = page[-1].queue_id
