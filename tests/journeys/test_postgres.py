"""A node whose queue is in PostgreSQL."""

import os
import re
import signal
import smtplib
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from letterlock.network.control_client import ask_all
from tests.journeys.running_node import Client, NodeFiles, RunningNode, running, started
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


@contextmanager
def away(server: PostgresServer) -> Iterator[None]:
    """Stop the server; at the latest at the end it runs as before."""
    server.stop()
    try:
        yield
    finally:
        server.stop()
        server.start()


def problems(files: NodeFiles) -> list[str]:
    answers = ask_all(files.data / "run" / "control", "status", {}, 10)
    return [problem for answer in answers.answers for problem in answer["problems"]]


def answer_to_message(node: RunningNode) -> int:
    with node.client() as client:
        client.begin("bob@example.net", ["alice@example.org"])
        try:
            return int(client.data("Subject: now\n\nhello\n")[0])
        except smtplib.SMTPDataError as refused:
            return refused.smtp_code


def count_waiting(files: NodeFiles) -> int:
    found: int = files.command("status", "--json").document["queue"]["messages"]
    return found


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
        # A line of the log may be a moment before what it tells of is settled.
        node.wait_for(lambda: count_waiting(files) == 0, "the end of the queue")
        assert files.command("status", "--json").document["node"]["workers"] == 2
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
        node.wait_settled(queue_id)
        since = len(node.lines)
        retried = files.command("queue", "retry", queue_id, "--json")
        assert retried.document["changed"] == 1, retried.error
        node.wait_log(rf"{queue_id}: to=<.*status=deferred", since=since)
        node.wait_settled(queue_id)
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


@pytest.mark.peer("postgresql")
def test_a_database_that_is_away_at_the_start_is_451_until_it_is_back(
    tmp_path: Path, server: PostgresServer
) -> None:
    """Clients are greeted and told to come again; nobody has to start the node once more."""
    files = node_files(tmp_path, server)
    with away(server), running(files) as node:
        assert answer_to_message(node) == 451
        assert any("cannot be used now: PostgreSQL: " in problem for problem in problems(files))
        status = files.command("status")
        assert status.code == 1
        assert re.search(r"^Node +running: .*workers 2$", status.output, re.MULTILINE)
        assert re.search(r"^Queue +cannot be read now", status.output, re.MULTILINE)
        assert "the queue cannot be read: PostgreSQL: " in status.output
        assert files.command("status", "--json").document["queue"] is None
        retried = files.command("queue", "retry", "--all", "--json")
        assert retried.code == 3
        assert "PostgreSQL: " in retried.error
        server.start()
        node.wait_log("the queue is open", count=2)
        node.wait_delivered(node.send())
        # Each worker says once what it meets; a database that is starting is another thing.
        told = [line.partition("/qmgr")[2] for line in node.lines if "cannot be used now" in line]
        assert len(told) >= 2
        assert len(told) == len(set(told))
        assert "Traceback" not in node.log
        node.wait_for(lambda: not any("PostgreSQL" in each for each in problems(files)), "an end")
        assert node.stop() == 0


@pytest.mark.peer("postgresql")
def test_a_node_is_stopped_while_the_database_is_away(
    tmp_path: Path, server: PostgresServer
) -> None:
    files = node_files(tmp_path, server)
    with away(server), running(files) as node:
        assert answer_to_message(node) == 451
        assert node.stop() == 0
        assert "error" not in node.log


@pytest.mark.peer("postgresql")
def test_a_database_that_could_lose_mail_ends_workers_with_one_line(
    tmp_path: Path, server: PostgresServer
) -> None:
    """At the start, and also when it comes back like that."""
    files = node_files(tmp_path, server)
    files.change("node", workers=1)
    line = r"error: worker 0: PostgreSQL has fsync = off: it could lose mail; switch it on"
    with away(server), running(files) as node:
        assert answer_to_message(node) == 451
        server.start("fsync=off")
        node.wait_log(line, count=2)
        assert node.stop() == 0
        assert "Traceback" not in node.log


@pytest.mark.peer("postgresql")
@pytest.mark.parametrize(
    "setting", ["nonsense=on", "sslmode=nonsense", "search_path=none", "role=pg_monitor"]
)
def test_an_address_that_cannot_be_right_ends_workers_with_one_line(
    tmp_path: Path, server: PostgresServer, setting: str
) -> None:
    files = node_files(tmp_path, server)
    files.change("node", workers=1)
    address = f"postgresql://letterlock@/postgres?host={server.folder}&{setting}"
    files.change("queue", url=address)
    files.write()
    node = RunningNode(files)
    try:
        node.wait_log("error: worker 0: PostgreSQL: ")
    finally:
        node.stop()
    assert "Traceback" not in node.log


