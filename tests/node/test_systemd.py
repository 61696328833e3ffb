"""What systemd hands over and is told: sd_listen_fds(3), sd_notify(3)."""

import os
import socket
from pathlib import Path

import pytest

from letterlock.node import systemd
from letterlock.node.systemd import Notifier, take_listeners


def test_sockets_are_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        # A descriptor of its own, as one that was inherited is.
        inherited = os.dup(opened.fileno())
        monkeypatch.setattr(systemd, "FIRST_FD", inherited)
        variables = {
            "LISTEN_FDS": "1",
            "LISTEN_PID": str(os.getpid()),
            "LISTEN_FDNAMES": "smtp",
            "HOME": "/",
        }
        (taken,) = take_listeners(variables)
        with taken:
            assert taken.getsockname() == opened.getsockname()
            assert not os.get_inheritable(taken.fileno())
        assert variables == {"HOME": "/"}
        assert take_listeners(variables) == []


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "many", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "-1", "LISTEN_PID": str(os.getpid())},
    ],
)
def test_what_is_another_process_s_is_left(variables: dict[str, str]) -> None:
    assert take_listeners(variables) == []


@pytest.mark.parametrize("is_abstract", [True, False])
def test_states_are_told(tmp_path: Path, is_abstract: bool) -> None:
    address = f"@letterlock-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address.replace("@", "\0"))
        receiver.settimeout(5)
        Notifier(address).tell("READY=1")
        assert receiver.recv(100) == b"READY=1"


def test_a_systemd_that_is_not_there_is_no_failure(tmp_path: Path) -> None:
    Notifier(None).tell("READY=1")
    Notifier("").tell("READY=1")
    Notifier(str(tmp_path / "gone")).tell("READY=1")
