"""Ends, wished and not: what was answered 250 is delivered, and nothing is left behind."""

import os
import signal
import smtplib
import socket
import sys
import threading
from pathlib import Path

from tests.journeys.running_node import (
    PATIENCE,
    Client,
    NodeFiles,
    RunningNode,
    mx_certificate,
    running,
    started,
)

BODY = "Subject: load\n\n" + "x" * 70 + "\n"
PATIENT_NODE = """
import sys
from letterlock.network import smtp_server
smtp_server.END_SECONDS = 600.0
from letterlock.cli.root import main
sys.exit(main())
"""
"""It would wait longer than a test for clients that do not close."""


class Load:
    """Clients that hand in one message after another, and note what was answered 250."""

    def __init__(self, node: RunningNode, clients: int) -> None:
        self._node = node
        self._stop = threading.Event()
        self.taken: list[str] = []
        self._enough = threading.Condition()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def wait_taken(self, count: int) -> None:
        with self._enough:
            assert self._enough.wait_for(lambda: len(self.taken) >= count, PATIENCE)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._node.client() as client:
                    self._talk(client)
            except (OSError, smtplib.SMTPException):
                continue  # the worker was killed: this message was not answered

    def _talk(self, client: Client) -> None:
        while not self._stop.is_set():
            queue_id = client.deliver("bob@example.net", ["alice@example.org"], BODY)
            with self._enough:
                self.taken.append(queue_id)
                self._enough.notify_all()


def delivered_ids(files: NodeFiles) -> list[str]:
    """Give the queue ids in the Received lines of what is in the mailbox."""
    return [
        line.split(" id ")[1].split()[0].rstrip(";")
        for mail in files.mails()
        for line in mail.splitlines()
        if " id " in line
    ]


def is_queue_empty(files: NodeFiles) -> bool:
    messages: list[object] = files.command("queue", "list", "--json").document["messages"]
    return not messages


def wait_all_delivered(node: RunningNode, taken: list[str]) -> list[str]:
    node.wait_for(lambda: set(taken) <= set(delivered_ids(node.files)), "what was taken")
    return delivered_ids(node.files)


def test_sigterm_lets_go_of_everything_in_time(tmp_path: Path) -> None:
    """RFC 5321 §3.8: 421 to those who are connected; what had its 250 is kept."""
    files = NodeFiles(tmp_path)
    files.add_certificate(mx_certificate())
    files.change("node", workers=2)
    files.write()
    patient = [sys.executable, "-c", PATIENT_NODE, "serve", "--config", str(files.config)]
    with started(files, patient) as node:
        idle, under_tls, in_data = node.client(), node.client(), node.client()
        idle.ehlo()
        under_tls.start()
        under_tls.ehlo()
        in_data.begin("bob@example.net", ["alice@example.org"])
        assert in_data.docmd("DATA")[0] == 354
        in_data.send(b"Subject: half\r\n\r\nno end to")
        queue_id = node.send()
        pids = [node.process.pid, *node.worker_pids()]
        assert node.stop() == 0, "clients that don't close are not waited for"
        for client in (idle, under_tls, in_data):
            assert client.getreply()[0] == 421
            client.close()
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    with running(files) as node:
        wait_all_delivered(node, [queue_id])
    assert len(files.mails()) == 1, "half a message is none"


def test_a_killed_worker_is_replaced_and_loses_nothing(tmp_path: Path) -> None:
    """RFC 5321 §6.1; a message may come twice when it was delivered and not yet settled."""
    files = NodeFiles(tmp_path)
    files.change("node", workers=2)
    with running(files) as node:
        load = Load(node, 4)
        for _ in range(2):
            load.wait_taken(len(load.taken) + 30)
            victim = node.worker_pids()[0]
            os.kill(victim, signal.SIGKILL)
            node.wait_log(rf"process {victim}\) ended with -9; its mail is kept")
        load.wait_taken(len(load.taken) + 30)
        load.stop()
        found = wait_all_delivered(node, load.taken)
        node.wait_for(lambda: is_queue_empty(files), "the end of the queue")
        node.wait_for(lambda: len(node.worker_pids()) == 2, "the second worker")
        # Each kill may double what was just then between the mailbox and the commit.
        assert len(found) - len(set(found)) <= 2 * 100
        clients = files.command("status", "--json").document["clients"]
        assert clients["messages"] >= len(load.taken) - 2
    assert files.command("status", "--json").document["queue"]["messages"] == 0


def test_workers_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    """The pipe ends with it: they finish, the locks are free, and a restart delivers."""
    files = NodeFiles(tmp_path)
    files.change("node", workers=2)
    held = "4"
    with running(files) as node:
        queue_id = node.send()
        node.wait_delivered(queue_id)
        held = node.send()
        node.stop(signal.SIGKILL)
        assert node.process.returncode == -signal.SIGKILL
    with running(files) as node:
        wait_all_delivered(node, [queue_id, held])
        assert node.stop() == 0


def client_of_another(node: RunningNode, workers: set[int]) -> Client:
    """Connect until a worker takes it that is none of these: those may not have heard yet."""
    while True:
        since = len(node.lines)
        client = node.client()
        if int(node.wait_log(r"smtpd\[(\d+)\]: connect from", since=since)[1]) not in workers:
            return client
        client.quit()
        node.wait_log("disconnect from", since=since)


def test_many_reloads_keep_the_limits_of_clients_right(tmp_path: Path) -> None:
    """A worker that drains and the one after it do not share their counts."""
    files = NodeFiles(tmp_path)
    files.change("receive", max_connections_per_client=4)
    with running(files) as node:
        old = [node.client() for _ in range(2)]
        workers = set(node.worker_pids())
        node.reload()
        node.wait_for(lambda: bool(set(node.worker_pids()) - workers), "a new worker")
        new = [client_of_another(node, workers) for _ in range(2)]
        since = len(node.lines)
        for client in old:
            client.quit()
        node.wait_log("disconnect from", since=since, count=2)
        node.wait_for(lambda: not workers & set(node.worker_pids()), "the end of the old worker")
        more = [node.client() for _ in range(2)]
        with socket.create_connection((files.host, node.port), PATIENCE) as fifth:
            assert fifth.recv(512).startswith(b"421 4.7.0 ")
        for client in (*new, *more):
            client.quit()
