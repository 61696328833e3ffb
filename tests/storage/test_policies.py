"""The cache of MTA-STS policies: one suite on both engines."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest

from letterlock.base.domains import Domain
from letterlock.base.errors import LocalError
from letterlock.protocols.mta_sts.cache import CachedPolicy, CacheEntry, FetchFailure
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.storage.policies import EMPTY, FetchLease, PolicyStore
from letterlock.storage.postgres.policies import PostgresPolicies
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.policies import SqlitePolicies
from tests.fakes import START, FakeClock
from tests.storage.conftest import ENGINES
from tests.storage.postgres_server import PostgresServer

ROOT = Path(__file__).resolve().parents[2]
FILE_NAME = "node.sqlite"
NAME = Domain("example.org")
OTHER = Domain("xn--bcher-kva.example")
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
WEEK = timedelta(weeks=1)
TEXT = "version: STSv1\r\nmode: enforce\r\nmx: *.example.org\r\nmax_age: 604800\r\nx: \u00e9\r\n"
POLICY = MtaStsPolicy(MtaStsMode.ENFORCE, ("*.example.org",), WEEK)
CACHED = CachedPolicy("1", POLICY, TEXT, START)
FAILURE = FetchFailure("2", START + MINUTE, ResultType.STS_WEBPKI_INVALID, "it has expired")

Open = Callable[[], PolicyStore]


@pytest.fixture(scope="session")
def policy_schema(postgres: PostgresServer) -> str:
    return postgres.create_schema()


@pytest.fixture(params=ENGINES)
async def make_store(
    request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path
) -> Callable[[], PolicyStore]:
    """Give what makes further stores on one empty database, as other processes would."""
    if request.param == "sqlite":
        return lambda: SqlitePolicies(NodeDatabase(tmp_path / "data" / FILE_NAME, clock))
    dsn = request.getfixturevalue("policy_schema")
    connection = await asyncpg.connect(dsn)
    if await connection.fetchval("SELECT to_regclass('policies')") is not None:
        await connection.execute("DELETE FROM policies")
    await connection.close()
    return lambda: PostgresPolicies(dsn, "node1", clock)


@pytest.fixture
async def store(make_store: Open) -> AsyncIterator[PolicyStore]:
    store = make_store()
    await store.open()
    yield store
    await store.close()


async def claim(store: PolicyStore, domain: Domain = NAME) -> FetchLease:
    lease = await store.claim_fetch(domain, START, START + MINUTE)
    assert lease is not None
    return lease


async def keep(store: PolicyStore, entry: CacheEntry, domain: Domain = NAME) -> None:
    assert await store.settle_fetch(await claim(store, domain), entry)


async def test_nothing_is_kept_at_first(store: PolicyStore) -> None:
    assert await store.load(NAME) is None
    assert await store.list_policies() == []
    assert await store.list_due(START, START, limit=10) == []
    assert await store.forget(START, START) == 0


@pytest.mark.parametrize(
    "entry",
    [
        CacheEntry(CACHED),
        CacheEntry(CACHED, FAILURE),
        CacheEntry(None, FAILURE),
        CacheEntry(CACHED, FetchFailure(None, START, ResultType.STS_POLICY_INVALID, "")),
    ],
)
async def test_what_is_kept_is_given_again(store: PolicyStore, entry: CacheEntry) -> None:
    await keep(store, entry)
    stored = await store.load(NAME)
    assert stored is not None
    assert (stored.domain, stored.entry, stored.used) == (NAME, entry, START)
    assert await store.load(OTHER) is None


async def test_what_is_kept_outlives_the_process(make_store: Open) -> None:
    """RFC 8461 §3.3: a cache that a restart empties protects from nobody."""
    first, second = make_store(), make_store()
    await first.open()
    await keep(first, CacheEntry(CACHED))
    await first.close()
    await second.open()
    stored = await second.load(NAME)
    assert stored is not None
    assert stored.entry.cached == CACHED
    await second.close()


async def test_one_of_several_fetches(store: PolicyStore) -> None:
    leases = await asyncio.gather(
        *(store.claim_fetch(NAME, START, START + MINUTE) for _ in range(8))
    )
    assert len([lease for lease in leases if lease is not None]) == 1


async def test_one_of_several_processes_fetches(make_store: Open) -> None:
    stores = [make_store() for _ in range(3)]
    await asyncio.gather(*(store.open() for store in stores))
    for number in range(20):
        name = Domain(f"d{number}.example")
        claims = (store.claim_fetch(name, START, START + MINUTE) for store in stores)
        leases = await asyncio.gather(*claims)
        (taken,) = [lease for lease in leases if lease is not None]
        assert await stores[0].settle_fetch(taken, CacheEntry(CACHED))
        for store in stores:
            stored = await store.load(name)
            assert stored is not None
            assert stored.entry == CacheEntry(CACHED)
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_lease_is_free_again_when_it_was_settled(store: PolicyStore) -> None:
    lease = await claim(store)
    assert lease.entry == EMPTY
    assert await store.claim_fetch(NAME, START, START + MINUTE) is None
    assert await store.claim_fetch(OTHER, START, START + MINUTE) is not None
    assert await store.settle_fetch(lease, CacheEntry(CACHED))
    assert (await claim(store)).entry == CacheEntry(CACHED)


@pytest.mark.parametrize("late", [MINUTE, -3 * MINUTE], ids=["expired", "the clock was set back"])
async def test_a_lease_ends_by_itself(store: PolicyStore, late: timedelta) -> None:
    lost = await claim(store)
    lease = await store.claim_fetch(NAME, START + late, START + late + MINUTE)
    assert lease is not None
    assert not await store.settle_fetch(lost, CacheEntry(CACHED))
    stored = await store.load(NAME)
    assert stored is not None
    assert stored.entry == EMPTY
    assert await store.settle_fetch(lease, CacheEntry(None, FAILURE))


async def test_a_lease_is_settled_once(store: PolicyStore) -> None:
    lease = await claim(store)
    assert await store.settle_fetch(lease, CacheEntry(CACHED))
    assert not await store.settle_fetch(lease, EMPTY)
    assert await store.load(NAME) is not None


async def test_an_empty_entry_is_forgotten(store: PolicyStore) -> None:
    """RFC 8461 §8.3: nothing is left of a domain that gave MTA-STS up."""
    await keep(store, CacheEntry(CACHED))
    await keep(store, EMPTY)
    assert await store.load(NAME) is None


async def test_use_is_noted_and_never_goes_back(store: PolicyStore) -> None:
    await store.note_use(NAME, START)
    assert await store.load(NAME) is None
    await keep(store, CacheEntry(CACHED))
    await store.note_use(NAME, START + DAY)
    await store.note_use(NAME, START)
    stored = await store.load(NAME)
    assert stored is not None
    assert stored.used == START + DAY


async def test_what_is_due_is_listed_in_order(store: PolicyStore) -> None:
    later = CachedPolicy("1", POLICY, TEXT, START + MINUTE)
    await keep(store, CacheEntry(later), Domain("later.example"))
    await keep(store, CacheEntry(CACHED), Domain("first.example"))
    await keep(store, CacheEntry(None, FAILURE), Domain("failed.example"))
    now = START + DAY
    assert await store.list_due(now - SECOND, START, limit=10) == []
    assert await store.list_due(now, START, limit=10) == ["first.example"]
    assert await store.list_due(now + DAY, START, limit=10) == ["first.example", "later.example"]
    assert await store.list_due(now + DAY, START, limit=1) == ["first.example"]
    assert await store.list_due(now + DAY, START + SECOND, limit=10) == []
    assert await store.list_due(START + WEEK + SECOND, START, limit=10) == ["later.example"]


async def test_what_is_fetched_already_is_not_due(store: PolicyStore) -> None:
    await keep(store, CacheEntry(CACHED))
    assert await store.claim_fetch(NAME, START + DAY, START + DAY + MINUTE) is not None
    assert await store.list_due(START + DAY, START, limit=10) == []
    assert await store.list_due(START + DAY + MINUTE, START, limit=10) == [NAME]


async def test_policies_are_listed_page_by_page(store: PolicyStore) -> None:
    names = [Domain(f"{letter}.example") for letter in "dbac"]
    for name in names:
        await keep(store, CacheEntry(CACHED), name)
    listed = await store.list_policies(limit=3)
    assert [each.domain for each in listed] == ["a.example", "b.example", "c.example"]
    assert listed[0].entry == CacheEntry(CACHED)
    rest = await store.list_policies(limit=3, after=listed[-1].domain)
    assert [each.domain for each in rest] == ["d.example"]


async def test_only_what_neither_holds_nor_is_used_is_forgotten(store: PolicyStore) -> None:
    await keep(store, CacheEntry(CACHED), Domain("policy.example"))
    await keep(store, CacheEntry(None, FAILURE), Domain("failure.example"))
    await claim(store, Domain("lease.example"))
    assert await store.forget(START, START + 2 * WEEK) == 0
    assert await store.forget(START + SECOND, START + SECOND) == 1
    listed = await store.list_policies()
    assert [each.domain for each in listed] == ["lease.example", "policy.example"]
    assert await store.forget(START + SECOND, START + 2 * WEEK) == 2


@pytest.mark.parametrize("text", ["version: STSv9\r\n", "nonsense"])
async def test_a_policy_that_this_release_cannot_read_is_fetched_anew(
    store: PolicyStore, text: str
) -> None:
    await keep(store, CacheEntry(CachedPolicy("1", POLICY, text, START), FAILURE))
    stored = await store.load(NAME)
    assert stored is not None
    assert stored.entry == CacheEntry(None, FAILURE)


async def test_a_store_that_is_not_open_says_so(make_store: Open) -> None:
    store = make_store()
    with pytest.raises(StoreUnavailable):
        await store.load(NAME)
    await store.open()
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.note_use(NAME, START)


CHILD = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from letterlock.base.domains import Domain
from letterlock.protocols.mta_sts.cache import CacheEntry, CachedPolicy
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.storage.sqlite.node import NodeDatabase
from letterlock.storage.sqlite.policies import SqlitePolicies
from tests.fakes import START, FakeClock

async def main():
    store = SqlitePolicies(NodeDatabase(Path(sys.argv[1]), FakeClock()))
    await store.open()
    policy = MtaStsPolicy(MtaStsMode.ENFORCE, ("a.example",), timedelta(weeks=1))
    text = "version: STSv1\\nmode: enforce\\nmx: a.example\\nmax_age: 604800"
    taken = 0
    for number in range(100):
        domain = Domain(f"d{number}.example")
        lease = await store.claim_fetch(domain, START, START + timedelta(minutes=1))
        if lease is not None and lease.entry.cached is None:
            entry = CacheEntry(CachedPolicy("1", policy, text, START))
            taken += await store.settle_fetch(lease, entry)
        elif lease is not None:
            await store.settle_fetch(lease, lease.entry)
    await store.close()
    print(taken)

asyncio.run(main())
"""


