"""What only the SQLite engine has: one owner, readers beside it, a disk that fails, a kill."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from msgspec.structs import replace

from letterlock.base.errors import LocalError
from letterlock.storage.queue import (
    SPILL_BYTES,
    BodyGone,
    QueueId,
    RecipientState,
    StoreUnavailable,
)
from letterlock.storage.sqlite import claiming, due, settling, writer
from letterlock.storage.sqlite.connection import fetch_rows
from letterlock.storage.sqlite.queue import SqliteQueue
from letterlock.storage.sqlite.reader import SqliteQueueReader
from letterlock.storage.sqlite.transaction import with_marks
from tests.fakes import START, FakeClock
from tests.storage.faulty_vfs import FaultyVfs
from tests.storage.messages import Mail

LARGE = b"x" * (SPILL_BYTES + 1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue" / "0.sqlite"


@pytest.fixture
async def mail(clock: FakeClock, path: Path) -> Mail:
    store = SqliteQueue(path, clock)
    await store.open()
    return Mail(store, clock)


async def reopen(mail: Mail, path: Path) -> Mail:
    await mail.store.close()
    mail.store = SqliteQueue(path, mail.clock)
    await mail.store.open()
    return mail


def body_files(path: Path) -> list[Path]:
    return list((path.parent / "bodies" / path.stem).iterdir())


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that a thread does soon."""
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 - a thread does it, and sets no event
            await asyncio.sleep(0.001)


class TestOwner:
    async def test_a_second_owner_is_told_so(self, mail: Mail, path: Path) -> None:
        other = SqliteQueue(path, mail.clock)
        with pytest.raises(LocalError, match="another process owns this queue"):
            await other.open()
        await mail.save()
        await reopen(mail, path)
        await mail.store.close()

    async def test_leases_of_a_dead_owner_are_free(self, mail: Mail, path: Path) -> None:
        await mail.save()
        claim = await mail.claim_one()
        await reopen(mail, path)
        again = await mail.claim_one()
        assert again.lease != claim.lease
        assert not await mail.deliver(claim)
        assert await mail.deliver(again)
        await mail.store.close()

    async def test_a_message_held_while_claimed_is_held_after_a_restart(
        self, mail: Mail, path: Path
    ) -> None:
        queue_id = await mail.save()
        await mail.claim_one()
        await mail.store.hold([queue_id], "wait")
        await reopen(mail, path)
        assert await mail.states(queue_id) == [RecipientState.HELD]
        assert await mail.claim() == []
        await mail.store.close()

    async def test_a_database_of_other_making_is_refused(self, mail: Mail, path: Path) -> None:
        await mail.store.close()
        connection = apsw.Connection(str(path))
        connection.execute("UPDATE schema_version SET checksum = 'other'")
        connection.close()
        with pytest.raises(LocalError, match="migration 1"):
            await SqliteQueue(path, mail.clock).open()

    async def test_a_newer_database_still_works(self, mail: Mail, path: Path) -> None:
        connection = apsw.Connection(str(path))
        connection.execute(
            "INSERT INTO schema_version (version, name, checksum, applied) VALUES (999, 'x', '', 0)"
        )
        connection.close()
        await reopen(mail, path)
        await mail.save()
        await mail.store.close()

    async def test_a_file_that_is_no_database_is_unavailable(
        self, tmp_path: Path, clock: FakeClock
    ) -> None:
        path = tmp_path / "stranger"
        path.write_bytes(b"not a database, and longer than a header of SQLite would be" * 9)
        with pytest.raises(StoreUnavailable, match="not a database"):
            await SqliteQueue(path, clock).open()

    async def test_it_is_private(self, mail: Mail, path: Path) -> None:
        await mail.save(content=LARGE)
        assert path.parent.stat().st_mode & 0o777 == 0o700
        files = [*body_files(path), *(path.with_name(path.name + end) for end in ("", "-wal"))]
        assert [file.stat().st_mode & 0o777 for file in files] == [0o600] * 3
        await mail.store.close()


