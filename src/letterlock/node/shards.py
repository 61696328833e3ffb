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
from letterlock.storage.sqlite.owner import OwnedElsewhereError
from letterlock.storage.sqlite.queue import SqliteQueue

MAX_SHARDS = 1024


class Shards:
    """The shards in one folder, as one worker sees them."""

    def __init__(self, folder: Path, clock: Clock, horizon: timedelta) -> None:
        self._folder = folder
        self._clock = clock
        self._horizon = horizon
        self._seen_empty: dict[Path, tuple[int, ...]] = {}

    async def take_free(self) -> tuple[int, SqliteQueue]:
        """Open the first shard that nobody owns, making it if need be."""
        for number in range(MAX_SHARDS):
            if (queue := await self._try_open(self._path(number))) is not None:
                return number, queue
        raise LocalError(f"{self._folder}: all {MAX_SHARDS} shards are owned by other processes")

    async def adopt(self, is_ours: Callable[[Path], bool]) -> tuple[Path, SqliteQueue] | None:
        """Open a shard that nobody owns and that holds mail; None when there is none."""
        for path in sorted(self._folder.glob("shard-*.db")):
            stamp = _stamp(path)
            if is_ours(path) or self._seen_empty.get(path) == stamp:
                continue
            queue = await self._try_open(path)
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

    def path_of(self, number: int) -> Path:
        """Give a shard's file."""
        return self._path(number)

    def _path(self, number: int) -> Path:
        return self._folder / f"shard-{number:03d}.db"

    async def _try_open(self, path: Path) -> SqliteQueue | None:
        queue = SqliteQueue(path, self._clock, horizon=self._horizon)
        try:
            await queue.open()
        except OwnedElsewhereError:
            return None
        return queue


async def is_empty(queue: SqliteQueue) -> bool:
    """No message waits in it; stories of finished ones don't count."""
    counts = await queue.count()
    return counts["messages"] == 0


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
