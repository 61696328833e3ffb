"""The writer thread: what arrives while one commit runs is committed together by the next.

A save costs one sync of the disk, and twenty that wait together cost one too. When something in a
batch fails, the batch is rolled back and each operation has a transaction of its own, so that it
fails alone. No operation's future is resolved before the commit that holds it, and one call into
the event loop resolves the whole batch.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import apsw
from msgspec import Struct

from letterlock.base.clock import Clock
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.claiming import ClaimDue
from letterlock.storage.sqlite.connection import connect_writer, is_broken, translate
from letterlock.storage.sqlite.due import refresh_destination
from letterlock.storage.sqlite.gathering import Gathering
from letterlock.storage.sqlite.saving import Save, save_messages
from letterlock.storage.sqlite.settling import Settle, settle_claims
from letterlock.storage.sqlite.transaction import Operation, Transaction

IDLE_SECONDS = 0.05
UNSYNCED_SECONDS = 0.2
"""Settlements are synced so soon at the latest: what a power cut may have us deliver again."""
IDLE_PAGES = 1000
"""In an idle moment, a WAL grown by so many pages is copied into the database by the writer."""

BUSY_PAGES = 4000
"""Without an idle moment, at so many pages a thread copies while commits go on; what they added
meanwhile the writer copies itself, and the WAL begins anew."""

MAX_FAILURES = 5
"""Commits that may fail one after the other before the file is opened anew.

