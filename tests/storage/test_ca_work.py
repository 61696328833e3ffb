"""Work behind an authority's requests, and whose it is, on both engines."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from letterlock.storage.ca.changes import AddWork, EndWork, ProlongLease, PutOffWork
from letterlock.storage.ca.kept import Claimed, Lease, Work, WorkKind
from letterlock.storage.ca.store import AuthorityStore
from tests.fakes import START
from tests.storage.authorities import MINUTE, MakeStore

VALIDATION = WorkKind.VALIDATION
UNTIL = START + MINUTE
WORK = Work(VALIDATION, "authorization-1", START, b"http-01")
LEASE = Lease(VALIDATION, "authorization-1", "one", UNTIL)


async def claim(
    store: AuthorityStore, owner: str = "two", minutes: int = 1, limit: int = 9
) -> list[Claimed]:
    now = START + minutes * MINUTE
    return [*await store.claim_work(VALIDATION, owner, now, now + MINUTE, limit)]


async def test_work_is_its_makers_until_the_lease_runs_out(authority: AuthorityStore) -> None:
    assert await authority.commit([AddWork(WORK, LEASE)])
    assert await claim(authority, minutes=0) == []
    assert await authority.find_next_due(VALIDATION) == UNTIL
    lease = Lease(VALIDATION, WORK.subject, "two", START + 2 * MINUTE, 2)
    assert await claim(authority) == [Claimed(WORK, lease)]
    assert await claim(authority, "three") == []
    other = await authority.claim_work(WorkKind.ISSUANCE, "x", START + 9 * MINUTE, UNTIL, 9)
    assert other == ()


async def test_who_lost_the_lease_ends_nothing(authority: AuthorityStore) -> None:
    """The lease that ran out is still good, as long as nobody claimed the work."""
    assert await authority.commit([AddWork(WORK, LEASE)])
    (claimed,) = await claim(authority)
    for change in (EndWork(LEASE), PutOffWork(LEASE, START), ProlongLease(LEASE, UNTIL)):
        assert not await authority.commit([change])
    # One's own, claimed again, is another lease.
    (again,) = await claim(authority, minutes=3)
    assert not await authority.commit([EndWork(claimed.lease)])
    assert await authority.commit([EndWork(again.lease)])
    assert not await authority.commit([EndWork(again.lease)])
    assert await claim(authority, minutes=9) == []
    assert await authority.find_next_due(VALIDATION) is None


async def test_what_was_put_off_can_be_claimed_before_it_is_due(authority: AuthorityStore) -> None:
    """By one alone; what somebody works at, by nobody."""

    async def claim_early(owner: str) -> Claimed | None:
        return await authority.claim_put_off(VALIDATION, WORK.subject, owner, UNTIL)

    assert await claim_early("two") is None
    assert await authority.commit([AddWork(WORK, LEASE)])
    assert await claim_early("two") is None
    assert await authority.commit([PutOffWork(LEASE, START + 9 * MINUTE)])
    claimed = await claim_early("two")
    assert claimed == Claimed(WORK, Lease(VALIDATION, WORK.subject, "two", UNTIL, 2))
    assert await claim_early("three") is None
    assert await authority.claim_put_off(WorkKind.ISSUANCE, WORK.subject, "x", UNTIL) is None
    assert await authority.commit([EndWork(claimed.lease)])


async def test_there_is_one_work_of_a_kind_for_a_subject(authority: AuthorityStore) -> None:
    assert await authority.commit([AddWork(WORK, LEASE)])
    assert not await authority.commit([AddWork(WORK, replace(LEASE, owner="two"))])
    issuance = replace(WORK, kind=WorkKind.ISSUANCE)
    lease = replace(LEASE, kind=WorkKind.ISSUANCE)
    assert await authority.commit([AddWork(issuance, lease)])
    with pytest.raises(ValueError, match="not for this work"):
        await authority.commit([AddWork(WORK, replace(LEASE, subject="other"))])


async def test_work_that_is_put_off_is_anybodys_when_it_is_due(authority: AuthorityStore) -> None:
    assert await authority.commit([AddWork(WORK, LEASE)])
    due = START + 5 * MINUTE
    assert await authority.commit([PutOffWork(LEASE, due)])
    assert not await authority.commit([EndWork(LEASE)])
    assert await claim(authority, minutes=4) == []
    assert await authority.find_next_due(VALIDATION) == due
    (claimed,) = await claim(authority, minutes=5)
    assert claimed.lease.number == 2


async def test_a_lease_can_be_kept_for_longer(authority: AuthorityStore) -> None:
    assert await authority.commit([AddWork(WORK, LEASE)])
    later = START + 3 * MINUTE
    assert await authority.commit([ProlongLease(LEASE, later)])
    assert await claim(authority, minutes=2) == []
    assert await authority.commit([EndWork(replace(LEASE, until=later))])


async def test_a_clock_that_was_ahead_keeps_no_work_back(authority: AuthorityStore) -> None:
    ahead = replace(LEASE, until=START + timedelta(days=400))
    assert await authority.commit([AddWork(WORK, ahead)])
    (claimed,) = await claim(authority)
    assert claimed.lease.number == 2
    assert not await authority.commit([EndWork(ahead)])
    day = replace(WORK, subject="in time")
    lease = replace(LEASE, subject="in time", until=START + timedelta(days=1))
    assert await authority.commit([AddWork(day, lease)])
    assert await claim(authority, "three") == []


async def test_what_waits_longest_is_claimed_first(authority: AuthorityStore) -> None:
    subjects = ["c", "a", "b"]
    for number, subject in enumerate(subjects):
        work, lease = replace(WORK, subject=subject), replace(LEASE, subject=subject)
        due = replace(lease, until=UNTIL - number * MINUTE / 3)
        assert await authority.commit([AddWork(work, due)])
    first = await claim(authority, limit=2)
    assert {each.work.subject for each in first} == {"a", "b"}
    assert [each.work.subject for each in await claim(authority)] == ["c"]


async def test_two_that_claim_at_once_share_nothing(make_authority: MakeStore) -> None:
    stores = [make_authority(), make_authority()]
    for each in stores:
        await each.open()
    for number in range(40):
        subject = f"authorization-{number:02}"
        work, lease = replace(WORK, subject=subject), replace(LEASE, subject=subject)
        assert await stores[0].commit([AddWork(work, lease)])
    claims = [claim(stores[number % 2], f"owner {number}", limit=7) for number in range(8)]
    found = [each for claimed in await asyncio.gather(*claims) for each in claimed]
    assert sorted(each.work.subject for each in found) == sorted(
        {f"authorization-{number:02}" for number in range(40)}
    )
    for each in stores:
        await each.close()
