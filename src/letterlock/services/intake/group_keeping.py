"""Reports that come one by one at the same time are kept together: one commit for all that wait."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from msgspec import Struct

from letterlock.base.clock import Clock
from letterlock.base.errors import LocalError
from letterlock.services.intake.keeping import BATCH_OCTETS, BATCH_REPORTS, KEEP_UNPROVED
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.received_reports import ReceivedReport, ReceivedStore

MAX_WAITING = 2000
"""Who comes while so many wait is sent away: the database does not keep up."""
MAX_WAITING_OCTETS = 64 * 1024 * 1024
FORGET_SECONDS = 3600.0
"""Between two times that what is old is removed."""


class _Waiting(Struct, frozen=True):
    reports: Sequence[ReceivedReport]
    octets: int
    are_new: asyncio.Future[list[bool]]


class GroupKeeper:
    """Keeps reports in a store that is its own; one that is away is tried by whoever comes next."""

    def __init__(self, store: ReceivedStore, clock: Clock, keep: timedelta) -> None:
        """Forget those on days before `keep`."""
        self._store = store
        self._clock = clock
        self._keep_for = keep
        self._is_open = False
        self._waiting: list[_Waiting] = []
        self._octets = 0
        self._arrived = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._forgotten = -FORGET_SECONDS

    async def keep(self, reports: Sequence[ReceivedReport]) -> list[bool]:
        """Give for each if it is new, once it is committed. Raises StoreUnavailable."""
        octets = sum([len(each.octets) for each in reports])
        is_much = self._octets > 0 and self._octets + octets > MAX_WAITING_OCTETS
        if is_much or len(self._waiting) >= MAX_WAITING:
            raise StoreUnavailable("too many reports wait to be kept")
        self._octets += octets
        if self._loop is None:
            # Asked for once: up to Python 3.11 each look costs a system call.
            self._loop = asyncio.get_running_loop()
        future: asyncio.Future[list[bool]] = self._loop.create_future()
        self._waiting.append(_Waiting(reports, octets, future))
        self._arrived.set()
        try:
            return await future
        finally:
            self._octets -= octets

    async def run(self) -> None:
        """Keep what comes, until cancelled."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while batch := self._take_batch():
                    await self._keep_batch(batch)
        finally:
            self._is_open, was_open = False, self._is_open
            if was_open:
                await self._store.close()

    def _take_batch(self) -> list[_Waiting]:
        """Take what waits, as much as one commit has."""
        count = reports = octets = 0
        for each in self._waiting:
            count += 1
            reports += len(each.reports)
            octets += each.octets
            if reports >= BATCH_REPORTS or octets >= BATCH_OCTETS:
                break
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    async def _keep_batch(self, batch: Sequence[_Waiting]) -> None:
        try:
            are_new = await self._keep([report for each in batch for report in each.reports])
        except Exception as error:  # noqa: BLE001 - who waits is told
            if len(batch) > 1 and not isinstance(error, StoreUnavailable):
                # One report's fault is not another's.
                for each in batch:
                    await self._keep_batch([each])
                return
            for each in batch:
                if not each.are_new.done():
                    each.are_new.set_exception(error)
            return
        at = 0
        for each in batch:
            if not each.are_new.done():  # else who posted it went away
                each.are_new.set_result(are_new[at : at + len(each.reports)])
            at += len(each.reports)

    async def _keep(self, reports: Sequence[ReceivedReport]) -> list[bool]:
        if not self._is_open:
            try:
                await self._store.open()
            except LocalError as error:
                raise StoreUnavailable(str(error)) from error
            self._is_open = True
        are_new = await self._store.keep(reports)
        moment = self._clock.monotonic()
        if moment >= self._forgotten + FORGET_SECONDS:
            self._forgotten = moment
            now = self._clock.now()
            # What was kept is kept, whatever comes of this.
            with suppress(StoreUnavailable):
                await self._store.forget((now - self._keep_for).date(), now - KEEP_UNPROVED)
        return are_new
