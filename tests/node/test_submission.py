"""A worker's submission: accounts that are away for a while, and the room that it has."""

import asyncio
import socket
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from letterlock.base.config.load import parse_config
from letterlock.base.config.submission import SubmissionSection
from letterlock.base.config.values import ListenAddress
from letterlock.node import building, submission
from letterlock.node.building import build_server_limits
from letterlock.node.submission import SubmissionService
from letterlock.node.submission_listeners import SubmissionListeners
from letterlock.node.users import Accounts
from letterlock.services.receive.own_accounts import PasswordChecks
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.sqlite.node import MEMORY, NodeDatabase
from letterlock.storage.sqlite.users import SqliteUsers
from tests.fakes import FakeClock, FakeLog

CONFIG = """\
hostname = "mx1.example.org"
domains = ["example.org"]
contact = "postmaster@example.org"
data_dir = "/var/lib/letterlock"
"""
LOOPBACK = ListenAddress("127.0.0.1", 0)


@dataclass
class Away:
    """A database that is away twice before it opens."""

    opens: int = 0
    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    is_closed: bool = False

    async def open(self) -> None:
        self.opens += 1
        if self.opens < 3:
            raise StoreUnavailable("the database is away")
        self.is_open.set()

    async def close(self) -> None:
        self.is_closed = True


async def test_accounts_that_are_away_are_opened_later(monkeypatch: pytest.MonkeyPatch) -> None:
    database, log = Away(), FakeLog()
    service = SubmissionService.__new__(SubmissionService)
    users = SqliteUsers(NodeDatabase(MEMORY, FakeClock()))
    service._accounts = Accounts(database, users)
    service._checks = PasswordChecks()
    service._log = log
    monkeypatch.setattr(submission, "REOPEN_SECONDS", 0.0)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(service.run())
        await database.is_open.wait()
        running.cancel()
    assert log.texts == ["warning: accounts cannot be read: the database is away"] * 2
    assert database.is_closed


@pytest.mark.parametrize(
    ("room", "mail", "each_submission"), [(1000, 500, 250), (2, 1, 1), (0, 0, 0)]
)
def test_servers_share_the_room_there_is(
    monkeypatch: pytest.MonkeyPatch, room: int, mail: int, each_submission: int
) -> None:
    """0 is no limit, and nothing else becomes that."""
    monkeypatch.setattr(building, "count_for_clients", lambda _: room)
    off = parse_config(CONFIG, Path("x"))
    on = parse_config(
        f"{CONFIG}[submission]\nenabled = true\n"
        "[certificates]\nauthorities = [{directory = 'https://a.example/d'}]\n",
        Path("x"),
    )
    assert build_server_limits(off).connections == room
    assert build_server_limits(on).connections == mail
    assert build_server_limits(on, is_submission=True).connections == each_submission


def test_each_worker_has_sockets_of_its_own_for_each_port() -> None:
    listeners = SubmissionListeners()
    section = SubmissionSection(enabled=True, listen=(LOOPBACK,), listen_starttls=(LOOPBACK,))
    listeners.open(section, 2)
    first, second = listeners.list_groups(2)
    ports = [_port(first.implicit_tls[0]), _port(first.starttls[0])]
    assert [_port(second.implicit_tls[0]), _port(second.starttls[0])] == ports
    assert listeners.names == [f"127.0.0.1:{ports[0]} (TLS)", f"127.0.0.1:{ports[1]} (STARTTLS)"]
    listeners.open(SubmissionSection(), 2)
    assert listeners.names == []
    assert all(not group.implicit_tls for group in listeners.list_groups(2))
    listeners.close()


def test_a_socket_of_systemd_goes_before_the_settings() -> None:
    with socket.create_server(("127.0.0.1", 0)) as handed_over:
        listeners = SubmissionListeners(implicit_tls=[handed_over])
        listeners.open(SubmissionSection(enabled=True, listen_starttls=()), 2)
        assert listeners.names == [f"127.0.0.1:{_port(handed_over)} (TLS)"]
        assert [list(group.implicit_tls) for group in listeners.list_groups(2)] == [
            [handed_over]
        ] * 2
        listeners.close()


def _port(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port
