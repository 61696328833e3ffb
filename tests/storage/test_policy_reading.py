"""What a node keeps, read by a command that changes nothing; and a cache of the command's own."""

from pathlib import Path

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.mta_sts.cache import CachedPolicy, CacheEntry
from letterlock.protocols.mta_sts.policy import MtaStsPolicy, parse_policy
from letterlock.storage.postgres import policies as postgres_policies
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.node import MEMORY, NodeDatabase
from letterlock.storage.sqlite.policies import SqlitePolicies, read_policy
from tests.fakes import START, FakeClock
from tests.storage.postgres_server import PostgresServer
from tests.storage.test_policies import MINUTE, keep

NAME = Domain("example.org")
TEXT = "version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 604800\n"


def entry() -> CacheEntry:
    policy = parse_policy(TEXT.encode())
    assert isinstance(policy, MtaStsPolicy)
    return CacheEntry(CachedPolicy("1", policy, TEXT, START))


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_what_a_running_node_keeps_is_read_beside_it(
    tmp_path: Path, clock: FakeClock
) -> None:
    path = tmp_path / "node.sqlite"
    store = SqlitePolicies(NodeDatabase(path, clock))
    await store.open()
    await keep(store, entry(), NAME)
    stored = await read_policy(path, NAME)
    assert stored is not None
    assert (stored.domain, stored.entry) == (NAME, entry())
    assert await read_policy(path, Domain("other.example")) is None
    await store.close()
    assert (await read_policy(path, NAME)) == stored


async def test_where_no_node_ever_ran_nothing_is_made(tmp_path: Path) -> None:
    assert await read_policy(tmp_path / "node.sqlite", NAME) is None
    assert names_in(tmp_path) == []


async def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreUnavailable, match=r"node\.sqlite"):
        await read_policy(path, NAME)
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(StoreUnavailable, match="no such table"):
        await read_policy(tmp_path / "empty.sqlite", NAME)
    with pytest.raises(StoreUnavailable, match="Not a directory"):
        await read_policy(path / "node.sqlite", NAME)


async def test_a_cache_in_memory_leaves_no_file(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = SqlitePolicies(NodeDatabase(MEMORY, clock))
    await store.open()
    await keep(store, entry(), NAME)
    stored = await store.load(NAME)
    assert stored is not None
    assert stored.entry == entry()
    assert await store.claim_fetch(NAME, START, START + MINUTE) is not None
    await store.close()
    assert names_in(tmp_path) == []


@pytest.mark.peer("postgresql")
async def test_what_nodes_keep_in_postgresql_is_read_beside_them(
    clock: FakeClock, postgres: PostgresServer
) -> None:
    dsn = postgres.create_schema()
    assert await postgres_policies.read_policy(dsn, NAME) is None, "no node ever was"
    store = postgres_policies.PostgresPolicies(dsn, "node1", clock)
    await store.open()
    await keep(store, entry(), NAME)
    stored = await postgres_policies.read_policy(dsn, NAME)
    assert stored is not None
    assert (stored.domain, stored.entry) == (NAME, entry())
    assert await postgres_policies.read_policy(dsn, Domain("other.example")) is None
    await store.close()


async def test_a_postgresql_that_is_away_says_so() -> None:
    with pytest.raises(StoreUnavailable, match="PostgreSQL: "):
        await postgres_policies.read_policy("postgresql://nobody@127.0.0.1:1/none", NAME)
