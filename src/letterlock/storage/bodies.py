"""A message's octets on their way in and out: in memory while small, then in a file of their own.

A file is synced, and its folder too, before the commit that names it; it is removed after the
commit that forgets it. What falls between, a crash leaves as an orphan: `sweep` removes those when
the store is opened. PostgreSQL has its own way for large bodies and shares `SpillingWriter`.
"""

import asyncio
import contextlib
import os
import secrets
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from io import FileIO
from pathlib import Path
from typing import Protocol, TypeVar

from msgspec import Struct

from letterlock.storage.durable import make_folder, sync_folder, unavailable
from letterlock.storage.queue import SPILL_BYTES, Body, StoreUnavailable

PIECE_BYTES = 128 * 1024
"""How much is read at once."""

FILE_MODE = 0o600
_THREADS = 4

T = TypeVar("T")


class MemoryBody(Struct, frozen=True):
    """A body of at most SPILL_BYTES."""

    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)


class FileBody(Struct, frozen=True):
    """A body in a file of the engine's `BodyFolder`, synced."""

    name: str
    size: int


class Spill(Protocol):
    """Where a body goes that is too large for memory."""

    def write(self, data: bytes) -> Awaitable[None]:
        """Begin to append; not called again before the awaitable is done."""

    async def rewrite(self, offset: int, octets: bytes) -> None:
        """Put octets over those at an offset; not called while a write is under way."""

    async def finish(self) -> Body:
        """Make everything written durable."""

    def discard(self) -> None:
        """Remove it, unless it was saved."""


class SpillingWriter:
    """Collects a body; beyond SPILL_BYTES it goes to a spill, SPILL_BYTES and more at a time."""

    def __init__(self, begin_spill: Callable[[], Spill]) -> None:
        self._begin_spill = begin_spill
        self._parts: list[bytes] = []
        self._held = 0
        self._spill: Spill | None = None

    def write(self, data: bytes) -> Awaitable[None] | None:
        self._parts.append(bytes(data))
        self._held += len(data)
        return self._flush() if self._held > SPILL_BYTES else None

    async def rewrite(self, offset: int, octets: bytes) -> None:
        end = offset + len(octets)
        # What was spilled first has more than SPILL_BYTES.
        if not 0 <= offset <= end <= (self._held if self._spill is None else SPILL_BYTES):
            raise ValueError("nothing that may be rewritten is there")
        if self._spill is not None:
            await self._spill.rewrite(offset, octets)
            return
        content = b"".join(self._parts)
        self._parts = [content[:offset], octets, content[end:]]

    async def finish(self) -> Body:
        if self._spill is None:
            return MemoryBody(b"".join(self._parts))
        if self._held:
            await self._flush()
        return await self._spill.finish()

    def discard(self) -> None:
        self._parts.clear()
        self._held = 0
        if self._spill is not None:
            self._spill.discard()

    def _flush(self) -> Awaitable[None]:
        if self._spill is None:
            self._spill = self._begin_spill()
        data = b"".join(self._parts)
        self._parts.clear()
        self._held = 0
        return self._spill.write(data)


class _Stage(Enum):
    UNSAVED = auto()
    SAVING = auto()
    DOUBTFUL = auto()


class Saving(Enum):
    """How the commit that names a file ended."""

    DONE = auto()
    ROLLED_BACK = auto()
    UNCERTAIN = auto()
    """It failed, but a crash now could bring it back: the file stays until a later one is done."""


