"""A worker's queues: the one it receives into, and those it adopted; each with its deliveries.

With SQLite every worker owns a shard (`shards`); with PostgreSQL all share one database, and there
is nothing to adopt. A disk or a database that is away keeps no worker from starting: clients are
told to come again (451, 452) until the queue can be opened.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.sections import Config
from letterlock.base.log import Log, Service
from letterlock.node.shards import Shards, is_empty
from letterlock.node.shared_database import name_process
from letterlock.services.deliver.deliveries import Deliveries, DeliveryParts
from letterlock.storage.queue import BodyWriter, NewMessage, QueueStore, StoreUnavailable
from letterlock.storage.schedule import find_horizon
from letterlock.storage.sqlite.queue import SqliteQueue

UPKEEP_SECONDS = 10.0
REOPEN_SECONDS = 3.0
"""Between two tries to open the store that we receive into."""
ADOPT_SECONDS = 5.0


@dataclass(slots=True)
class _Adopted:
    path: Path
    queue: SqliteQueue
    deliveries: Deliveries
    task: asyncio.Task[None]


class WorkerStores:
    """Opens them, delivers from them, and looks after them.

    Fulfils `services.receive.session.MessageStore` with the store that is this worker's own.
    """

    def __init__(
        self, config: Config, clock: Clock, log: Log, parts: DeliveryParts, number: int
    ) -> None:
        """Take a `number` that no other living process of this node has."""
        self._config = config
        self._number = number
        self._clock = clock
        self._log = log
        self._parts = parts
        self._shards = Shards(config.queue_dir, clock, log, find_horizon(config.queue))
        self._own: Deliveries | None = None
        self._own_path: Path | None = None
        self._own_task: asyncio.Task[None] | None = None
        self._adopted: list[_Adopted] = []
        self._fault: StoreUnavailable | None = None
        self._look = asyncio.Event()
        self._begun_looks = self._ended_looks = 0
        self._look_ended = asyncio.Condition()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the store that this worker receives into; it is closed at the end.

        One that is away is tried again by `run`. Raises LocalError when the operator must act.
        """
        try:
            self._own = await self._open_own()
        except StoreUnavailable as error:
            self._note_fault(error)
        try:
            yield
        finally:
            if self._own is not None:
                await self._own.store.close()

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps mail where it is, one line each."""
        own = (_describe(self._fault),) if self._fault is not None else ()
        return (*own, *self._shards.problems)

    def write_body(self) -> BodyWriter:
        return self._require_own().store.write_body()

    async def save(self, message: NewMessage) -> None:
        await self._require_own().store.save(message)

    def wake(self, destinations: Collection[str]) -> None:
        """Deliver now what was saved for these."""
        self._require_own().wake_for(destinations)

    def require_open(self) -> None:
        """Raise StoreUnavailable when this worker's own store is not open yet."""
        self._require_own()

    def all(self) -> list[Deliveries]:
        """Give the deliveries of all stores that are ours now."""
        own = [self._own] if self._own is not None else []
        return [*own, *(item.deliveries for item in self._adopted)]

    def look_around(self) -> None:
        """Adopt now what nobody owns, if there is any."""
        self._look.set()

    async def adopt_left(self) -> None:
        """Return when nothing is left that nobody owns, or it takes too long to find out.

        Who changes the queue means all of it, right after the start too.
        """
        wanted = self._begun_looks + 1
        self._look.set()
        async with self._look_ended:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ADOPT_SECONDS):
                    await self._look_ended.wait_for(lambda: self._ended_looks >= wanted)

    async def run(self) -> None:
        """Deliver from all stores until cancelled. Raises LocalError as `opened` does."""
        async with asyncio.TaskGroup() as tasks:
            try:
                while True:
                    self._look.clear()
                    self._begun_looks += 1
                    while await self._look_after(tasks):
                        # There may be more; the other workers take their part of it meanwhile.
                        pass
                    await self._tell_look_ended()
                    seconds = REOPEN_SECONDS if self._own is None else UPKEEP_SECONDS
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(seconds):
                            await self._look.wait()
            finally:
                # All at once: each finishes what it has in hands, for a while.
                ending = [item.task for item in self._adopted]
                if self._own_task is not None:
                    ending.append(self._own_task)
                for task in ending:
                    task.cancel()
                if ending:
                    await asyncio.wait(ending)
                for adopted in self._adopted:
                    await adopted.queue.close()

    async def _tell_look_ended(self) -> None:
        async with self._look_ended:
            self._ended_looks = self._begun_looks
            self._look_ended.notify_all()

    async def _look_after(self, tasks: asyncio.TaskGroup) -> bool:
        """Open our own if it was away, forget old stories, give back what is empty, adopt.

        Gives whether something was adopted.
        """
        has_adopted = False
        try:
            await self._start_own(tasks)
            await self._free_abandoned()
            now = self._clock.now()
            before = now - self._config.queue.keep_stories
            first_day = (now - self._config.tlsrpt.keep).date()
            for deliveries in self.all():
                await deliveries.store.forget_stories(before)
                await deliveries.store.forget_sessions(first_day)
            if self._config.queue.engine is QueueEngine.SQLITE:
                await self._give_back()
                has_adopted = await self._adopt(tasks)
            self._fault = None
        except StoreUnavailable as error:
            self._note_fault(error)
        return has_adopted

    async def _start_own(self, tasks: asyncio.TaskGroup) -> None:
        if self._own_task is not None:
            return
        if self._own is None:
            self._own = await self._open_own()
            self._log.write(Service.QUEUE, "the queue is open, mail is taken again")
        self._own_task = tasks.create_task(self._own.run())

    async def _free_abandoned(self) -> None:
        if self._own is not None and (freed := await self._own.store.free_abandoned()):
            text = f"{freed} claims of processes that are gone are free again"
            self._log.write(Service.QUEUE, text)
            self._own.wake()

    def _note_fault(self, fault: StoreUnavailable) -> None:
        if self._fault is None or str(fault) != str(self._fault):
            self._log.write(Service.QUEUE, f"warning: {_describe(fault)}")
        self._fault = fault

    def _require_own(self) -> Deliveries:
        if self._own is not None:
            return self._own
        if self._fault is None:
            raise StoreUnavailable("the store is not open")
        raise StoreUnavailable(str(self._fault), is_full=self._fault.is_full)

    async def _adopt(self, tasks: asyncio.TaskGroup) -> bool:
        ours = {self._own_path, *(item.path for item in self._adopted)}
        found = await self._shards.adopt(lambda path: path in ours)
        if found is None:
            return False
        path, queue = found
        deliveries = Deliveries(queue, self._parts)
        task = tasks.create_task(deliveries.run())
        self._adopted.append(_Adopted(path, queue, deliveries, task))
        self._log.write(Service.QUEUE, f"adopted {path.name}, which its worker left with mail")
        return True

    async def _give_back(self) -> None:
        for adopted in tuple(self._adopted):
            if adopted.deliveries.is_idle and await is_empty(adopted.queue):
                adopted.task.cancel()
                await asyncio.wait([adopted.task])
                self._adopted.remove(adopted)
                await self._shards.give_back(adopted.path, adopted.queue)

    async def _open_own(self) -> Deliveries:
        store: QueueStore
        if self._config.queue.engine is QueueEngine.SQLITE:
            self._own_path, store = await self._shards.take_free()
        else:
            store = await self._open_postgres()
        return Deliveries(store, self._parts)

    async def _open_postgres(self) -> QueueStore:
        # asyncpg is an extra: only loaded where it is used.
        from letterlock.storage.postgres.configured import make_postgres_queue  # noqa: PLC0415 - asyncpg is an extra

        name = name_process(self._config, self._number)
        store = make_postgres_queue(self._config.queue, name, self._clock)
        await store.open()
        return store


def _describe(fault: StoreUnavailable) -> str:
    return f"the queue cannot be used now: {fault}"
