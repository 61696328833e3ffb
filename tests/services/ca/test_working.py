"""Work behind requests: begun at once, bounded, taken over, and nobody's defect is another's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from letterlock.services.ca.working import WorkBounds, WorkRunner
from letterlock.storage.ca.changes import AddWork, EndWork, PutOffWork
from letterlock.storage.ca.kept import Claimed, KeptAuthorization, Lease, Work, WorkKind
from tests.fakes import FakeClock, FakeLog
from tests.services.ca.work_store import WorkStore
from tests.storage.authorities import make_authorization

LEASE = timedelta(minutes=5)


@dataclass(slots=True)
class Worker:
    """One process: what it did, and what it is to do. `gate` holds it up."""

    store: WorkStore
    clock: FakeClock
    owner: str = "here"
    log: FakeLog = field(default_factory=FakeLog)
    at_once: int = 2
    seen: list[tuple[str, int]] = field(default_factory=list)
    kept: list[object] = field(default_factory=list)
    most: int = 0
    now: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Exception | None = None
    due: datetime | None = None
    runner: WorkRunner = field(init=False)

    def __post_init__(self) -> None:
        self.gate.set()
        bounds = WorkBounds(self.owner, LEASE, self.at_once)
        self.runner = WorkRunner(
            WorkKind.VALIDATION, self.store, self.do, bounds, self.clock, self.log
        )

    async def do(self, claimed: Claimed) -> datetime | None:
        self.seen.append((claimed.work.subject, claimed.lease.number))
        self.kept.append(claimed.kept)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.gate.wait()
            if self.failure is not None:
                raise self.failure
            if self.due is not None:
                due, self.due = self.due, None
                await self.store.commit([PutOffWork(claimed.lease, due)])
                return due
            await self.store.commit([EndWork(claimed.lease)])
            return None
        finally:
            self.now -= 1

    async def add(self, subject: str, owner: str | None = None) -> Claimed:
        until = self.clock.now() + LEASE
        lease = Lease(WorkKind.VALIDATION, subject, owner or self.owner, until)
        work = Work(WorkKind.VALIDATION, subject, self.clock.now(), b"dns-01")
        assert await self.store.commit([AddWork(work, lease)])
        return Claimed(work, lease)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.runner.run())
            yield
            task.cancel()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 - nothing tells of what a store has
            await asyncio.sleep(0.002)


async def test_what_was_stored_here_is_done_at_once_and_without_asking_the_store() -> None:
    worker = Worker(WorkStore(), FakeClock())
    async with worker.running():
        await worker.runner.begin(await worker.add("a"))
    assert worker.seen == [("a", 1)]
    assert worker.store.work == {}


async def test_what_begins_before_the_process_runs_is_done_when_it_does() -> None:
    worker = Worker(WorkStore(), FakeClock())
    done = worker.runner.begin(await worker.add("a"))
    assert worker.seen == []
    async with worker.running():
        await done
    assert worker.seen == [("a", 1)]


async def test_no_more_than_the_bound_is_done_at_a_time() -> None:
    worker = Worker(WorkStore(), FakeClock(), at_once=2)
    worker.gate.clear()
    async with worker.running():
        begun = [worker.runner.begin(await worker.add(name)) for name in "abcde"]
        await until(lambda: worker.now == 2)
        worker.gate.set()
        await asyncio.gather(*begun)
    assert worker.most == 2
    assert len(worker.seen) == 5


async def test_what_it_is_for_is_known_only_where_it_begins_at_once() -> None:
    """What waits for its turn may be another by then: the store is asked."""
    worker = Worker(WorkStore(), FakeClock(), at_once=1)
    known = KeptAuthorization(make_authorization("a"))
    early = worker.runner.begin(replace(await worker.add("early"), kept=known))
    worker.gate.clear()
    async with worker.running():
        await until(lambda: worker.now == 1)
        late = worker.runner.begin(replace(await worker.add("late"), kept=known))
        worker.gate.set()
        await asyncio.gather(early, late)
        await worker.runner.begin(replace(await worker.add("free"), kept=known))
    assert worker.kept == [None, None, known]


async def test_what_a_dead_process_left_is_taken_over_when_its_lease_has_run_out() -> None:
    clock = FakeClock()
    worker = Worker(WorkStore(), clock)
    await worker.add("left", owner="a process that died")
    async with worker.running():
        await until(lambda: worker.store.commits == 1)
        assert worker.seen == []
    clock.move(LEASE)
    async with worker.running():
        await until(lambda: worker.store.work == {})
    assert worker.seen == [("left", 2)]


async def test_what_waited_longer_than_its_lease_is_left_to_who_claims_it() -> None:
    """Two would do it otherwise."""
    clock = FakeClock()
    worker = Worker(WorkStore(), clock, at_once=1)
    worker.gate.clear()
    async with worker.running():
        first = worker.runner.begin(await worker.add("a"))
        second = worker.runner.begin(await worker.add("b"))
        await until(lambda: worker.now == 1)
        clock.move(LEASE)
        worker.gate.set()
        await asyncio.gather(first, second)
        assert worker.seen == [("a", 1)]


async def test_what_is_put_off_comes_back() -> None:
    clock = FakeClock()
    worker = Worker(WorkStore(), clock)
    worker.due = clock.now()
    async with worker.running():
        await worker.runner.begin(await worker.add("a"))
        await until(lambda: worker.store.work == {})
    assert worker.seen == [("a", 1), ("a", 2)]


async def test_a_defect_in_one_piece_ends_neither_the_others_nor_the_process() -> None:
    worker = Worker(WorkStore(), FakeClock())
    worker.failure = RuntimeError("no such thing")
    async with worker.running():
        await worker.runner.begin(await worker.add("a"))
        worker.failure = None
        await worker.runner.begin(await worker.add("b"))
    assert worker.seen == [("a", 1), ("b", 1)]
    (line,) = worker.log.texts
    assert line.startswith("error: validation of a: a defect of letterlock, RuntimeError: no such")
    assert "a" in worker.store.work


async def test_while_the_database_is_away_it_is_told_and_the_process_goes_on() -> None:
    worker = Worker(WorkStore(), FakeClock())
    begun = await worker.add("a")
    worker.store.is_away = True
    async with worker.running():
        await until(lambda: len(worker.log.texts) == 1)
        await worker.runner.begin(begun)
        worker.store.is_away = False
        await worker.runner.begin(await worker.add("b"))
    assert worker.log.texts == [
        "warning: no work can be claimed: the database is away",
        "error: validation of a: the database: the database is away; it is tried again",
    ]


async def test_who_drains_waits_for_what_is_under_way_and_claims_nothing() -> None:
    clock = FakeClock()
    worker = Worker(WorkStore(), clock)
    worker.gate.clear()
    async with worker.running():
        begun = worker.runner.begin(await worker.add("a"))
        await until(lambda: worker.now == 1)
        await worker.runner.drain(0.01)
        assert not begun.done()
        worker.gate.set()
        await worker.runner.drain(20)
        assert begun.done()
    await worker.add("left", owner="another")
    clock.move(LEASE)
    async with worker.running():
        await asyncio.sleep(0)
    assert worker.seen == [("a", 1)]
