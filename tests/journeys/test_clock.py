"""A node under a clock that is set: nothing is lost or doubled, mail that waits goes on.

And what time does to clients that use it up.
"""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode, started

NODE_WITH_CLOCK = """
import sys
import time
from datetime import timedelta
from pathlib import Path
from letterlock.base.clock import SystemClock

right, offsets = SystemClock().now, Path(sys.argv.pop(1))
wall, monotonic = lambda: float(offsets.read_text().split()[0]), time.monotonic
SystemClock.now = lambda clock: right() + timedelta(seconds=wall())
SystemClock.monotonic = lambda clock: monotonic() + float(offsets.read_text().split()[1])

from letterlock.cli.root import main

sys.exit(main())
"""
AWAY = "carol@away.example"


class SetClock:
    """The clocks of a node's processes, as far as they are wrong."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._passed = timedelta()
        self.set(timedelta())

    def set(self, offset: timedelta) -> None:
        """Set the wall clock."""
        # Renamed into place: the node reads it at any moment.
        new = self.file.with_suffix(".new")
        new.write_text(f"{offset.total_seconds()} {self._passed.total_seconds()}")
        new.rename(self.file)

    def let_pass(self, seconds: float) -> None:
        """Let time pass, on both clocks."""
        self._passed += timedelta(seconds=seconds)
        self.set(self._passed)


@contextmanager
def running_with_clock(folder: Path) -> Iterator[tuple[RunningNode, SetClock]]:
    clock = SetClock(folder / "offset")
    files = NodeFiles(folder / "node")
    # Nobody listens there: mail for it waits for an hour.
    files.change("deliver", routes={"away.example": "[127.0.0.1]:9"})
    files.change("queue", retry_min="1h", retry_max="1h")
    files.write()
    command = [sys.executable, "-c", NODE_WITH_CLOCK, str(clock.file)]
    with started(files, [*command, "serve", "--config", str(files.config)]) as node:
        yield node, clock


def deliver_another(node: RunningNode) -> str:
    """Send what is delivered at once; it wakes the queue. Gives its line of the log."""
    queue_id = node.send()
    line = node.wait_log(rf".*{queue_id}: to=<.*status=sent.*").group()
    node.wait_settled(queue_id)
    return line


def wait_attempts(node: RunningNode, queue_id: str, count: int) -> None:
    node.wait_log(rf"{queue_id}: to=<{AWAY}>.*status=deferred", count=count)
    node.wait_settled(queue_id)


def test_a_clock_set_back_delays_what_waits_and_nothing_else(tmp_path: Path) -> None:
    with running_with_clock(tmp_path) as (node, clock):
        clock.set(timedelta(hours=3))
        queue_id = node.send(to=AWAY)
        wait_attempts(node, queue_id, 1)
        clock.set(timedelta(0))
        # Received "before" it was sent: no delay is negative.
        line = deliver_another(node)
        assert 0 <= float(line.partition("delay=")[2].partition(",")[0]) < 60
        (waiting,) = node.files.command("queue", "list", "--json").document["messages"]
        assert waiting["id"] == queue_id
        # The operator need not wait for it.
        assert node.files.command("queue", "retry", queue_id, "--json").document["changed"] == 1
        wait_attempts(node, queue_id, 2)
        clock.set(timedelta(hours=5))
        deliver_another(node)
        wait_attempts(node, queue_id, 3)
        assert len(node.files.mails()) == 2
        assert "Traceback" not in node.log


def test_a_clock_set_back_by_years_holds_nothing(tmp_path: Path) -> None:
    """What lies further ahead than any message can live is due."""
    with running_with_clock(tmp_path) as (node, clock):
        clock.set(timedelta(days=3650))
        queue_id = node.send(to=AWAY)
        wait_attempts(node, queue_id, 1)
        clock.set(timedelta(0))
        deliver_another(node)
        wait_attempts(node, queue_id, 2)
        deliver_another(node)
        assert len(node.files.mails()) == 2


def test_a_clock_set_forward_makes_what_waits_due_and_ends_lifetimes(tmp_path: Path) -> None:
    """RFC 5321 §6.1: whoever's message is given up is told."""
    with running_with_clock(tmp_path) as (node, clock):
        queue_id = node.send(to=AWAY, sender="alice@example.org")
        wait_attempts(node, queue_id, 1)
        clock.set(timedelta(hours=2))
        deliver_another(node)
        wait_attempts(node, queue_id, 2)
        clock.set(timedelta(days=6))
        deliver_another(node)
        node.wait_log(rf"{queue_id}: to=<{AWAY}>.*status=expired, returned to sender")
        bounce = node.wait_log(rf"{queue_id}: sender non-delivery notification: (\w+)")[1]
        node.wait_delivered(bounce)
        assert len(node.files.mails()) == 3


def test_a_client_that_sends_an_octet_at_a_time_is_sent_away(tmp_path: Path) -> None:
    """In a message, by `min_bytes_per_second`; in a command, by `idle_timeout`. RFC 5321 §3.8."""
    with running_with_clock(tmp_path) as (node, clock), connect(node) as slow:
        slow.sendall(b"EHLO client.example\r\n")
        while b"\r\n250 " not in b"\r\n" + slow.recv(4096):
            continue
        say(slow, b"MAIL FROM:<bob@example.net>\r\n", b"250")
        say(slow, b"RCPT TO:<alice@example.org>\r\n", b"250")
        say(slow, b"DATA\r\n", b"354")
        for octet in b"Subject: slow":
            slow.sendall(bytes([octet]))
            clock.let_pass(1)
        assert "message came too slowly" not in node.log
        with connect(node) as idle:
            clock.let_pass(30)
            assert slow.recv(100).startswith(b"421 4.4.2 ")
            node.wait_log("message came too slowly from")
            for octet in b"EHLO":
                idle.sendall(bytes([octet]))
                clock.let_pass(100)
            assert idle.recv(100).startswith(b"421 4.4.2 ")
        deliver_another(node)
        assert len(node.files.mails()) == 1


def connect(node: RunningNode) -> socket.socket:
    connection = socket.create_connection((node.files.host, node.port), PATIENCE)
    assert connection.recv(100).startswith(b"220 ")
    return connection


def say(connection: socket.socket, octets: bytes, answer: bytes) -> None:
    connection.sendall(octets)
    assert connection.recv(100).startswith(answer)
