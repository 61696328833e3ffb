"""The authority's tables in PostgreSQL: connections that break off, a server that comes back."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest

from letterlock.protocols.acme.server.nonces import GoodNonce
from letterlock.storage.ca.changes import AddCertificate, AddSerial
from letterlock.storage.ca.kept import WorkKind
from letterlock.storage.postgres.ca import database
from letterlock.storage.postgres.ca.store import PostgresAuthority
from letterlock.storage.postgres.connection import Connection
from letterlock.storage.queue import StoreUnavailable
from tests.fakes import START, FakeClock
from tests.storage.authorities import DAY, emptied_authority, logged, make_issued, reserve
from tests.storage.sqlite.test_ca_crashes import CHANGES, ENTRIES, STATEMENTS, is_changed

pytestmark = pytest.mark.peer("postgresql")


@pytest.fixture
async def store(node_schema: str, clock: FakeClock) -> PostgresAuthority:
    return PostgresAuthority(await emptied_authority(node_schema), "node1", clock)


class CutConnection:
    """Breaks off before its n-th statement."""

    def __init__(self, connection: Any, left: int) -> None:
        self._connection = connection
        self._left = left

    def transaction(self) -> AbstractAsyncContextManager[None]:
        found: AbstractAsyncContextManager[None] = self._connection.transaction()
        return found

    async def execute(self, *arguments: object) -> Any:
        self._count()
        return await self._connection.execute(*arguments)

    async def fetch(self, *arguments: object) -> Any:
        self._count()
        return await self._connection.fetch(*arguments)

    def _count(self) -> None:
        if self._left == 0:
            self._connection.terminate()
        self._left -= 1


async def test_a_connection_lost_before_any_statement_leaves_all_or_nothing(
    store: PostgresAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow_all = database._follow_all
    cuts = 0

    async def cut(makes: Any, first: Any, connection: Connection) -> Any:
        return await follow_all(makes, first, CutConnection(connection, cuts))  # type: ignore[arg-type]

    monkeypatch.setattr(database, "_follow_all", cut)
    await store.open()
    while True:
        try:
            assert await store.commit(CHANGES, ENTRIES)
        except StoreUnavailable:
            cuts += 1
        else:
            break
        assert not await is_changed(store)
    assert await is_changed(store)
    assert cuts >= STATEMENTS
    await store.close()


async def test_commits_that_wait_share_one_and_each_is_its_own(store: PostgresAuthority) -> None:
    """One that is refused, and one that is a mistake, take nobody with them."""
    await store.open()
    commits = [
        store.commit([AddSerial(reserve(number // 2))], [logged(str(number))])
        for number in range(60)
    ]
    wrong = replace(make_issued(99), chains=())
    mistake = store.commit([AddSerial(reserve(99)), AddCertificate(wrong)])
    *done, failed = await asyncio.gather(*commits, mistake, return_exceptions=True)
    assert (sum(each is True for each in done), sum(each is False for each in done)) == (30, 30)
    assert isinstance(failed, ValueError)
    assert (await store.load_head()).number == 30
    assert len(await store.list_unused_serials(START + DAY, 99)) == 30
    await store.close()


async def test_a_commit_that_nobody_waits_for_is_done_before_the_end(
    store: PostgresAuthority,
) -> None:
    await store.open()
    waiting = asyncio.ensure_future(store.commit([AddSerial(reserve(1))]))
    await asyncio.sleep(0)
    waiting.cancel()
    await store.close()
    await store.open()
    assert len(await store.list_unused_serials(START + DAY, 9)) == 1
    await store.close()


async def test_the_log_is_neither_changed_nor_shortened(
    store: PostgresAuthority, node_schema: str
) -> None:
    await store.open()
    assert await store.commit([], [logged("a")])
    connection = await asyncpg.connect(node_schema)
    for sql in ("DELETE FROM {}", "UPDATE {} SET kind = 'x'", "TRUNCATE {}"):
        with pytest.raises(asyncpg.RaiseError, match="the audit log is not changed"):
            await connection.execute(sql.format("letterlock_authority.audit"))
    await connection.close()
    await store.close()


async def test_tables_of_a_node_may_be_in_the_same_database(
    store: PostgresAuthority, node_schema: str
) -> None:
    """The authority's are in a schema of their own, whatever the DSN's way to others is."""
    await store.open()
    assert await store.keep_secret("nonces", b"first") == b"first"
    connection = await asyncpg.connect(node_schema)
    assert await connection.fetchval("SELECT to_regclass('secrets')") is None
    assert await connection.fetchval("SELECT count(*) FROM letterlock_authority.secrets") == 1
    await connection.close()
    await store.close()


async def test_a_store_that_is_not_open_says_so(store: PostgresAuthority) -> None:
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.commit([])
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.spend_nonce(GoodNonce(b"n", START), START)
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.find_next_due(WorkKind.ISSUANCE)
