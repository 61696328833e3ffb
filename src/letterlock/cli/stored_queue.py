"""The queue as the commands read it, beside a running node and without holding it up.

SQLite's shards are read where they lie; PostgreSQL is asked as one more node, which claims nothing.
"""

import os
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from heapq import merge
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from letterlock.base.clock import SystemClock
from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.sections import Config
from letterlock.storage.queue import (
    MessageStory,
    QueuedMessage,
    QueueId,
    QueueStore,
    StoreUnavailable,
)
from letterlock.storage.sqlite.reader import SqliteQueueReader
from letterlock.storage.sqlite.shard_files import find_shards

PAGE = 500
"""Messages read at once."""

T = TypeVar("T")


class StoredQueue(Protocol):
    """All that a node keeps. Use it in a `with`; raises StoreUnavailable as the engine does."""

    problems: list[str]
    """One line for each part that could not be read: what was given leaves it out."""

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
        self._paths = find_shards(config.queue_dir)
        self._stack = ExitStack()
        self._readers: dict[Path, SqliteQueueReader] = {}
        self.problems: list[str] = []

    def __enter__(self) -> Self:
        for path in self._paths:
            self._readers[path] = self._stack.enter_context(SqliteQueueReader(path))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def list_messages(self, *, is_finished: bool = False) -> Iterator[QueuedMessage]:
        pages = [self._pages(path, is_finished=is_finished) for path in self._readers]
        return merge(*pages, key=lambda message: message.queue_id)

    def find_story(self, queue_id: QueueId) -> MessageStory | None:
        for path, reader in self._readers.items():
            with self._passing_over(path):
                if (story := reader.find_story(queue_id)) is not None:
                    return story
        return None

    def count(self) -> Mapping[str, int]:
        total = dict.fromkeys(("messages", "bytes", "queued", "held", "claimed"), 0)
        for path, reader in self._readers.items():
            with self._passing_over(path):
                for key, number in reader.count().items():
                    total[key] = total.get(key, 0) + number
        return total

    def _pages(self, path: Path, *, is_finished: bool) -> Iterator[QueuedMessage]:
        with self._passing_over(path):
            yield from _read_pages(self._readers[path], is_finished=is_finished)

    @contextmanager
    def _passing_over(self, path: Path) -> Iterator[None]:
        """Go on with the other shards when one can't be read."""
        try:
            yield
        except StoreUnavailable as error:
            self.problems.append(f"{path} cannot be read: {error}")


class PostgresStoredQueue:
    """The database that all nodes share."""

    def __init__(self, config: Config) -> None:
        import asyncio  # noqa: PLC0415 - listing SQLite starts without it

        self._store = open_postgres_beside(config)
        self._runner = asyncio.Runner()
        self.problems: list[str] = []

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
    from letterlock.storage.postgres.configured import make_postgres_queue  # noqa: PLC0415 - asyncpg is an extra

    name = f"{os.uname().nodename} command {os.getpid()}"
    return make_postgres_queue(config.queue, name, SystemClock())


def _read_pages(reader: SqliteQueueReader, *, is_finished: bool) -> Iterator[QueuedMessage]:
    after: QueueId | None = None
    while page := reader.list_messages(limit=PAGE, after=after, is_finished=is_finished):
        yield from page
        after = page[-1].queue_id
