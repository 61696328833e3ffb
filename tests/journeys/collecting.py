"""`tlsrpt collect` as a process, and somebody who sends to it as libtlsrpt does."""

import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from letterlock.services.collect.journal import load_day
from letterlock.storage.day_files import DayFiles
from tests.journeys.running_node import NodeFiles, RunningNode


class CollectorFiles(NodeFiles):
    """The folder of a collector."""

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "tlsrpt.sock"

    @property
    def days(self) -> DayFiles:
        return DayFiles(self.data / "tlsrpt")

    def count_sessions(self) -> int:
        """Give how many sessions are counted, of all days: midnight may be near."""
        return sum(load_day(self.days, day).sessions for day in self.days.list_days())


def make_collector(folder: Path) -> CollectorFiles:
    files = CollectorFiles(folder)
    files.set("tlsrpt", socket=str(files.socket))
    files.write()
    return files


@contextmanager
def collecting(files: CollectorFiles, command: Sequence[str] = ()) -> Iterator[RunningNode]:
    """Run it, ready. `command` goes before its own."""
    own = [sys.executable, "-m", "letterlock", "tlsrpt", "collect", "--config", str(files.config)]
    collector = RunningNode(files, [*command, *own])
    try:
        collector.wait_log("counting what comes at")
        yield collector
    finally:
        collector.stop()


def send(path: Path, datagrams: Sequence[bytes]) -> int:
    """Send, as Postfix does, each on a socket of its own; gives how many were let go."""
    lost = 0
    for octets in datagrams:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(0)
            try:
                sender.sendto(octets, str(path))
            except (BlockingIOError, FileNotFoundError, ConnectionRefusedError):
                lost += 1
    return lost


def send_patiently(path: Path, datagrams: Sequence[bytes]) -> int:
    """Send, waiting for room; gives how many were taken before the receiver was gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.connect(str(path))
        except OSError:
            return 0
        for number, octets in enumerate(datagrams):
            try:
                sender.send(octets)
            except OSError:
                return number
    return len(datagrams)
