"""What only the PostgreSQL engine has: nodes beside each other, and a server that goes away."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest
from msgspec.structs import replace

from letterlock.base.errors import LocalError
from letterlock.storage.postgres import connection as postgres_connection
from letterlock.storage.postgres import totals
from letterlock.storage.postgres.queue import PostgresQueue
from letterlock.storage.queue import SPILL_BYTES, RecipientState, StoreUnavailable
from tests.fakes import FakeClock
from tests.storage.messages import LEASE, Mail
from tests.storage.postgres_server import PostgresServer, postgres_server

pytestmark = pytest.mark.peer("postgresql")

BREAK_CONNECTIONS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name LIKE 'letterlock node%'
"""
LARGE = b"x" * (SPILL_BYTES + 1)


async def start(dsn: str, node: str, clock: FakeClock) -> Mail:
    mail = Mail(PostgresQueue(dsn, node, clock), clock)
    await mail.store.open()
    return mail


@pytest.fixture
async def nodes(dsn: str, clock: FakeClock) -> AsyncIterator[list[Mail]]:
    mails = [await start(dsn, f"node{number}", clock) for number in range(3)]
    yield mails
    for mail in mails:
        await mail.store.close()


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


async def fetch(dsn: str, sql: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


class TestNodes:
    async def test_none_gets_what_another_has(self, nodes: list[Mail]) -> None:
        await asyncio.gather(
            *(mail.save(f"d{number % 5}.example") for number in range(20) for mail in nodes)
        )
        taken = []

        async def work(mail: Mail) -> None:
            while await mail.store.next_due() == mail.now:
                for claim in await mail.claim(4):
                    taken.append((claim.queue_id, claim.destination))
                    assert await mail.deliver(claim)

        await asyncio.gather(*(work(mail) for mail in nodes for _ in range(2)))
        assert len(taken) == len(set(taken)) == 60
        assert set((await nodes[0].store.count()).values()) == {0}

    async def test_a_message_that_two_settle_at_once_is_finished(self, nodes: list[Mail]) -> None:
        first, second, _ = nodes
        for _ in range(10):
            queue_id = await first.save("a.example", "b.example")
            claims = await first.claim()
            assert await asyncio.gather(first.deliver(claims[0]), second.deliver(claims[1]))
            assert (await first.find(queue_id)).finished is not None

    async def test_saves_and_claims_of_one_destination_miss_nothing(
        self, nodes: list[Mail]
    ) -> None:
        """A message committed while a claim computes when the destination is due is not lost."""
        saved = 60
        settled = 0

        async def deliver(mail: Mail) -> None:
            nonlocal settled
            async with asyncio.timeout(60):
                while settled < saved:
                    for claim in await mail.claim(2):
                        assert await mail.deliver(claim)
                        settled += 1

        async def save(mail: Mail) -> None:
            for _ in range(saved // 3):
                await mail.save("hot.example")

        await asyncio.gather(*(work(mail) for mail in nodes for work in (save, deliver)))
        assert set((await nodes[0].store.count()).values()) == {0}

    async def test_the_leases_of_a_dead_node_are_free_when_it_is_back(
        self, nodes: list[Mail], dsn: str
    ) -> None:
        first, second, _ = nodes
        queue_id = await first.save("a.example")
        await first.claim_one()
        other = await second.save("b.example")
        await second.claim_one()
        await first.store.close()
        first.store = PostgresQueue(dsn, "node0", first.clock)
        await first.store.open()
        assert (await first.claim_one()).queue_id == queue_id
        assert (await first.find(other)).recipients[0].is_claimed

    async def test_the_leases_of_a_living_node_stay(self, nodes: list[Mail], dsn: str) -> None:
        await nodes[0].save()
        claim = await nodes[0].claim_one()
        same_name = await start(dsn, "node0", nodes[0].clock)
        assert await same_name.claim() == []
        await same_name.store.close()
        assert await nodes[0].deliver(claim)

    async def test_the_leases_of_a_node_that_is_gone_are_freed_by_others_in_a_while(
        self, nodes: list[Mail], clock: FakeClock
    ) -> None:
        first, second, third = nodes
        await first.save("a.example")
        await first.claim_one()
        await second.save("b.example")
        kept = await second.claim_one()
        assert await third.store.free_abandoned() == 0
        await first.store.close()
        for _ in range(6):
            assert await third.store.free_abandoned() == 0
            clock.move(timedelta(seconds=10))
        assert await third.store.free_abandoned() == 1
        assert (await third.claim_one()).destination == "a.example"
        assert await third.store.free_abandoned() == 0
        assert await second.deliver(kept)

    async def test_a_node_that_is_back_meanwhile_keeps_its_leases(
        self, nodes: list[Mail], dsn: str, clock: FakeClock
    ) -> None:
        first, _, third = nodes
        await first.save("a.example")
        await first.claim_one()
        await first.store.close()
        assert await third.store.free_abandoned() == 0
        clock.move(timedelta(seconds=59))
        first.store = PostgresQueue(dsn, "node0", clock)
        await first.store.open()
        claim = await first.claim_one()
        clock.move(timedelta(minutes=2))
        assert await third.store.free_abandoned() == 0
        assert await first.deliver(claim)

    async def test_a_name_lost_with_its_connection_is_taken_again(
        self, nodes: list[Mail], dsn: str, clock: FakeClock
    ) -> None:
        """Else a node that lives would seem dead to the others."""
        first, _, third = nodes
        await first.save("a.example")
        claim = await first.claim_one()
        await fetch(dsn, BREAK_CONNECTIONS)
        for each in nodes:
            with contextlib.suppress(StoreUnavailable):
                await each.store.count()
        with contextlib.suppress(StoreUnavailable):
            await first.store.free_abandoned()
        assert await first.store.free_abandoned() == 0
        for _ in range(3):
            clock.move(timedelta(minutes=2))
            with contextlib.suppress(StoreUnavailable):
                assert await third.store.free_abandoned() == 0
        assert await first.deliver(claim)

    async def test_deadlocks_are_tried_again(
        self, nodes: list[Mail], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        left = [2]

        async def lose(_: postgres_connection.Connection) -> int:
            left[0] -= 1
            if left[0]:
                raise asyncpg.DeadlockDetectedError("deadlock detected")
            return 7

        store = nodes[0].store
        assert isinstance(store, PostgresQueue)
        assert await store._database.run(lose) == 7
        left[0] = 2
        monkeypatch.setattr(postgres_connection, "MAX_TRIES", 1)
        with pytest.raises(StoreUnavailable, match="deadlock"):
            await store._database.run(lose)


class TestLargeBodies:
    async def test_pieces_go_with_their_message(self, nodes: list[Mail], dsn: str) -> None:
        mail = nodes[0]
        queue_id = await mail.save(content=LARGE)
        assert await nodes[1].read(queue_id) == LARGE
        assert await fetch(dsn, "SELECT count(*) FROM body_pieces") == 2
        await mail.deliver(await mail.claim_one())
        assert await fetch(dsn, "SELECT count(*) FROM body_pieces") == 0

    async def test_a_discarded_body_is_removed_and_a_saved_one_not(
        self, nodes: list[Mail], dsn: str
    ) -> None:
        mail = nodes[0]
        writers = [mail.store.write_body() for _ in range(2)]
        bodies = []
        for writer in writers:
            wait = writer.write(LARGE)
            assert wait is not None
            await wait
            bodies.append(await writer.finish())
        message = await mail.message()
        await mail.store.save(replace(message, body=bodies[0]))
        for writer in writers:
            writer.discard()
        await mail.store.close()
        assert await fetch(dsn, "SELECT count(*) FROM large_bodies") == 1
        late = replace(await nodes[1].message(), body=bodies[1])
        with pytest.raises(ValueError, match="discarded"):
            await nodes[1].store.save(late)

    async def test_orphans_of_a_node_are_swept_when_it_is_back(
        self, nodes: list[Mail], dsn: str
    ) -> None:
        for mail in nodes[:2]:
            await mail.body(LARGE)
        await nodes[0].save(content=LARGE)
        await nodes[0].store.close()
        nodes[0].store = PostgresQueue(dsn, "node0", nodes[0].clock)
        await nodes[0].store.open()
        assert await fetch(dsn, "SELECT count(*) FROM large_bodies") == 2


class TestServer:
    async def test_one_that_may_lose_what_it_committed_is_refused(
        self, own_server: PostgresServer, clock: FakeClock
    ) -> None:
        dsn = own_server.create_schema()
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            own_server.stop()
            own_server.start(f"{setting}=off")
            with pytest.raises(LocalError, match=f"{setting} = off"):
                await PostgresQueue(dsn, "node", clock).open()

    async def test_one_that_comes_back_and_may_lose_what_it_committed_is_refused(
        self, own_server: PostgresServer, clock: FakeClock
    ) -> None:
        mail = await start(own_server.create_schema(), "node", clock)
        own_server.stop()
        own_server.start("fsync=off")
        with contextlib.suppress(StoreUnavailable):
            await mail.store.free_abandoned()
        with pytest.raises(LocalError, match="fsync = off"):
            await mail.store.free_abandoned()
        await mail.store.close()

    async def test_one_that_goes_away_is_unavailable_and_comes_back(
        self, own_server: PostgresServer, clock: FakeClock
    ) -> None:
        mail = await start(own_server.create_schema(), "node", clock)
        saved = [await mail.save(), await mail.save(content=LARGE)]
        for number in (signal.SIGINT, signal.SIGQUIT):
            messages = [await mail.message() for _ in range(5)]
            own_server.stop(number)
            async with asyncio.timeout(60):
                ended = await asyncio.gather(
                    *(mail.store.save(message) for message in messages), return_exceptions=True
                )
            assert {type(each) for each in ended} == {StoreUnavailable}
            with pytest.raises(StoreUnavailable):
                await mail.claim()
            with pytest.raises(StoreUnavailable):
                await mail.body(LARGE)
            own_server.start()
            saved.append(await mail.save())
        listed = [message.queue_id for message in await mail.store.list_messages()]
        assert listed == saved
        assert await mail.read(saved[1]) == LARGE
        clock.move(LEASE + timedelta(seconds=1))
        for claim in await mail.claim():
            assert await mail.deliver(claim)
        assert await mail.states(saved[0]) == [RecipientState.DELIVERED]
        await mail.store.close()

    async def test_none_at_all_is_unavailable(self, clock: FakeClock) -> None:
        store = PostgresQueue("postgresql://x@/y?host=/nonexistent", "node", clock)
        with pytest.raises(StoreUnavailable):
            await store.open()
        with pytest.raises(StoreUnavailable):
            await store.count()
        await store.close()


async def test_without_asyncpg_it_says_what_to_install(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_connection, "asyncpg", None)
    with pytest.raises(LocalError, match=r"letterlock\[cluster\]"):
        await PostgresQueue("postgresql://x@/y", "node", clock).open()


class TestTotals:
    async def test_they_are_added_up_and_stay_right(
        self, dsn: str, nodes: list[Mail], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By several nodes at once too."""
        monkeypatch.setattr(totals, "MANY_ROWS", 5)
        mail = nodes[0]
        for _ in range(6):
            await mail.save("a.example", "b.example")
        assert await fetch(dsn, "SELECT count(*) >= 6 FROM totals")
        expected = await mail.store.count()
        assert (expected["messages"], expected["queued"]) == (6, 12)
        await asyncio.gather(*(node.store.forget_stories(mail.now) for node in nodes))
        assert await fetch(dsn, "SELECT count(*) FROM totals") == 1
        assert await mail.store.count() == expected
        await mail.store.forget_stories(mail.now)
        assert await mail.store.count() == expected
