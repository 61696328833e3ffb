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
from tests.journeys.running_node import PATIENCE, NodeFiles, RunningNode, running

DESCRIPTORS = 100
IDLE = 10_000


def limit_descriptors() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


def make_files(folder: Path) -> NodeFiles:
    files = NodeFiles(folder)
    limits = ("max_connections", "max_connections_per_client", "max_connection_rate_per_client")
    files.change("receive", **dict.fromkeys(limits, 100_000))
    # They open files of their own now and then: what is counted here is clients' and the queue's.
    files.change("send", enabled=False)
    files.change("dkim", enabled=False)
    return files


@contextmanager
def idle_connections(node: RunningNode, count: int) -> Iterator[list[socket.socket]]:
    """Hold connections that say nothing."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection((node.files.host, node.port), PATIENCE))
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


def test_clients_leave_descriptors_for_everything_else(tmp_path: Path) -> None:
    """Those that are too many hear it (RFC 5321 §3.8: 421); what was taken is still delivered."""
    files = make_files(tmp_path)
    files.change("deliver", routes={"away.example": "[127.0.0.1]:9"})
    with running(files, preexec_fn=limit_descriptors) as node, node.client() as first:
        (worker,) = node.worker_pids()
        first.ehlo()
        with idle_connections(node, 2 * DESCRIPTORS) as clients:
            greetings = [client.recv(100)[:10] for client in clients]
            taken = greetings.count(b"220 mx.exa")
            assert DESCRIPTORS // 4 < taken < DESCRIPTORS // 2
            assert greetings[:taken] == [b"220 mx.exa"] * taken
            assert set(greetings[taken:]) == {b"421 4.3.2 "}
            # Those that were refused hold nothing, though they have not closed.
            node.wait_for(lambda: count_descriptors(worker) < DESCRIPTORS - 10, "room")
            text = "Subject: large\n\n" + ("y" * 70 + "\n") * 40_000
            node.wait_delivered(first.deliver("bob@example.net", ["alice@example.org"], text))
            queue_id = first.deliver("bob@example.net", ["carol@away.example"], "Subject: out\n\n")
            node.wait_log(rf"{queue_id}: to=<.*Connection refused")
            status = files.command("status", "--json").document
            assert status["clients"]["refused"] >= DESCRIPTORS
            assert any("raise the limit of open files" in each for each in status["problems"])
        node.wait_for(lambda: is_taken(node), "a message taken")
        assert node.worker_pids() == [worker]
        assert "Too many open files" not in node.log
        assert "Traceback" not in node.log


def test_a_worker_that_has_no_descriptor_at_all_goes_on(tmp_path: Path) -> None:
    """Others than clients took them: nothing ends, nothing spins, and later mail is taken."""
    with running(make_files(tmp_path)) as node:
        (worker,) = node.worker_pids()
        usual = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        with node.client() as client:
            client.ehlo()
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (count_descriptors(worker), usual[1]))
            with idle_connections(node, DESCRIPTORS) as clients:
                # libuv takes and closes them: they come again later (RFC 5321 §4.5.4.1). Low
                # numbers that were free are used first.
                greetings = [client.recv(4) for client in clients]
                assert greetings.count(b"") > DESCRIPTORS // 2
                assert set(greetings) <= {b"", b"220 "}
                os.kill(worker, LOOK_AROUND)
                node.wait_log(r"the queue cannot be used now: .*Too many open files")
                before = cpu_seconds(worker)
                codes = [client.noop()[0] for _ in range(20)]
                assert codes == [250] * 20
                assert cpu_seconds(worker) - before < 1
            resource.prlimit(worker, resource.RLIMIT_NOFILE, usual)
        node.wait_for(lambda: is_taken(node), "a message taken")
        assert node.worker_pids() == [worker]
        assert "Traceback" not in node.log


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.proof
def test_ten_thousand_idle_connections_leave_room_for_mail(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * IDLE:
        pytest.skip(f"only {hard} descriptors may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, IDLE + 1000), hard))
    with running(make_files(tmp_path)) as node, idle_connections(node, IDLE) as clients:
        assert {client.recv(4) for client in clients} == {b"220 "}
        assert is_taken(node)