Not at once: while it stays open, the next commit overwrites what one that failed left in the WAL;
opened anew, SQLite would find it there and count it as done, though its sender was told 451.
"""

T = TypeVar("T")


class CommitUncertain(StoreUnavailable):
    """The commit itself failed: the disk may hold it, and a crash before the next could show it."""


_UNSYNCED = (ClaimDue, Settle)

_Outcome = tuple["asyncio.Future[Any]", Any, BaseException | None]


class _Waiting(Struct, frozen=True):
    operation: Operation[Any]
    future: "asyncio.Future[Any]"


class Writer:
    """Owns the only connection that writes. `submit` and the callbacks are the event loop's."""

    def __init__(
        self,
        path: Path,
        on_removed: Callable[[Iterable[str]], None],
        clock: Clock,
        *,
        vfs: str | None = None,
    ) -> None:
        self._path = path
        self._vfs = vfs
        self._on_removed = on_removed
        self._clock = clock
        self._queue: queue.SimpleQueue[list[_Waiting] | None] = queue.SimpleQueue()
        self._connection: apsw.Connection | None = None
        self._loop = asyncio.get_running_loop()
        self._gathering = Gathering(self._loop, self._queue.put)
        self._is_closed = False
        self._is_synced = True
        self._unsynced_since: float | None = None
        self._removed: list[str] = []
        self._failures = 0
        self._wal_pages = 0
        self._checkpointed_pages = 0
        self._copying = ThreadPoolExecutor(1, thread_name_prefix="queue-checkpoint")
        self._copy: Future[None] | None = None
        self._thread = threading.Thread(target=self._run, name="queue-writer", daemon=True)

    def start(self, prepare: Callable[[apsw.Connection], T]) -> T:
        """Open the connection, do `prepare` on it, then start the thread. Blocks."""
        try:
            result = prepare(self._connect())
        except BaseException:
            self._disconnect()
            raise
        self._thread.start()
        return result

    def submit(self, operation: Operation[T]) -> "asyncio.Future[T]":
        """Have an operation done in the next commit, whether or not the future is cancelled."""
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._gathering.add(_Waiting(operation, future))
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
            self._resolve(self._execute(batch))
            self._copy_while_busy()
        self._copying.shutdown()
        self._disconnect()

    def _next_batch(self) -> list[_Waiting] | None:
        """Wait for something to do; None when nothing will follow."""
        is_dirty = self._unsynced_since is not None or self._needs_checkpoint(IDLE_PAGES)
        try:
            return self._queue.get(timeout=IDLE_SECONDS if is_dirty else None)
        except queue.Empty:
            if self._unsynced_since is not None:
                self._sync()
            if self._needs_checkpoint(IDLE_PAGES):
                self._checkpoint()
            return self._queue.get()

    def _execute(self, batch: list[_Waiting]) -> list[_Outcome]:
        try:
            return self._commit(batch)
        except StoreUnavailable as error:
            if len(batch) == 1 or not error.is_full or isinstance(error, CommitUncertain):
                return [(waiting.future, None, error) for waiting in batch]
        except Exception as error:  # noqa: BLE001 - given to the one who waits for it
            if len(batch) == 1:
                return [(batch[0].future, None, error)]
        return [outcome for waiting in batch for outcome in self._execute([waiting])]

    def _commit(self, batch: list[_Waiting]) -> list[_Outcome]:
        """Run a batch in one transaction. Raises StoreUnavailable, or what an operation raised."""
        try:
            connection = self._connect()
            self._choose_sync(connection, batch)
            transaction = Transaction(connection)
            connection.execute("BEGIN IMMEDIATE")
            outcomes = _perform(transaction, batch)
        except BaseException as error:
            self._roll_back(error)
            if isinstance(error, apsw.Error):
                raise translate(error, self._path) from error
            raise
        self._end(connection)
        self._failures = 0
        self._removed += transaction.removed_files
        if self._is_synced:
            self._note_synced()
        elif self._unsynced_since is None:
            self._unsynced_since = self._clock.monotonic()
        return outcomes

    def _choose_sync(self, connection: apsw.Connection, batch: list[_Waiting]) -> None:
        """Sync the commit, unless there are only claims and settlements in it.

        What was not synced yet is when the next commit is (they are in one file), in the next idle
        moment, or when it has waited for long enough.
        """
        is_needed = not all(isinstance(each.operation, _UNSYNCED) for each in batch)
        self._set_sync(connection, is_synced=is_needed or self._has_waited_enough())

    def _has_waited_enough(self) -> bool:
        since = self._unsynced_since
        return since is not None and self._clock.monotonic() - since >= UNSYNCED_SECONDS

    def _set_sync(self, connection: apsw.Connection, *, is_synced: bool) -> None:
        if is_synced is not self._is_synced:
            connection.pragma("synchronous", "full" if is_synced else "normal")
            self._is_synced = is_synced

    def _note_synced(self) -> None:
        """All that was committed is on disk: files that nothing names any more can go."""
        self._unsynced_since = None
        if self._removed:
            self._loop.call_soon_threadsafe(self._on_removed, self._removed)
            self._removed = []

    def _sync(self) -> None:
        """Make durable what was committed without a sync: by a synced commit that says nothing."""
        # Where this fails, the next commit meets the same error, or syncs the rest.
        self._unsynced_since = None
        try:
            connection = self._connect()
            self._set_sync(connection, is_synced=True)
            version = connection.pragma("user_version")
            connection.pragma("user_version", version)
        except apsw.Error as error:
            if is_broken(error):
                self._disconnect()
        else:
            self._note_synced()

    def _end(self, connection: apsw.Connection) -> None:
        try:
            connection.execute("COMMIT")
        except apsw.Error as error:
            self._roll_back(error)
            text = f"{self._path}: {error}"
            is_full = isinstance(error, apsw.FullError)
            raise CommitUncertain(text, is_full=is_full) from error

    def _roll_back(self, error: BaseException) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            # SQLite has rolled back by itself after some errors.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except apsw.Error:
            self._disconnect()
        if isinstance(error, (apsw.IOError, apsw.ReadOnlyError)):
            self._failures += 1
        if is_broken(error) or self._failures >= MAX_FAILURES:
            self._failures = 0
            self._disconnect()

    def _resolve(self, outcomes: list[_Outcome]) -> None:
        self._loop.call_soon_threadsafe(self._end_batch, outcomes)

    def _end_batch(self, outcomes: list[_Outcome]) -> None:
        _resolve_all(outcomes)
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
        if pages < self._wal_pages:
            self._checkpointed_pages = 0
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _needs_checkpoint(self, pages: int) -> bool:
        return self._wal_pages - self._checkpointed_pages >= pages

    def _copy_while_busy(self) -> None:
        if self._copy is None:
            if self._needs_checkpoint(BUSY_PAGES):
                self._copy = self._copying.submit(self._copy_aside)
        elif self._copy.done():
            self._copy = None
            self._checkpoint()

    def _copy_aside(self) -> None:
        # Where this fails, the writer meets the same error soon, and deals with it.
        with contextlib.suppress(apsw.Error):
            connection = connect_writer(self._path, self._vfs)
            try:
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            finally:
                connection.close(force=True)

    def _checkpoint(self) -> None:
        """Copy the WAL into the database; readers are not disturbed."""
        if self._connection is None:
            return
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            if is_broken(error):
                self._disconnect()
        # Where a reader held it up, the rest is copied next time: trying at once would not help.
        self._checkpointed_pages = self._wal_pages


def _perform(transaction: Transaction, batch: list[_Waiting]) -> list[_Outcome]:
    """Do a batch's operations: all saves as one, all settlements as one, then the rest.

    The order means nothing to them, they came together; their ends are told in the order in which
    they came.
    """
    saves = [each.operation.message for each in batch if isinstance(each.operation, Save)]
    if saves:
        save_messages(transaction, saves)
    settles = [each.operation for each in batch if isinstance(each.operation, Settle)]
    settled = iter(settle_claims(transaction, settles) if settles else ())
    outcomes: list[_Outcome] = []
    for each in batch:
        match each.operation:
            case Save():
                result: object = None
            case Settle():
                result = next(settled)
            case operation:
                result = operation(transaction)
        outcomes.append((each.future, result, None))
    for destination in transaction.touched:
        refresh_destination(transaction.connection, destination)
    transaction.save_totals()
    return outcomes


def _resolve_all(outcomes: list[_Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
