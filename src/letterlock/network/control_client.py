"""Asking a running node: one JSON document a line, over a Unix socket, without an event loop.

A request is `{"command": "...", "arguments": {...}}`, an answer `{"answer": {...}}` or
`{"error": "..."}`. Every worker has a socket of its own, and what changes the queue is sent to all
of them: each answers for its part. The other side is `control`.
"""

import contextlib
import json
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_DOCUMENT_OCTETS = 1024 * 1024
"""The longest line in either direction, its end included."""

# Linux: sun_path has 108 octets, the last of them NUL.
_MAX_ADDRESS_OCTETS = 107
_RECEIVE_OCTETS = 64 * 1024


class ControlError(Exception):
    """The node was reached and did not do it; the text says why."""


class NodeNotRunning(Exception):  # noqa: N818 - a state, not a mistake
    """Nobody listens there: no node runs with this configuration."""


class NodeUnreachable(Exception):  # noqa: N818 - a state, not a mistake
    """Something listens but cannot be asked: no permission, or no answer in time."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the workers said. `failures` has a line for each that could not do it."""

    answers: tuple[Mapping[str, Any], ...]
    failures: tuple[str, ...] = ()


def ask(
    path: Path, command: str, arguments: Mapping[str, object], timeout: float
) -> dict[str, Any]:
    """Send one command to one socket and give its answer; waits `timeout` seconds in all.

    Raises NodeNotRunning, NodeUnreachable or ControlError.
    """
    request = format_document({"command": command, "arguments": arguments})
    try:
        line = _exchange(path, request, timeout)
    except (FileNotFoundError, ConnectionRefusedError):
        raise NodeNotRunning(f"no node listens on {path}") from None
    except PermissionError:
        raise NodeUnreachable(
            f"no permission for {path}; run this as the node's user or as root"
        ) from None
    except TimeoutError:
        raise NodeUnreachable(f"no answer from {path} within {timeout:g} seconds") from None
    except OSError as error:
        raise NodeUnreachable(f"{path}: {error.strerror or error}") from None
    return _parse_answer(line, path)


def ask_all(path: Path, command: str, arguments: Mapping[str, object], timeout: float) -> Answers:
    """Send one command to every worker of a node; `path` is the socket without a number.

    Raises NodeNotRunning when none listens, NodeUnreachable when none could be asked.
    """
    answers: list[Mapping[str, Any]] = []
    failures: list[str] = []
    unreachable: NodeUnreachable | None = None
    asked: set[Path] = set()
    # Until there is no more: one that has just ended has a successor, which came before.
    while sockets := [each for each in find_sockets(path) if each not in asked]:
        asked.update(sockets)
        for each in sockets:
            try:
                answers.append(ask(each, command, arguments, timeout))
            except NodeNotRunning:
                continue
            except NodeUnreachable as error:
                unreachable = error
                failures.append(str(error))
            except ControlError as error:
                failures.append(str(error))
    if not answers and unreachable is not None:
        raise unreachable
    if not answers and not failures:
        raise NodeNotRunning(f"no node listens on {path}")
    return Answers(tuple(answers), tuple(failures))


def find_sockets(path: Path) -> list[Path]:
    """Find a node's sockets: `control`, `control.0`, `control.1` ..., in this order.

    A folder that can't be listed gives the plain path: asking it says what is wrong.
    """
    found = []
    try:
        for name in os.listdir(path.parent):  # noqa: PTH208 - names are wanted, not paths
            base, _, number = name.partition(".")
            if base == path.name and (number.isdecimal() or name == base):
                found.append((int(number or -1), path.with_name(name)))
    except OSError:
        return [path]
    return [each for _, each in sorted(found)]


def format_document(document: Mapping[str, object]) -> bytes:
    """Make one line; raises ValueError when it would be too long."""
    line = json.dumps(document, separators=(",", ":")).encode() + b"\n"
    if len(line) > MAX_DOCUMENT_OCTETS:
        raise ValueError(f"more than {MAX_DOCUMENT_OCTETS} octets")
    return line


def parse_document(line: bytes) -> dict[str, Any]:
    """Read one line; raises ValueError when it is not one JSON object."""
    try:
        document = json.loads(line, parse_float=_parse_number, parse_constant=_parse_number)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - the content is wrong, not the call
    return document


def _parse_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


@contextlib.contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """Give a name for the socket that the kernel takes, also where the path is too long.

    It is valid inside the `with` only.
    """
    if len(os.fsencode(path)) <= _MAX_ADDRESS_OCTETS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _exchange(path: Path, request: bytes, timeout: float) -> bytes:
    deadline = time.monotonic() + timeout
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        with socket_address(path) as address:
            connection.connect(address)
        connection.sendall(request)
        received = bytearray()
        while not received.endswith(b"\n"):
            connection.settimeout(max(deadline - time.monotonic(), 0.001))
            octets = connection.recv(_RECEIVE_OCTETS)
            received += octets
            if not octets or len(received) > MAX_DOCUMENT_OCTETS:
                break
    return bytes(received)


def _parse_answer(line: bytes, path: Path) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise NodeUnreachable(f"{path}: the answer broke off")
    try:
        document = parse_document(line)
    except ValueError as error:
        raise NodeUnreachable(f"{path}: the answer cannot be read: {error}") from None
    match document:
        case {"answer": dict() as answer}:
            return answer
        case {"error": str() as reason}:
            raise ControlError(reason)
        case _:
            raise NodeUnreachable(f"{path}: the answer has neither answer nor error")
