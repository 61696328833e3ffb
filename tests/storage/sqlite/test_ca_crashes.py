"""The authority's file: processes that die, disks that fail, power that is cut, who shares it."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from letterlock.protocols.acme.server.nonces import GoodNonce
from letterlock.protocols.audit.records import START as BEGINNING
from letterlock.protocols.audit.records import AuditEntry, append, head_of, read_decision
from letterlock.storage.ca.changes import (
    AddAccount,
    AddAuthorization,
    AddCertificate,
    AddOrder,
    AddSerial,
    AddWork,
    Change,
    EndWork,
)
from letterlock.storage.ca.kept import NONCE_SECRET, Lease, Work, WorkKind
from letterlock.storage.ca.store import AuthorityStore
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.ca import copying, database, writer
from letterlock.storage.sqlite.ca.store import SqliteAuthority
from tests.fakes import START, FakeClock
from tests.storage.authorities import (
    DAY,
    KEYS,
    MINUTE,
    logged,
    make_account,
    make_authorization,
    make_issued,
    make_order,
    reserve,
)
from tests.storage.faulty_vfs import FaultyVfs

ROOT = Path(__file__).resolve().parents[3]
STATEMENTS = 12
"""At least so many make `CHANGES`."""

LEASE = Lease(WorkKind.ISSUANCE, "order-1", "process", START + MINUTE)
AUTHORIZATION = make_authorization("one")
CHANGES: list[Change] = [
    AddAccount(make_account()),
    AddAuthorization(AUTHORIZATION),
    AddOrder(make_order("order-1", AUTHORIZATION)),
    AddWork(Work(LEASE.kind, LEASE.subject, START, b"csr"), LEASE),
    AddSerial(reserve(1)),
    AddCertificate(make_issued(1)),
    EndWork(LEASE),
]
ENTRIES = [logged("one"), logged("two")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ca" / "authority.db"


async def is_changed(store: AuthorityStore) -> bool:
    """Tell whether CHANGES are there; fails for what is neither all nor nothing."""
    found = (
        await store.load_account("account-1") is not None,
        await store.load_authorization("one") is not None,
        await store.load_order("order-1") is not None,
        await store.load_certificate("certificate-1") is not None,
        (await store.load_head()).number == len(ENTRIES),
    )
    assert len(set(found)) == 1, found
    assert await store.find_next_due(WorkKind.ISSUANCE) is None
    assert await store.list_unused_serials(START + DAY, 1) == ()
    return found[0]


async def check_chain(store: AuthorityStore) -> int:
    """Give how many records the log has; each must follow the one before."""
    head = BEGINNING
    for each in await store.list_records(0, 100_000):
        again = append(head, AuditEntry(each.moment, read_decision(each.document)))
        assert again == each
        head = head_of(each)
    return head.number


CHILD = """
import asyncio, os, shutil, signal, sys
from pathlib import Path
from letterlock.storage.sqlite.ca import copying, database, writer
from letterlock.storage.sqlite.ca.store import SqliteAuthority
from tests.fakes import FakeClock
from tests.storage.sqlite.test_ca_crashes import CHANGES, ENTRIES

class Dying(writer.Writer):
    left = None

    def _connect(self):
        connection = super()._connect()
        connection.exec_trace = self.trace
        return connection

    def trace(self, cursor, statement, bindings):
        if Dying.left is not None:
            if Dying.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            Dying.left -= 1
        return True

async def main(path, left):
    store = SqliteAuthority(path, FakeClock())
    await store.open()
    Dying.left = left
    assert await store.commit(CHANGES, ENTRIES)

database.Writer = Dying
prepared = Path(sys.argv[1])
for number in range(100):
    path = prepared.with_name(f"{number}.db")
    shutil.copyfile(prepared, path)
    child = os.fork()
    if child == 0:
        asyncio.run(main(path, number))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status))
    if status == 0:
        break
