"""Backups of a node under load, with SIGKILL of the node or of the backup at any moment.

What was answered 250 before a backup began, and was not delivered by its end, is delivered by the
node that is restored from it. What was delivered meanwhile may come once more. Mail goes to two
places: one takes all, so that messages are finished and their bodies removed all the time; the
other is away until the node is restored.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.journeys.running_node import NodeFiles, RunningNode, running
from tests.programs import command_environment
from tests.proof.mail_load import RELAYED, Senders, Sink, make_files, sink

ROUNDS = 20
PATIENCE = 120.0
REFUSED = "alice@refused.example"
NUMBERS = 100_000
"""For each round."""
FIRST_REFUSED = 10_000_000
"""Their numbers are above it."""
VICTIMS = ("none", "backup", "worker", "all")


@dataclass
class Told:
    """What became of the rounds."""

    whole: int = 0
    killed: int = 0
    restored: int = 0
    twice: int = 0
    accepted: int = 0
    rounds: dict[str, int] = field(default_factory=dict)


@dataclass
class Rounds:
    """A node under load that is backed up, and killed."""

    folder: Path
    sink: Sink
    chance: random.Random
    told: Told = field(default_factory=Told)
    senders: Senders = field(default_factory=Senders)
    owed: set[int] = field(default_factory=set)
    """What was answered 250 and waits."""
    _node: RunningNode | None = None

    def __post_init__(self) -> None:
        self.files = self.make_files("node", self.sink.port, "[127.0.0.9]:9")
        self.files.write()

    def make_files(self, name: str, port: int, refused: str) -> NodeFiles:
        files = make_files(self.folder / name, port)
        relayed = f"[127.0.0.1]:{port}"
        files.change("deliver", routes={"relayed.example": relayed, "refused.example": refused})
        return files

    @property
    def node(self) -> RunningNode:
        assert self._node is not None
        return self._node

    def start(self) -> None:
        self._node = RunningNode(self.files).wait_ready()
        self.senders.port = self._node.port

    def play(self, number: int) -> None:
        """Back up once under load, while somebody is killed; restore what there is."""
        self.leave_waiting(number)
        self.senders = Senders(recipients=(RELAYED,), sent=number * NUMBERS)
        self.senders.port = self.node.port
        self.senders.start()
        try:
            self.senders.wait_accepted(self.chance.randint(20, 80), PATIENCE)
            archive, before = self.folder / f"{number}.tar", set(self.senders.accepted)
            is_made = self.back_up(archive)
        finally:
            self.senders.stop()
        if is_made:
            before -= {each.number for each in tuple(self.sink.arrivals)}
            self.restore(archive, before | self.owed)
            archive.unlink()
        self.told.accepted += len(self.senders.accepted)

    def leave_waiting(self, number: int) -> None:
        """Leave mail for the place that is away."""
        waiting = Senders(1, recipients=(REFUSED,), sent=FIRST_REFUSED + number * NUMBERS)
        waiting.port = self.node.port
        waiting.start()
        waiting.wait_accepted(self.chance.randint(3, 12), PATIENCE)
        waiting.stop()
        self.owed |= set(waiting.accepted)

    def back_up(self, archive: Path) -> bool:
        """Back up, while somebody is killed; gives whether there is a backup."""
        victim = self.chance.choice(VICTIMS)
        self.told.rounds[victim] = self.told.rounds.get(victim, 0) + 1
        command = [sys.executable, "-m", "letterlock", "backup", str(archive)]
        backup = subprocess.Popen(
            [*command, "--config", str(self.files.config)],
            env=command_environment(),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        if victim != "none":
            # Loading takes a while: anywhere from then on to the end of the work.
            time.sleep(0.4 + self.chance.random() * 1.2)
            self.kill(victim, backup)
        _, error = backup.communicate(timeout=PATIENCE)
        if backup.returncode == 0:
            self.told.whole += 1
            return True
        self.told.killed += 1
        assert backup.returncode == -signal.SIGKILL, error
        # It comes to its place as a whole: one that is there was killed in its last moment.
        return archive.exists()

    def kill(self, victim: str, backup: "subprocess.Popen[str]") -> None:
        pids = {"backup": [backup.pid], "worker": self.node.worker_pids()[:1]}.get(
            victim, [self.node.process.pid, *self.node.worker_pids()]
        )
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if victim == "worker":
            self.node.reload()  # a second death in a row would leave its place empty for a while
        elif victim == "all":
            self.senders.port = None
            self.finish()
            self.start()

    def restore(self, archive: Path, owed: set[int]) -> None:
        """Run a node from the backup until nothing is left; all that is owed must have come."""
        with sink() as server:
            files = self.make_files(archive.stem, server.port, f"[127.0.0.1]:{server.port}")
            files.write()
            restored = files.command("restore", str(archive), timeout=PATIENCE)
            assert restored.code == 0, restored.error
            with running(files) as node:
                assert files.command("queue", "retry", "--all", timeout=PATIENCE).code == 0
                self.wait_empty(node)
            assert server.faults == []
            arrived = [each.number for each in server.arrivals]
        missing = owed - set(arrived)
        assert missing == set(), f"{len(missing)} of {len(owed)} were not delivered"
        self.told.restored += len(owed)
        self.told.twice += len(set(arrived) - owed)

    @staticmethod
    def wait_empty(node: RunningNode) -> None:
        end = time.monotonic() + PATIENCE
        while node.files.command("status", "--json").document["queue"]["messages"]:
            if time.monotonic() > end:
                left = node.files.command("queue", "list").output
                raise AssertionError(f"the restored queue does not run empty\n{left}\n{node.log}")
            time.sleep(0.1)

    def finish(self) -> None:
        if self._node is not None:
            node, self._node = self._node, None
            node.stop()


@pytest.fixture
def rounds(tmp_path: Path) -> Iterator[Rounds]:
    seed = int(os.environ.get("PROOF_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
    print(f"PROOF_SEED={seed}")  # noqa: T201 - shown when the test fails
    with sink() as server:
        rounds = Rounds(tmp_path, server, random.Random(seed))
        try:
            yield rounds
        finally:
            rounds.senders.stop()
            rounds.finish()


@pytest.mark.proof
def test_twenty_backups_under_load_and_kills_lose_nothing(
    rounds: Rounds, capsys: pytest.CaptureFixture[str]
) -> None:
    """RFC 5321 §6.1: what was answered 250 is ours to deliver, from a backup too."""
    rounds.start()
    for number in range(ROUNDS):
        rounds.play(number)
    staged = list((rounds.files.data / "queue" / "bodies").glob(".backup-*"))
    assert len(staged) <= 1  # of the last one, if it was killed
    assert rounds.told.whole > 0
    with capsys.disabled():
        print(f"\n{rounds.told}")  # noqa: T201 - it is what was measured
