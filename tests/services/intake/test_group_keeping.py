"""Reports that wait together are committed together, and each is told when it is kept."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta

import pytest

from letterlock.base.errors import LocalError
from letterlock.services.intake import group_keeping
from letterlock.services.intake.group_keeping import GroupKeeper
from letterlock.services.intake.keeping import BATCH_REPORTS
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.received_reports import ReceivedReport, Standing, Way
from tests.fakes import START, FakeClock


class Store:
    """A store in memory, which commits when `gate` is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Event()
        self.batches: list[list[bytes]] = []
        self.fault: Exception | None = None
        self.calls: list[str] = []

    async def open(self) -> None:
        self.calls.append("open")
        if self.fault is not None:
            raise self.fault

    async def close(self) -> None:
        self.calls.append("close")

    async def keep(self, reports: Sequence[ReceivedReport]) -> list[bool]:
        self.begun.set()
        await self.gate.wait()
        if any(each.octets == b"broken" for each in reports):
            raise ValueError("broken")
        if self.fault is not None:
            raise self.fault
        self.batches.append([each.octets for each in reports])
        return [each.octets != b"old" for each in reports]

    async def forget(self, before: date, unproved_before: datetime) -> int:
        del unproved_before
        self.calls.append(f"forget {before}")
        raise StoreUnavailable("not now")


def make(octets: bytes) -> ReceivedReport:
    return ReceivedReport(START, Way.HTTPS, Standing.COUNTED, "x", None, octets)


@asynccontextmanager
async def keeping(store: Store, clock: FakeClock | None = None) -> AsyncIterator[GroupKeeper]:
    keeper = GroupKeeper(store, clock or FakeClock(), timedelta(days=30))  # type: ignore[arg-type]
    running = asyncio.ensure_future(keeper.run())
    try:
        yield keeper
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_who_waits_is_kept_in_one_commit() -> None:
    store = Store()
    store.gate.clear()
    async with keeping(store) as keeper:
        first = asyncio.ensure_future(keeper.keep([make(b"1")]))
        await store.begun.wait()
        others = [asyncio.ensure_future(keeper.keep([make(each)])) for each in (b"2", b"old")]
        both = asyncio.ensure_future(keeper.keep([make(b"3"), make(b"old")]))
        gone = asyncio.ensure_future(keeper.keep([make(b"4")]))
        await asyncio.sleep(0)
        gone.cancel()
        assert not first.done()
        store.gate.set()
        assert await first == [True]
        assert [await each for each in others] == [[True], [False]]
        assert await both == [True, False]
    assert store.batches == [[b"1"], [b"2", b"old", b"3", b"old", b"4"]]
    assert store.calls == ["open", "forget 2026-01-30", "close"]


async def test_a_commit_has_a_bound() -> None:
    store = Store()
    store.gate.clear()
    async with keeping(store) as keeper:
        waiting = [
            asyncio.ensure_future(keeper.keep([make(b"%d" % number)]))
            for number in range(BATCH_REPORTS + 1)
        ]
        await store.begun.wait()
        store.gate.set()
        await asyncio.gather(*waiting)
    assert [len(each) for each in store.batches] == [BATCH_REPORTS, 1]


async def test_a_store_that_is_away_is_tried_by_who_comes_next() -> None:
    store = Store()
    async with keeping(store) as keeper:
        store.fault = LocalError("no such folder")
        with pytest.raises(StoreUnavailable, match="no such folder"):
            await keeper.keep([make(b"1")])
        store.fault = None
        assert await keeper.keep([make(b"1")]) == [True]
        store.fault = StoreUnavailable("disk full")
        with pytest.raises(StoreUnavailable, match="disk full"):
            await keeper.keep([make(b"2")])
        store.fault = None
        assert await keeper.keep([make(b"2")]) == [True]
    assert store.calls.count("open") == 2


async def test_one_reports_fault_is_not_anothers() -> None:
    store = Store()
    store.gate.clear()
    async with keeping(store) as keeper:
        waiting = [asyncio.ensure_future(keeper.keep([make(b"0")]))]
        await store.begun.wait()
        waiting += [asyncio.ensure_future(keeper.keep([make(each)])) for each in (b"broken", b"1")]
        await asyncio.sleep(0)
        store.gate.set()
        done = await asyncio.gather(*waiting, return_exceptions=True)
    assert done[0] == done[2] == [True]
    assert isinstance(done[1], ValueError)


async def test_too_many_are_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_keeping, "MAX_WAITING", 2)
    monkeypatch.setattr(group_keeping, "MAX_WAITING_OCTETS", 10)
    store = Store()
    store.gate.clear()
    async with keeping(store) as keeper:
        # One alone may be larger.
        waiting = [asyncio.ensure_future(keeper.keep([make(b"x" * 11)]))]
        await store.begun.wait()
        with pytest.raises(StoreUnavailable, match="too many"):
            await keeper.keep([make(b"1")])
        waiting[0].cancel()
        await asyncio.wait(waiting)
        waiting += [asyncio.ensure_future(keeper.keep([make(b"1")])) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailable, match="too many"):
            await keeper.keep([make(b"1")])
        store.gate.set()
        assert await asyncio.gather(*waiting[1:]) == [[True], [True]]


async def test_what_is_old_is_forgotten_once_an_hour() -> None:
    store, clock = Store(), FakeClock()
    async with keeping(store, clock) as keeper:
        for hours in (0, 0, 1):
            clock.move(timedelta(hours=hours))
            await keeper.keep([make(b"1")])
    assert [each for each in store.calls if each.startswith("forget")] == ["forget 2026-01-30"] * 2
