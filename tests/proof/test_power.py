"""Power loss: of what was not synced anything may be gone, of what was answered 250 nothing is.

A worker receives and delivers while everything it does on its disk is recorded; then the power goes
at a random moment of that record, and another worker goes on with what is left.
"""

import asyncio
import os
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from letterlock.base.clock import SystemClock
from letterlock.base.config.load import load_config
from letterlock.base.log import make_stream_log
from letterlock.base.shared_counters import NamedCounters, SharedCounters
from letterlock.node.listeners import Listeners
from letterlock.node.policy import load_policy
from letterlock.node.serving import _make_folders
from letterlock.node.worker import Common, Worker
from letterlock.services.receive.session import COUNTERS
from tests.journeys.running_node import PATIENCE, NodeFiles
from tests.proof.lossy_disk import LossyDisk
from tests.proof.mail_load import LOCAL, Senders, read_maildir

ROUNDS = 50
LOSSES = 4
"""Moments at which the power goes, in what one worker did."""


def make_files(folder: Path) -> NodeFiles:
    files = NodeFiles(folder)
    files.change("receive", max_connection_rate_per_client=100_000)
    files.write()
    return files


def mailbox(files: NodeFiles) -> Path:
    return files.data / "mail" / "example.org" / "alice" / "new"


@asynccontextmanager
async def working(files: NodeFiles) -> AsyncIterator[int]:
    """Run a worker as the node does, in this process; gives its port."""
    config = load_config(files.config)
    _make_folders(config, None)
    clock = SystemClock()
    listeners = Listeners()
    listeners.open(config.receive.listen, 1)
    with (files.folder / "mail.log").open("a") as stream:
        common = Common(
            config=config,
            policy=load_policy(config.policy),
            certificates=None,
            clients=SharedCounters(1, secrets.token_bytes(32)),
            counters=NamedCounters(COUNTERS, 1),
            clock=clock,
            log=make_stream_log(clock, config.hostname, stream=stream),
        )
        worker = Worker(common, 0)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run(listeners.groups[0]))
            yield listeners.addresses[0].port
            worker.stop()
    listeners.close()


async def record(folder: Path, chance: random.Random) -> tuple[LossyDisk, Senders]:
    """Let mail come and go on a disk that is recorded."""
    files = make_files(folder)
    disk = LossyDisk(folder)
    senders = Senders(recipients=(LOCAL,), look=lambda: disk.moment)
    with disk.recording():
        async with working(files) as port:
            senders.port = port
            senders.start()
            try:
                await asyncio.to_thread(senders.wait_accepted, chance.randint(10, 60))
            finally:
                await asyncio.to_thread(senders.stop)
    return disk, senders


async def until(is_so: Callable[[], bool]) -> bool:
    """Wait for what a worker does soon; False when it does not."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.01)
    return True


async def lose_power(
    disk: LossyDisk, senders: Senders, chance: random.Random, into: Path
) -> tuple[int, int]:
    """Lose power, go on; gives how many were answered before, and how many arrived twice."""
    moment = chance.randrange(disk.moment + 1)
    if chance.random() < 0.5:
        # Just behind a 250, when least is done for the message.
        moment = min(chance.choice([*senders.seen.values()]) + chance.randint(0, 5), disk.moment)
    answered = {number for number, seen in senders.seen.items() if seen <= moment}
    disk.lose_power(moment, into, chance)
    files = make_files(into)
    read_maildir(mailbox(files))
    async with working(files):
        is_all_there = await until(lambda: len(list_numbers(files)) >= len(answered))
    arrived = [each.number for each in read_maildir(mailbox(files))]
    assert answered - set(arrived) == set(), f"lost by the power cut at {moment}"
    assert is_all_there
    return len(answered), len(arrived) - len(set(arrived))


def list_numbers(files: NodeFiles) -> set[int]:
    return {each.number for each in read_maildir(mailbox(files))}


async def play(folder: Path, rounds: int) -> str:
    seed = int(os.environ.get("PROOF_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
    print(f"PROOF_SEED={seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    answered = doubled = 0
    for number in range(rounds):
        disk, senders = await record(folder / str(number), chance)
        for loss in range(LOSSES):
            kept, twice = await lose_power(disk, senders, chance, folder / f"{number}-{loss}")
            answered, doubled = answered + kept, doubled + twice
    return (
        f"{rounds * LOSSES} power cuts in {rounds} runs: of {answered} messages answered 250 "
        f"before them none is lost, {doubled} are there twice"
    )


@pytest.mark.proof
async def test_fifty_power_cuts_lose_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 5321 §6.1: a message taken must not be lost because of a crash of the host."""
    told = await play(tmp_path, ROUNDS)
    with capsys.disabled():
        print(f"\n{told}")  # noqa: T201 - it is what was measured


async def test_a_few_power_cuts_lose_nothing(tmp_path: Path) -> None:
    """RFC 5321 §6.1: a message taken must not be lost because of a crash of the host."""
    await play(tmp_path, 1)
