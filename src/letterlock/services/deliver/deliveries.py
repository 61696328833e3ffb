"""The queue's motor: claims what is due, has it delivered, settles what came of it.

One runs for each store (a worker has its own shard, and adopts those of workers that are gone).
It sleeps until something is due or was stored. Whatever breaks in one delivery leaves the message
queued (`docs/guide`): the loop goes on.
"""

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Protocol

from msgspec.structs import replace

from letterlock.base.clock import Clock
from letterlock.base.log import Log, Service
from letterlock.base.waiting import wait_for_event
from letterlock.services.deliver.destinations import Destinations
from letterlock.services.deliver.unreachable_hosts import UnreachableHosts
from letterlock.services.queue.outcomes import Delivery, Result, is_out_of_reach, same_for_all
from letterlock.storage.queue import BodyGone, Claim, QueueStore, StoreUnavailable

STORE_RETRY_SECONDS = 5.0
MAX_SLEEP_SECONDS = 60.0
DRAIN_SECONDS = 60.0


_Key = tuple[str, str, str]
"""Of a claim in hands: all claims made at once have one lease."""


class Deliverer(Protocol):
    """Works on one claim."""

    async def deliver(self, claim: Claim, store: QueueStore) -> Delivery: ...


class Settler(Protocol):
    """Decides what follows from a delivery, and saves it."""

    async def settle(self, claim: Claim, delivery: Delivery, store: QueueStore) -> None: ...


@dataclass(frozen=True, slots=True)
class DeliveryLimits:
    """How many claims are worked on at once, and for how long they are ours."""

    at_once: int = 100
    lease: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class DeliveryParts:
    """What all the loops of a worker share."""

    deliverer: Deliverer
    settler: Settler
    destinations: Destinations
    limits: DeliveryLimits
    clock: Clock
    log: Log
    unreachable: UnreachableHosts | None = None
    running: list["Deliveries"] = field(default_factory=list)
    """The loops themselves: a place at a destination may be wanted by any of them."""


