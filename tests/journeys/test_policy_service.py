"""`letterlock policy serve`, and the same beside a node: started, asked, reloaded, hurt, ended."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.interop.background import zones
from tests.journeys.asking import COMMAND, ask_once, client, find_address, make_files
from tests.journeys.running_node import PATIENCE, RunningNode, running, started
from tests.programs import command_environment

ZONES = {
    "dane.example": f"@ MX 10 mx\nmx A 127.0.0.1\n_25._tcp.mx TLSA 3 1 1 {'11' * 32}\n",
    "none.example": "@ MX 10 mx\nmx A 127.0.0.1\n",
}


@pytest.fixture(scope="module")
def resolver() -> Iterator[str]:
    with zones(ZONES, authentic_data=True) as address:
        yield address


@pytest.fixture
def service(tmp_path: Path, resolver: str) -> Iterator[RunningNode]:
    """Give `policy serve` as a process."""
    files = make_files(tmp_path / "service", resolver)
    files.write()
    node = RunningNode(files, [*COMMAND, str(files.config)])
    try:
        find_address(node)
        yield node
    finally:
        node.stop()


def test_it_answers_at_both_sockets_and_says_why(service: RunningNode) -> None:
    unix = str(service.files.folder / "policy")
    with client(find_address(service)) as tcp, client(unix) as local:
        for each in (tcp, local):
            assert each.ask("dane.example") == "OK dane-only"
            assert each.ask("none.example") == "NOTFOUND "
            assert each.ask(".example") == "NOTFOUND "
    service.wait_log(r"policy\[\d+\]: dane\.example: dane-only \(all hosts have TLSA records")
    assert stat.S_IMODE(Path(unix).stat().st_mode) == 0o666


def test_it_ends_in_order_and_leaves_no_socket(service: RunningNode) -> None:
    with client(find_address(service)) as asking:
        assert asking.ask("none.example") == "NOTFOUND "
        assert service.stop() == 0
    assert not (service.files.folder / "policy").exists()
    assert not [line for line in service.lines if "Traceback" in line or "error" in line]


def test_a_reload_holds_for_what_is_asked_then(service: RunningNode) -> None:
    address = find_address(service)
    with client(address) as asking:
        assert asking.ask("none.example") == "NOTFOUND "
    service.files.change("policy", hops={"none.example": {"level": "encrypt"}})
    service.files.write()
    service.process.send_signal(signal.SIGHUP)
    service.wait_log("reload: new workers start")
    service.wait_for(
        lambda: ask_once(address, "none.example").startswith("OK encrypt"), "the entry"
    )


def test_a_wrong_configuration_changes_nothing_and_is_told(service: RunningNode) -> None:
    address = find_address(service)
    text = service.files.config.read_text()
    service.files.config.write_text(text.replace("[policy_service]", "[policy_service]\nx = 1"))
    service.process.send_signal(signal.SIGHUP)
    service.wait_log(r"error: reload: .*:\d+:\d+: policy_service\.x: is not a setting")
    assert ask_once(address, "dane.example") == "OK dane-only"


@pytest.mark.parametrize("place", [0, 1])
def test_a_process_that_dies_is_replaced(service: RunningNode, place: int) -> None:
    address = find_address(service)
    assert ask_once(address, "dane.example") == "OK dane-only"
    answering, finding = sorted(service.worker_pids())
    os.kill((answering, finding)[place], signal.SIGKILL)
    service.wait_log(r"ended with -9")
    service.wait_for(lambda: len(service.worker_pids()) == 2, "another process")
    assert ask_once(address, "dane.example") == "OK dane-only"
    assert ask_once(address, "none.example") == "NOTFOUND "


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"listen": ["127.0.0.1:{port}"]}, "policy_service.listen: 127.0.0.1:{port}: Address"),
        ({"socket": "{folder}/none/x"}, "policy_service.socket: {folder}/none/x: No such file"),
        ({"listen": [], "socket": ""}, "policy_service.listen: must hold an address"),
        ({"postfix_version": "2.11"}, "policy_service.postfix_version: must be a version of"),
        ({"socket_mode": "9"}, "policy_service.socket_mode: must be a mode in octal digits"),
        ({"socket_owner": "no body"}, "policy_service.socket_owner: must be a user"),
        ({"socket_owner": "nobody-here"}, "policy_service.socket_owner: nobody-here cannot be"),
    ],
)
def test_what_cannot_be_used_is_one_line_that_names_it(
    tmp_path: Path, setting: dict[str, object], told: str
) -> None:
    files = make_files(tmp_path, "127.0.0.1:9")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        def fill(value: object) -> object:
            if isinstance(value, list):
                return [fill(item) for item in value]
            return str(value).format(port=port, folder=tmp_path)

        files.change("policy_service", **{key: fill(value) for key, value in setting.items()})
        files.write()
        done = subprocess.run(
            [*COMMAND, str(files.config)],
            env=command_environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert told.format(port=port, folder=tmp_path) in line


def test_a_node_answers_too_when_it_is_told_to(tmp_path: Path, resolver: str) -> None:
    files = make_files(tmp_path, resolver)
    files.change("policy_service", enabled=True)
    with running(files) as node:
        address = find_address(node)
        assert ask_once(address, "dane.example") == "OK dane-only"
        files.change("policy_service", enabled=False)
        files.write()
        node.reload()
        node.wait_for(lambda: is_closed(address), "its end")
        # At another port: the one before may be somebody else's by now.
        files.change("policy_service", enabled=True)
        files.write()
        since = len(node.lines)
        node.reload()
        assert ask_once(find_address(node, since), "dane.example") == "OK dane-only"


def is_closed(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False


def hand_over(listeners: dict[str, socket.socket], *command: str) -> list[str]:
    """Give a command with sockets of systemd's, by their names (sd_listen_fds(3))."""
    count = len(listeners)
    moves = " ".join(f'{3 + at}<&"${at + 1}"' for at in range(count))
    # LISTEN_PID must be the process itself: a shell puts in its own, and becomes it.
    names = ":".join(listeners)
    variables = f"LISTEN_FDS={count} LISTEN_FDNAMES={names} LISTEN_PID=$$"
    shell = f'exec {moves} && shift {count} && {variables} exec "$@"'
    descriptors = [str(each.fileno()) for each in listeners.values()]
    return ["/bin/bash", "-c", shell, "bash", *descriptors, *command]


