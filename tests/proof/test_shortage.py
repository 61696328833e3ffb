"""What runs out or goes wrong around a node: descriptors, connections."""

import os
import resource
import smtplib
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from letterlock.node.supervisor import LOOK_AROUND
from tests.journeys.running_node import NodeFiles, RunningNode, running

DESCRIPTORS = 100
IDLE = 10_000


def limit_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


def make_files(folder: Path) -> NodeFiles:
    files = NodeFiles(folder)
    limits = ("max_connections", "max_connections_per_client", "max_connection_rate_per_client")
    files.change("receive", **dict.fromkeys(limits, 100_000))
    return files


@contextmanager
def idle_connections(node: RunningNode, count: int) -> Iterator[list[socket.socket]]:
    """Hold connections that say nothing."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection((node.files.host, node.port), 20))
            for _ in range(count)
        ]


def is_taken(node: RunningNode) -> bool:
    try:
        node.wait_delivered(node.send())
    except (OSError, smtplib.SMTPException):
        return False
    return True


def count_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_without_descriptors_nothing_ends_and_later_mail_is_taken(tmp_path: Path) -> None:
    """A connection that is not accepted waits or is closed; RFC 5321 §4.5.4.1: it comes again."""
    with running(make_files(tmp_path), preexec_fn=limit_descriptors) as node:
        (worker,) = node.worker_pids()
        with idle_connections(node, 2 * DESCRIPTORS) as clients:
            assert clients[0].recv(4) == b"220 "
            node.wait_for(lambda: count_descriptors(worker) >= DESCRIPTORS - 1, "their use")
            # It looks for mail that others left, as it does every few seconds.
            os.kill(worker, LOOK_AROUND)
            node.wait_log(r"the queue cannot be used now: .*Too many open files")
        node.wait_for(lambda: is_taken(node), "a message taken")
        assert node.worker_pids() == [worker]
        assert "Traceback" not in node.log


@pytest.mark.proof
def test_ten_thousand_idle_connections_leave_room_for_mail(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * IDLE:
        pytest.skip(f"only {hard} descriptors may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, IDLE + 1000), hard))
    with running(make_files(tmp_path)) as node, idle_connections(node, IDLE) as clients:
        assert {client.recv(4) for client in clients} == {b"220 "}
        assert is_taken(node)
