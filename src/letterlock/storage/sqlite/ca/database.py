"""The authority's database in a SQLite file: how this process opens, reads and writes it.

Looking something up by its key is done at once, on the event loop's own thread: it takes
microseconds, WAL never lets it wait for who writes, and a thread would cost several times that.
Lists are made in a thread of their own.
"""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import apsw

from letterlock.base.clock import Clock
from letterlock.storage.ca.scripts.limits import begin_run
from letterlock.storage.ca.scripts.script import Script
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.records import to_micros
from letterlock.storage.sqlite.ca.following import follow
from letterlock.storage.sqlite.ca.writer import Writer
from letterlock.storage.sqlite.connection import (
    connect_reader,
    is_broken,
    translate,
)
from letterlock.storage.sqlite.owner import alone, migrate

MIGRATIONS = "letterlock.storage.sqlite.ca.migrations"

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

T = TypeVar("T")


class Reader:
    """A connection that can change nothing, for one thread."""

    def __init__(self, path: Path, vfs: str | None) -> None:
        self._path = path
        self._vfs = vfs
        self._connection: apsw.Connection | None = None

    def read(self, script: Script[T]) -> T:
        """Follow a script. Raises StoreUnavailable."""
        try:
            if self._connection is None:
                self._connection = connect_reader(self._path, self._vfs)
            return follow(self._connection, script)
        except apsw.Error as error:
            if is_broken(error):
                self.close()
            raise translate(error, self._path) from error

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(apsw.Error):
                connection.close(force=True)


class AuthorityDatabase:
    """One process's connections. Fulfils `storage.ca.scripted.Engine`."""

    def __init__(self, path: Path, clock: Clock, *, vfs: str | None = None) -> None:
        self._path = path
        self._clock = clock
        self._vfs = vfs
        self._writer: Writer | None = None
        self._reader = Reader(path, vfs)
        self._lister = Reader(path, vfs)
        self._thread: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Make the file or bring it forward. Raises LocalError and StoreUnavailable."""
        writer = Writer(self._path, vfs=self._vfs)
        try:
            await asyncio.to_thread(self._start, writer)
        except BaseException:
            await writer.close()
            raise
        self._writer = writer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="authority-lists")

    async def close(self) -> None:
        writer, self._writer = self._writer, None
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._lister.close)
            thread.shutdown()
        self._reader.close()
        if writer is not None:
            # Last: who may write and is alone then copies the WAL, and removes it.
            await writer.close()

    async def read(self, make: Callable[[], Script[T]]) -> T:
        if self._writer is None:
            raise _closed()
        return self._reader.read(make())

    async def list(self, make: Callable[[], Script[T]]) -> T:
        if self._thread is None:
            raise _closed()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._lister.read, make())

    async def commit(self, make: Callable[[], Script[T]]) -> T:
        if self._writer is None:
            raise _closed()
        return await self._writer.submit(make)

    async def change(self, make: Callable[[], Script[T]]) -> T:
        if self._writer is None:
            raise _closed()
        return await self._writer.submit(make, is_commit=False)

    def _start(self, writer: Writer) -> None:
        def prepare(connection: apsw.Connection) -> None:
            migrate(connection, self._path, to_micros(self._clock.now()), MIGRATIONS)
            follow(connection, begin_run(_find_run()))

        try:
            with alone(self._path):
                writer.start(prepare)
        except apsw.Error as error:
            raise translate(error, self._path) from error


def _find_run() -> str:
    """Name the run of this machine, since it was started last."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        # A system that does not say: each process takes itself for the first.
        return secrets.token_hex(16)


def _closed() -> StoreUnavailable:
    return StoreUnavailable("the store is not open")
