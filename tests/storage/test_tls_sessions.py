"""Counts of TLS sessions, in both engines: each once, by day, domain and result."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import apsw
import pytest

from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.report import FailureDetails
from letterlock.protocols.tlsrpt.sessions import AppliedPolicy, Outcome, Session
from letterlock.storage.postgres import tls_sessions as postgres
from letterlock.storage.postgres.queue import PostgresQueue
from letterlock.storage.queue import RecipientResult, RecipientState, Settlement, StoreUnavailable
from letterlock.storage.sqlite import tls_sessions as sqlite
from letterlock.storage.sqlite.queue import SqliteQueue
from letterlock.storage.tls_sessions import CountedSession, restore_session
from tests.fakes import FakeClock
from tests.storage.conftest import ENGINES, emptied
from tests.storage.messages import Mail

DAY = date(2026, 3, 1)
NEXT_DAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
POLICY = AppliedPolicy(
    PolicyType.STS, "a.example", ("version: STSv1", "x: é \0"), ("mx.a.example",)
)
EXPIRED = FailureDetails("certificate-expired")
GOOD = Session("a.example", "", (Outcome(POLICY, is_failed=False),))
BAD = Session("a.example", "", (Outcome(POLICY, is_failed=True, failures=(EXPIRED,)),))
OTHER = Session("b.example", "", GOOD.outcomes)


@dataclass
class Counting:
    """A queue, and its counts as they are read beside it."""

    mail: Mail
    place: Path | str

    async def settle(self, moment: datetime, *sessions: Session) -> bool:
        """Save a message, claim it, and settle it with sessions."""
        await self.mail.save()
        claim = await self.mail.claim_one()
        done = tuple(
            RecipientResult(item.number, RecipientState.DELIVERED, "2.0.0", "250 fine")
            for item in claim.recipients
        )
        settlement = Settlement(claim, done, settled=moment, sessions=sessions)
        is_ours = await self.mail.store.settle(settlement)
        # What is no longer ours counts nothing.
        assert not await self.mail.store.settle(settlement)
        return is_ours

    async def list_days(self) -> list[date]:
        if isinstance(self.place, Path):
            return await sqlite.load_session_days(self.place)
        return await postgres.load_session_days(self.place)

    async def read(self, day: date) -> dict[Session, int]:
        read = sqlite.load_day if isinstance(self.place, Path) else postgres.load_day
        found = await read(self.place, day)  # type: ignore[arg-type]  # as above
        assert len({each.session for each in found}) == len(found)
        return {each.session: each.count for each in found}


@pytest.fixture(params=ENGINES)
async def counting(
    request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path
) -> AsyncIterator[Counting]:
    place: Path | str
    if request.param == "sqlite":
        place = tmp_path / "queue" / "0.sqlite"
        store: SqliteQueue | PostgresQueue = SqliteQueue(place, clock)
    else:
        place = await emptied(request.getfixturevalue("schema"))
        store = PostgresQueue(place, "node1", clock)
    await store.open()
    yield Counting(Mail(store, clock), place)
    await store.close()


async def test_what_came_to_the_same_is_one_row(counting: Counting) -> None:
    """Rule 200."""
    assert await counting.settle(NOON, GOOD, GOOD, BAD)
    assert await counting.settle(NOON, GOOD, OTHER)
    assert await counting.read(DAY) == {GOOD: 3, BAD: 1, OTHER: 1}


async def test_a_day_is_one_of_utc(counting: Counting) -> None:
    """RFC 8460 §4.1."""
    await counting.settle(NOON, GOOD)
    await counting.settle(MIDNIGHT, GOOD, GOOD)
    assert await counting.list_days() == [DAY, NEXT_DAY]
    assert await counting.read(DAY) == {GOOD: 1}
    assert await counting.read(NEXT_DAY) == {GOOD: 2}


async def test_days_are_forgotten(counting: Counting) -> None:
    await counting.settle(NOON, GOOD, BAD)
    await counting.settle(MIDNIGHT, GOOD)
    assert await counting.mail.store.forget_sessions(NEXT_DAY) == 2
    assert await counting.list_days() == [NEXT_DAY]
    assert await counting.mail.store.forget_sessions(NEXT_DAY) == 0


async def test_a_settlement_without_sessions_counts_nothing(counting: Counting) -> None:
    assert await counting.settle(NOON)
    assert await counting.list_days() == []


async def test_where_there_is_no_queue_nothing_is_counted(tmp_path: Path) -> None:
    assert await sqlite.load_session_days(tmp_path / "none.db") == []


def test_what_another_release_wrote_is_left_out() -> None:
    assert restore_session("a.example", '[{"odd": 1}]', 3) is None
    assert restore_session("a.example", "[]", 3) == CountedSession(Session("a.example", "", ()), 3)


async def test_a_shard_that_the_release_before_made_has_no_counts(tmp_path: Path) -> None:
    path = tmp_path / "shard-000.db"
    apsw.Connection(str(path)).execute("CREATE TABLE other (a)")
    assert await sqlite.load_session_days(path) == []


async def test_a_shard_that_is_damaged_says_so(tmp_path: Path) -> None:
    path = tmp_path / "shard-000.db"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(StoreUnavailable, match="shard-000"):
        await sqlite.load_session_days(path)


async def test_of_a_batch_only_what_is_ours_counts(counting: Counting) -> None:
    """The same claim settled twice at once: one commit for both."""
    mail = counting.mail
    await mail.save()
    claim = await mail.claim_one()
    done = RecipientResult(claim.recipients[0].number, RecipientState.DELIVERED, "2.0.0", "250")
    settlement = Settlement(claim, (done,), settled=NOON, sessions=(GOOD, BAD))
    settled = await asyncio.gather(*(mail.store.settle(settlement) for _ in range(3)))
    assert sorted(settled) == [False, False, True]
    assert await counting.read(DAY) == {GOOD: 1, BAD: 1}
