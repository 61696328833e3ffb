"""SIGKILL under load: what was answered 250 is delivered, and doubled only where it must be.

A message arrives twice where a process was killed between the receiver's 250 (or the rename into a
Maildir) and our commit of that: RFC 5321 §4.5.4.1 cannot do better, nor can anyone. `make proof`
prints how often that was.
"""

import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.journeys.running_node import NodeFiles, RunningNode
from tests.proof.mail_load import (
    CLOCK,
    LOCAL,
    RELAYED,
    Arrival,
    Senders,
    Sink,
    find_unexplained,
    group,
    make_files,
    read_maildir,
    sink,
)
from tests.storage.postgres_server import PostgresServer

ROUNDS = 50
_SENT = re.compile(r"(\w+): to=<([^>]*)>.* status=sent")
Groups = dict[int, list[Arrival]]
PATIENCE = 180.0
"""Seconds until everything must have arrived, after the last kill."""

ENGINES = ["sqlite", pytest.param("postgres", marks=pytest.mark.peer("postgresql"))]


@dataclass
class Lives:
    """A node that is killed again and again, and the load on it."""

    files: NodeFiles
    sink: Sink
    chance: random.Random
    senders: Senders = field(default_factory=Senders)
    kills: list[float] = field(default_factory=list)
    victims: dict[str, int] = field(default_factory=dict)
    _logged: Counter[tuple[str, str]] = field(default_factory=Counter)
    _node: RunningNode | None = None
    _is_marred: bool = False

    def play(self, rounds: int) -> None:
        """Kill as often, then let everything arrive."""
        self.files.write()
        self.start()
        self.senders.start()
        for _ in range(rounds):
            self.senders.wait_accepted(self.chance.randint(5, 60))
            # Anywhere between two messages, not just after a 250.
            time.sleep(self.chance.random() * 0.05)
            self.kill(self.chance.choice(["worker", "worker", "supervisor", "all"]))
        self.senders.wait_accepted(10)
        self.senders.stop()
        self._wait_arrived()

    @property
    def node(self) -> RunningNode:
        assert self._node is not None
        return self._node

    def start(self) -> None:
        self._node = RunningNode(self.files).wait_ready()
        self._is_marred = False
        self.senders.port = self._node.port

    def kill(self, victim: str) -> None:
        self.victims[victim] = self.victims.get(victim, 0) + 1
        workers = self.node.worker_pids()
        if victim == "worker":
            self._kill_worker(self.chance.choice(workers))
            return
        self._end(self.node.process.pid)
        if victim == "all":
            for pid in workers:
                self._end(pid)
        self.senders.port = None
        self.finish()
        self.start()

    def finish(self) -> None:
        """Let all processes end; keep the log."""
        if self._node is not None:
            node, self._node = self._node, None
            node.stop()
            self._logged.update(_SENT.findall(node.log))

    def count_logged(self, address: str, queue_id: str) -> int:
        """Count the deliveries that the log tells of."""
        return self._logged[queue_id, address]

    def _kill_worker(self, pid: int) -> None:
        if self._is_marred:
            # A second death in a row would leave its place empty for a while.
            self.node.reload()
        self._is_marred = True
        self._end(pid)
        node = self.node
        node.wait_for(lambda: pid not in node.worker_pids(), "the end of a worker")
        node.wait_for(lambda: len(node.worker_pids()) >= 2, "a new worker")

    def _end(self, pid: int) -> None:
        # A worker may have ended by itself, drained.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self.kills.append(CLOCK.now().timestamp())

    def _wait_arrived(self) -> None:
        end = time.monotonic() + PATIENCE
        while not self._is_all_there():
            if time.monotonic() > end:
                return
            time.sleep(0.1)

    def _is_all_there(self) -> bool:
        if set(self.senders.accepted) - {each.number for each in tuple(self.sink.arrivals)}:
            return False
        status = self.files.command("status", "--json").document
        return int(status["queue"]["messages"]) == 0

    def read_mailbox(self) -> list[Arrival]:
        return read_maildir(self.files.data / "mail" / "example.org" / "alice" / "new")

    def report(self, relayed: Groups, local: Groups) -> str:
        doubled = {
            name: sum(len(each) - 1 for each in groups.values())
            for name, groups in (("relayed", relayed), ("in the Maildir", local))
        }
        unanswered = set(relayed) - set(self.senders.accepted)
        return (
            f"{sum(self.victims.values())} kills {self.victims}: {self.senders.sent} sent, "
            f"{len(self.senders.accepted)} answered 250, {len(unanswered)} delivered though their "
            f"client saw no answer, twice: {doubled}"
        )


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """Give a database's DSN; nothing for SQLite."""
    if request.param == "sqlite":
        return ""
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.create_schema()


@pytest.fixture
def lives(tmp_path: Path, url: str) -> Iterator[Lives]:
    seed = int(os.environ.get("PROOF_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
    print(f"PROOF_SEED={seed}")  # noqa: T201 - shown when the test fails
    with sink() as server:
        files = make_files(tmp_path, server.port)
        if url:
            # What a drained worker was killed with waits for the end of its lease.
            files.change("queue", engine="postgres", url=url, lease="1m")
        lives = Lives(files, server, random.Random(seed))
        try:
            yield lives
        finally:
            lives.senders.stop()
            lives.finish()


def check(lives: Lives, rounds: int) -> str:
    """Play, and look at what became of it; gives what was measured."""
    lives.play(rounds)
    lives.finish()
    relayed, local = group(lives.sink.arrivals), group(lives.read_mailbox())
    told = lives.report(relayed, local)
    print(told)  # noqa: T201 - shown when the test fails
    assert lives.sink.faults == []
    accepted = set(lives.senders.accepted)
    assert accepted - set(relayed) == set()
    assert accepted - set(local) == set()
    for groups, address in ((relayed, RELAYED), (local, LOCAL)):
        count_logged = partial(lives.count_logged, address)
        unheard = lives.sink.unheard
        assert find_unexplained(groups, lives.kills, count_logged, unheard) == []
    return told


@pytest.mark.proof
@pytest.mark.parametrize("url", ENGINES, indirect=True)
def test_fifty_kills_lose_nothing(lives: Lives, capsys: pytest.CaptureFixture[str]) -> None:
    """RFC 5321 §4.2.5, §6.1: after 250 the message is ours to deliver."""
    told = check(lives, ROUNDS)
    with capsys.disabled():
        print(f"\n{told}")  # noqa: T201 - it is what was measured


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_few_kills_lose_nothing(lives: Lives) -> None:
    """RFC 5321 §4.2.5, §6.1: after 250 the message is ours to deliver."""
    check(lives, 2)
