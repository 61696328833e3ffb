"""A node is upgraded with mail in the queue, and goes back to the release before.

The last release is `tests/upgrade/releases`; it runs as a process, from its own sources.
"""

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.journeys.running_node import NodeFiles, RunningNode, running, started
from tests.journeys.test_hand_over import CLIENTS, Callers
from tests.journeys.test_hand_over import make_files as make_hand_over_files
from tests.peers import require_peer
from tests.proof.mail_load import LARGE_EVERY, Arrival, make_text, sink
from tests.storage.postgres_server import PostgresServer
from tests.upgrade.kept import Release, make_next, unpack_last

ADDITIVE = "ALTER TABLE schema_version ADD COLUMN of_next TEXT;\nCREATE TABLE next_one (a);\n"
BREAKING = "-- What no release before can read.\n-- Readable from: {number}\nCREATE TABLE n (a);\n"
SILENT = "silent.example"
AWAY = "away.example"


@pytest.fixture(scope="module")
def last(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return unpack_last(tmp_path_factory.mktemp("last"))


def make_files(folder: Path) -> NodeFiles:
    files = NodeFiles(folder, "relay.example.net", ("example.net",))
    files.change("node", workers=2)
    files.change("queue", lease="1m")
    return files


@contextmanager
def silent_server() -> Iterator[str]:
    """Give the route to a server that greets nobody: what is claimed stays so."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"[127.0.0.1]:{server.getsockname()[1]}"


def leave_mail(files: NodeFiles, release: Release) -> dict[int, str]:
    """Run a node of a release that ends by SIGKILL, with mail of each kind; gives their ids.

    Deferred, held, with large bodies, and claimed when it died.
    """
    ids: dict[int, str] = {}
    with silent_server() as route:
        files.change("deliver", routes={AWAY: "[127.0.0.9]:9", SILENT: route})
        with running(files, environment=release.environment) as node:
            for number in (1, 2, LARGE_EVERY, LARGE_EVERY * 2):
                ids[number] = node.send(make_text(number), to=f"bob@{AWAY}")
            for number in (1, LARGE_EVERY):
                node.wait_log(rf"{ids[number]}: to=<.*status=deferred")
            held = [ids[2], ids[LARGE_EVERY * 2]]
            assert release.command(files, "queue", "hold", *held).code == 0
            for number in (3, LARGE_EVERY * 3):
                ids[number] = node.send(make_text(number), to=f"bob@{SILENT}")
            node.wait_for(lambda: count_claimed(files, release) == 2, "two claims")
            for pid in (node.process.pid, *node.worker_pids()):
                os.kill(pid, signal.SIGKILL)
            node.process.wait(60)
    return ids


def count_claimed(files: NodeFiles, release: Release) -> int:
    document = release.command(files, "status", "--json").document
    return int(document["queue"]["claimed"])


def deliver_all(files: NodeFiles, ids: dict[int, str], release: Release | None = None) -> str:
    """Run a node until all is delivered, each once; gives its log."""
    environment = {} if release is None else release.environment
    with sink() as server:
        route = f"[127.0.0.1]:{server.port}"
        files.change("deliver", routes={AWAY: route, SILENT: route})
        with running(files, environment=environment) as node:
            for command in ("release", "retry"):
                argument = ("queue", command, "--all")
                done = files.command(*argument) if release is None else release.command(
                    files, *argument
                )  # fmt: skip
                assert done.code == 0, done.error
            for queue_id in ids.values():
                node.wait_delivered(queue_id)
            new = node.send(make_text(5), to=f"bob@{AWAY}")
            node.wait_delivered(new)
            assert node.stop() == 0
        assert server.faults == []
        check_arrivals(server.arrivals, {**ids, 5: new})
    return node.log


def check_arrivals(arrivals: list[Arrival], ids: dict[int, str]) -> None:
    assert Counter(each.number for each in arrivals) == Counter(ids.keys())
    assert {each.number: each.queue_id for each in arrivals} == ids


def make_engine(files: NodeFiles, request: pytest.FixtureRequest, engine: str) -> None:
    if engine == "postgres":
        require_peer("postgresql")
        server: PostgresServer = request.getfixturevalue("postgres")
        files.change("queue", engine="postgres", url=server.create_schema())


ENGINES = [
    "sqlite",
    pytest.param("postgres", marks=[pytest.mark.peer("postgresql"), pytest.mark.proof]),
]


@pytest.mark.parametrize("engine", ENGINES)
def test_mail_of_the_last_release_is_delivered_once_and_whole(
    engine: str, tmp_path: Path, last: Release, request: pytest.FixtureRequest
) -> None:
    files = make_files(tmp_path)
    make_engine(files, request, engine)
    deliver_all(files, leave_mail(files, last))


@pytest.mark.proof
def test_the_last_release_delivers_what_this_one_left(tmp_path: Path, last: Release) -> None:
    files = make_files(tmp_path)
    deliver_all(files, leave_mail(files, today()), last)


def today() -> Release:
    return Release(Path(__file__).resolve().parent.parent.parent / "src")


def test_settings_that_the_last_release_wrote_are_taken(tmp_path: Path, last: Release) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "letterlock", "init", "example.org", "--dir", str(tmp_path / "new")],
        env={**os.environ, **last.environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = NodeFiles(tmp_path / "new")
    checked = files.command("config", "check")
    assert checked.code == 0, checked.error


class TestMigrations:
    @pytest.mark.proof
    def test_the_last_release_works_on_after_one_that_only_adds(
        self, tmp_path: Path, last: Release
    ) -> None:
        files = make_files(tmp_path / "node")
        newer = make_next(tmp_path / "newer", ADDITIVE)
        deliver_all(files, leave_mail(files, newer), last)

    def test_it_refuses_one_beyond_it_and_a_backup_is_the_way_back(
        self, tmp_path: Path, last: Release
    ) -> None:
        files = make_files(tmp_path / "node")
        newer = make_next(tmp_path / "newer", BREAKING)
        ids = leave_mail(files, last)
        archive = str(tmp_path / "before.tar")
        made = last.command(files, "backup", archive)
        assert made.code == 0, made.error
        with running(files, environment=newer.environment) as node:
            assert node.stop() == 0
        node = RunningNode(files, environment=last.environment)
        assert node.process.wait(60) == 2
        node.stop()
        (line,) = [line for line in node.lines if "letterlock:" in line]
        assert "a newer release changed it, and this one cannot read it" in line
        assert "run that release, or restore the backup made before the upgrade" in line
        files.data.rename(tmp_path / "changed")
        restored = last.command(files, "restore", archive)
        assert restored.code == 0, restored.error
        deliver_all(files, ids, last)


@pytest.mark.proof
def test_an_upgrade_behind_a_socket_of_systemd_loses_no_connection(
    tmp_path: Path, last: Release
) -> None:
    """sd_listen_fds(3): who calls while the release changes waits in the backlog."""
    files = make_hand_over_files(tmp_path)
    files.write()
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
        shell = 'exec 3<&"$0" && LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
        command = ["/bin/bash", "-c", shell, str(listener.fileno())]
        command += [sys.executable, "-m", "letterlock", "serve", "--config", str(files.config)]
        callers = stack.enter_context(Callers(listener.getsockname()[1]).calling())
        for release in (last, today()):
            popen = {"pass_fds": [listener.fileno()], "environment": release.environment}
            with started(files, command, **popen) as node:
                callers.wait_taken(2 * CLIENTS)
                if release is not last:
                    callers.stop()
                assert node.stop() == 0
    assert callers.lost == []
