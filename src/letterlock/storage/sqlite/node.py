"""The node's database in a SQLite file: every process of the node opens it for itself.

WAL, short transactions, and waiting for one another within SQLite. Unlike a queue's file it has no
owner: what only one process is to do is claimed with a lease in it. A command that only asks has
one of its own in memory.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import apsw

from letterlock.base.clock import Clock
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.records import to_micros
from letterlock.storage.sqlite.connection import (
    BUSY_MILLISECONDS,
    Value,
    connect_reader,
    fetch_rows,
    is_broken,
    translate,
)
from letterlock.storage.sqlite.owner import NODE_MIGRATIONS, alone, migrate

MEMORY = Path(":memory:")
"""Instead of a file: a database that is this process's alone, and ends with its connection."""

T = TypeVar("T")


class NodeDatabase:
    """One process's connection, in a thread of its own."""

    def __init__(self, path: Path, clock: Clock, *, vfs: str | None = None) -> None:
        self._path = path
        self._clock = clock
        self._vfs = vfs
        self._connection: apsw.Connection | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Make the file or bring it forward. Raises LocalError and StoreUnavailable."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="node-database")
        try:
            await asyncio.get_running_loop().run_in_executor(thread, self._open)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        self._thread = thread

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._disconnect)
            thread.shutdown()

    async def run(self, work: Callable[[apsw.Connection], T]) -> T:
        """Do work in a transaction of its own. Raises StoreUnavailable."""
        return await self._do(self._write, work)

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Do work that changes nothing, and that one statement is enough for."""
        return await self._do(self._read, work)

    async def _do(
        self,
        how: Callable[[Callable[[apsw.Connection], T]], T],
        work: Callable[[apsw.Connection], T],
    ) -> T:
        if self._thread is None:
            raise StoreUnavailable("the store is not open")
        return await asyncio.get_running_loop().run_in_executor(self._thread, how, work)

    def _write(self, work: Callable[[apsw.Connection], T]) -> T:
        with self._translated():
            connection = self._connect()
            # Immediate: two that read first and write then would wait for each other in vain.
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

    def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        with self._translated():
            return work(self._connect())

    def _open(self) -> None:
        with self._translated(), nullcontext() if self._path == MEMORY else alone(self._path):
            connection = self._connect()
            now = to_micros(self._clock.now())
            connection.execute("BEGIN IMMEDIATE")
            try:
                migrate(connection, self._path, now, NODE_MIGRATIONS)
                connection.execute("COMMIT")
            except BaseException:
                self._disconnect()
                raise

    def _connect(self) -> apsw.Connection:
        if self._connection is None:
            connection = apsw.Connection(str(self._path), vfs=self._vfs)
            connection.set_busy_timeout(BUSY_MILLISECONDS)
            connection.pragma("journal_mode", "wal")
            connection.pragma("synchronous", "full")
            # What many rows in one statement need for its undoing would be in a file.
            connection.pragma("temp_store", "memory")
            self._connection = connection
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            if is_broken(error):
                self._disconnect()
            raise translate(error, self._path) from error


async def read_beside(
    path: Path, sql: str, parameters: Sequence[Value] = ()
) -> list[tuple[Any, ...]]:
    """Read rows beside a running node: nothing is made, changed or held up.

    Empty also where there is no file yet. Raises StoreUnavailable for one that can't be read.
    """
    return await asyncio.to_thread(_look, path, sql, parameters)


def _look(path: Path, sql: str, parameters: Sequence[Value]) -> list[tuple[Any, ...]]:
    try:
        path.stat()
        connection = connect_reader(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}") from error
    except apsw.Error as error:
        raise StoreUnavailable(f"{path}: {error}") from error
    try:
        return fetch_rows(connection, sql, parameters)
    except apsw.Error as error:
        raise StoreUnavailable(f"{path}: {error}") from error
    finally:
        connection.close()
