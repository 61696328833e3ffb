"""The loader and the sink: built from `benchmarks/load/`, run, and read.

They are in C because a loader in Python would be slower than what it measures.
"""

import json
import mmap
import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import free_port, running, wait_for_banner

SOURCES = Path(__file__).parent / "load"
RUN_SECONDS = 120


class BuildError(Exception):
    """There is no C compiler, or no OpenSSL to build with."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: messages in sessions, `sessions` of them at once."""

    messages: int
    sessions: int = 20
    per_session: int = 1
    octets: int = 4096
    has_tls: bool = False
    is_handshake_only: bool = False
    """Each message is a session that ends after its handshake."""
    is_pipelined: bool = False

    def options(self, port: int) -> list[str]:
        """Give them as the loader takes them."""
        numbers = {
            "-p": port,
            "-n": self.messages,
            "-c": self.sessions,
            "-m": self.per_session,
            "-s": self.octets,
            "-w": RUN_SECONDS,
        }
        flags = {"-t": self.has_tls, "-H": self.is_handshake_only, "-P": self.is_pipelined}
        chosen = [flag for flag, is_given in flags.items() if is_given]
        return [*(str(word) for pair in numbers.items() for word in pair), *chosen]


@dataclass(frozen=True, slots=True)
class Queries:
    """What a socketmap server is asked: the keys `format % 0` ... in turn, over connections.

    `depth`: queries under way on each at a time. `gap` in microseconds between two of a connection;
    0: the next one follows the answer.
    """

    count: int
    connections: int = 20
    depth: int = 1
    keys: int = 100
    format: str = "warm%d.example"
    gap: int = 0

    def options(self, port: int) -> list[str]:
        """Give them as the loader takes them."""
        numbers = {
            "-p": port,
            "-n": self.count,
            "-c": self.connections,
            "-d": self.depth,
            "-k": self.keys,
            "-f": self.format,
            "-g": self.gap,
            "-w": RUN_SECONDS,
        }
        return [str(word) for pair in numbers.items() for word in pair]


@dataclass(frozen=True, slots=True)
class LoadResult:
    """`start` by the monotonic clock; percentiles are of the wait for the 250, milliseconds."""

    start: float
    seconds: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class SinkCounts:
    """What came in; `last` by the monotonic clock."""

    messages: int
    connections: int
    handshakes: int
    last: float


class Sink:
    """A running sink."""

    def __init__(self, port: int, pid: int, counters: Path, kept: Path) -> None:
        self.port = port
        self.pid = pid
        self._counters = counters
        self._kept = kept

    def counts(self) -> SinkCounts:
        with self._counters.open("rb") as file:
            view = mmap.mmap(file.fileno(), 32, access=mmap.ACCESS_READ)
            messages, connections, handshakes, last = struct.unpack("=4Q", view)
            view.close()
        return SinkCounts(messages, connections, handshakes, last / 1e9)

    def keep_next(self) -> None:
        """Have it keep the next message."""
        os.kill(self.pid, signal.SIGUSR1)

    def read_kept(self) -> bytes:
        """Give the message that it kept, which must have come."""
        return self._kept.read_bytes().removesuffix(b".\r\n")

    def wait_for(self, messages: int) -> SinkCounts:
        """Wait until so many messages came in all. Raises TimeoutError."""
        end = time.monotonic() + RUN_SECONDS
        while (counts := self.counts()).messages < messages:
            if time.monotonic() > end:
                raise TimeoutError(f"only {counts.messages} of {messages} messages arrived")
            time.sleep(0.02)
        return counts


@dataclass(frozen=True, slots=True)
class Programs:
    """The built programs, in a folder for all files of a benchmark."""

    folder: Path

    def send(self, load: Load, port: int) -> LoadResult:
        """Send a load to 127.0.0.1. Raises RuntimeError when not every message was taken."""
        command = [str(self.folder / "smtp_load"), *load.options(port)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"not every message was taken: {done.stdout}{done.stderr}")
        found = json.loads(done.stdout)
        return LoadResult(found["start"], found["seconds"], found["p50_ms"], found["p99_ms"])

    def ask(self, queries: Queries, port: int) -> LoadResult:
        """Ask 127.0.0.1. Raises RuntimeError when not every key was found."""
        command = [str(self.folder / "policy_load"), *queries.options(port)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = json.loads(done.stdout) if done.returncode == 0 else {}
        if found.get("found") != queries.count:
            raise RuntimeError(f"not every key was found: {done.stdout}{done.stderr}")
        return LoadResult(found["start"], found["seconds"], found["p50_ms"], found["p99_ms"])

    @contextmanager
    def sink(self, certificate: tuple[Path, Path] | None) -> Iterator[Sink]:
        """Run a sink; with STARTTLS when it is given a chain and its key."""
        port, counters = free_port(), self.folder / "sink.counters"
        kept = self.folder / "sink.message"
        command = [str(self.folder / "smtp_sink"), "-p", str(port), "-o", str(counters)]
        command += ["-m", str(kept)]
        if certificate is not None:
            command += ["-x", str(certificate[0]), "-k", str(certificate[1])]
        log = self.folder / "sink.log"
        with running(command, log) as pid:
            wait_for_banner(port, log)
            yield Sink(port, pid, counters, kept)


def build(folder: Path) -> Programs:
    """Compile all of them into a folder. Raises BuildError."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise BuildError("no C compiler")
    for name in ("smtp_load", "smtp_sink", "policy_load"):
        command = [compiler, "-O2", "-o", str(folder / name), str(SOURCES / f"{name}.c")]
        done = subprocess.run(
            [*command, "-lssl", "-lcrypto"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BuildError(f"{name}.c: {done.stderr.strip().splitlines()[:1]}")
    return Programs(folder)
