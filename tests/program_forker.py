"""A process that has loaded the whole program, and forks for each run of it that a test asks for.

Loading the node's modules is four fifths of a node's start, and tests start hundreds. What is
forked is a process as any other: its own arguments, environment, current folder, descriptors,
signals and exit code. Only that it loads what it needs is not seen: tests of starting, of the
command line and of the demo start new interpreters. Asked through `tests/programs.py`.
"""

import gc
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TypedDict

MAX_REQUEST_BYTES = 200_000
DESCRIPTORS = 4
"""Standard input, output and error, and where the process's number and its exit code are told."""
NUMBER = struct.Struct("=i")


class Request(TypedDict):
    """What is to be run: JSON on the wire."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str


@dataclass(frozen=True, slots=True)
class _Run:
    """A process that was forked: its number, what can be read when it ended, and who waits."""

    pid: int
    ended: int
    asker: socket.socket

    def tell_end(self) -> None:
        _, status = os.waitpid(self.pid, 0)
        with suppress(BrokenPipeError, ConnectionResetError):
            self.asker.send(NUMBER.pack(os.waitstatus_to_exitcode(status)))
        self.close()

    def close(self) -> None:
        os.close(self.ended)
        self.asker.close()


def load_program() -> None:
    """Import what any command imports."""
    load_packages("letterlock.cli", "letterlock.node")


def load_packages(*packages: str) -> None:
    for package in packages:
        for module in pkgutil.iter_modules(import_module(package).__path__, f"{package}."):
            import_module(module.name)


def fork_for(requests: socket.socket) -> Request | None:
    """Fork for each request until there is nobody who asks.

    In the new process, which has the request's descriptors then and `requests`, it gives what is
    to be run there; in this one None, at the end.
    """
    runs: dict[int, _Run] = {}
    request: Request | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        while request is None:
            ready = [key.fd for key, _ in selector.select()]
            for ended in runs.keys() & ready:
                selector.unregister(ended)
                runs.pop(ended).tell_end()
            if requests.fileno() not in ready:
                continue
            octets, descriptors, _, _ = socket.recv_fds(requests, MAX_REQUEST_BYTES, DESCRIPTORS)
            if not octets:
                return None
            if json.loads(octets)["arguments"][:1] == ["ca"]:
                # An authority's, most of which is a linter: two seconds, for tests that have one.
                load_packages("letterlock.node.ca")
            pid = os.fork()
            if pid == 0:
                request = json.loads(octets)
                _take(descriptors)
            else:
                run = _watch(pid, descriptors)
                runs[run.ended] = run
                selector.register(run.ended, selectors.EVENT_READ)
    for run in runs.values():
        run.close()
    return request


def _watch(pid: int, descriptors: list[int]) -> _Run:
    *standard, asker = descriptors
    for descriptor in standard:
        os.close(descriptor)
    run = _Run(pid, os.pidfd_open(pid), socket.socket(fileno=asker))
    run.asker.send(NUMBER.pack(pid))
    return run


def _take(descriptors: list[int]) -> None:
    for number, descriptor in enumerate(descriptors):
        if number < 3:
            os.dup2(descriptor, number)
        os.close(descriptor)


def main() -> None:
    # A shell that started the tests by `&` has it ignored, and Python leaves that as it is.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    load_program()
    threads = list(Path("/proc/self/task").iterdir())
    assert len(threads) == 1, "in what is forked they would not be there"
    # Nothing of this is looked at again, nor copied for that, in what is forked.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        request = fork_for(requests)
    if request is None:
        return
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(request["folder"])
    sys.argv[1:] = request["arguments"]
    runpy.run_module("letterlock", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