@contextmanager
def listening(folder: Path) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give what systemd listens on: a port, and a Unix socket."""
    folder.mkdir(exist_ok=True)
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(str(folder / "from-systemd"))
        unix.listen()
        yield tcp, unix


def test_sockets_of_systemd_go_before_the_settings(tmp_path: Path, resolver: str) -> None:
    """sd_listen_fds(3): over a reload too, and they are systemd's to take away."""
    files = make_files(tmp_path, resolver)
    files.change("policy_service", listen=["192.0.2.1:8461"], socket=str(tmp_path / "none" / "x"))
    files.write()
    with listening(tmp_path) as (tcp, unix):
        command = hand_over({"a": tcp, "policy": unix}, *COMMAND, str(files.config))
        descriptors = [tcp.fileno(), unix.fileno()]
        node = RunningNode(files, command, pass_fds=descriptors)
        try:
            assert find_address(node) == tcp.getsockname()
            for address in (tcp.getsockname(), unix.getsockname()):
                assert ask_once(address, "dane.example") == "OK dane-only"
            files.change("policy", hops={"none.example": {"level": "encrypt"}})
            files.write()
            node.reload()

            def has_entry(address: tuple[str, int] | str) -> bool:
                return ask_once(address, "none.example").startswith("OK encrypt")

            for address in (tcp.getsockname(), unix.getsockname()):
                node.wait_for(partial(has_entry, address), "the entry")
        finally:
            assert node.stop() == 0
        assert Path(unix.getsockname()).exists()


def test_a_node_takes_the_sockets_that_are_named_for_policies(
    tmp_path: Path, resolver: str
) -> None:
    files = make_files(tmp_path, resolver)
    # Not to be opened.
    files.change("receive", listen=["192.0.2.1:25"])
    files.change("policy_service", enabled=True, listen=["192.0.2.1:8461"], socket="")
    files.write()
    with listening(tmp_path) as (tcp, unix), socket.create_server(("127.0.0.1", 0)) as mail:
        arguments = (sys.executable, "-m", "letterlock", "serve", "--config", str(files.config))
        listeners = {"smtp": mail, "policy": unix, "letterlock.socket": tcp}
        descriptors = [each.fileno() for each in listeners.values()]
        with started(files, hand_over(listeners, *arguments), pass_fds=descriptors) as node:
            node.wait_log(rf"answering Postfix on {unix.getsockname()}$")
            assert ask_once(unix.getsockname(), "dane.example") == "OK dane-only"
            with socket.create_connection(tcp.getsockname(), PATIENCE) as client:
                assert client.recv(512).startswith(b"220 ")
            # Switched off and on again, it is the same socket: systemd gives it once.
            for is_on in (False, True):
                files.change("policy_service", enabled=is_on)
                files.write()
                node.reload()
            node.wait_for(
                lambda: ask_once(unix.getsockname(), "none.example") == "NOTFOUND ", "an answer"
            )