async def test_processes_share_one_file(tmp_path: Path) -> None:
    """All make it at once; each policy is fetched by one of them, and none is lost."""
    path = tmp_path / "data" / FILE_NAME
    command = [sys.executable, "-c", CHILD, str(path)]
    environment = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    children = [
        await asyncio.create_subprocess_exec(
            *command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE
        )
        for _ in range(4)
    ]
    async with asyncio.timeout(120):
        outputs = await asyncio.gather(*(child.communicate() for child in children))
    assert [child.returncode for child in children] == [0] * 4
    assert sum(int(output) for output, _ in outputs) == 100
    store = SqlitePolicies(NodeDatabase(path, FakeClock()))
    await store.open()
    assert len(await store.list_policies()) == 100
    await store.close()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_file_that_is_no_database_is_said_to_be_broken(
    tmp_path: Path, clock: FakeClock
) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreUnavailable, match=FILE_NAME):
        await NodeDatabase(path, clock).open()


async def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="file"):
        await NodeDatabase(tmp_path / "file" / "data" / FILE_NAME, clock).open()


async def test_a_file_of_another_program_is_left_alone(tmp_path: Path, clock: FakeClock) -> None:
    database = NodeDatabase(tmp_path / FILE_NAME, clock)
    await database.open()
    await database.run(
        lambda connection: connection.execute("UPDATE schema_version SET checksum = 'x'").fetchall()
    )
    await database.close()
    with pytest.raises(LocalError, match="not the one of this release"):
        await NodeDatabase(tmp_path / FILE_NAME, clock).open()


async def test_work_that_fails_changes_nothing(tmp_path: Path, clock: FakeClock) -> None:
    database = NodeDatabase(tmp_path / FILE_NAME, clock)
    store = SqlitePolicies(database)
    await store.open()
    await keep(store, CacheEntry(CACHED))

    def fail(connection: object) -> None:
        connection.execute("DELETE FROM policies")  # type: ignore[attr-defined] # apsw's
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.run(fail)
    assert await store.load(NAME) is not None
    await store.close()
