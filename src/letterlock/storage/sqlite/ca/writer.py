"""The connection that writes: what arrives while one commit runs is committed together by the next.

Each commit has a savepoint, so that it is done whole or not at all, and one that is refused takes
nobody with it. When the disk fails, all that were committed together fail. Other processes write to
the same file: SQLite lets one after the other.

Statements take microseconds and are executed on the event loop's own thread; what waits, for the
disk or for another process, has a thread. Were they executed there, each would let go of the
interpreter's lock and wait to get it back from a loop that is busy: that cost more than all else.
"""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apsw
from msgspec import Struct

from letterlock.storage.ca.scripts.script import Script
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.ca.copying import WalCopier
from letterlock.storage.sqlite.ca.following import follow
from letterlock.storage.sqlite.connection import (
    BUSY_MILLISECONDS,
    connect_writer,
    is_broken,
    translate,
)
from letterlock.storage.sqlite.gathering import Gathering

T = TypeVar("T")
Prepare = Callable[[apsw.Connection], None]

_Outcome = tuple["asyncio.Future[Any]", Any, BaseException | None]


class _Waiting(Struct, frozen=True):
    make: Callable[[], Script[Any]]
    future: "asyncio.Future[Any]"
    is_commit: bool


_Batch = list[_Waiting]
_Then = Callable[[BaseException | None], None]


class Writer:
    """Owns this process's connection that writes. To be used from the loop's thread.

    A batch goes through `_begin`, `_perform`, `_commit` and `_end`; the first and the third may
    wait, and do so in the thread. One batch is at work at a time.
    """

    def __init__(self, path: Path, *, vfs: str | None = None) -> None:
        self._path = path
        self._vfs = vfs
        self._loop = asyncio.get_running_loop()
        self._gathering = Gathering(self._loop, self._take)
        self._batches: deque[_Batch] = deque()
        self._is_at_work = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_closed = False
        self._connection: apsw.Connection | None = None
        self._is_synced = True
        self._thread = _Thread(self._loop)
        self._wal = WalCopier(path, vfs)

    def start(self, prepare: Prepare) -> None:
        """Open the file, and do `prepare` in a transaction. Blocks, in any thread."""
        try:
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            prepare(connection)
            connection.execute("COMMIT")
        except BaseException:
            self._disconnect()
            raise

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

    async def close(self) -> None:
        """Take nothing more, do what was submitted, and close the file."""
        if not self._is_closed:
            self._is_closed = True
            self._gathering.finish()
        await self._idle.wait()
        await asyncio.to_thread(self._thread.end)
        await asyncio.to_thread(self._disconnect)
        self._wal.close()

    def _take(self, batch: _Batch) -> None:
        self._batches.append(batch)
        self._idle.clear()
        if not self._is_at_work:
            self._go_on()

    def _go_on(self) -> None:
        """Begin with the next batch, at once where no other process writes."""
        self._is_at_work = True
        batch = self._batches.popleft()
        try:
            self._begin(0, batch)
        except apsw.BusyError:
            begin = partial(self._begin, BUSY_MILLISECONDS, batch)
            self._thread.do(begin, partial(self._perform, batch))
        except apsw.Error as error:
            self._perform(batch, error)
        else:
            self._perform(batch, None)

    def _begin(self, milliseconds: int, batch: _Batch) -> None:
        """Begin a transaction, waiting so long for another process. Raises apsw.Error."""
        connection = self._connect()
        is_synced = any(each.is_commit for each in batch)
        if is_synced is not self._is_synced:
            # A later commit that is synced syncs what was not: they are in one file.
            connection.pragma("synchronous", "full" if is_synced else "normal")
            self._is_synced = is_synced
        connection.set_busy_timeout(milliseconds)
        connection.execute("BEGIN IMMEDIATE")

    def _perform(self, batch: _Batch, failure: BaseException | None) -> None:
        """Follow a batch's scripts, and have that committed."""
        if failure is None:
            connection = self._connect()
            try:
                outcomes = [_follow_one(connection, each) for each in batch]
            except apsw.Error as error:
                failure = error
            else:
                self._have_committed(connection, outcomes)
                return
        self._end([(each.future, None, None) for each in batch], failure)

    def _have_committed(self, connection: apsw.Connection, outcomes: list[_Outcome]) -> None:
        """Commit in the thread; here, where it need not wait for the disk."""
        commit, end = partial(self._commit, connection), partial(self._end, outcomes)
        if self._is_synced:
            self._thread.do(commit, end)
            return
        try:
            commit()
        except apsw.Error as error:
            end(error)
        else:
            end(None)

    def _commit(self, connection: apsw.Connection) -> None:
        """Commit what was done. Blocks where it is synced. Raises apsw.Error."""
        connection.execute("COMMIT")
        if self._is_synced:
            self._wal.copy_rest(connection)

    def _end(self, outcomes: list[_Outcome], failure: BaseException | None) -> None:
        """Tell each who waits, and go on."""
        if failure is not None:
            self._roll_back(failure)
            found = failure
            if isinstance(failure, apsw.Error):
                found = translate(failure, self._path)
                found.__cause__ = failure
            outcomes = [(future, None, found) for future, _, _ in outcomes]
        for future, result, error in outcomes:
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        self._is_at_work = False
        self._gathering.note_done()
        if self._batches and not self._is_at_work:
            self._go_on()
        elif not self._is_at_work:
            self._idle.set()
        self._wal.look(self._loop)

    def _roll_back(self, error: BaseException) -> None:
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

    def _connect(self) -> apsw.Connection:
        if self._connection is None:
            connection = connect_writer(self._path, self._vfs)
            connection.set_wal_hook(self._wal.note_pages)
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


class _Thread:
    """Does what waits. Cheaper than an executor, which makes two futures for each thing done."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: queue.SimpleQueue[tuple[Callable[[], None], _Then] | None]
        self._queue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="authority-commit", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], None], then: _Then) -> None:
        """Do work; then, on the loop, `then` is given its error."""
        self._queue.put((work, then))

    def end(self) -> None:
        """Return when all was done and the thread is no more."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            work, then = item
            failure = None
            try:
                work()
            except Exception as error:  # noqa: BLE001 - given to those who wait for it
                failure = error
            self._loop.call_soon_threadsafe(then, failure)


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
