"""A queue of a million messages: what it costs is as with a thousand, and what a node needs for it.

Both queues are measured in turn, so that whatever else the machine does is in both; the lower
quartile of many rounds is compared. `make proof ARGS='tests/proof/test_scale.py -s'` prints it.
SCALE_MESSAGES is how many.
"""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from statistics import quantiles
from typing import TypeVar

import pytest

from letterlock.storage.postgres.queue import PostgresQueue
from letterlock.storage.queue import (
    AttemptRecord,
    Claim,
    QueueStore,
    RecipientResult,
    RecipientState,
    Settlement,
)
from letterlock.storage.sqlite.queue import SqliteQueue
from tests.journeys.running_node import NodeFiles, running
from tests.programs import command_environment
from tests.proof.large_queue import (
    CLOCK,
    fill_postgres,
    fill_sqlite,
    make_deferred,
    make_message,
)
from tests.storage.postgres_server import PostgresServer

MANY = int(os.environ.get("SCALE_MESSAGES", "1000000"))
FEW = 1000
DESTINATIONS = 10_000
AT_ONCE = 20
"""Messages that come, are claimed and settled together: as with twenty sessions."""
ROUNDS = 60
MOST_RATIO = 1.5
START_SECONDS = 2.0
RSS_BYTES = 200 * 10**6
ENGINES = ["sqlite", pytest.param("postgres", marks=pytest.mark.peer("postgresql"))]

pytestmark = pytest.mark.proof
T = TypeVar("T")


@dataclass
class Costs:
    """Seconds of each step, by the queue's size: on the wall, and of this process's CPU."""

    wall: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    async def measure(self, step: str, work: Awaitable[T]) -> T:
        wall, cpu = time.perf_counter(), time.process_time()
        result = await work
        self.wall[step].append(time.perf_counter() - wall)
        self.cpu[step].append(time.process_time() - cpu)
        return result


def quartile(seconds: list[float]) -> float:
    return quantiles(seconds, n=4)[0]


def settlement(claim: Claim) -> Settlement:
    results = tuple(
        RecipientResult(each.number, RecipientState.DELIVERED, "2.0.0", "250 2.0.0 Ok")
        for each in claim.recipients
    )
    story = {"dialogue": ["> MAIL FROM:<alice@example.org>", "< 250 2.1.0 Ok"] * 5}
    attempt = AttemptRecord(CLOCK.now(), timedelta(seconds=1), "mx[192.0.2.1]:25", "sent", story)
    return Settlement(claim, results, (attempt,))


async def flow(store: QueueStore, costs: Costs, turn: int) -> None:
    """Let new mail through, and look at the queue."""
    messages = [
        make_message(f"d{(turn * AT_ONCE + number) * 37 % DESTINATIONS}.example")
        for number in range(AT_ONCE)
    ]
    await costs.measure("save", asyncio.gather(*map(store.save, messages)))
    claims = await costs.measure(
        "claim", store.claim(CLOCK.now(), limit=AT_ONCE, lease=timedelta(minutes=15))
    )
    assert {claim.queue_id for claim in claims} == {message.queue_id for message in messages}
    await costs.measure("settle", asyncio.gather(*map(store.settle, map(settlement, claims))))
    await costs.measure("next_due", store.next_due())
    await costs.measure("list", store.list_messages(limit=100))


async def measure(small: QueueStore, large: QueueStore) -> tuple[Costs, Costs]:
    few, many = Costs(), Costs()
    for turn in range(ROUNDS):
        await flow(small, few, turn)
        await flow(large, many, turn)
        if turn % 6 == 0:
            await few.measure("count", small.count())
            await many.measure("count", large.count())
    return few, many


def report(engine: str, few: Costs, many: Costs) -> dict[str, tuple[float, float]]:
    """Print what was measured; gives the ratios by step."""
    ratios = {}
    for step in few.wall:
        wall = (quartile(few.wall[step]), quartile(many.wall[step]))
        cpu = (quartile(few.cpu[step]), quartile(many.cpu[step]))
        ratios[step] = (wall[1] / wall[0], cpu[1] / cpu[0])
        print(  # noqa: T201 - it is what was measured
            f"\n{engine:9} {step:9} {FEW}: {wall[0] * 1e6:8.0f} us, CPU {cpu[0] * 1e6:7.0f}   "
            f"{MANY}: {wall[1] * 1e6:8.0f} us, CPU {cpu[1] * 1e6:7.0f}   "
            f"ratio {ratios[step][0]:.2f}, CPU {ratios[step][1]:.2f}",
            end="",
        )
    return ratios


