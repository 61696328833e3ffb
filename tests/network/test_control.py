"""The control socket: who may use it, what goes over it, what is left behind."""

import asyncio
import contextlib
import gc
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from letterlock.network import control, control_client
from letterlock.network.control import ControlInUse, ControlServer
from letterlock.network.control_client import (
    MAX_DOCUMENT_OCTETS,
    ControlError,
    NodeNotRunning,
    NodeUnreachable,
    ask,
    ask_all,
    find_sockets,
    format_document,
    parse_document,
)
from tests.accepting import accepting, stop_accepting


async def _echo(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"echo": arguments}


async def _refuse(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    raise ValueError(f"no message {arguments['id']}")


async def _wait(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    await asyncio.get_running_loop().create_future()
    return arguments


COMMANDS = {"echo": _echo, "refuse": _refuse, "wait": _wait}


@asynccontextmanager
async def _serving(path: Path) -> AsyncIterator[ControlServer]:
    server = ControlServer(path, COMMANDS)
    await server.open()
    try:
        yield server
    finally:
        if server._server:
            await stop_accepting(server._server)
        await server.close()


async def _ask(path: Path, command: str, within: float = 5, **arguments: object) -> dict[str, Any]:
    return await asyncio.to_thread(ask, path, command, arguments, within)


async def test_command_is_answered(tmp_path: Path) -> None:
    async with _serving(tmp_path / "run" / "control"):
        assert await _ask(tmp_path / "run" / "control", "echo", a=[1, "é"]) == {
            "echo": {"a": [1, "é"]}
        }


async def test_several_commands_go_over_one_connection(tmp_path: Path) -> None:
    async with _serving(tmp_path / "control"):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "control"))
        for number in range(3):
            writer.write(format_document({"command": "echo", "arguments": {"n": number}}))
            assert json.loads(await reader.readline()) == {"answer": {"echo": {"n": number}}}
        writer.close()
        await writer.wait_closed()


async def test_refusal_is_an_error_with_its_reason(tmp_path: Path) -> None:
    async with _serving(tmp_path / "control"):
        with pytest.raises(ControlError, match="no message 7"):
            await _ask(tmp_path / "control", "refuse", id=7)


async def test_unknown_command_is_refused(tmp_path: Path) -> None:
    async with _serving(tmp_path / "control"):
        with pytest.raises(ControlError, match="knows no command 'nonsense'"):
            await _ask(tmp_path / "control", "nonsense")


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"[]\n",
        b"{}\n",
        b"\xff\n",
        b'{"command": 1, "arguments": {}}\n',
        b"[" * 99999 + b"\n",
    ],
)
async def test_what_is_no_request_gets_an_error_and_the_next_one_is_answered(
    tmp_path: Path, line: bytes
) -> None:
    async with _serving(tmp_path / "control"):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "control"))
        writer.write(line + format_document({"command": "echo", "arguments": {}}))
        assert list(json.loads(await reader.readline())) == ["error"]
        assert json.loads(await reader.readline()) == {"answer": {"echo": {}}}
        writer.close()
        await writer.wait_closed()


async def test_endless_line_ends_the_connection(tmp_path: Path) -> None:
    async with _serving(tmp_path / "control"):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "control"))
        writer.write(b"x" * (3 * MAX_DOCUMENT_OCTETS))
        with contextlib.suppress(ConnectionError):  # closed with octets unread: a reset
            assert await reader.read() == b""
        writer.close()


async def test_silent_connection_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "IDLE_SECONDS", 0.01)
    async with _serving(tmp_path / "control"):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "control"))
        assert await reader.read() == b""
        writer.close()


async def test_more_connections_than_the_limit_are_turned_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MAX_CONNECTIONS", 0)
    async with _serving(tmp_path / "control"):
        with pytest.raises(ControlError, match="too many"):
            await _ask(tmp_path / "control", "echo")