class BodyFolder:
    """The files of one store. To be used from the event loop's thread, but for `sweep`."""

    def __init__(
        self, path: Path, random_name: Callable[[], str] = lambda: secrets.token_hex(12)
    ) -> None:
        self._path = path
        self._random_name = random_name
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="bodies")
        self._stages: dict[str, _Stage] = {}
        self._unwanted: set[str] = set()

    def sweep(self, is_named: Callable[[str], bool]) -> int:
        """Make the folder, remove files that no row names; gives how many. Blocks.

        To be called before any writer begins. Raises StoreUnavailable.
        """
        try:
            make_folder(self._path)
            orphans = [entry.name for entry in os.scandir(self._path) if not is_named(entry.name)]
            for name in orphans:
                (self._path / name).unlink()
        except OSError as error:
            raise unavailable(error) from error
        return len(orphans)

    def close(self) -> None:
        """Stop the threads; what was begun is finished. Blocks."""
        self._threads.shutdown(wait=True)

    def begin_spill(self) -> "FileSpill":
        """Begin a file of a new name."""
        name = self._random_name()
        self._stages[name] = _Stage.UNSAVED
        return FileSpill(self, self._path / name)

    def begin_save(self, name: str) -> None:
        """Say that a commit is under way which names a file: until it ends, `discard` waits.

        Raises ValueError for a file that was discarded, or saved before.
        """
        if name not in self._stages:
            raise ValueError("this body was discarded or saved before")
        self._stages[name] = _Stage.SAVING

    def end_save(self, name: str, how: Saving) -> None:
        """Say how that commit ended."""
        if how is Saving.UNCERTAIN:
            self._stages[name] = _Stage.DOUBTFUL
            return
        is_unwanted = name in self._unwanted
        self._unwanted.discard(name)
        if how is Saving.DONE:
            del self._stages[name]
        elif is_unwanted:
            del self._stages[name]
            self.remove([name])
        else:
            self._stages[name] = _Stage.UNSAVED

    def find_doubtful(self) -> list[str]:
        """Give the files whose commit ended in doubt."""
        return [name for name, stage in self._stages.items() if stage is _Stage.DOUBTFUL]

    def end_doubt(self, name: str, *, is_named: bool) -> None:
        """Say whether a row names such a file, after a later commit was done."""
        if self._stages.get(name) is _Stage.DOUBTFUL:
            self.end_save(name, Saving.DONE if is_named else Saving.ROLLED_BACK)

    def may_discard(self, name: str) -> bool:
        """Tell whether a file that nobody wants may go now; if not, it goes when that is known."""
        stage = self._stages.get(name)
        if stage is _Stage.UNSAVED:
            del self._stages[name]
            return True
        if stage is not None:
            self._unwanted.add(name)
        return False

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, sometime soon: one that stays is an orphan of the next `sweep`."""
        for name in names:
            self.start(_unlink, self._path / name)

    def start(self, work: Callable[..., None], *arguments: object) -> None:
        """Do blocking work whose end nobody waits for; not at all once closed."""
        with contextlib.suppress(RuntimeError):
            self._threads.submit(work, *arguments)

    def run(self, work: Callable[..., T], *arguments: object) -> "asyncio.Future[T]":
        """Do blocking work; the future raises StoreUnavailable for an OSError."""
        loop = asyncio.get_running_loop()
        try:
            return loop.run_in_executor(self._threads, _mapped, work, *arguments)
        except RuntimeError as error:
            raise StoreUnavailable("the store is closed") from error

    async def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """Give a file's octets in pieces. Raises StoreUnavailable."""
        file = await self.run(_open_for_reading, self._path / name)
        try:
            while piece := await self.run(file.read, PIECE_BYTES):
                yield piece
        finally:
            self.start(file.close)


class FileSpill:
    """A body's own file, 0600. `discard` may come while a thread still writes."""

    def __init__(self, folder: BodyFolder, path: Path) -> None:
        self._folder = folder
        self._path = path
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._size = 0
        self._is_ended = False
        self._failure: OSError | None = None
        self._pending: asyncio.Future[None] | None = None

    def write(self, data: bytes) -> Awaitable[None]:
        if self._pending is not None and not self._pending.done():
            raise RuntimeError("the write before was not waited for")
        self._pending = self._folder.run(self._append, data)
        return self._pending

    async def rewrite(self, offset: int, octets: bytes) -> None:
        await self._folder.run(self._rewrite, offset, octets)

    async def finish(self) -> FileBody:
        if self._pending is not None:
            await self._pending
        await self._folder.run(self._sync)
        return FileBody(self._path.name, self._size)

    def discard(self) -> None:
        if self._folder.may_discard(self._path.name):
            self._folder.start(self._remove)

    def _append(self, data: bytes) -> None:
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._is_ended:
                return
            try:
                self._write_all(data)
            except OSError as error:
                self._failure = error
                raise

    def _write_all(self, data: bytes) -> None:
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, FILE_MODE)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._size += len(data)

    def _rewrite(self, offset: int, octets: bytes) -> None:
        with self._lock:
            if self._descriptor is None:
                return  # discarded
            rest = memoryview(octets)
            try:
                while rest:
                    written = os.pwrite(self._descriptor, rest, offset)
                    rest, offset = rest[written:], offset + written
            except OSError as error:
                self._failure = error
                raise

    def _sync(self) -> None:
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._descriptor is None:
                raise StoreUnavailable("the body was discarded")
            os.fsync(self._descriptor)
            self._end()
        sync_folder(self._path.parent)

    def _remove(self) -> None:
        with self._lock:
            self._end()
            self._path.unlink(missing_ok=True)

    def _end(self) -> None:
        self._is_ended = True
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _mapped(work: Callable[..., T], *arguments: object) -> T:
    try:
        return work(*arguments)
    except OSError as error:
        raise unavailable(error) from error


def _open_for_reading(path: Path) -> FileIO:
    return path.open("rb", buffering=0)


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