@pytest.mark.peer("postgresql")
def test_a_new_database_is_tried_before_the_old_one_is_left(
    tmp_path: Path, server: PostgresServer
) -> None:
    files = node_files(tmp_path, server)
    with running(files) as node:
        workers = set(node.worker_pids())
        used = files.settings["queue"]["url"]
        files.change("queue", url=f"postgresql://letterlock@/postgres?host={tmp_path}")
        files.write()
        node.reload()
        node.wait_log(rf"error: reload: {files.config}:\d+:1: queue\.url: PostgreSQL: ")
        node.wait_log("the configuration in use stays as it was")
        assert set(node.worker_pids()) == workers
        assert any(": queue.url: PostgreSQL: " in each for each in problems(files))
        node.wait_delivered(node.send())
        files.change("queue", url=server.create_schema())
        files.write()
        node.reload()
        node.wait_log("reload: new workers start")
        node.wait_for(lambda: not workers & set(node.worker_pids()), "the new workers alone")
        queue_id = node.send()
        node.wait_delivered(queue_id)
        node.wait_settled(queue_id)
        finished = files.command("queue", "list", "--finished", "--json").document["messages"]
        assert len(finished) == 1
        files.change("queue", url=used)
        files.write()
        finished = files.command("queue", "list", "--finished", "--json").document["messages"]
        assert len(finished) == 1


@pytest.mark.peer("postgresql")
def test_a_reload_does_not_need_the_database_that_is_in_use(
    tmp_path: Path, server: PostgresServer
) -> None:
    """Else no other fault could be mended while it is away."""
    files = node_files(tmp_path, server)
    with running(files) as node:
        server.stop()
        try:
            files.change("local", mailboxes=["alice", "carol"])
            files.write()
            node.reload()
            node.wait_log("reload: new workers start")
            # Said at the start alone: so both of the new workers came while it was away.
            policies = r"\[(\d+)\]: warning: MTA-STS policies cannot be read: PostgreSQL: "
            node.wait_log(policies, count=2)
            # The old ones may say the same, or end before they meet it.
            for worker in re.findall(policies, node.log):
                node.wait_log(rf"\[{worker}\]: warning: the queue cannot be used now: PostgreSQL: ")
            assert answer_to_message(node) == 451
        finally:
            server.start()
        node.wait_log("the queue is open", count=2)
        node.wait_delivered(node.send(to="carol@example.org"))


@pytest.mark.peer("postgresql")
def test_what_a_killed_node_had_claimed_is_delivered_by_another(
    tmp_path: Path, server: PostgresServer
) -> None:
    """Long before its lease ends."""
    url = server.create_schema()
    # A minute is long for a test, and so are two rounds of upkeep.
    code = (
        "from letterlock.storage.postgres import owners; owners.ABANDONED_SECONDS = 1.0\n"
        "from letterlock.node import stores; stores.UPKEEP_SECONDS = 0.5\n"
        "from letterlock.cli.root import main; import sys; sys.exit(main())"
    )
    with ExitStack() as stack:
        # It greets nobody: a delivery goes on there until the connection ends.
        silent = socket.create_server(("127.0.0.1", 0))
        stack.callback(silent.close)
        route = f"[127.0.0.1]:{silent.getsockname()[1]}"

        def start(name: str) -> RunningNode:
            files = node_files(tmp_path / name, server)
            files.change("queue", url=url)
            files.change("node", workers=1)
            files.change("deliver", routes={"away.example": route})
            files.write()
            command = [sys.executable, "-c", code, "serve", "--config", str(files.config)]
            return stack.enter_context(started(files, command))

        one = start("one")
        queue_id = one.send(to="alice@away.example")
        one.wait_for(lambda: count_claimed(one.files) == 1, "a claim")
        two = start("two")
        for process in (one.process.pid, *one.worker_pids()):
            os.kill(process, signal.SIGKILL)
        two.wait_log("1 claims of processes that are gone are free again")
        silent.close()
        two.wait_log(rf"{queue_id}: to=<alice@away.example>.*status=deferred")


def count_claimed(files: NodeFiles) -> int:
    document = files.command("status", "--json").document
    return int(document["queue"]["claimed"])
