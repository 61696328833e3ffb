"""The tables of PostgreSQL in a backup, and back in an empty database."""

import itertools
from collections.abc import Iterator

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest

from letterlock.base.errors import LocalError
from letterlock.storage.backup.manifest import ArchiveError, Part
from letterlock.storage.postgres import dumping
from letterlock.storage.postgres.dumping import TABLES, Dumped, dump_database, load_database
from letterlock.storage.postgres.queue import PostgresQueue
from letterlock.storage.queue import SPILL_BYTES, StoreUnavailable
from tests.fakes import FakeClock
from tests.storage.messages import Mail
from tests.storage.node_stores import postgres_node
from tests.storage.postgres_server import PostgresServer

pytestmark = pytest.mark.peer("postgresql")
LARGE = bytes(range(256)) * (SPILL_BYTES // 64)
Parts = list[tuple[Part, bytes]]


async def open_mail(dsn: str, clock: FakeClock) -> Mail:
    store = PostgresQueue(dsn, "node1", clock)
    await store.open()
    return Mail(store, clock)


async def dump(dsn: str) -> tuple[Dumped, Parts]:
    parts: Parts = []

    def add(name: str, octets: bytes, _mtime: int, columns: tuple[str, ...]) -> None:
        parts.append((Part(name, len(octets), "", columns=columns), octets))

    return await dump_database(dsn, add), parts


async def load(dsn: str, dumped: Dumped, parts: Parts) -> None:
    versions = {"queue": dumped.queue_schema, "node": dumped.node_schema}
    await load_database(dsn, versions, ((part, pieces(octets)) for part, octets in parts), 0)


def pieces(octets: bytes) -> Iterator[bytes]:
    for start in range(0, len(octets), 100_000):
        yield octets[start : start + 100_000]


async def fetch_all(dsn: str) -> dict[str, list[object]]:
    connection = await asyncpg.connect(dsn)
    try:
        return {
            table: sorted(map(tuple, await connection.fetch(f"SELECT * FROM {table}")), key=repr)
            for table in itertools.chain(*TABLES.values())
        }
    finally:
        await connection.close()


async def fill(dsn: str, clock: FakeClock) -> str:
    """Make a queue with all that there can be, and a node's tables; gives a large message's id."""
    mail = await open_mail(dsn, clock)
    await mail.save("a.example", "b.example")
    large = await mail.save(content=LARGE)
    await mail.save(hold="why not")
    claims = await mail.claim()
    await mail.defer(claims[0])
    await mail.deliver(claims[1])
    await mail.store.close()
    node = postgres_node(dsn, clock)
    await node.certificates.open()
    await node.certificates.close()
    return large


async def test_what_was_there_is_there_again(
    postgres: PostgresServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dumping, "PART_BYTES", 300_000)
    before, after = postgres.create_schema(), postgres.create_schema()
    large = await fill(before, clock)
    dumped, parts = await dump(before)
    assert dumped.messages == 3
    pieces_of_one = [part.name for part, _ in parts if "body_pieces" in part.name]
    assert pieces_of_one[:2] == ["postgres/queue/body_pieces/000000", pieces_of_one[0][:-1] + "1"]
    await load(after, dumped, parts)
    assert await fetch_all(after) == await fetch_all(before)
    mail = await open_mail(after, clock)
    assert await mail.read(large) == LARGE  # type: ignore[arg-type]
    await mail.save()  # numbers go on above those that are there
    assert (await mail.store.count())["messages"] == 4
    await mail.store.close()


async def test_the_tables_are_those_that_the_migrations_make(
    postgres: PostgresServer, clock: FakeClock
) -> None:
    dsn = postgres.create_schema()
    await fill(dsn, clock)
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    )
    await connection.close()
    known = {*itertools.chain(*TABLES.values()), "schema_version", "node_schema_version"}
    assert {row["tablename"] for row in rows} == known


