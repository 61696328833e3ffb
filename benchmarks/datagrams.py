"""Datagrams of libtlsrpt received and counted a second, as `letterlock tlsrpt collect` does it.

One process sends, another receives, counts and keeps its journal. The sender waits for room, so
that none is lost. Rates are of the CPU that the other one takes, on one core. Then it sends bursts
and does not wait, as libtlsrpt does: what the kernel has no room for is lost, at its own queue
length and at 512. That is the network namespace's, so each is measured in one of its own (root
only).
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Self

from letterlock.base.clock import SystemClock
from letterlock.network.datagram_receiver import (
    QUEUE_LENGTH_FILE,
    DatagramReceiver,
    bind_datagram_socket,
)
from letterlock.node.tlsrpt_collecting import PERIOD_SECONDS, SWITCH_SECONDS, pause
from letterlock.services.collect.collector import Collector
from letterlock.storage.day_files import DayFiles
from tests.fakes import FakeLog
from tests.protocols.tlsrpt.datagrams import make_datagram, make_policy

MIN_RATE = 50_000.0
"""Of datagrams as usual, on one core."""
ENOUGH = 512
"""The queue length that the guide asks for, and the burst that must be lost by nobody."""
_SENT = 200_000
_BURSTS = 20
_DOMAINS = 1000
_PATIENCE_SECONDS = 120.0


def measure() -> Iterator[str]:
    """Give the lines of the result."""
    if os.geteuid() != 0:
        yield "datagrams: not root, so only at this machine's queue length"
        yield from _format(_measure_in(None))
        return
    for length in (ENOUGH, 10):
        yield from _format(_measure_in(length))


def _measure_in(length: int | None) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.datagrams", str(length or 0)]
    if length is not None:
        command = ["unshare", "--net", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _format(found: dict[str, float]) -> Iterator[str]:
    length = int(found["length"])
    if length == ENOUGH:
        for kind, title in (("usual", "as usual"), ("different", "all different")):
            rate, cpu = found[f"{kind}_rate"], found[f"{kind}_cpu"]
            line = (
                f"datagrams, {title:<15}{1e6 / cpu:9.0f}/s{cpu:10.1f} us   beside their sender, "
                f"by the clock: {rate:.0f}/s"
            )
            if kind == "usual":
                verdict = "met" if 1e6 / cpu >= MIN_RATE else "MISSED"
                line += f"   at least {MIN_RATE:.0f}/s: {verdict}"
            yield line
    lost, sent = int(found["burst_lost"]), int(found["burst_sent"])
    line = f"bursts of {ENOUGH}, queue of {length}: {lost} of {sent} lost ({lost / sent:.0%})"
    if length == ENOUGH:
        line += f"   none: {'MISSED' if lost else 'met'}"
    yield line


def make_load(*, is_usual: bool) -> list[bytes]:
    """Make what one Postfix sends: many sessions that fare alike, or no two that do."""
    lines = ["version: STSv1", "mode: enforce", "mx: mx.example", "max_age: 86400"]
    load = []
    for number in range(_DOMAINS if is_usual else _SENT // 10):
        failures = []
        if not is_usual or number % 20 == 0:
            ip = f"192.0.{number // 250 % 250}.{number % 250}"
            failures = [{"c": 204, "s": "192.0.2.1", "n": "mx.example", "h": "250-mx", "r": ip}]
        policy = make_policy(2, *failures, policy_string=lines, mx_host=["mx.example"])
        load.append(make_datagram(f"a{number % _DOMAINS}.example", policy))
    return load


class _Running:
    """A collector in this process, as the node runs it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tlsrpt.sock"
        self._listener = bind_datagram_socket(self.path, 0o600)
        self.receiver = DatagramReceiver(self._listener)
        files = DayFiles(folder)
        files.lock()
        self.collector = Collector(files, SystemClock(), FakeLog(), timedelta(days=10), pause)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        sys.setswitchinterval(SWITCH_SECONDS)
        self.receiver.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self.receiver.stop()
        self.collector.close()
        self._listener.close()

    def wait(self, sessions: int) -> None:
        """Wait until so many are counted."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while self.collector.journal.counts.sessions < sessions:
            assert time.monotonic() < end, f"{self.collector.journal.counts.sessions} are counted"
            time.sleep(0.01)

    def _run(self) -> None:
        while not self._end.wait(PERIOD_SECONDS):
            self.collector.work(self.receiver)


def _measure_rate(*, is_usual: bool) -> tuple[float, float]:
    """Give sessions counted a second, and the CPU's microseconds for each."""
    with tempfile.TemporaryDirectory() as name, _Running(Path(name)) as running:
        count = _SENT if is_usual else _SENT // 10
        sender = _start_sender(running.path, "usual" if is_usual else "different", count)
        assert sender.stdin is not None
        assert sender.stdout is not None
        sender.stdout.readline()
        start, cpu = time.monotonic(), time.process_time()
        sender.stdin.write("go\n")
        sender.stdin.flush()
        running.wait(count)
        seconds, used = time.monotonic() - start, time.process_time() - cpu
        sender.communicate()
    return count / seconds, used / count * 1e6


def _measure_bursts() -> int:
    """Give how many datagrams of the bursts were lost."""
    with tempfile.TemporaryDirectory() as name, _Running(Path(name)) as running:
        sender = _start_sender(running.path, "bursts", _BURSTS)
        told, _ = sender.communicate("go\n")
        lost = int(told.split()[-1])
        running.wait(_BURSTS * ENOUGH - lost)
    return lost


def _start_sender(path: Path, kind: str, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "benchmarks.datagrams", "send", kind, str(path), str(count)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _send(kind: str, path: str, count: int) -> None:
    load = make_load(is_usual=kind != "different")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(path)
        print("ready", flush=True)
        sys.stdin.readline()
        if kind == "bursts":
            print(sum(_send_burst(path, load) for _ in range(count)))
            return
        for number in range(count):
            sender.send(load[number % len(load)])


def _send_burst(path: str, load: list[bytes]) -> int:
    """Send a burst as fast as it goes, each on a socket of its own; gives how many were lost.

    A socket's own buffer would hold no more than some 150 of them.
    """
    lost = 0
    for octets in load[:ENOUGH]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            try:
                sender.sendto(octets, socket.MSG_DONTWAIT, path)
            except BlockingIOError:
                lost += 1
    time.sleep(2 * PERIOD_SECONDS)
    return lost


def main(words: list[str]) -> None:
    if words[0] == "send":
        _send(words[1], words[2], int(words[3]))
        return
    if length := int(words[0]):
        QUEUE_LENGTH_FILE.write_text(f"{length}\n")
    found: dict[str, float] = {"length": int(QUEUE_LENGTH_FILE.read_text())}
    if found["length"] == ENOUGH:
        for is_usual, kind in ((True, "usual"), (False, "different")):
            rate, cpu = _measure_rate(is_usual=is_usual)
            found |= {f"{kind}_rate": rate, f"{kind}_cpu": cpu}
    found |= {"burst_lost": _measure_bursts(), "burst_sent": _BURSTS * ENOUGH}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
