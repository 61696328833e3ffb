"""Copying the WAL into the database, beside the commits, when it has grown."""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw

from letterlock.storage.sqlite.connection import connect_writer

IDLE_SECONDS = 0.05
IDLE_PAGES = 1000
"""After a moment without a commit, a WAL grown by so many pages is copied into the database."""
BUSY_PAGES = 8000
"""Without one it is at so many: 32 MB."""


class WalCopier:
    """Says when, and does it in a thread and on a connection of its own."""

    def __init__(self, path: Path, vfs: str | None) -> None:
        self._path = path
        self._vfs = vfs
        self._pages = 0
        self._copied_pages = 0
        self._has_rest = False
        self._timer: asyncio.TimerHandle | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="authority-checkpoint")
        self._copying: asyncio.Future[None] | None = None

    def note_pages(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        """Take from SQLite how many pages there are after a commit."""
        if pages < self._pages:
            self._copied_pages = 0
        self._pages = pages
        return apsw.SQLITE_OK

    def look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say that a commit ended: now or in a moment without one, copy what there is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._copying is not None and not self._copying.done():
            return
        if self._grew_by(BUSY_PAGES):
            self._begin(loop)
        elif self._grew_by(IDLE_PAGES):
            self._timer = loop.call_later(IDLE_SECONDS, self._begin, loop)

    def copy_rest(self, connection: apsw.Connection) -> None:
        """Copy what came while the WAL was copied, so that it begins anew. Blocks."""
        if self._has_rest:
            self._has_rest = False
            with contextlib.suppress(apsw.Error):
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._thread.shutdown()

    def _grew_by(self, pages: int) -> bool:
        return self._pages - self._copied_pages >= pages

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._copied_pages = self._pages
        self._copying = loop.run_in_executor(self._thread, self._copy)

    def _copy(self) -> None:
        # Where this fails, a commit meets the same error soon, and tells it.
        with contextlib.suppress(apsw.Error):
            connection = connect_writer(self._path, self._vfs)
            try:
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            finally:
                connection.close(force=True)
        self._has_rest = True
