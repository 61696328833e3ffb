"""The audit as work: done by one process at a time, and never at an end."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from letterlock.services.ca.auditing.work import LEASE, AuditWork
from letterlock.storage.ca.changes import AddWork
from letterlock.storage.ca.kept import Claimed, Lease, Work, WorkKind
from letterlock.storage.ca.store import AuthorityStore
from letterlock.storage.sqlite.ca.store import SqliteAuthority
from tests.fakes import FakeClock

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[AuthorityStore]:
    store = SqliteAuthority(tmp_path / "authority.db", FakeClock())
    await store.open()
    yield store
    await store.close()


async def claim(store: AuthorityStore, clock: FakeClock, owner: str = "us") -> tuple[Claimed, ...]:
    now = clock.now()
    return await store.claim_work(WorkKind.AUDIT, owner, now, now + LEASE, 9)


async def test_it_is_done_by_one_at_a_time_for_ever(store: AuthorityStore) -> None:
    clock = FakeClock()
    done: list[datetime] = []

    async def step() -> datetime:
        done.append(clock.now())
        return clock.now() + MINUTE

    work = AuditWork(store, {"log": step}, clock)
    await work.prepare("us")
    await work.prepare("them")
    (claimed,) = await claim(store, clock)
    assert await claim(store, clock, "them") == ()
    assert await work.do(claimed) == clock.now() + MINUTE
    assert await claim(store, clock, "them") == ()
    clock.move(MINUTE)
    (again,) = await claim(store, clock, "them")
    # Killed here, it is another's when the lease has run out.
    clock.move(LEASE)
    (taken,) = await claim(store, clock)
    assert await work.do(again) is None
    assert await work.do(taken) == clock.now() + MINUTE
    assert len(done) == 3


async def test_what_no_release_of_ours_does_is_ended(store: AuthorityStore) -> None:
    clock = FakeClock()
    now = clock.now()
    lease = Lease(WorkKind.AUDIT, "other", "", now)
    assert await store.commit([AddWork(Work(WorkKind.AUDIT, "other", now), lease)])
    (claimed,) = await claim(store, clock)
    assert await AuditWork(store, {}, clock).do(claimed) is None
    assert await store.find_next_due(WorkKind.AUDIT) is None