async def test_another_user_is_turned_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may; so the peer is made to look like somebody else."""
    monkeypatch.setattr(
        control,
        "_CREDENTIALS",
        type("Someone", (), {"size": 12, "unpack": lambda *_: (1, 77, 77)})(),
    )
    monkeypatch.setattr(os, "geteuid", lambda: 78)
    async with _serving(tmp_path / "control"):
        with pytest.raises(ControlError, match="only the node's user"):
            await _ask(tmp_path / "control", "echo")


async def test_socket_and_its_folder_are_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "run" / "control"
    async with _serving(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


async def test_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "control"))
    async with _serving(tmp_path / "control"):
        assert await _ask(tmp_path / "control", "echo") == {"echo": {}}


async def test_socket_of_a_running_node_is_left_alone(tmp_path: Path) -> None:
    async with _serving(tmp_path / "control"):
        with pytest.raises(ControlInUse, match="a node runs already"):
            await ControlServer(tmp_path / "control", {}).open()
        assert await _ask(tmp_path / "control", "echo") == {"echo": {}}


async def test_file_in_the_sockets_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "control").write_text("mine")
    with pytest.raises(OSError, match="in use"):
        await ControlServer(tmp_path / "control", {}).open()
    assert (tmp_path / "control").read_text() == "mine"


async def test_socket_that_another_node_put_there_stays(tmp_path: Path) -> None:
    first = ControlServer(tmp_path / "control", COMMANDS)
    await first.open()
    (tmp_path / "control").rename(tmp_path / "old")
    async with _serving(tmp_path / "control"):
        await first.close()
        assert await _ask(tmp_path / "control", "echo") == {"echo": {}}


async def test_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 30) / "control"
    async with _serving(path):
        assert await _ask(path, "echo") == {"echo": {}}


async def test_node_that_does_not_answer_in_time_is_unreachable(tmp_path: Path) -> None:
    async with _serving(tmp_path / "control"):
        with pytest.raises(NodeUnreachable, match=r"no answer .* within 0.05 seconds"):
            await _ask(tmp_path / "control", "wait", within=0.05)


async def test_closing_breaks_off_what_is_open(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def wait(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        begun.set()
        return await _wait(arguments)

    server = ControlServer(tmp_path / "control", {"wait": wait})
    await server.open()
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "control"))
    writer.write(format_document({"command": "wait", "arguments": {}}))
    await begun.wait()
    await server.close()
    assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_closing_leaves_asyncio_nothing_to_complain_of(
    tmp_path: Path, make_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Of who asks and who connected just now; it would say so on standard error."""
    complaints: list[dict[str, Any]] = []
    path = tmp_path / "control"

    async def connect_and_close(turns: int) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
        server = ControlServer(path, COMMANDS)
        await server.open()
        _, asking = await asyncio.open_unix_connection(str(path))
        asking.write(format_document({"command": "wait", "arguments": {}}))
        _, late = await asyncio.open_unix_connection(str(path))
        for _ in range(turns):
            await asyncio.sleep(0)
        if make_loop is asyncio.new_event_loop:
            assert server._server
            await stop_accepting(server._server)
        await server.close()
        for each in (asking, late):
            each.transport.abort()

    for turns in range(6):
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(connect_and_close(turns))
    gc.collect()
    assert complaints == []


async def test_server_runs_until_cancelled(tmp_path: Path) -> None:
    server = ControlServer(tmp_path / "control", COMMANDS)
    await server.open()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.run())
        await _ask(tmp_path / "control", "echo")
        task.cancel()
    assert not (tmp_path / "control").exists()


async def test_every_worker_is_asked(tmp_path: Path) -> None:
    async with (
        _serving(tmp_path / "control.0"),
        _serving(tmp_path / "control.1"),
    ):
        (tmp_path / "control.tmp").touch()
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(tmp_path / "control.2"))
        found = await asyncio.to_thread(ask_all, tmp_path / "control", "echo", {"n": 1}, 5)
    assert found.answers == ({"echo": {"n": 1}},) * 2
    assert found.failures == ()


async def test_worker_that_ended_before_it_was_asked_has_a_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload just when somebody asks: a node runs all the time."""
    old, new = tmp_path / "control.0", tmp_path / "control.1"
    listings = iter(([old], [old, new], [old, new]))
    monkeypatch.setattr(control_client, "find_sockets", lambda _: next(listings))
    async with _serving(new):
        found = await asyncio.to_thread(ask_all, tmp_path / "control", "echo", {"n": 1}, 5)
    assert found.answers == ({"echo": {"n": 1}},)


async def test_worker_that_refuses_is_told_beside_those_that_did_it(tmp_path: Path) -> None:
    async with _serving(tmp_path / "control.0"):
        found = await asyncio.to_thread(ask_all, tmp_path / "control", "refuse", {"id": 1}, 5)
    assert found.failures == ("no message 1",)


async def test_no_worker_that_answers_in_time_is_unreachable(tmp_path: Path) -> None:
    async with _serving(tmp_path / "control.0"):
        with pytest.raises(NodeUnreachable):
            await asyncio.to_thread(ask_all, tmp_path / "control", "wait", {}, 0.05)


def test_sockets_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("control.10", "control.9", "control", "control.lock", "other.1"):
        (tmp_path / name).touch()
    names = [path.name for path in find_sockets(tmp_path / "control")]
    assert names == ["control", "control.9", "control.10"]


@pytest.mark.parametrize("ask_node", [ask, ask_all])
def test_without_a_node_nobody_is_running(tmp_path: Path, ask_node: Any) -> None:
    with pytest.raises(NodeNotRunning):
        ask_node(tmp_path / "none" / "control", "echo", {}, 1)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "control"))
    with pytest.raises(NodeNotRunning):
        ask_node(tmp_path / "control", "echo", {}, 1)


def test_socket_without_permission_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(NodeUnreachable, match="as the node's user or as root"):
        ask(tmp_path / "control", "echo", {}, 1)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{",
        b"[]\n",
        b"{}\n",
        b"nonsense\n",
        b'{"answer": 1}\n',
        b"x" * 2 * MAX_DOCUMENT_OCTETS,
    ],
)
async def test_answer_that_is_none_is_told(tmp_path: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)

    async with accepting(serve, path=tmp_path / "control"):
        with pytest.raises(NodeUnreachable, match=r"answer|reset"):
            await _ask(tmp_path / "control", "echo")


def test_request_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(ValueError, match="octets"):
        format_document({"x": "y" * MAX_DOCUMENT_OCTETS})


def test_document_is_read_back() -> None:
    assert parse_document(format_document({"a": "é\n"})) == {"a": "é\n"}


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"Infinity", b"NaN"])
def test_number_that_is_none_is_refused(number: bytes) -> None:
    """JSON has no such numbers, and to count with one raises OverflowError."""
    with pytest.raises(ValueError, match="number"):
        parse_document(b'{"number":' + number + b"}\n")
