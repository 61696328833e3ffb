"""The queue's motor: when it wakes, what it takes, what it survives."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from letterlock.services.deliver import deliveries as module
from letterlock.services.deliver.deliveries import Deliveries, DeliveryLimits, DeliveryParts
from letterlock.services.deliver.destinations import Destinations
from letterlock.services.queue.outcomes import Delivery, Result, same_for_all
from letterlock.storage.queue import BodyGone, Claim, QueueStore, StoreUnavailable
from tests.services.deliver.outbound import Outbound, sending

LONG = 60.0
"""Seconds after which a test that waits has failed."""


LIMITS = DeliveryLimits()


@dataclass
class Worker:
    """Delivers by doing what a test says; settles as the node does."""

    node: Outbound
    act: Callable[[Claim], Any] = lambda _claim: None
    save: Callable[[], Any] | None = None
    """Waited for before an outcome is saved."""
    begun: list[Claim] = field(default_factory=list)
    settled: list[Claim] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def deliver(self, claim: Claim, store: QueueStore) -> Delivery:
        del store
        self.begun.append(claim)
        self.changed.set()
        waited = self.act(claim)
        if waited is not None:
            await waited
        numbers = [item.number for item in claim.recipients]
        return Delivery(same_for_all(numbers, Result.DELIVERED, "2.0.0", "250 Ok"))

    async def settle(self, claim: Claim, delivery: Delivery, store: QueueStore) -> None:
        if self.save is not None:
            await self.save()
        await self.node.settlements.settle(claim, delivery, store)
        self.settled.append(claim)
        self.changed.set()

    async def wait_for(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(LONG):
            while not is_so():
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Motor:
    """Deliveries that run, and their worker."""

    node: Outbound
    worker: Worker
    deliveries: Deliveries
    task: asyncio.Task[None]
    parts: DeliveryParts


@asynccontextmanager
async def running(
    tmp_path: Path,
    before: Callable[[Outbound, Worker], Any] | None = None,
    *,
    limits: DeliveryLimits = LIMITS,
    destinations: tuple[int, int, int] = (10, 0, 0),
    store: Callable[[Outbound], Any] = lambda node: node.store,
) -> AsyncIterator[Motor]:
    """Run the motor; `before` fills the queue, `destinations` are claims at once and rate."""
    async with sending(tmp_path) as node:
        worker = Worker(node)
        if before is not None:
            await before(node, worker)
        parts = DeliveryParts(
            worker,
            worker,
            Destinations(*destinations),
            limits,
            node.clock,
            node.log,
        )
        deliveries = Deliveries(store(node), parts)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(deliveries.run())
            try:
                yield Motor(node, worker, deliveries, task, parts)
            finally:
                task.cancel()


async def test_what_is_there_at_the_start_is_delivered(tmp_path: Path) -> None:
    async def save(node: Outbound, worker: Worker) -> None:
        del worker
        await node.save()

    async with running(tmp_path, save) as motor:
        await motor.worker.wait_for(lambda: len(motor.worker.settled) == 1)
        assert not await motor.node.store.list_messages()


async def test_it_wakes_for_what_was_saved(tmp_path: Path) -> None:
    async with running(tmp_path) as motor:
        await asyncio.sleep(0)
        await motor.node.save()
        motor.deliveries.wake()
        await motor.worker.wait_for(lambda: len(motor.worker.settled) == 1)


async def test_it_wakes_for_what_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    real = asyncio.timeout

    def timeout(seconds: float | None) -> asyncio.Timeout:
        """Let time pass for the sleeper alone."""
        if seconds is not None and seconds < LONG:
            slept.append(seconds)
            node.clock.move(timedelta(seconds=seconds))
            return real(0)
        return real(seconds)

    monkeypatch.setattr(asyncio, "timeout", timeout)
    async with sending(tmp_path) as node:
        node.schedule = type(node.schedule)(retry_min=timedelta(seconds=12))
        await node.save()
        claim = await node.claim()
        deferred = Delivery(same_for_all([0], Result.DEFERRED, "4.0.0", "later"))
        await node.settlements.settle(claim, deferred, node.store)
        worker = Worker(node)
        parts = DeliveryParts(
            worker, worker, Destinations(10), DeliveryLimits(), node.clock, node.log
        )
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(Deliveries(node.store, parts).run())
            await worker.changed.wait()
            task.cancel()
    assert slept[0] == 12.0


async def test_a_saturated_destination_keeps_back_its_own_mail_only(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def save(node: Outbound, worker: Worker) -> None:
        worker.act = lambda claim: gate.wait() if claim.destination == "slow.example" else None
        for number in range(3):
            await node.save(f"{number}@slow.example")
        await node.save("bob@quick.example")

    async with running(tmp_path, save, destinations=(1, 0, 0)) as motor:
        worker = motor.worker
        await worker.wait_for(lambda: [c.destination for c in worker.settled] == ["quick.example"])
        # Which of both destinations begins first is chance.
        await worker.wait_for(lambda: len(worker.begun) == 2)
        assert [c.destination for c in worker.begun].count("slow.example") == 1
        gate.set()
        await worker.wait_for(lambda: len(worker.settled) == 4)


async def test_while_an_outcome_is_saved_the_next_delivery_begins(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def save(node: Outbound, worker: Worker) -> None:
        worker.save = gate.wait
        for _ in range(2):
            await node.save()

    async with running(tmp_path, save, destinations=(1, 0, 0)) as motor:
        try:
            await motor.worker.wait_for(lambda: len(motor.worker.begun) == 2)
            assert not motor.worker.settled
        finally:
            gate.set()
        await motor.worker.wait_for(lambda: len(motor.worker.settled) == 2)


async def test_who_frees_a_place_lets_the_workers_other_queues_take_it(tmp_path: Path) -> None:
    """Of queues that a worker adopted, the others slept up to a minute, with mail for it."""
    gate, asleep = asyncio.Event(), asyncio.Event()

    class Telling:
        def __init__(self, store: QueueStore) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        async def next_due(self, **named: Any) -> Any:
            due = await self._store.next_due(**named)
            asyncio.get_running_loop().call_soon(asleep.set)
            return due

    for folder in (tmp_path / "own", tmp_path / "adopted"):
        folder.mkdir()
    async with (
        sending(tmp_path / "adopted") as other,
        running(tmp_path / "own", destinations=(1, 0, 0)) as motor,
        asyncio.TaskGroup() as tasks,
    ):
        motor.worker.act = lambda _claim: gate.wait()
        await motor.node.save("bob@a.example")
        motor.deliveries.wake()
        await motor.worker.wait_for(lambda: len(motor.worker.begun) == 1)
        await other.save("carol@a.example")
        adopted = tasks.create_task(Deliveries(Telling(other.store), motor.parts).run())
        try:
            async with asyncio.timeout(LONG):
                await asleep.wait()
            gate.set()
            await motor.worker.wait_for(lambda: len(motor.worker.settled) == 2)
        finally:
            gate.set()
            adopted.cancel()


async def test_mail_in_plenty_is_claimed_by_the_score_and_begins_in_turn(tmp_path: Path) -> None:
    gates = [asyncio.Event() for _ in range(4)]
    claimed: list[int] = []

    class Counting:
        def __init__(self, node: Outbound) -> None:
            self._store = node.store

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        async def claim(self, *arguments: Any, **named: Any) -> list[Claim]:
            claims = await self._store.claim(*arguments, **named)
            claimed.append(len(claims))
            return claims

    async def save(node: Outbound, worker: Worker) -> None:
        worker.act = lambda _claim: gates[len(worker.begun) - 1].wait()
        for _ in gates:
            await node.save("bob@a.example")

    async with running(tmp_path, save, destinations=(1, 0, 9), store=Counting) as motor:
        worker = motor.worker

        def has_begun(number: int) -> bool:
            return len(worker.begun) == number

        for number, gate in enumerate(gates, 1):
            await worker.wait_for(partial(has_begun, number))
            gate.set()
        await worker.wait_for(lambda: len(worker.settled) == 4)
    assert [count for count in claimed if count] == [4]


async def test_what_waits_for_its_turn_at_the_end_is_left_to_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DRAIN_SECONDS", 0.01)

    async def save(node: Outbound, worker: Worker) -> None:
        worker.act = lambda _claim: asyncio.Event().wait()
        for _ in range(3):
            await node.save("bob@a.example")

    async with running(tmp_path, save, destinations=(1, 0, 9)) as motor:
        await motor.worker.wait_for(lambda: len(motor.worker.begun) == 1)
        motor.task.cancel()
        await asyncio.wait([motor.task])
        assert len(motor.worker.begun) == 1
        assert motor.deliveries.is_idle
        assert len(await motor.node.store.list_messages()) == 3


async def test_no_more_is_claimed_than_is_worked_on_at_once(tmp_path: Path) -> None:
    """All claims made at once have one lease: each of them counts."""
    gate = asyncio.Event()

    async def save(node: Outbound, worker: Worker) -> None:
        worker.act = lambda _claim: gate.wait()
        for number in range(5):
            await node.save(f"bob@{number}.example")

    async with running(tmp_path, save, limits=DeliveryLimits(2)) as motor:
        worker = motor.worker
        await worker.wait_for(lambda: len(worker.begun) == 2)
        motor.deliveries.wake()
        await motor.node.store.count()
        await motor.node.store.count()
        assert len(worker.begun) == 2
        assert not motor.deliveries.is_idle
        gate.set()
        await worker.wait_for(lambda: len(worker.settled) == 5)


async def test_a_delivery_that_breaks_defers_its_message_and_no_other(tmp_path: Path) -> None:
    async def save(node: Outbound, worker: Worker) -> None:
        worker.act = lambda claim: 1 / 0 if claim.destination == "bad.example" else None
        await node.save("bob@bad.example")
        await node.save("bob@good.example")

    async with running(tmp_path, save) as motor:
        await motor.worker.wait_for(lambda: len(motor.worker.settled) == 2)
        (waiting,) = await motor.node.store.list_messages()
    assert waiting.recipients[0].last_status == "4.3.0"
    assert waiting.recipients[0].next_attempt is not None
    assert any("delivery broke: ZeroDivisionError" in text for text in motor.node.log.texts)


async def test_a_message_deleted_while_it_was_delivered_is_no_failure(tmp_path: Path) -> None:
    async def save(node: Outbound, worker: Worker) -> None:
        def act(claim: Claim) -> None:
            raise BodyGone(claim.queue_id)

        worker.act = act
        await node.save()

    async with running(tmp_path, save) as motor:
        await motor.worker.wait_for(lambda: len(motor.worker.begun) == 1)
        async with asyncio.timeout(LONG):
            while not motor.deliveries.is_idle:
                await motor.node.store.count()
    assert motor.node.log.texts == ["deleted while it was being delivered"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (StoreUnavailable("disk gone"), "not settled, will be tried again: disk gone"),
        (ValueError("odd"), "delivery broke, will be tried again: ValueError('odd')"),
    ],
)
async def test_what_cannot_be_settled_is_left_to_the_lease(
    fault: Exception, words: str, tmp_path: Path
) -> None:
    async def save(node: Outbound, worker: Worker) -> None:
        async def settle(*_arguments: object) -> None:
            raise fault

        worker.settle = settle  # type: ignore[method-assign,assignment] # the fault to survive
        await node.save()

    async with running(tmp_path, save) as motor:
        await motor.worker.wait_for(lambda: len(motor.worker.begun) == 1)
        async with asyncio.timeout(LONG):
            while not motor.deliveries.is_idle:
                await motor.node.store.count()
        assert len(await motor.node.store.list_messages()) == 1
    assert any(words in text for text in motor.node.log.texts)


async def test_a_store_that_fails_at_the_claim_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STORE_RETRY_SECONDS", 0.0)

    class Failing:
        def __init__(self, node: Outbound) -> None:
            self._store = node.store
            self.failures = 2

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        async def claim(self, *arguments: Any, **named: Any) -> list[Claim]:
            if self.failures:
                self.failures -= 1
                raise StoreUnavailable("disk gone")
            return await self._store.claim(*arguments, **named)

        async def next_due(self, *, saturated: Any) -> Any:
            del saturated
            raise StoreUnavailable("disk gone")

    async def save(node: Outbound, worker: Worker) -> None:
        del worker
        await node.save()

    async with running(tmp_path, save, store=Failing) as motor:
        async with asyncio.timeout(LONG):
            while not motor.worker.settled:
                motor.deliveries.wake()
                await motor.node.store.count()
    assert motor.node.log.texts.count("warning: the queue cannot be read: disk gone") == 2


async def test_an_end_lets_what_is_in_hands_finish(tmp_path: Path) -> None:
    """Both claims of one batch, and nothing new."""
    gate = asyncio.Event()

    async def save(node: Outbound, worker: Worker) -> None:
        worker.act = lambda _claim: gate.wait()
        await node.save("bob@a.example")
        await node.save("bob@b.example")

    async with running(tmp_path, save) as motor:
        worker = motor.worker
        await worker.wait_for(lambda: len(worker.begun) == 2)
        motor.task.cancel()
        await motor.node.save("bob@c.example")
        motor.deliveries.wake()
        gate.set()
        await worker.wait_for(lambda: len(worker.settled) == 2)
        await asyncio.wait([motor.task])
        assert len(worker.begun) == 2
        assert motor.deliveries.is_idle


async def test_an_end_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DRAIN_SECONDS", 0.01)

    async def save(node: Outbound, worker: Worker) -> None:
        worker.act = lambda _claim: asyncio.Event().wait()
        await node.save()

    async with running(tmp_path, save) as motor:
        await motor.worker.wait_for(lambda: len(motor.worker.begun) == 1)
        motor.task.cancel()
        await asyncio.wait([motor.task])
        assert not motor.worker.settled
        assert motor.task.cancelled()
    # A peer may have taken it just now.
    assert any("may be delivered twice" in text for text in motor.node.log.texts)


@pytest.mark.parametrize("step", [timedelta(hours=3), timedelta(hours=-3)])
async def test_what_is_in_hands_is_not_taken_again_when_the_clock_is_set(
    tmp_path: Path, step: timedelta
) -> None:
    """Set forward, or after a machine slept, leases seem to have ended."""
    gate = asyncio.Event()

    async def save(node: Outbound, worker: Worker) -> None:
        worker.act = lambda claim: gate.wait() if claim.destination == "slow.example" else None
        await node.save("bob@slow.example")

    async with running(tmp_path, save) as motor:
        worker, node = motor.worker, motor.node
        await worker.wait_for(lambda: len(worker.begun) == 1)
        node.clock.set_wall(node.clock.now() + step)
        await node.save("bob@quick.example")
        motor.deliveries.wake()
        await worker.wait_for(lambda: len(worker.settled) == 1)
        gate.set()
        await worker.wait_for(lambda: len(worker.settled) == 2)
        assert [claim.destination for claim in worker.begun] == ["slow.example", "quick.example"]
        assert not any("delivered twice" in text for text in node.log.texts)


LEASE = timedelta(seconds=0.03)


async def test_leases_of_long_deliveries_are_extended(tmp_path: Path) -> None:
    """All of a batch; and the settling knows how long the lease is now."""
    gate = asyncio.Event()

    async def save(node: Outbound, worker: Worker) -> None:
        worker.act = lambda _claim: gate.wait()
        await node.save("bob@a.example")
        await node.save("bob@b.example")

    async with running(tmp_path, save, limits=DeliveryLimits(lease=LEASE)) as motor:
        worker, node = motor.worker, motor.node
        await worker.wait_for(lambda: len(worker.begun) == 2)
        started = node.clock.now()
        node.clock.move(timedelta(seconds=0.02))
        async with asyncio.timeout(LONG):
            while (due := await node.store.next_due()) is None or due <= started + LEASE:
                await node.store.count()
        # Behind the extension: what that gave is told by then.
        await node.store.forget_stories(started - timedelta(days=1))
        gate.set()
        await worker.wait_for(lambda: len(worker.settled) == 2)
    assert {claim.lease_until - started for claim in worker.settled} == {timedelta(seconds=0.05)}


async def test_a_rate_is_waited_for(tmp_path: Path) -> None:
    async def save(node: Outbound, worker: Worker) -> None:
        del worker
        for _ in range(3):
            await node.save("bob@a.example")

    async with running(tmp_path, save, destinations=(10, 2, 0)) as motor:
        worker = motor.worker
        await worker.wait_for(lambda: len(worker.settled) == 2)
        motor.deliveries.wake()
        await motor.node.store.count()
        assert len(worker.begun) == 2
        motor.node.clock.move(timedelta(minutes=1))
        motor.deliveries.wake()
        await worker.wait_for(lambda: len(worker.settled) == 3)


async def test_of_a_destination_out_of_reach_no_more_is_begun_before_it_is_done(
    tmp_path: Path,
) -> None:
    gate = asyncio.Event()
    async with running(tmp_path) as motor:
        worker = motor.worker
        deliver = worker.deliver

        async def fail(claim: Claim, store: QueueStore) -> Delivery:
            await deliver(claim, store)
            if claim.destination != "dead.example":
                return Delivery(same_for_all([0], Result.DELIVERED, "2.0.0", "250 Ok"))
            return Delivery(same_for_all([0], Result.DEFERRED, "4.4.1", "timed out"))

        worker.deliver = fail  # type: ignore[method-assign] # one that reaches nobody
        await motor.node.save("a@dead.example")
        motor.deliveries.wake()
        await worker.wait_for(lambda: len(worker.settled) == 1)
        worker.act = lambda claim: gate.wait() if claim.destination == "dead.example" else None
        for number, address in enumerate(("b@dead.example", "c@dead.example"), start=2):
            await motor.node.save(address)
            await motor.node.save(f"{number}@quick.example")
            motor.deliveries.wake()
            await worker.wait_for(lambda count=number: len(worker.settled) == count)  # type: ignore[misc] # mypy can't type a default
        assert [claim.destination for claim in worker.begun].count("dead.example") == 2
        gate.set()
        await worker.wait_for(lambda: len(worker.settled) == 5)