@asynccontextmanager
async def opened(*stores: QueueStore) -> AsyncIterator[None]:
    for store in stores:
        await store.open()
    try:
        yield
    finally:
        for store in stores:
            await store.close()


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a node's queue with many messages."""
    path = tmp_path_factory.mktemp("large") / "data" / "queue" / "shard-000.db"
    asyncio.run(fill_sqlite(path, make_deferred(MANY, DESTINATIONS)))
    return path


async def test_mail_flows_past_a_million_messages_in_sqlite(shard: Path, tmp_path: Path) -> None:
    await fill_sqlite(tmp_path / "small.db", make_deferred(FEW, DESTINATIONS))
    small, large = SqliteQueue(tmp_path / "small.db", CLOCK), SqliteQueue(shard, CLOCK)
    async with opened(small, large):
        few, many = await measure(small, large)
    ratios = report("sqlite", few, many)
    assert max(ratios["save"]) <= MOST_RATIO
    assert max(ratios["claim"]) <= MOST_RATIO
    assert max(ratios["settle"]) <= MOST_RATIO
    for step in ("next_due", "list", "count"):
        assert ratios[step][1] <= MOST_RATIO, step


@pytest.mark.peer("postgresql")
async def test_mail_flows_past_a_million_messages_in_postgresql(postgres: PostgresServer) -> None:
    names = postgres.create_schema(), postgres.create_schema()
    await fill_postgres(names[0], make_deferred(FEW, DESTINATIONS))
    await fill_postgres(names[1], make_deferred(MANY, DESTINATIONS))
    small, large = (PostgresQueue(name, "node", CLOCK) for name in names)
    async with opened(small, large):
        few, many = await measure(small, large)
    ratios = report("postgres", few, many)
    for step, (wall, _) in ratios.items():
        assert wall <= MOST_RATIO, step


def peak_rss(pid: int) -> int:
    """Give the most octets that a process had in memory."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def test_a_node_starts_quickly_and_stays_small(shard: Path, tmp_path: Path) -> None:
    files = NodeFiles(shard.parent.parent.parent)
    usual = start_seconds(NodeFiles(tmp_path))
    seconds = start_seconds(files)
    with running(files, environment={}) as node:  # its memory is measured
        for _ in range(20):
            node.wait_delivered(node.send())
        status, status_seconds = timed(lambda: files.command("status", "--json"))
        assert status.document["queue"]["messages"] >= MANY
        sizes = [peak_rss(pid) for pid in (node.process.pid, *node.worker_pids())]
    listing, listing_seconds, listing_bytes = run_measured(files, "queue", "list")
    print(  # noqa: T201 - it is what was measured
        f"\nnode with {MANY} messages: greets after {seconds:.2f} s, without any after "
        f"{usual:.2f} s; processes of {[size // 10**6 for size in sizes]} MB; "
        f"status in {status_seconds:.2f} s; queue list of {listing} lines in "
        f"{listing_seconds:.0f} s and {listing_bytes // 10**6} MB"
    )
    # Where the start alone takes longer, the machine has other work.
    assert seconds < max(START_SECONDS, MOST_RATIO * usual)
    assert max(sizes) < RSS_BYTES
    assert listing_bytes < RSS_BYTES
    assert status_seconds < max(START_SECONDS, MOST_RATIO * usual)


def start_seconds(files: NodeFiles) -> float:
    """Give how long a node takes to greet a client, the best of three starts."""
    found = []
    for _ in range(3):
        began = time.monotonic()
        with running(files):
            found.append(time.monotonic() - began)
    return min(found)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.monotonic()
    return work(), time.monotonic() - began


# What a program is started from counts as its memory too (Linux, `ru_maxrss`): here, not pytest.
_MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""


def run_measured(files: NodeFiles, *arguments: str) -> tuple[int, float, int]:
    """Run a command; gives its lines, seconds, and the most octets it had in memory."""
    began = time.monotonic()
    command = [sys.executable, "-m", "letterlock", *arguments, "--config", str(files.config)]
    with subprocess.Popen(
        [sys.executable, "-c", _MEASURE, *command],
        env=command_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = sum(1 for _ in process.stdout)
        said = process.stderr.read().split()
    assert process.returncode == 0, said
    return lines, time.monotonic() - began, int(said[-1]) * 1024
