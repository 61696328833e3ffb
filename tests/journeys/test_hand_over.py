"""Clients that connect all the time while workers are replaced: none is refused, none is dropped.

The listening sockets outlive the workers, so a connection that no worker has accepted yet waits in
the backlog for the next. A session that is open when its worker is told to stop hears 421
(RFC 5321 §3.8), and comes again.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode, running, started

CLIENTS = 6
WORKERS = 2

_CALL = (
    (b"", b"220"),
    (b"EHLO client.example\r\n", b"250"),
    (b"MAIL FROM:<bob@example.net>\r\n", b"250"),
    (b"RCPT TO:<alice@example.org>\r\n", b"250"),
    (b"DATA\r\n", b"354"),
    (b"Subject: a\r\n\r\nhello\r\n.\r\n", b"250"),
    (b"QUIT\r\n", b"221"),
)


@dataclass
class Callers:
    """Threads that connect, hand one message over and leave, one after the other.

    Each waits for a reply for as long as `PATIENCE`: then its call is lost.
    """

    port: int
    taken: int = 0
    told_to_come_back: int = 0
    lost: list[str] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _is_over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def wait_taken(self, more: int) -> None:
        with self._changed:
            goal = self.taken + more
            assert self._changed.wait_for(lambda: self.taken >= goal or self.lost, PATIENCE)

    @contextmanager
    def calling(self) -> Iterator["Callers"]:
        for _ in range(CLIENTS):
            thread = threading.Thread(target=self._run, daemon=True)
            thread.start()
            self._threads.append(thread)
        try:
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        """Let each end its call."""
        self._is_over.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _run(self) -> None:
        while not self._is_over.is_set():
            end = self._call()
            with self._changed:
                if end is None:
                    self.taken += 1
                elif end == "421":
                    self.told_to_come_back += 1
                else:
                    self.lost.append(end)
                self._changed.notify_all()

    def _call(self) -> str | None:
        """Make one call; None when its message was taken, else how it ended."""
        step = b"connect"
        try:
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as client:
                file = client.makefile("rb")
                for step, expected in _CALL:
                    client.sendall(step)
                    code = _read_code(file)
                    if code != expected:
                        return "421" if code == b"421" else f"{step!r}: {code!r}"
        except OSError as error:
            return f"{step!r}: {error!r}"
        return None


def _read_code(file: BinaryIO) -> bytes:
    """Read a reply; empty when the connection ended before."""
    while (line := file.readline(1000))[3:4] == b"-":
        pass
    return line[:3]


def make_files(folder: Path) -> NodeFiles:
    files = NodeFiles(folder)
    files.change("node", workers=WORKERS)
    return files


def wait_replaced(node: RunningNode, gone: Collection[int]) -> None:
    """Wait until these workers have ended, also those that drained, and others are there."""

    def are_replaced() -> bool:
        workers = set(node.worker_pids())
        return workers.isdisjoint(gone) and len(workers) == WORKERS

    node.wait_for(are_replaced, f"the end of {gone}, and others")


def reload(node: RunningNode) -> None:
    """Replace all workers."""
    before = node.worker_pids()
    node.reload()
    wait_replaced(node, before)


def end_one_worker(node: RunningNode) -> None:
    victim = node.worker_pids()[0]
    os.kill(victim, signal.SIGTERM)
    wait_replaced(node, [victim])


ROUNDS = [2, pytest.param(20, marks=pytest.mark.proof)]


@pytest.mark.parametrize("rounds", ROUNDS)
def test_a_reload_loses_no_connection_and_no_session(rounds: int, tmp_path: Path) -> None:
    with running(make_files(tmp_path)) as node, Callers(node.port).calling() as callers:
        callers.wait_taken(CLIENTS)
        for _ in range(rounds):
            reload(node)
            callers.wait_taken(3 * CLIENTS)
    assert callers.lost == [], node.log
    assert callers.told_to_come_back == 0


@pytest.mark.parametrize("rounds", ROUNDS)
def test_the_end_of_a_worker_loses_no_connection(rounds: int, tmp_path: Path) -> None:
    with running(make_files(tmp_path)) as node, Callers(node.port).calling() as callers:
        for _ in range(rounds):
            callers.wait_taken(3 * CLIENTS)
            end_one_worker(node)
            # A second end in a row would leave its place empty for a while.
            reload(node)
            callers.wait_taken(3 * CLIENTS)
    assert callers.lost == [], node.log
    assert callers.told_to_come_back <= rounds * CLIENTS


@pytest.mark.parametrize("rounds", ROUNDS)
def test_an_upgrade_behind_a_socket_of_systemd_loses_no_connection(
    rounds: int, tmp_path: Path
) -> None:
    """sd_listen_fds(3): the socket is there from before the first node to after the last."""
    files = make_files(tmp_path)
    files.write()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        # LISTEN_PID must be the process itself: a shell puts in its own, and becomes it.
        shell = 'exec 3<&"$0" && LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
        command = ["/bin/bash", "-c", shell, str(listener.fileno())]
        command += [sys.executable, "-m", "letterlock", "serve", "--config", str(files.config)]
        with Callers(listener.getsockname()[1]).calling() as callers:
            for _ in range(rounds):
                with started(files, command, pass_fds=[listener.fileno()]) as node:
                    callers.wait_taken(3 * CLIENTS)
                    assert node.stop() == 0
            with started(files, command, pass_fds=[listener.fileno()]):
                callers.wait_taken(3 * CLIENTS)
                callers.stop()
    assert callers.lost == []
    # Two workers end, one after the other: both may tell the same client.
    assert callers.told_to_come_back <= (rounds + 1) * CLIENTS * 2
