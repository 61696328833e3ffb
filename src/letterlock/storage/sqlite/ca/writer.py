"""The thread that writes: what arrives while one commit runs is committed together by the next.

Each commit has a savepoint, so that it is done whole or not at all, and one that is refused takes
nobody with it. When the disk fails, all that were committed together fail. Other processes write to
the same file: SQLite lets one after the other.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import apsw
from msgspec import Struct

from letterlock.storage.ca.scripts.script import Script
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.ca.following import follow
from letterlock.storage.sqlite.connection import connect_writer, is_broken, translate
from letterlock.storage.sqlite.gathering import Gathering

IDLE_SECONDS = 0.05
IDLE_PAGES = 1000
"""In an idle moment, a WAL grown by so many pages is copied into the database."""
BUSY_PAGES = 8000
"""Without one it is at so many: 32 MB."""

T = TypeVar("T")
Prepare = Callable[[apsw.Connection], None]

_Outcome = tuple["asyncio.Future[Any]", Any, BaseException | None]


class _Waiting(Struct, frozen=True):
    make: Callable[[], Script[Any]]
    future: "asyncio.Future[Any]"
    is_commit: bool


class Writer:
    """Owns this process's connection that writes. `submit` is the event loop's."""

    def __init__(self, path: Path, *, vfs: str | None = None) -> None:
        self._path = path
        self._vfs = vfs
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[list[_Waiting] | None] = queue.SimpleQueue()
        self._gathering = Gathering(self._loop, self._queue.put)
        self._connection: apsw.Connection | None = None
        self._is_closed = False
        self._is_synced = True
        self._pages = 0
        self._copied_pages = 0
        self._thread = threading.Thread(target=self._run, name="authority-writer", daemon=True)

    def start(self, prepare: Prepare) -> None:
        """Open the file, do `prepare` in a transaction, then start the thread. Blocks."""
        try:
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            prepare(connection)
            connection.execute("COMMIT")
        except BaseException:
            self._disconnect()
            raise
        self._thread.start()

    def submit(
        self, make: Callable[[], Script[T]], *, is_commit: bool = True
    ) -> "asyncio.Future[T]":
        """Have a script followed in the next commit, whether or not the future is cancelled.

        The future has its result, once it is committed, whole and on the disk; one that is not
        `is_commit` may be there in part, and be lost in a power cut.
        """
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._gathering.add(_Waiting(make, future, is_commit))
        return future

    def finish(self) -> None:
        """Take nothing more, and do what was submitted; `close` waits for it."""
        if not self._is_closed:
            self._is_closed = True
            self._gathering.finish()
            self._queue.put(None)

    def close(self) -> None:
        """Close the file, after `finish`. Blocks; the loop must go on running."""
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            outcomes = self._execute(batch)
            self._loop.call_soon_threadsafe(self._end_batch, outcomes)
            if self._grew_by(BUSY_PAGES):
                self._checkpoint()
        self._disconnect()

    def _next_batch(self) -> list[_Waiting] | None:
        try:
            return self._queue.get(timeout=IDLE_SECONDS if self._grew_by(IDLE_PAGES) else None)
        except queue.Empty:
            self._checkpoint()
            return self._queue.get()

    def _execute(self, batch: list[_Waiting]) -> list[_Outcome]:
        try:
            connection = self._connect()
            self._choose_sync(connection, batch)
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [_follow_one(connection, each) for each in batch]
            connection.execute("COMMIT")
        except apsw.Error as error:
            self._roll_back(error)
            found = translate(error, self._path)
            found.__cause__ = error
            return [(each.future, None, found) for each in batch]
        return outcomes

    def _choose_sync(self, connection: apsw.Connection, batch: list[_Waiting]) -> None:
        is_synced = any(each.is_commit for each in batch)
        if is_synced is not self._is_synced:
            # A later commit that is synced syncs what was not: they are in one file.
            connection.pragma("synchronous", "full" if is_synced else "normal")
            self._is_synced = is_synced

    def _roll_back(self, error: apsw.Error) -> None:
        # The file stays open where it can: the next commit overwrites what one that failed left in
        # the WAL. Opened anew, SQLite would count it as done, though who asked was told otherwise.
        connection = self._connection
        try:
            # SQLite has rolled back by itself after some errors.
            if connection is not None and connection.in_transaction:
                connection.execute("ROLLBACK")
        except apsw.Error:
            self._disconnect()
        if is_broken(error):
            self._disconnect()

    def _end_batch(self, outcomes: list[_Outcome]) -> None:
        for future, result, error in outcomes:
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        self._gathering.note_done()

    def _connect(self) -> apsw.Connection:
        if self._connection is None:
            connection = connect_writer(self._path, self._vfs)
            connection.set_wal_hook(self._count_pages)
            self._connection = connection
            self._is_synced = True
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # Closing checkpoints where it can; what fails there is still in the WAL.
            try:
                connection.close()
            except apsw.Error:
                connection.close(force=True)

    def _count_pages(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        if pages < self._pages:
            self._copied_pages = 0
        self._pages = pages
        return apsw.SQLITE_OK

    def _grew_by(self, pages: int) -> bool:
        return self._pages - self._copied_pages >= pages

    def _checkpoint(self) -> None:
        """Copy the WAL into the database; readers and other processes are not held up."""
        if self._connection is not None:
            try:
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            except apsw.Error as error:
                if is_broken(error):
                    self._disconnect()
        # Where somebody held it up, the rest is copied next time: at once would not help.
        self._copied_pages = self._pages


def _follow_one(connection: apsw.Connection, waiting: _Waiting) -> _Outcome:
    """Follow a script within the transaction. Raises apsw.Error where nothing more can be done."""
    if waiting.is_commit:
        connection.execute("SAVEPOINT script")
    try:
        result = follow(connection, waiting.make())
    except Exception as error:
        if isinstance(error, apsw.Error) and not _is_its_own(connection, error):
            raise
        if waiting.is_commit:
            connection.execute("ROLLBACK TO script")
            connection.execute("RELEASE script")
        return waiting.future, None, error
    if waiting.is_commit:
        connection.execute("RELEASE script")
    return waiting.future, result, None


def _is_its_own(connection: apsw.Connection, error: apsw.Error) -> bool:
    """Tell whether an error is of one script, and the transaction can go on without it."""
    return isinstance(error, apsw.ConstraintError) and connection.in_transaction
