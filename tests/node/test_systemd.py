"""What systemd hands over and is told: sd_listen_fds(3), sd_notify(3)."""

import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from letterlock.node import systemd
from letterlock.node.systemd import HandedOver, Notifier, take_listeners


def test_sockets_are_taken_once_and_told_apart_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        opened = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(6)]
        # Descriptors of its own, one behind the other, as those that are inherited are.
        first = 300
        for place, each in enumerate(opened):
            os.dup2(each.fileno(), first + place)
        monkeypatch.setattr(systemd, "FIRST_FD", first)
        variables = {
            "LISTEN_FDS": "6",
            "LISTEN_PID": str(os.getpid()),
            "LISTEN_FDNAMES": "smtp:policy:letterlock.socket:submission:submissions",
            "HOME": "/",
        }
        taken = take_listeners(variables)
        for each in (*taken.mail, *taken.policy, *taken.submissions, *taken.submission):
            stack.enter_context(each)
            assert not os.get_inheritable(each.fileno())
        addresses = [each.getsockname() for each in opened]
        assert [each.getsockname() for each in taken.policy] == [addresses[1]]
        assert [each.getsockname() for each in taken.mail] == [addresses[at] for at in (0, 2, 5)]
        assert [each.getsockname() for each in taken.submission] == [addresses[3]]
        assert [each.getsockname() for each in taken.submissions] == [addresses[4]]
        assert variables == {"HOME": "/"}
        assert take_listeners(variables) == HandedOver()


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
    assert take_listeners(variables) == HandedOver()


@pytest.mark.parametrize("is_abstract", [True, False])
def test_states_are_told(tmp_path: Path, is_abstract: bool) -> None:
    address = f"@letterlock-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address.replace("@", "\0"))
        receiver.settimeout(60)
        Notifier(address).tell("READY=1")
        assert receiver.recv(100) == b"READY=1"


def test_a_systemd_that_is_not_there_is_no_failure(tmp_path: Path) -> None:
    Notifier(None).tell("READY=1")
    Notifier("").tell("READY=1")
    Notifier(str(tmp_path / "gone")).tell("READY=1")
