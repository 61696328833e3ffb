"""The queue as the commands read it, beside a running node and without holding it up.

SQLite's shards are read where they lie; PostgreSQL is asked as one more node, which claims nothing.
"""

import os
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import ExitStack
from heapq import merge
from typing import Any, Protocol, Self, TypeVar

from letterlock.base.clock import SystemClock
from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.sections import Config
from letterlock.storage.queue import MessageStory, QueuedMessage, QueueId, QueueStore
from letterlock.storage.sqlite.reader import SqliteQueueReader

PAGE = 500
"""Messages read at once."""

T = TypeVar("T")


class StoredQueue(Protocol):
    """All that a node keeps. Use it in a `with`; raises StoreUnavailable as the engine does."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def list_messages(self, *, is_finished: bool = False) -> Iterator[QueuedMessage]:
        """List messages in the order of their ids, which is that of arrival."""

    def find_story(self, queue_id: QueueId) -> MessageStory | None:
        """Find a message's story."""

    def count(self) -> Mapping[str, int]:
        """Count over everything, as `QueueStore.count` does."""


def open_stored_queue(config: Config) -> StoredQueue:
    """Give the queue of the configured engine."""
    if config.queue.engine is QueueEngine.SQLITE:
        return SqliteStoredQueue(config)
    return PostgresStoredQueue(config)


def is_waiting(stored: StoredQueue, queue_id: QueueId) -> bool:
    """Tell whether the message is in the queue and not finished."""
    story = stored.find_story(queue_id)
    return story is not None and story.message.finished is None


class SqliteStoredQueue:
    """All shards of one node."""

    def __init__(self, config: Config) -> None:
        self._paths = sorted(config.queue_dir.glob("shard-*.db"))
        self._stack = ExitStack()
        self._readers: list[SqliteQueueReader] = []

    def __enter__(self) -> Self:
        self._readers = [self._stack.enter_context(SqliteQueueReader(path)) for path in self._paths]
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def list_messages(self, *, is_finished: bool = False) -> Iterator[QueuedMessage]:
        pages = [_read_pages(reader, is_finished=is_finished) for reader in self._readers]
        return merge(*pages, key=lambda message: message.queue_id)

    def find_story(self, queue_id: QueueId) -> MessageStory | None:
        for reader in self._readers:
            if (story := reader.find_story(queue_id)) is not None:
                return story
        return None

    def count(self) -> Mapping[str, int]:
        total = dict.fromkeys(("messages", "bytes", "queued", "held", "claimed"), 0)
        for reader in self._readers:
            for key, number in reader.count().items():
                total[key] = total.get(key, 0) + number
        return total


class PostgresStoredQueue:
    """The database that all nodes share."""

    def __init__(self, config: Config) -> None:
        import asyncio  # noqa: PLC0415 - listing SQLite starts without it

        self._store = open_postgres_beside(config)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        try:
            self._run(self._store.open())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._store.close())
        self._runner.close()

    def list_messages(self, *, is_finished: bool = False) -> Iterator[QueuedMessage]:
        after: QueueId | None = None
        while page := self._run(
            self._store.list_messages(limit=PAGE, after=after, is_finished=is_finished)
        ):
            yield from page
            after = page[-1].queue_id

    def find_story(self, queue_id: QueueId) -> MessageStory | None:
        return self._run(self._store.find_story(queue_id))

    def count(self) -> Mapping[str, int]:
        return self._run(self._store.count())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)


def open_postgres_beside(config: Config) -> QueueStore:
    """Give the shared queue under a name of our own, not opened yet."""
    # asyncpg is an extra: loaded only where it is used.
    from letterlock.storage.postgres.configured import make_postgres_queue  # noqa: PLC0415

    name = f"{os.uname().nodename} command {os.getpid()}"
    return make_postgres_queue(config.queue, name, SystemClock())


def _read_pages(reader: SqliteQueueReader, *, is_finished: bool) -> Iterator[QueuedMessage]:
    after: QueueId | None = None
    while page := reader.list_messages(limit=PAGE, after=after, is_finished=is_finished):
        yield from page
        after = page[-1].queue_id