async def test_a_table_that_the_schema_does_not_have_yet_is_left_out(
    postgres: PostgresServer, clock: FakeClock
) -> None:
    """A release was installed, and the node not started since: its migrations are not done."""
    dsn = postgres.create_schema()
    await fill(dsn, clock)
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP TABLE failed_mails")
    await connection.close()
    dumped, parts = await dump(dsn)
    assert dumped.messages == 3
    assert parts


@pytest.mark.parametrize("name", ["queue", "node"])
async def test_what_a_newer_release_added_is_told_to_be_left_out(
    postgres: PostgresServer, clock: FakeClock, name: str
) -> None:
    """After going back from it: this release works with the rest, and does not know its tables."""
    dsn = postgres.create_schema()
    await fill(dsn, clock)
    await add_migration(dsn, name, 0)
    dumped, parts = await dump(dsn)
    assert parts
    (unknown,) = dumped.unknown
    assert unknown.startswith("what a newer release added to the PostgreSQL database (migration 99")


@pytest.mark.parametrize("name", ["queue", "node"])
async def test_there_is_no_dump_of_what_we_cannot_read(
    postgres: PostgresServer, clock: FakeClock, name: str
) -> None:
    dsn = postgres.create_schema()
    await fill(dsn, clock)
    await add_migration(dsn, name, 99)
    with pytest.raises(StoreUnavailable, match=r"cannot read it \(it lacks migration 99\)"):
        await dump(dsn)


async def add_migration(dsn: str, name: str, readable_from: int) -> None:
    connection = await asyncpg.connect(dsn)
    values = f"(99, 'next', 'x', 0, {readable_from})"
    await connection.execute(f"INSERT INTO {dumping.SCHEMAS[name].versions} VALUES {values}")
    await connection.close()


async def test_it_is_of_one_moment(postgres: PostgresServer, clock: FakeClock) -> None:
    """What is saved while it is copied is not in it, in no table."""
    dsn = postgres.create_schema()
    await fill(dsn, clock)
    mail = await open_mail(dsn, clock)
    connection = await asyncpg.connect(dsn)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.fetchval("SELECT count(*) FROM large_bodies")
        await mail.save()
        assert await connection.fetchval("SELECT count(*) FROM messages") == 3
    await connection.close()
    assert (await dump(dsn))[0].messages == 4
    await mail.store.close()


async def test_a_database_that_is_not_empty_is_refused_and_stays(
    postgres: PostgresServer, clock: FakeClock
) -> None:
    dsn = postgres.create_schema()
    await fill(dsn, clock)
    before = await fetch_all(dsn)
    dumped, parts = await dump(dsn)
    with pytest.raises(LocalError, match=r"has a table \w+: it is not empty; make a new one"):
        await load(dsn, dumped, parts)
    assert await fetch_all(dsn) == before


@pytest.mark.parametrize("fault", ["table", "column", "octets"])
async def test_parts_that_do_not_fit_leave_nothing(
    postgres: PostgresServer, clock: FakeClock, fault: str
) -> None:
    before, after = postgres.create_schema(), postgres.create_schema()
    await fill(before, clock)
    dumped, parts = await dump(before)
    part, octets = parts[-1]
    changed = {
        "table": (Part("postgres/node/pg_class/000000", 1, "", columns=("a",)), octets),
        "column": (Part(part.name, 1, "", columns=("other",)), octets),
        "octets": (part, b"X" + octets[1:]),
    }[fault]
    with pytest.raises(ArchiveError):
        await load(after, dumped, [*parts[:-1], changed])
    connection = await asyncpg.connect(after)
    assert await connection.fetchval("SELECT to_regclass('messages')") is None
    await connection.close()


async def test_a_database_that_was_never_used_has_nothing(postgres: PostgresServer) -> None:
    dumped, parts = await dump(postgres.create_schema())
    assert (dumped, parts) == (Dumped(0, 0, 0), [])
    await load(postgres.create_schema(), dumped, parts)
