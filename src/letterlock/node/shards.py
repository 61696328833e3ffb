"""Which queue is whose: every worker owns a shard, and adopts those that nobody owns.

A shard is one SQLite file; its lock says who owns it. A new worker takes the first that is free, so
two generations of workers never meet in one file. What a worker leaves behind, killed or drained,
is adopted by one that lives: its mail is delivered, then the shard is free again.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.base.errors import LocalError
from letterlock.base.log import Log, Service
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.owner import OwnedElsewhereError
from letterlock.storage.sqlite.queue import SqliteQueue
from letterlock.storage.sqlite.shard_files import find_shards

MAX_SHARDS = 1024
MAX_BROKEN = 8
"""After so many the folder or the disk is at fault, and not a shard."""


class Shards:
    """The shards in one folder, as one worker sees them."""

    def __init__(self, folder: Path, clock: Clock, log: Log, horizon: timedelta) -> None:
        self._folder = folder
        self._clock = clock
        self._log = log
        self._horizon = horizon
        self._seen_empty: dict[Path, tuple[int, ...]] = {}
        self._broken: dict[Path, str] = {}

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with shards that can't be opened, one line each."""
        return tuple(self._broken.values())

    async def take_free(self) -> tuple[Path, SqliteQueue]:
        """Open the first shard that nobody owns, making it if need be.

        One that is broken is passed over: new mail does not need it. Raises StoreUnavailable or
        LocalError when none can be opened.
        """
        failures: dict[Path, Exception] = {}
        for number in range(MAX_SHARDS):
            path = self._folder / f"shard-{number:03d}.db"
            try:
                queue = await self._try_open(path)
            except (StoreUnavailable, LocalError) as error:
                failures[path] = error
                if _is_full(error) or len(failures) == MAX_BROKEN:
                    raise next(iter(failures.values())) from None
                continue
            if queue is not None:
                self._broken.pop(path, None)
                for broken, failure in failures.items():
                    self._note_broken(broken, failure)
                return path, queue
        raise LocalError(f"{self._folder}: all {MAX_SHARDS} shards are owned by other processes")

    async def adopt(self, is_ours: Callable[[Path], bool]) -> tuple[Path, SqliteQueue] | None:
        """Open a shard that nobody owns and that holds mail; None when there is none.

        What can't be opened is a problem of that shard only. Raises StoreUnavailable when the
        folder can't be read.
        """
        found = find_shards(self._folder)
        self._broken = {path: text for path, text in self._broken.items() if path in found}
        for path in found:
            if is_ours(path) or self._seen_empty.get(path) == _stamp(path):
                continue
            try:
                queue = await self._try_open(path)
            except (StoreUnavailable, LocalError) as error:
                self._note_broken(path, error)
                continue
            self._broken.pop(path, None)
            if queue is None:
                continue
            if not await is_empty(queue):
                return path, queue
            await self.give_back(path, queue)
        return None

    async def give_back(self, path: Path, queue: SqliteQueue) -> None:
        """Close a shard that is empty; it is looked at again when it changed."""
        await queue.close()
        self._seen_empty[path] = _stamp(path)

    def _note_broken(self, path: Path, error: Exception) -> None:
        problem = f"mail in {path} waits, it cannot be opened: {error}"
        if self._broken.get(path) != problem:
            self._log.write(Service.QUEUE, f"warning: {problem}")
        self._broken[path] = problem

    async def _try_open(self, path: Path) -> SqliteQueue | None:
        queue = SqliteQueue(path, self._clock, horizon=self._horizon)
        try:
            await queue.open()
        except OwnedElsewhereError:
            return None
        return queue


def _is_full(error: Exception) -> bool:
    return isinstance(error, StoreUnavailable) and error.is_full


async def is_empty(queue: SqliteQueue) -> bool:
    """No message waits in it; stories of finished ones don't count."""
    return not await queue.list_messages(limit=1)


def _stamp(path: Path) -> tuple[int, ...]:
    stamps = []
    for file in (path, path.with_name(path.name + "-wal")):
        try:
            status = file.stat()
        except FileNotFoundError:
            stamps.append(0)
        else:
            stamps += [status.st_mtime_ns, status.st_size]
    return tuple(stamps)
