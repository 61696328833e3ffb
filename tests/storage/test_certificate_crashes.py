"""A process that dies while it keeps a certificate: all of it is kept, or nothing."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from letterlock.storage.certificates import CertificateStore, KeptPair, RollOver, RollOverStage
from letterlock.storage.postgres.certificates import PostgresCertificates
from letterlock.storage.postgres.connection import Connection
from letterlock.storage.postgres.node import NodeDatabase
from letterlock.storage.queue import StoreUnavailable
from tests.fakes import START, FakeClock
from tests.storage.node_stores import (
    FACTS,
    MINUTE,
    NAME,
    PAIR,
    add,
    claim,
    emptied_node,
    postgres_node,
    sqlite_node,
)

ROOT = Path(__file__).resolve().parents[2]
NEW = KeptPair(b"another chain", b"another key")
NEXT = KeptPair(b"next chain", b"next key")
ISSUED = RollOver(RollOverStage.ISSUED, b"next key", b"\x01" * 32, START)
STATEMENTS = 6
"""At least so many make one change: a state, two pairs, the version twice, the lease."""

T = TypeVar("T")


async def change(store: CertificateStore) -> None:
    """Change all that can be changed at once."""
    lease = await claim(store)
    state = replace(lease.state, facts=replace(FACTS, serial="5"), rollover=ISSUED)
    assert await store.settle(lease, state, pair=NEW, next_pair=NEXT)


async def is_changed(store: CertificateStore) -> bool:
    """Tell which of both it is; fails for what is neither."""
    state = await store.load(NAME)
    assert state is not None
    assert state.facts is not None
    found = (
        state.facts.serial,
        state.rollover,
        await store.load_pair(NAME),
        await store.load_next_pair(NAME),
        (state.version, await store.read_version()),
    )
    if found == (FACTS.serial, None, PAIR, None, (1, 1)):
        return False
    assert found == ("5", ISSUED, NEW, NEXT, (2, 2))
    return True


CHILD = """
import asyncio, os, shutil, signal, sys
from pathlib import Path
from letterlock.storage.sqlite.certificates import SqliteCertificates
from letterlock.storage.sqlite.node import NodeDatabase
from tests.fakes import FakeClock
from tests.storage.test_certificate_crashes import change

class Dying(NodeDatabase):
    left = None

    def _connect(self):
        connection = super()._connect()
        connection.exec_trace = self.trace
        return connection

    def trace(self, cursor, statement, bindings):
        if self.left is not None:
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.left -= 1
        return True

async def main(path, left):
    database = Dying(path, FakeClock())
    store = SqliteCertificates(database)
    await store.open()
    database.left = left
    await change(store)

prepared = Path(sys.argv[1])
for number in range(100):
    path = prepared.with_name(f"{number}.sqlite")
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


async def test_a_kill_before_any_statement_leaves_all_or_nothing(
    tmp_path: Path, clock: FakeClock
) -> None:
    prepared = tmp_path / "prepared.sqlite"
    nodes = sqlite_node(prepared, clock)
    await nodes.certificates.open()
    await add(nodes.certificates)
    await nodes.certificates.close()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CHILD, str(prepared)),
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        output, _ = await child.communicate()
    codes = [int(line) for line in output.split()]
    # The lease is taken in three statements before: BEGIN, the claim, COMMIT.
    assert len(codes) > 3 + STATEMENTS
    assert codes == [-signal.SIGKILL] * (len(codes) - 1) + [0]
    for number, code in enumerate(codes):
        nodes = sqlite_node(tmp_path / f"{number}.sqlite", clock)
        await nodes.certificates.open()
        assert await is_changed(nodes.certificates) is (code == 0)
        await nodes.certificates.close()


class CutConnection:
    """Breaks off before its n-th statement."""

    def __init__(self, connection: Any, left: int) -> None:
        self._connection = connection
        self._left = left

    def _count(self) -> None:
        if self._left == 0:
            self._connection.terminate()
        self._left -= 1

    async def execute(self, *arguments: object) -> Any:
        self._count()
        return await self._connection.execute(*arguments)

    async def fetchval(self, *arguments: object) -> Any:
        self._count()
        return await self._connection.fetchval(*arguments)


class CutDatabase(NodeDatabase):
    left = 0

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        cut = self.left

        async def do(connection: Connection) -> T:
            return await work(CutConnection(connection, cut))  # type: ignore[arg-type] # the part used

        return await super().run(do)


@pytest.mark.peer("postgresql")
async def test_a_connection_lost_before_any_statement_leaves_all_or_nothing(
    node_schema: str, clock: FakeClock
) -> None:
    cuts = 0
    while True:
        dsn = await emptied_node(node_schema)
        nodes = postgres_node(dsn, clock)
        await nodes.certificates.open()
        await add(nodes.certificates)
        database = CutDatabase(dsn, "node2", clock)
        database.left = cuts
        store = PostgresCertificates(database)
        await store.open()
        try:
            await change(store)
        except StoreUnavailable:
            cuts += 1
        else:
            assert await is_changed(nodes.certificates)
            break
        finally:
            await store.close()
        assert not await is_changed(nodes.certificates)
        late = START + MINUTE
        assert await nodes.certificates.claim(NAME, late, late + MINUTE) is not None
        await nodes.certificates.close()
    await nodes.certificates.close()
    assert cuts >= STATEMENTS


async def test_keys_are_readable_by_the_service_alone(tmp_path: Path, clock: FakeClock) -> None:
    """The database, and what SQLite keeps beside it while it is open."""
    nodes = sqlite_node(tmp_path / "data" / "node.sqlite", clock)
    await nodes.certificates.open()
    await add(nodes.certificates)
    files = list((tmp_path / "data").iterdir())
    modes = {path.name: path.stat().st_mode & 0o777 for path in files}
    assert set(modes) >= {"node.sqlite", "node.sqlite-wal", "node.sqlite-shm"}
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    await nodes.certificates.close()
