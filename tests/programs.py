"""Running `letterlock` as processes, many of them quickly: forked from one that has loaded it.

What is the same in what is forked, and what is not, says `tests/program_forker.py`.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import IO

from tests import program_forker
from tests.program_forker import MAX_REQUEST_BYTES, NUMBER, Request

SOURCE = Path(__file__).resolve().parent.parent / "src"
_GONE = "the process that forks is gone; why, it wrote to standard error"
PROGRAM = (sys.executable, "-m", "letterlock")


def command_environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "error"}


class ForkedProgram:
    """A run of the program: as much of `subprocess.Popen[str]` as tests use."""

    def __init__(self, arguments: Sequence[str], *, stdout: int = 1) -> None:
        """Run it. It has nothing to read; what it writes to standard error is in `stderr`."""
        self.returncode: int | None = None
        self._lock = threading.Lock()
        self._answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reader, writer = os.pipe()
        self.stderr: IO[str] = os.fdopen(reader)
        request = Request(
            arguments=[*arguments],
            environment=command_environment(),
            folder=str(Path.cwd()),
        )
        octets = json.dumps(request).encode()
        assert len(octets) <= MAX_REQUEST_BYTES
        with theirs, Path(os.devnull).open() as nothing:
            descriptors = [nothing.fileno(), stdout, writer, theirs.fileno()]
            socket.send_fds(_start_forker(), [octets], descriptors)
        os.close(writer)
        octets = self._answers.recv(NUMBER.size)
        assert octets, _GONE
        self.pid: int = NUMBER.unpack(octets)[0]

    def wait(self, timeout: float | None = None) -> int:
        """Give the exit code. Raises subprocess.TimeoutExpired."""
        with self._lock:
            if self.returncode is None:
                self._answers.settimeout(timeout)
                try:
                    self._take_code()
                except TimeoutError as error:
                    assert timeout is not None
                    # With what it came of: `from None` would hide what failed before it, too.
                    raise subprocess.TimeoutExpired("letterlock", timeout) from error
        assert self.returncode is not None
        return self.returncode

    def poll(self) -> int | None:
        """Give the exit code, None while it runs."""
        if self.returncode is None and self._lock.acquire(blocking=False):
            try:
                self._answers.settimeout(0)
                self._take_code()
            except BlockingIOError:
                pass
            finally:
                self._lock.release()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _take_code(self) -> None:
        octets = self._answers.recv(NUMBER.size)
        assert octets, _GONE
        self.returncode = NUMBER.unpack(octets)[0]
        self._answers.close()


def run_program(arguments: Sequence[str], *, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run it to its end. Raises subprocess.TimeoutExpired, when it was killed for that."""
    reader, writer = os.pipe()
    with os.fdopen(reader) as output, ThreadPoolExecutor(2) as threads:
        try:
            process = ForkedProgram(arguments, stdout=writer)
        finally:
            os.close(writer)
        with closing(process.stderr):
            texts = [threads.submit(pipe.read) for pipe in (output, process.stderr)]
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
            said, complained = (text.result(timeout) for text in texts)
    return subprocess.CompletedProcess(arguments, code, said, complained)


@cache
def _start_forker() -> socket.socket:
    """Start the process that forks; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        forker = subprocess.Popen(
            [sys.executable, "-P", program_forker.__file__, str(theirs.fileno())],
            env=command_environment(),
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )

    def end() -> None:
        ours.close()
        forker.wait()

    atexit.register(end)
    return ours