class TestReader:
    async def test_it_looks_in_while_the_owner_writes(self, mail: Mail, path: Path) -> None:
        queue_id = await mail.save()
        with SqliteQueueReader(path) as reader:
            assert [each.queue_id for each in reader.list_messages()] == [queue_id]
            await mail.deliver(await mail.claim_one())
            assert reader.count()["messages"] == 0
            story = reader.find_story(queue_id)
        assert story is not None
        assert story.message.finished == mail.now
        await mail.store.close()

    async def test_it_works_without_an_owner(self, mail: Mail, path: Path) -> None:
        await mail.save()
        await mail.store.close()
        with SqliteQueueReader(path) as reader:
            assert reader.count()["messages"] == 1

    def test_no_file_is_unavailable(self, path: Path) -> None:
        with SqliteQueueReader(path) as reader, pytest.raises(StoreUnavailable):
            reader.count()

    def test_a_file_without_tables_is_empty(self, path: Path) -> None:
        """Its owner is about to make them."""
        path.parent.mkdir()
        path.touch()
        with SqliteQueueReader(path) as reader:
            assert reader.list_messages() == []
            assert reader.list_messages(is_finished=True) == []
            assert reader.list_ids(10, None) == []
            assert set(reader.count().values()) == {0}
            assert reader.find_story(QueueId("0" * 15)) is None
            assert reader.next_due(START, START, ()) is None
            with pytest.raises(BodyGone):
                reader.find_body(QueueId("0" * 15))

    async def test_tables_that_are_there_a_moment_later_are_read(
        self, mail: Mail, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        queue_id = await mail.save()
        await mail.store.close()
        faults = [apsw.SQLError("no such table: messages")]

        def fail_first(*arguments: Any) -> list[tuple[Any, ...]]:
            if faults:
                raise faults.pop()
            return fetch_rows(*arguments)

        monkeypatch.setattr("letterlock.storage.sqlite.reader.fetch_rows", fail_first)
        with SqliteQueueReader(path) as reader:
            assert reader.list_ids(10, None) == [queue_id]
            faults += [apsw.SQLError("a mistake of ours")] * 2
            with pytest.raises(apsw.SQLError, match="a mistake of ours"):
                reader.list_ids(10, None)


class TestBodyFiles:
    async def test_a_body_has_its_file_while_the_message_waits(
        self, mail: Mail, path: Path
    ) -> None:
        await mail.save(content=LARGE)
        assert len(body_files(path)) == 1
        await mail.deliver(await mail.claim_one())
        await until(lambda: not body_files(path))
        await mail.store.close()

    async def test_a_deleted_message_has_no_file(self, mail: Mail, path: Path) -> None:
        queue_id = await mail.save(content=LARGE)
        await mail.store.delete([queue_id], mail.now)
        await until(lambda: not body_files(path))
        await mail.store.close()

    async def test_orphans_are_swept_and_bodies_stay(self, mail: Mail, path: Path) -> None:
        queue_id = await mail.save(content=LARGE)
        await mail.body(LARGE)
        assert len(body_files(path)) == 2
        await reopen(mail, path)
        assert len(body_files(path)) == 1
        assert await mail.read(queue_id) == LARGE
        await mail.store.close()

    async def test_a_discarded_body_has_no_file(self, mail: Mail, path: Path) -> None:
        for is_finished in (False, True):
            writer = mail.store.write_body()
            wait = writer.write(LARGE)
            assert wait is not None
            await wait
            if is_finished:
                await writer.finish()
            assert len(body_files(path)) == 1
            writer.discard()
            await until(lambda: not body_files(path))
        await mail.store.close()

    async def test_a_body_discarded_while_its_commit_runs_stays_when_it_is_saved(
        self, mail: Mail
    ) -> None:
        message = await mail.message()
        body = mail.store.write_body()
        wait = body.write(LARGE)
        assert wait is not None
        await wait
        saving = asyncio.ensure_future(mail.store.save(replace(message, body=await body.finish())))
        await asyncio.sleep(0)
        body.discard()
        await saving
        await mail.save()
        assert await mail.read(message.queue_id) == LARGE
        await mail.store.close()

    async def test_a_body_whose_save_failed_may_be_saved_again_or_discarded(
        self, mail: Mail, path: Path
    ) -> None:
        known = await mail.message()
        await mail.store.save(known)
        body = mail.store.write_body()
        wait = body.write(LARGE)
        assert wait is not None
        await wait
        finished = await body.finish()
        with pytest.raises(ValueError, match="already"):
            await mail.store.save(replace(known, body=finished))
        assert len(body_files(path)) == 1
        body.discard()
        await until(lambda: not body_files(path))
        await mail.store.close()

    async def test_a_lost_file_is_unavailable(self, mail: Mail, path: Path) -> None:
        queue_id = await mail.save(content=LARGE)
        body_files(path)[0].unlink()
        with pytest.raises(StoreUnavailable, match="No such file"):
            await mail.read(queue_id)
        await mail.store.close()

    async def test_a_body_that_could_not_be_rewritten_is_not_saved(
        self, mail: Mail, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> int:
            raise OSError(28, os.strerror(28))

        body = mail.store.write_body()
        waiting = body.write(LARGE)
        assert waiting is not None
        await waiting
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", fail)
            with pytest.raises(StoreUnavailable) as caught:
                await body.rewrite(0, b"ab")
        assert caught.value.is_full
        with pytest.raises(StoreUnavailable):
            await body.finish()
        body.discard()
        await body.rewrite(0, b"ab")  # too late, and harmless

    async def test_a_full_disk_is_full(
        self, mail: Mail, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> int:
            raise OSError(28, "No space left on device")

        body = mail.store.write_body()
        monkeypatch.setattr(os, "write", fail)
        wait = body.write(LARGE)
        assert wait is not None
        with pytest.raises(StoreUnavailable) as caught:
            await wait
        monkeypatch.undo()
        assert caught.value.is_full
        with pytest.raises(StoreUnavailable):
            await body.finish()
        body.discard()
        await until(lambda: not body_files(path))
        await mail.store.close()


class TestFaults:
    async def test_a_full_database_refuses_mail_and_goes_on_when_there_is_space(
        self, mail: Mail
    ) -> None:
        queue_id = await mail.save()
        mail.clock.move(timedelta(minutes=1))
        store = mail.store
        assert isinstance(store, SqliteQueue)
        await store._submit(lambda each: each.connection.pragma("max_page_count", 60))
        ended = await asyncio.gather(
            *(mail.save(content=b"x" * 20_000) for _ in range(30)), return_exceptions=True
        )
        refused = [each for each in ended if isinstance(each, StoreUnavailable)]
        assert refused
        assert all(each.is_full for each in refused)
        kept = [each.queue_id for each in await store.list_messages()]
        assert set(kept) == {queue_id, *(each for each in ended if isinstance(each, str))}
        (claim,) = await mail.claim(1)
        assert await mail.deliver(claim)
        assert await mail.states(queue_id) == [RecipientState.DELIVERED]
        await store._submit(lambda each: each.connection.pragma("max_page_count", 100_000))
        await mail.save(content=b"x" * 200_000)
        assert (await store.count())["messages"] == len(kept)
        await store.close()

    async def test_a_full_database_takes_what_fits(self, mail: Mail) -> None:
        """In a batch that does not fit as a whole, what fits is saved."""
        store = mail.store
        assert isinstance(store, SqliteQueue)
        await store._submit(lambda each: each.connection.pragma("max_page_count", 60))
        messages = [await mail.message(content=b"x" * size) for size in (200_000, 10, 200_000, 10)]
        ended = await asyncio.gather(
            *(store.save(message) for message in messages), return_exceptions=True
        )
        assert [type(each) for each in ended] == [
            *(StoreUnavailable, type(None), StoreUnavailable, type(None))
        ]
        assert (await store.count())["messages"] == 2
        await store.close()

    async def test_little_free_space_refuses_mail_but_settles(
        self, path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = SqliteQueue(path, clock, reserve_bytes=1000)
        await store.open()
        mail = Mail(store, clock)
        await mail.save()
        real = os.statvfs(path.parent)
        scarce = os.statvfs_result([*real[:4], 0, *real[5:]])
        monkeypatch.setattr(os, "statvfs", lambda _: scarce)
        with pytest.raises(StoreUnavailable) as caught:
            await mail.save()
        assert caught.value.is_full
        assert await mail.deliver(await mail.claim_one())
        await store.close()

    @pytest.mark.parametrize("where", ["write", "sync"])
    @pytest.mark.parametrize(
        ("fault", "is_full"),
        [
            (lambda: apsw.IOError("disk I/O error"), False),
            (lambda: apsw.FullError("database or disk is full"), True),
            (lambda: apsw.ReadOnlyError("attempt to write a readonly database"), False),
        ],
    )
    async def test_a_commit_that_fails_acknowledges_nothing(
        self,
        path: Path,
        clock: FakeClock,
        where: str,
        fault: Callable[[], BaseException],
        is_full: bool,
    ) -> None:
        vfs = FaultyVfs(f"faulty-{path.parent.parent.name}")
        mail = Mail(SqliteQueue(path, clock, vfs=vfs.name), clock)
        await mail.store.open()
        first = await mail.save()
        messages = [await mail.message() for _ in range(10)]
        body = mail.store.write_body()
        wait = body.write(LARGE)
        assert wait is not None
        await wait
        large = replace(await mail.message(), body=await body.finish())
        setattr(vfs, f"{where}_fault", fault)
        ended = await asyncio.gather(
            *(mail.store.save(message) for message in [*messages, large]), return_exceptions=True
        )
        assert all(isinstance(each, StoreUnavailable) for each in ended)
        assert {each.is_full for each in ended if isinstance(each, StoreUnavailable)} == {is_full}
        assert [each.queue_id for each in await mail.store.list_messages()] == [first]
        body.discard()
        assert len(body_files(path)) == 1
        setattr(vfs, f"{where}_fault", None)
        second = await mail.save(content=LARGE)
        listed = await mail.store.list_messages()
        assert [each.queue_id for each in listed] == [first, second]
        await until(lambda: len(body_files(path)) == 1)
        assert await mail.read(second) == LARGE
        await mail.store.close()

    async def test_a_file_that_keeps_failing_is_opened_anew(
        self, path: Path, clock: FakeClock
    ) -> None:
        vfs = FaultyVfs(f"failing-{path.parent.parent.name}")
        mail = Mail(SqliteQueue(path, clock, vfs=vfs.name), clock)
        await mail.store.open()
        vfs.write_fault = lambda: apsw.IOError("disk I/O error")
        for _ in range(writer.MAX_FAILURES + 1):
            with pytest.raises(StoreUnavailable):
                await mail.save()
        vfs.write_fault = None
        assert vfs.opens > 3
        await mail.save()
        await mail.store.close()

    async def test_a_save_is_answered_after_its_sync(self, path: Path, clock: FakeClock) -> None:
        vfs = FaultyVfs(f"counting-{path.parent.parent.name}")
        mail = Mail(SqliteQueue(path, clock, vfs=vfs.name), clock)
        await mail.store.open()
        for _ in range(3):
            before = len(vfs.syncs)
            await mail.save()
            assert vfs.syncs[before:] == [f"{path}-wal"]
        await mail.store.close()


async def test_twenty_that_wait_share_commits(mail: Mail, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = []
    commit = writer.Writer._commit

    def record(self: writer.Writer, batch: list[writer._Waiting]) -> list[writer._Outcome]:
        commits.append(len(batch))
        return commit(self, batch)

    monkeypatch.setattr(writer.Writer, "_commit", record)
    messages = [await mail.message() for _ in range(200)]
    await asyncio.gather(*(mail.store.save(message) for message in messages))
    assert sum(commits) == 200
    assert len(commits) < 100
    await mail.store.close()


async def test_the_wal_is_copied_in_idle_moments(
    mail: Mail, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "IDLE_PAGES", 1)
    await mail.save(content=b"x" * 200_000)
    await until(lambda: path.stat().st_size > 200_000)
    await mail.store.close()


async def test_what_was_delivered_is_synced_before_long_without_one_too(
    mail: Mail, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "IDLE_SECONDS", 60.0)
    for _ in range(3):
        await mail.save(content=LARGE)
    first, second, third = await mail.claim()
    await mail.deliver(first)
    await mail.deliver(second)
    # A file goes when the disk knows that nobody needs it.
    assert len(body_files(path)) == 3
    mail.clock.move(timedelta(seconds=writer.UNSYNCED_SECONDS))
    await mail.deliver(third)
    await until(lambda: not body_files(path))
    await mail.store.close()


async def test_the_wal_does_not_grow_for_ever_without_one(
    mail: Mail, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "BUSY_PAGES", 50)
    wal = path.with_name(path.name + "-wal")
    for _ in range(100):
        await mail.save(content=b"x" * 40_000)
    assert wal.stat().st_size < 100 * 40_000
    await mail.store.close()


KILLED = """
import asyncio, sys
from pathlib import Path
from letterlock.base.clock import SystemClock
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.storage.messages import Mail

async def save(mail, number):
    while True:
        content = (b"%d" % number) * (70_000 if number == 0 else 100)
        message = await mail.message(content=content * (4 if number == 0 else 1))
        await mail.store.save(message)
        print(message.queue_id, message.body.size, flush=True)

async def main():
    clock = SystemClock()
    store = SqliteQueue(Path(sys.argv[1]), clock)
    await store.open()
    await asyncio.gather(*(save(Mail(store, clock), number) for number in range(10)))

asyncio.run(main())
"""


async def test_a_killed_process_loses_nothing_it_acknowledged(path: Path, clock: FakeClock) -> None:
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED, str(path)),
        stdout=asyncio.subprocess.PIPE,
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'src'}"},
    )
    assert process.stdout is not None
    acknowledged = [await process.stdout.readline() for _ in range(300)]
    process.send_signal(signal.SIGKILL)
    acknowledged += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    mail = Mail(SqliteQueue(path, clock), clock)
    await mail.store.open()
    whole = [line.split() for line in acknowledged if line.endswith(b"\n")]
    assert len(whole) >= 300
    for name, size in whole:
        assert len(await mail.read(QueueId(name.decode()))) == int(size)
    named = [
        each for each in await mail.store.list_messages(limit=10**6) if each.size > SPILL_BYTES
    ]
    assert len(body_files(path)) == len(named)
    await mail.store.close()


async def test_a_backlog_costs_neither_claims_nor_saves(mail: Mail) -> None:
    """What SQLite does for a claim and a save is the same beside 5000 due messages as beside 50:
    those of a saturated destination are not looked at, those of another by an index.
    """
    store = mail.store
    assert isinstance(store, SqliteQueue)
    steps = [0]

    def count_step() -> bool:
        steps[0] += 1
        return False

    await store._submit(lambda each: each.connection.set_progress_handler(count_step, 1))

    async def measure() -> int:
        before = steps[0]
        await mail.save("live.example")
        claims = await mail.claim(1, saturated=["dead.example", "d0.example"])
        assert [claim.destination for claim in claims] == ["live.example"]
        assert await mail.deliver(claims[0])
        return steps[0] - before

    await asyncio.gather(*(mail.save(f"d{number % 5}.example") for number in range(50)))
    for claim in await mail.claim():
        await mail.defer(claim)
    few = await measure()
    await asyncio.gather(*(mail.save("dead.example") for _ in range(5000)))
    many = await measure()
    assert many <= 1.5 * few
    await store.close()


async def test_closing_lets_what_was_begun_end(mail: Mail, path: Path) -> None:
    messages = [await mail.message() for _ in range(50)]
    saving = asyncio.gather(*(mail.store.save(message) for message in messages))
    await asyncio.sleep(0)
    await mail.store.close()
    await saving
    with SqliteQueueReader(path) as reader:
        assert reader.count()["messages"] == 50
        assert reader.find_story(messages[0].queue_id) is not None


async def test_a_file_of_an_older_release_is_counted_too(mail: Mail, path: Path) -> None:
    """A command may be newer than the node that it looks at."""
    await mail.save("a.example", "b.example")
    await mail.save("a.example", hold="why")
    await mail.claim(1)
    expected = await mail.store.count()
    connection = apsw.Connection(str(path))
    connection.execute("DROP TABLE totals; DROP INDEX recipients_held")
    connection.close()
    with SqliteQueueReader(path) as reader:
        assert reader.count() == expected
    await mail.store.close()


@pytest.mark.parametrize(
    ("sql", "width"),
    [
        (claiming.FIND_CLAIMED, 3),
        (claiming.LEASE, 2),
        (settling.FIND_LEASED, 4),
        (settling.SET_RECIPIENTS, 8),
        (settling.FIND_DONE, 1),
        (settling.FINISH, 1),
        (settling.REMOVE_BODIES, 1),
        (due.REMOVE_DONE, 2),
    ],
)
async def test_what_is_done_for_each_message_reads_no_table_from_end_to_end(
    mail: Mail, path: Path, sql: str, width: int
) -> None:
    await mail.store.close()
    statement = with_marks(sql, width, 20)
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    parameters = [None] * statement.count("?")
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    connection.close()
    tables = {"messages", "recipients", "deliveries", "bodies"}
    searched = {step.split()[1] for step in plan if step.startswith("SEARCH")}
    assert searched <= tables
    assert searched
    assert not [step for step in plan if step.startswith("SCAN") and step.split()[1] in tables]