"""


async def run_child(program: str, *arguments: str) -> bytes:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, *arguments),
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        stdout=subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        output, _ = await child.communicate()
    assert child.returncode == 0
    return output


async def test_a_kill_before_any_statement_leaves_all_or_nothing(
    path: Path, clock: FakeClock
) -> None:
    store = SqliteAuthority(path, clock)
    await store.open()
    await store.close()
    codes = [int(line) for line in (await run_child(CHILD, str(path))).split()]
    assert len(codes) > STATEMENTS
    assert codes == [-signal.SIGKILL] * (len(codes) - 1) + [0]
    for number, code in enumerate(codes):
        store = SqliteAuthority(path.with_name(f"{number}.db"), clock)
        await store.open()
        assert await is_changed(store) is (code == 0)
        assert await check_chain(store) in (0, len(ENTRIES))
        await store.close()


async def keep_many(path: Path, clock: FakeClock, count: int) -> Path:
    """Commit `count` times; gives the file with its WAL as the disk has them then."""
    store = SqliteAuthority(path, clock)
    await store.open()
    for number in range(count):
        account = make_account(f"account-{number}", KEYS[0])
        changes: list[Change] = [AddSerial(reserve(number + 1))]
        changes += [AddAccount(account)] if number == 0 else []
        assert await store.commit(changes, [logged(str(number))])
    kept = path.with_name("kept.db")
    for end in ("", "-wal"):
        shutil.copyfile(f"{path}{end}", f"{kept}{end}")
    await store.close()
    return kept


async def count_after_cut(kept: Path, octets: int, clock: FakeClock) -> int:
    """Give how many commits are there when the WAL ends after so many octets."""
    cut = make_cut(kept, octets)
    store = SqliteAuthority(cut, clock)
    await store.open()
    serials = await store.list_unused_serials(START + DAY, 1000)
    assert await check_chain(store) == len(serials)
    assert len(serials) == 0 or await store.load_account("account-0") is not None
    await store.close()
    remove(cut)
    return len(serials)


def make_cut(kept: Path, octets: int) -> Path:
    cut = kept.with_name("cut.db")
    shutil.copyfile(kept, cut)
    Path(f"{cut}-wal").write_bytes(Path(f"{kept}-wal").read_bytes()[:octets])
    return cut


def remove(file: Path) -> None:
    for end in ("", "-wal", "-shm"):
        Path(f"{file}{end}").unlink(missing_ok=True)


def find_size(file: Path | str) -> int:
    return Path(file).stat().st_size


async def check_cuts(path: Path, clock: FakeClock, count: int, step: int) -> None:
    kept = await keep_many(path, clock, count)
    size = find_size(f"{kept}-wal")
    found = [
        await count_after_cut(kept, octets, clock)
        # The tables are there: what made them was copied into the file before.
        for octets in [*range(size, 0, -step), 0]
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] == count
    assert found[-1] == 0


async def test_a_power_cut_leaves_the_commits_before_it(path: Path, clock: FakeClock) -> None:
    """Whatever end of the WAL did not reach the disk: no commit of it is there in part."""
    store = SqliteAuthority(path, clock)
    await store.open()
    await store.close()
    await check_cuts(path, clock, count=4, step=9001)


@pytest.mark.proof
async def test_a_power_cut_at_any_place_leaves_the_commits_before_it(
    path: Path, clock: FakeClock
) -> None:
    store = SqliteAuthority(path, clock)
    await store.open()
    await store.close()
    await check_cuts(path, clock, count=12, step=509)


STRANGER = b"something else, and longer than a header of SQLite would be" * 20
FAULTS: list[tuple[str, Callable[[], BaseException], bool]] = [
    ("write", lambda: apsw.CorruptError("database disk image is malformed"), False),
    ("write", lambda: apsw.FullError("database or disk is full"), True),
    ("write", lambda: apsw.IOError("disk I/O error"), False),
    ("sync", lambda: apsw.IOError("disk I/O error"), False),
]


@pytest.mark.parametrize(("where", "fault", "is_full"), FAULTS)
async def test_a_disk_that_fails_is_told_and_nothing_is_kept(
    path: Path,
    clock: FakeClock,
    where: str,
    fault: Callable[[], BaseException],
    is_full: bool,
) -> None:
    vfs = FaultyVfs(f"authority-{path.parent.parent.name}")
    store = SqliteAuthority(path, clock, vfs=vfs.name)
    await store.open()
    setattr(vfs, f"{where}_fault", fault)
    commits = [store.commit([AddSerial(reserve(number))], [logged("a")]) for number in range(9)]
    ended = await asyncio.gather(*commits, return_exceptions=True)
    assert all(isinstance(each, StoreUnavailable) for each in ended)
    assert {each.is_full for each in ended if isinstance(each, StoreUnavailable)} == {is_full}
    assert await store.list_unused_serials(START + DAY, 9) == ()
    setattr(vfs, f"{where}_fault", None)
    assert await store.commit([AddSerial(reserve(1))], [logged("b")])
    assert len(await store.list_unused_serials(START + DAY, 9)) == 1
    assert await check_chain(store) == 1
    await store.close()


async def test_a_commit_is_answered_after_its_sync(path: Path, clock: FakeClock) -> None:
    """A nonce is not: it is good for an hour, and the next commit syncs it."""
    vfs = FaultyVfs(f"counting-{path.parent.parent.name}")
    store = SqliteAuthority(path, clock, vfs=vfs.name)
    await store.open()
    for number in range(3):
        before = len(vfs.syncs)
        assert await store.spend_nonce(GoodNonce(bytes([number]), START + DAY), START)
        assert vfs.syncs[before:] == []
        assert await store.commit([AddSerial(reserve(number))])
        assert vfs.syncs[before:] == [f"{path}-wal"]
    await store.close()


async def test_commits_that_wait_share_one_and_each_is_its_own(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is refused, and one that is a mistake, take nobody with them."""
    batches = []
    take = writer.Writer._take

    def record(self: writer.Writer, batch: list[writer._Waiting]) -> None:
        batches.append(len(batch))
        take(self, batch)

    monkeypatch.setattr(writer.Writer, "_take", record)
    store = SqliteAuthority(path, clock)
    await store.open()
    commits = [
        store.commit([AddSerial(reserve(number // 2))], [logged(str(number))])
        for number in range(100)
    ]
    mistake = store.commit([AddCertificate(replace(make_issued(99), chains=()))])
    *done, failed = await asyncio.gather(*commits, mistake, return_exceptions=True)
    assert sum(each is True for each in done) == 50
    assert sum(each is False for each in done) == 50
    assert isinstance(failed, ValueError)
    assert await check_chain(store) == 50
    assert sum(batches) == 101
    assert len(batches) < 20
    await store.close()


SHARING = """
import asyncio, json, sys
from pathlib import Path
from letterlock.protocols.acme.server.nonces import GoodNonce
from letterlock.storage.ca.changes import AddSerial, EndWork
from letterlock.storage.ca.kept import WorkKind
from letterlock.storage.sqlite.ca.store import SqliteAuthority
from tests.fakes import START, FakeClock
from tests.storage.authorities import DAY, MINUTE, logged, reserve

async def main(path, me):
    store = SqliteAuthority(Path(path), FakeClock())
    await store.open()
    print("ready", flush=True)
    sys.stdin.readline()
    nonces = [GoodNonce(b"%d" % number, START + DAY) for number in range(200)]
    spent = await asyncio.gather(*(store.spend_nonce(each, START) for each in nonces))
    taken = await asyncio.gather(
        *(store.commit([AddSerial(reserve(n))], [logged(me)]) for n in range(1, 201))
    )
    ended = []
    while claimed := await store.claim_work(WorkKind.ISSUANCE, me, START, START + MINUTE, 7):
        for each in claimed:
            assert await store.commit([EndWork(each.lease)])
            ended.append(each.work.subject)
    await store.close()
    print(json.dumps([spent, taken, ended]))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_share_a_file(path: Path, clock: FakeClock) -> None:
    """A nonce is spent, a serial number taken, work done by one of them; the log is one chain."""
    store = SqliteAuthority(path, clock)
    await store.open()
    subjects = [f"order-{number:02}" for number in range(50)]
    for each in subjects:
        lease = Lease(WorkKind.ISSUANCE, each, "gone", START)
        assert await store.commit([AddWork(Work(lease.kind, each, START), lease)])
    children = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SHARING, str(path), me),
            env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for me in ("one", "two")
    ]
    async with asyncio.timeout(60):
        for child in children:
            assert child.stdout is not None
            assert await child.stdout.readline() == b"ready\n"
        outputs = await asyncio.gather(*(child.communicate(b"go\n") for child in children))
    (one, other) = (json.loads(output) for output, _ in outputs)
    for at, expected in ((0, 200), (1, 200)):
        assert [mine + yours for mine, yours in zip(one[at], other[at], strict=True)] == (
            [1] * expected
        )
    assert sorted(one[2] + other[2]) == subjects
    assert await check_chain(store) == 200
    await store.close()


@pytest.mark.parametrize("when", ["IDLE_PAGES", "BUSY_PAGES"])
async def test_the_wal_is_copied_in_idle_moments_and_when_it_is_large(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(copying, when, 1)
    store = SqliteAuthority(path, clock)
    await store.open()
    size = find_size(path)
    wide = [logged("x" * 200_000)]
    assert await store.commit([], wide)
    async with asyncio.timeout(60):
        while find_size(path) < size + 200_000:  # noqa: ASYNC110 - a thread does it
            await asyncio.sleep(0.001)
    await store.close()


async def test_who_waits_for_another_process_holds_up_nobody(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop goes on, and reads; who waits for too long is told."""
    store = SqliteAuthority(path, clock)
    await store.open()
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(store.commit([AddSerial(reserve(1))]))
    nonce = asyncio.ensure_future(store.spend_nonce(GoodNonce(b"n", START + DAY), START))
    for _ in range(5):
        await asyncio.sleep(0.001)
        assert await store.list_unused_serials(START + DAY, 9) == ()
    assert not waiting.done()
    other.execute("COMMIT")
    assert await waiting
    assert await nonce
    monkeypatch.setattr(writer, "BUSY_MILLISECONDS", 1)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.commit([AddSerial(reserve(2))])
    other.execute("ROLLBACK")
    other.close()
    assert await store.commit([AddSerial(reserve(2))])
    await store.close()


async def test_a_commit_that_nobody_waits_for_is_done_all_the_same(
    path: Path, clock: FakeClock
) -> None:
    store = SqliteAuthority(path, clock)
    await store.open()
    waiting = asyncio.ensure_future(store.commit([AddSerial(reserve(1))]))
    await asyncio.sleep(0)
    waiting.cancel()
    assert await store.commit([AddSerial(reserve(2))])
    assert len(await store.list_unused_serials(START + DAY, 9)) == 2
    await store.close()


async def test_a_store_that_ends_leaves_one_file(path: Path, clock: FakeClock) -> None:
    store = SqliteAuthority(path, clock)
    await store.open()
    assert await store.commit([AddSerial(reserve(1))])
    assert len(await store.list_unused_serials(START + DAY, 9)) == 1
    assert await store.load_account("account-1") is None
    await store.close()
    names = sorted(each.name for each in path.parent.iterdir())
    assert names == ["authority.db", "authority.db.lock"]


async def test_a_store_that_is_not_open_says_so(path: Path, clock: FakeClock) -> None:
    store = SqliteAuthority(path, clock)
    for ask in (
        lambda: store.load_account("a"),
        lambda: store.list_accounts(None, 1),
        lambda: store.commit([]),
        lambda: store.spend_nonce(GoodNonce(b"n", START), START),
    ):
        with pytest.raises(StoreUnavailable, match="not open"):
            await ask()


async def test_a_file_that_is_none_of_ours_is_not_touched(tmp_path: Path, clock: FakeClock) -> None:
    path = make_stranger(tmp_path / "authority.db")
    store = SqliteAuthority(path, clock)
    with pytest.raises(StoreUnavailable, match="not a database"):
        await store.open()
    assert not any("authority" in each.name for each in threading.enumerate())
    assert path.read_bytes() == STRANGER


def make_stranger(path: Path) -> Path:
    path.write_bytes(STRANGER)
    return path


async def test_nonces_of_before_a_restart_of_the_machine_are_worth_nothing(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8555 §6.5: what was spent last before a power cut may not have reached the disk."""
    run = path.parent.parent / "boot_id"
    monkeypatch.setattr(database, "_BOOT_ID", run)
    for number, (text, expected) in enumerate(
        [("one", b"0"), ("one", b"0"), ("two", b"2"), ("two", b"2"), ("one", b"4")]
    ):
        run.write_text(text)
        store = SqliteAuthority(path, clock)
        await store.open()
        assert await store.keep_secret(NONCE_SECRET, b"%d" % number) == expected
        assert await store.keep_secret("another", b"%d" % number) == b"0"
        await store.close()


async def test_each_process_has_its_nonces_where_the_machine_does_not_say(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BOOT_ID", path.parent / "nowhere")
    for fresh in (b"one", b"two"):
        store = SqliteAuthority(path, clock)
        await store.open()
        assert await store.keep_secret(NONCE_SECRET, fresh) == fresh
        await store.close()


async def test_only_we_may_read_the_file(path: Path, clock: FakeClock) -> None:
    store = SqliteAuthority(path, clock)
    await store.open()
    assert await store.keep_secret("nonces", b"secret") == b"secret"
    modes = {each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
    assert modes == {0o600}
    await store.close()


async def test_the_log_is_neither_changed_nor_shortened(path: Path, clock: FakeClock) -> None:
    store = SqliteAuthority(path, clock)
    await store.open()
    assert await store.commit([], [logged("a")])
    await store.close()
    connection = apsw.Connection(str(path))
    for sql in ("DELETE FROM audit", "UPDATE audit SET kind = 'x'"):
        with pytest.raises(apsw.ConstraintError, match="the audit log is not"):
            connection.execute(sql)
    connection.close()
