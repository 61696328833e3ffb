"""A node whose queue is in PostgreSQL."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journeys.running_node import Client, NodeFiles, running
from tests.peers import require_peer
from tests.storage.postgres_server import PostgresServer, postgres_server


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    require_peer("postgresql")
    with postgres_server() as server:
        yield server


def node_files(folder: Path, server: PostgresServer) -> NodeFiles:
    files = NodeFiles(folder)
    files.change("queue", engine="postgres", url=server.create_schema())
    files.change("node", workers=2)
    return files


@pytest.mark.peer("postgresql")
def test_mail_goes_through_and_a_killed_worker_leaves_none(
    tmp_path: Path, server: PostgresServer
) -> None:
    files = node_files(tmp_path, server)
    with running(files) as node:
        for number in range(4):
            node.wait_delivered(node.send(f"Subject: {number}\n\nhello\n"))
        victim = node.worker_pids()[0]
        os.kill(victim, signal.SIGKILL)
        node.wait_log(rf"process {victim}\) ended with -9")
        node.wait_delivered(node.send("Subject: after\n\nhello\n"))
        status = files.command("status", "--json")
        assert status.document["queue"]["messages"] == 0
        assert status.document["node"]["workers"] == 2
        finished = files.command("queue", "list", "--finished", "--json")
        assert len(finished.document["messages"]) == 5
        assert node.stop() == 0
    assert not list((files.data / "queue").glob("shard-*.db"))


@pytest.mark.peer("postgresql")
def test_the_queue_is_changed_and_the_node_told(tmp_path: Path, server: PostgresServer) -> None:
    files = node_files(tmp_path, server)
    files.hostname, files.domains = "relay.example.net", ("example.net",)
    files.change("policy", hops={"broken.example": {"level": "nonsense"}})
    files.change("deliver", routes={"broken.example": "[127.0.0.9]:9"})
    with running(files) as node:
        queue_id = node.send(to="alice@broken.example")
        node.wait_log(rf"{queue_id}: to=<.*status=deferred")
        since = len(node.lines)
        retried = files.command("queue", "retry", queue_id, "--json")
        assert retried.document["changed"] == 1, retried.error
        node.wait_log(rf"{queue_id}: to=<.*status=deferred", since=since)
        held = files.command("queue", "hold", queue_id, "--json")
        assert held.document["changed"] == 1, held.error
        assert files.command("queue", "delete", queue_id, "--json").document["changed"] == 1


@pytest.mark.peer("postgresql")
def test_a_database_that_is_away_is_451_until_it_is_back(
    tmp_path: Path, server: PostgresServer
) -> None:
    files = node_files(tmp_path, server)
    with running(files) as node:
        node.wait_delivered(node.send())
        server.stop()
        with node.client() as client:
            client.begin("bob@example.net", ["alice@example.org"])
            assert client.data("Subject: now\n\nhello\n")[0] == 451
        server.start()
        with node.client() as client:
            node.wait_for(lambda: is_taken(client), "the database")
        node.wait_log(r"to=<alice@example.org>.*status=sent", count=2)


def is_taken(client: Client) -> bool:
    client.begin("bob@example.net", ["alice@example.org"])
    code: int = client.data("Subject: later\n\nhello\n")[0]
    return code == 250
