"""Processes of a benchmark: started, waited for, counted, ended; nothing outlives it."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PATIENCE_SECONDS = 20.0
_TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def running(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a program and all that it starts; gives its process number. At the end it is killed."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )
        try:
            yield process.pid
        finally:
            end_group(process.pid)
            process.wait(PATIENCE_SECONDS)


def end_group(group: int) -> None:
    """Kill a process group: what is measured here has nothing to keep."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def free_port() -> int:
    """Find a free port on 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def wait_for_banner(port: int, log: Path) -> None:
    """Wait until an SMTP server answers. Raises TimeoutError, with the end of its log."""

    def has_banner(client: socket.socket) -> bool:
        if not client.recv(512).startswith(b"220"):
            return False
        client.sendall(b"QUIT\r\n")
        return True

    _wait_for(port, log, has_banner)


def wait_for_port(port: int, log: Path) -> None:
    """Wait until something listens. Raises TimeoutError, with the end of its log."""
    _wait_for(port, log, lambda _: True)


def _wait_for(port: int, log: Path, is_ready: Callable[[socket.socket], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                if is_ready(client):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
    raise TimeoutError(f"nothing answers on port {port}:\n{tail}")


def cpu_seconds(root: int) -> float:
    """Sum user and system time of a process and all below it, those that have ended included."""
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except OSError:
            continue  # it ended meanwhile: its parent has its time
        fields = text[text.rindex(")") + 2 :].split()
        parents[int(entry.name)] = int(fields[1])
        used[int(entry.name)] = sum(map(int, fields[11:15]))
    return sum(ticks for pid, ticks in used.items() if _is_below(pid, root, parents)) / _TICKS


def _is_below(pid: int, root: int, parents: Mapping[int, int]) -> bool:
    while pid > 1:
        if pid == root:
            return True
        pid = parents.get(pid, 0)
    return False
