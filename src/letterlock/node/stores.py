"""A worker's queues: the one it receives into, and those it adopted; each with its deliveries.

With SQLite every worker owns a shard (`shards`); with PostgreSQL all share one database, and there
is nothing to adopt.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.sections import Config
from letterlock.base.log import Log, Service
from letterlock.node.shards import Shards, is_empty
from letterlock.services.deliver.deliveries import Deliveries, DeliveryParts
from letterlock.storage.queue import QueueStore, StoreUnavailable
from letterlock.storage.sqlite.queue import SqliteQueue

UPKEEP_SECONDS = 10.0


@dataclass(slots=True)
class _Adopted:
    path: Path
    queue: SqliteQueue
    deliveries: Deliveries
    task: asyncio.Task[None]


class WorkerStores:
    """Opens them, delivers from them, and looks after them."""

    def __init__(
        self, config: Config, clock: Clock, log: Log, parts: DeliveryParts, number: int
    ) -> None:
        """Take a `number` that no other living process of this node has."""
        self._config = config
        self._number = number
        self._clock = clock
        self._log = log
        self._parts = parts
        # Longer than any message lives: what is further ahead was written under a wrong clock.
        self._horizon = 2 * max(config.queue.lifetime, config.queue.bounce_lifetime)
        self._shards = Shards(config.queue_dir, clock, log, self._horizon)
        self._own: Deliveries | None = None
        self._own_path: Path | None = None
        self._adopted: list[_Adopted] = []
        self._problem = ""
        self._look = asyncio.Event()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Deliveries]:
        """Open the store that this worker receives into; it is closed at the end."""
        store = await self._open_own()
        self._own = Deliveries(store, self._parts)
        try:
            yield self._own
        finally:
            await store.close()

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps mail where it is, one line each."""
        own = (self._problem,) if self._problem else ()
        return (*own, *self._shards.problems)

    def all(self) -> list[Deliveries]:
        """Give the deliveries of all stores that are ours now."""
        own = [self._own] if self._own is not None else []
        return [*own, *(item.deliveries for item in self._adopted)]

    def look_around(self) -> None:
        """Adopt now what nobody owns, if there is any."""
        self._look.set()

    async def run(self) -> None:
        """Deliver from all stores until cancelled."""
        assert self._own is not None, "opened() comes first"
        async with asyncio.TaskGroup() as tasks:
            own = tasks.create_task(self._own.run())
            try:
                while True:
                    self._look.clear()
                    await self._look_after(tasks)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(UPKEEP_SECONDS):
                            await self._look.wait()
            finally:
                # All at once: each finishes what it has in hands, for a while.
                ending = [own, *(item.task for item in self._adopted)]
                for task in ending:
                    task.cancel()
                await asyncio.wait(ending)
                for adopted in self._adopted:
                    await adopted.queue.close()

    async def _look_after(self, tasks: asyncio.TaskGroup) -> None:
        """Forget old stories, give back what is empty, adopt what nobody owns."""
        try:
            before = self._clock.now() - self._config.queue.keep_stories
            for deliveries in self.all():
                await deliveries.store.forget_stories(before)
            if self._config.queue.engine is QueueEngine.SQLITE:
                await self._give_back()
                await self._adopt(tasks)
            self._problem = ""
        except StoreUnavailable as error:
            problem = f"the queue cannot be used now: {error}"
            if problem != self._problem:
                self._log.write(Service.QUEUE, f"warning: {problem}")
            self._problem = problem

    async def _adopt(self, tasks: asyncio.TaskGroup) -> None:
        ours = {self._own_path, *(item.path for item in self._adopted)}
        found = await self._shards.adopt(lambda path: path in ours)
        if found is None:
            return
        path, queue = found
        deliveries = Deliveries(queue, self._parts)
        task = tasks.create_task(deliveries.run())
        self._adopted.append(_Adopted(path, queue, deliveries, task))
        self._log.write(Service.QUEUE, f"adopted {path.name}, which its worker left with mail")

    async def _give_back(self) -> None:
        for adopted in tuple(self._adopted):
            if adopted.deliveries.is_idle and await is_empty(adopted.queue):
                adopted.task.cancel()
                await asyncio.wait([adopted.task])
                self._adopted.remove(adopted)
                await self._shards.give_back(adopted.path, adopted.queue)

    async def _open_own(self) -> QueueStore:
        if self._config.queue.engine is QueueEngine.SQLITE:
            self._own_path, store = await self._shards.take_free()
            return store
        return await self._open_postgres()

    async def _open_postgres(self) -> QueueStore:
        # asyncpg is an extra: only loaded where it is used.
        from letterlock.storage.postgres.configured import make_postgres_queue  # noqa: PLC0415

        # The number is this process's alone: leases under this name are a dead one's, if any.
        name = f"{socket.gethostname()}/{self._number}"
        store = make_postgres_queue(self._config.queue, name, self._clock)
        await store.open()
        return store