class Deliveries:
    """Delivers from one store until cancelled."""

    def __init__(self, store: QueueStore, parts: DeliveryParts) -> None:
        self.store = store
        self._deliverer = parts.deliverer
        self._settler = parts.settler
        self._destinations = parts.destinations
        self._limits = parts.limits
        self._clock = parts.clock
        self._log = parts.log
        self._unreachable = parts.unreachable
        self._running = parts.running
        self._wake = asyncio.Event()
        self._in_hands: dict[_Key, Claim] = {}
        self._at_work = 0
        """Of those in hands; the others wait until their destination has room for them."""
        self._is_over = False
        self._idle = asyncio.Event()
        self._idle.set()

    def wake(self) -> None:
        """Look again now: something was stored, released or told to be tried."""
        self._wake.set()

    def wake_for(self, destinations: Collection[str]) -> None:
        """Look again if mail that was stored for these may begin: else an end will wake us."""
        if self._has_room() and self._destinations.has_free(destinations, self._clock.monotonic()):
            self._wake.set()

    def forget_unreachable(self) -> None:
        """Let hosts be tried that could not be reached just now: the operator knows better."""
        if self._unreachable is not None:
            self._unreachable.forget()

    @property
    def is_idle(self) -> bool:
        """No claim is being worked on."""
        return not self._in_hands

    async def run(self) -> None:
        """Deliver until cancelled; then finish what is in hands, for a while."""
        async with asyncio.TaskGroup() as tasks:
            keeper = tasks.create_task(self._keep_leases())
            self._running.append(self)
            try:
                while True:
                    self._wake.clear()
                    if not await self._start_claims(tasks):
                        await self._sleep()
            finally:
                self._running.remove(self)
                await wait_for_event(self._idle, DRAIN_SECONDS)
                self._is_over = True
                keeper.cancel()

    async def _start_claims(self, tasks: asyncio.TaskGroup) -> bool:
        """Claim what there is room for; False when there was less."""
        if not self._has_room():
            return False
        # The store does not count per destination: a batch may be all for one.
        room = self._destinations.room(self._clock.monotonic())
        room = min(room, self._limits.at_once - self._at_work)
        try:
            await self._renew_ended()
            claims = await self.store.claim(
                self._clock.now(),
                limit=room,
                lease=self._limits.lease,
                saturated=self._destinations.saturated(self._clock.monotonic()),
            )
        except StoreUnavailable as error:
            self._log.write(Service.QUEUE, f"warning: the queue cannot be read: {error}")
            await asyncio.sleep(STORE_RETRY_SECONDS)
            return False
        for claim in claims:
            self._in_hands[_key(claim)] = claim
            self._idle.clear()
            start = partial(self._start, tasks, claim)
            self._destinations.begin(claim.destination, start, self._clock.monotonic())
        return len(claims) == room

    def _has_room(self) -> bool:
        return self._at_work < self._limits.at_once

    def _start(self, tasks: asyncio.TaskGroup, claim: Claim) -> None:
        if self._is_over:
            # What waits is claimed by the next process: its lease is all that was done about it.
            self._in_hands.pop(_key(claim), None)
            self._destinations.end(claim.destination)
            return
        self._at_work += 1
        tasks.create_task(self._work(claim))

    async def _work(self, claim: Claim) -> None:
        try:
            delivery = await self._deliver(claim)
            if delivery is not None:
                # With its lease as it is now.
                await self._settler.settle(self._in_hands[_key(claim)], delivery, self.store)
        except asyncio.CancelledError:
            self._log.write(
                Service.QUEUE,
                "warning: we ended before its delivery did: it will be tried again, and may be "
                "delivered twice",
                queue_id=claim.queue_id,
            )
            raise
        except StoreUnavailable as error:
            # Not settled: the lease ends, and the claim is made again. A message that the peer
            # took in between is sent twice: at least once is what we promise.
            self._log.write(
                Service.QUEUE,
                f"warning: not settled, will be tried again: {error}",
                queue_id=claim.queue_id,
            )
        except Exception as error:  # noqa: BLE001 - the loop outlives what breaks in one delivery
            self._log.write(
                Service.QUEUE,
                f"error: delivery broke, will be tried again: {error!r}",
                queue_id=claim.queue_id,
            )
        finally:
            self._end(claim)

    def _end(self, claim: Claim) -> None:
        self._in_hands.pop(_key(claim), None)
        had_room = self._has_room()
        self._at_work -= 1
        if not self._in_hands:
            self._idle.set()
        if had_room:
            self.wake_for((claim.destination,))
        else:
            self.wake()

    def _leave(self, claim: Claim) -> None:
        """Make room at a destination: the connection is another's while the outcome is saved."""
        was_full = not self._destinations.has_free((claim.destination,), self._clock.monotonic())
        self._destinations.end(claim.destination)
        if was_full:
            for each in self._running:
                each.wake_for((claim.destination,))

    async def _deliver(self, claim: Claim) -> Delivery | None:
        """Deliver; None when there is nothing to settle."""
        try:
            delivery = await self._attempt(claim)
            if delivery is not None:
                is_reached = not all(map(is_out_of_reach, delivery.outcomes))
                self._destinations.note_reached(claim.destination, is_reached=is_reached)
            return delivery
        finally:
            self._leave(claim)

    async def _attempt(self, claim: Claim) -> Delivery | None:
        try:
            return await self._deliverer.deliver(claim, self.store)
        except StoreUnavailable:
            raise
        except BodyGone:
            self._log.write(
                Service.QUEUE, "deleted while it was being delivered", queue_id=claim.queue_id
            )
            return None
        except Exception as error:  # noqa: BLE001 - a fault of ours must defer, not spin
            self._log.write(
                Service.SMTP, f"error: delivery broke: {error!r}", queue_id=claim.queue_id
            )
            numbers = [item.number for item in claim.recipients]
            return Delivery(
                same_for_all(numbers, Result.DEFERRED, "4.3.0", f"local error: {error!r}")
            )

    async def _sleep(self) -> None:
        """Wait until something is due, was stored, or came to its end."""
        if self._wake.is_set():
            return
        seconds = MAX_SLEEP_SECONDS
        with contextlib.suppress(StoreUnavailable):
            saturated = self._destinations.saturated(self._clock.monotonic())
            due = await self.store.next_due(saturated=saturated)
            if due is not None:
                seconds = min(seconds, (due - self._clock.now()).total_seconds())
        if (free := self._destinations.next_free(self._clock.monotonic())) is not None:
            seconds = min(seconds, free)
        if not self._has_room():
            # There is no room: an end wakes us.
            seconds = MAX_SLEEP_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.05, seconds)):
                await self._wake.wait()

    async def _keep_leases(self) -> None:
        """Make the leases of long deliveries longer in time."""
        while True:
            await asyncio.sleep(self._limits.lease.total_seconds() / 3)
            with contextlib.suppress(StoreUnavailable):
                await self._extend(tuple(self._in_hands.values()))

    async def _renew_ended(self) -> None:
        """Keep what is in our hands though the clock says that its time is over.

        It was set forward, or the machine slept: we would claim the same mail a second time.
        """
        now = self._clock.now()
        await self._extend([each for each in self._in_hands.values() if each.lease_until <= now])

    async def _extend(self, claims: Sequence[Claim]) -> None:
        until = self._clock.now() + self._limits.lease
        for claim in claims:
            if await self.store.extend(claim, until) and _key(claim) in self._in_hands:
                self._in_hands[_key(claim)] = replace(claim, lease_until=until)


def _key(claim: Claim) -> _Key:
    return claim.lease, claim.queue_id, claim.destination
