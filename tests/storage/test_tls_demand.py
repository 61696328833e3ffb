"""What a message asks of TLS is kept with it, and a queue from before that column goes on."""

from pathlib import Path

import apsw
import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest
from msgspec.structs import replace

from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.storage.migrations import load_migrations
from letterlock.storage.postgres.queue import PostgresQueue
from letterlock.storage.queue import QueueId, QueueStore, Settlement
from letterlock.storage.records import to_micros
from letterlock.storage.sqlite.queue import SqliteQueue
from letterlock.storage.sqlite.reader import SqliteQueueReader
from tests.fakes import FakeClock
from tests.storage.conftest import ENGINES
from tests.storage.messages import LIFETIME, Mail
from tests.storage.postgres_server import PostgresServer

OLD_ID = QueueId("4OLD")
ADDRESS = "alice@example.com"
CONTENT = b"Subject: from before\r\n\r\n"


class Place:
    """Where an engine keeps a queue, empty at first."""

    engine: str
    octets: str
    """CONTENT as SQL writes it."""

    async def run(self, sql: str) -> None:
        raise NotImplementedError

    def make_store(self, clock: FakeClock) -> QueueStore:
        raise NotImplementedError

    async def open(self, clock: FakeClock) -> Mail:
        store = self.make_store(clock)
        await store.open()
        return Mail(store, clock)

    async def make_old(self, clock: FakeClock) -> None:
        """Make what the first release left behind: its schema, and a message that waits."""
        first = load_migrations(f"letterlock.storage.{self.engine}.migrations")[0]
        await self.run(
            "CREATE TABLE schema_version (version BIGINT PRIMARY KEY, name TEXT NOT NULL, "
            "checksum TEXT NOT NULL, applied BIGINT NOT NULL);"
            f"INSERT INTO schema_version VALUES (1, '{first.name}', '{first.checksum}', 0);"
        )
        await self.run(first.sql)
        await self.run(self.insert_old(clock))

    def insert_old(self, clock: FakeClock) -> str:
        """Give what the first release says when it saves a message."""
        now, expires = to_micros(clock.now()), to_micros(clock.now() + LIFETIME)
        return f"""
            INSERT INTO messages (message_id, queue_id, sender, body_type, smtputf8, ret, envid,
                size, received, expires, origin, hold)
            VALUES (1, '{OLD_ID}', 'bob@example.org', '7BIT', FALSE, NULL, NULL,
                {len(CONTENT)}, {now}, {expires}, '{{}}', NULL);
            INSERT INTO bodies (message_id, content) VALUES (1, {self.octets});
            INSERT INTO recipients (message_id, destination, number, address, notify, orcpt,
                state, next_attempt)
            VALUES (1, 'example.com', 0, '{ADDRESS}', '', NULL, 'queued', {now});
            INSERT INTO deliveries (message_id, destination, due) VALUES (1, 'example.com', {now});
            INSERT INTO destinations (destination, next_due) VALUES ('example.com', {now});
        """


class SqlitePlace(Place):
    engine, octets = "sqlite", f"x'{CONTENT.hex()}'"

    def __init__(self, path: Path) -> None:
        self.path = path

    async def run(self, sql: str) -> None:
        connection = apsw.Connection(str(self.path))
        connection.execute(sql)
        connection.close()

    def make_store(self, clock: FakeClock) -> QueueStore:
        return SqliteQueue(self.path, clock)


class PostgresPlace(Place):
    engine, octets = "postgres", f"'\\x{CONTENT.hex()}'"

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    async def run(self, sql: str) -> None:
        connection = await asyncpg.connect(self._dsn)
        await connection.execute(sql)
        await connection.close()

    def make_store(self, clock: FakeClock) -> QueueStore:
        return PostgresQueue(self._dsn, "node1", clock)


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return SqlitePlace(tmp_path / "0.sqlite")
    server: PostgresServer = request.getfixturevalue("postgres")
    return PostgresPlace(server.create_schema())


@pytest.mark.parametrize("demand", TlsDemand)
async def test_the_demand_is_kept(mail: Mail, demand: TlsDemand) -> None:
    """RFC 8689 §4.1 (rule 87): the message is tagged, for all its recipients alike."""
    message = await mail.message("example.com", "example.net")
    envelope = replace(message.envelope, tls_demand=demand)
    await mail.store.save(replace(message, envelope=envelope))
    assert [claim.tls_demand for claim in await mail.claim()] == [demand] * 2
    assert (await mail.find(message.queue_id)).tls_demand is demand
    (listed,) = await mail.store.list_messages()
    assert listed.tls_demand is demand


async def test_a_notification_saved_with_its_cause_keeps_its_demand(mail: Mail) -> None:
    """RFC 8689 §5 (rule 91)."""
    await mail.save("example.com")
    notice = await mail.message("example.net")
    envelope = replace(notice.envelope, tls_demand=TlsDemand.REQUIRETLS)
    claim = await mail.claim_one()
    notices = (replace(notice, envelope=envelope),)
    await mail.store.settle(Settlement(claim, (), messages=notices, settled=mail.now))
    demands = {each.queue_id: each.tls_demand for each in await mail.claim()}
    assert demands[notice.queue_id] is TlsDemand.REQUIRETLS


async def test_the_demand_outlives_a_restart(place: Place, clock: FakeClock) -> None:
    """RFC 8689 §4.1 (rule 87)."""
    before = await place.open(clock)
    message = await before.message()
    envelope = replace(message.envelope, tls_demand=TlsDemand.REQUIRETLS)
    await before.store.save(replace(message, envelope=envelope))
    await before.store.close()
    after = await place.open(clock)
    assert (await after.claim_one()).tls_demand is TlsDemand.REQUIRETLS
    await after.store.close()


async def test_a_queue_from_before_is_brought_forward(place: Place, clock: FakeClock) -> None:
    """What waits there asked for nothing, and is delivered."""
    await place.make_old(clock)
    mail = await place.open(clock)
    claim = await mail.claim_one()
    assert (claim.queue_id, claim.tls_demand) == (OLD_ID, TlsDemand.NORMAL)
    assert await mail.read(OLD_ID) == CONTENT
    assert (await mail.find(OLD_ID)).tls_demand is TlsDemand.NORMAL
    assert await mail.deliver(claim)
    await mail.store.close()


async def test_the_release_before_still_saves_after_it(place: Place, clock: FakeClock) -> None:
    """Nodes are upgraded one after the other, and a new one may have to be taken back."""
    mail = await place.open(clock)
    await place.run(place.insert_old(clock))
    assert (await mail.claim_one()).tls_demand is TlsDemand.NORMAL
    await mail.store.close()


async def test_a_queue_that_no_node_of_this_release_opened_is_listed(
    tmp_path: Path, clock: FakeClock
) -> None:
    place = SqlitePlace(tmp_path / "0.sqlite")
    await place.make_old(clock)
    with SqliteQueueReader(place.path) as reader:
        (listed,) = reader.list_messages()
        assert listed.recipients[0].address == ADDRESS
        assert listed.tls_demand is TlsDemand.NORMAL
        assert reader.list_messages(is_finished=True) == []
        story = reader.find_story(OLD_ID)
        assert story is not None
        assert story.message == listed
