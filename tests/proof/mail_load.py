"""Numbered messages on their way through a node: who sends them, who takes them, what became whose.

A number is sent once, whatever became of it: one that arrives twice was doubled by the node.
"""

import hashlib
import re
import smtplib
import socketserver
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from letterlock.base.clock import SystemClock
from tests.journeys.running_node import PATIENCE, Client, NodeFiles

LOCAL = "alice@example.org"
RELAYED = "alice@relayed.example"
CLOCK = SystemClock()
LAG = 30.0
"""Seconds by which the sink may be late with what nobody waits for any more, on a busy machine."""
LARGE_EVERY = 10
LARGE_LINES = 3600
"""Of 76 octets: more than is kept in memory, so that the body has a file of its own."""

_NUMBER = re.compile(rb"^X-Number: (\d+)\r?$", re.MULTILINE)
_QUEUE_ID = re.compile(rb"\bid (\w+)")


def make_text(number: int) -> str:
    """Make the message of a number; its octets are told by the number."""
    line = f"{number:010d} {hashlib.sha256(str(number).encode()).hexdigest()}\n"
    lines = LARGE_LINES if number % LARGE_EVERY == 0 else 1 + number % 40
    return f"X-Number: {number}\nSubject: {number}\n\n" + line * lines


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message, whole, where it was to go. `when`: seconds of the wall clock."""

    number: int
    queue_id: str
    when: float


def read_arrival(content: bytes, when: float) -> Arrival:
    """Look at what arrived. Raises AssertionError when it is not all that was sent."""
    found, queue_id = _NUMBER.search(content), _QUEUE_ID.search(content)
    assert found is not None, f"no number in {content[:200]!r}"
    assert queue_id is not None, content[:200]
    number = int(found[1])
    body = content.replace(b"\r\n", b"\n")
    assert body.endswith(b"\n" + make_text(number).encode()), f"message {number} is not whole"
    return Arrival(number, queue_id[1].decode(), when)


def read_maildir(folder: Path) -> list[Arrival]:
    """Read all that is in `new`."""
    if not folder.is_dir():
        return []
    return [read_arrival(path.read_bytes(), path.stat().st_mtime) for path in folder.iterdir()]


class Sink(socketserver.ThreadingTCPServer):
    """A mail server that takes everything, and notes it before it says 250."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _SinkSession)
        self.arrivals: list[Arrival] = []
        self.unheard: list[Arrival] = []
        """Those after whose 250 their client said nothing more."""
        self.faults: list[str] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def take(self, content: bytes) -> Arrival | None:
        """Note a message; None when it is not all that was sent."""
        try:
            arrival = read_arrival(content, CLOCK.now().timestamp())
        except AssertionError as fault:
            self.faults.append(str(fault))
            return None
        self.arrivals.append(arrival)
        return arrival

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is what this is about."""


class _SinkSession(socketserver.StreamRequestHandler):
    server: Sink
    _last: Arrival | None = None
    """What its client was answered 250 for, and said nothing since."""

    def handle(self) -> None:
        try:
            self._talk()
        finally:
            if self._last is not None:
                self.server.unheard.append(self._last)

    def _talk(self) -> None:
        self.wfile.write(b"220 sink.example ESMTP\r\n")
        while line := self.rfile.readline(2000):
            self._last = None
            match line[:4].upper():
                case b"EHLO":
                    self.wfile.write(b"250-sink.example\r\n250-8BITMIME\r\n250 PIPELINING\r\n")
                case b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    if (content := self._read_content()) is None:
                        return
                    self._last = self.server.take(content)
                    self.wfile.write(b"250 taken\r\n")
                case b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                case _:
                    self.wfile.write(b"250 fine\r\n")

    def _read_content(self) -> bytes | None:
        lines: list[bytes] = []
        while line := self.rfile.readline():
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        return None


@contextmanager
def sink() -> Iterator[Sink]:
    with Sink() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@dataclass
class Senders:
    """Threads that send one message after the other to a node, wherever that is now."""

    at_once: int = 4
    recipients: tuple[str, ...] = (LOCAL, RELAYED)
    look: Callable[[], int] = lambda: 0
    accepted: dict[int, str] = field(default_factory=dict)
    """The queue ids of those answered 250, by number."""
    seen: dict[int, int] = field(default_factory=dict)
    """What `look` gave just after each 250."""
    sent: int = 0
    port: int | None = None
    """None: there is no node now."""
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _is_over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        for _ in range(self.at_once):
            thread = threading.Thread(target=self._run, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def wait_accepted(self, more: int, patience: float = PATIENCE) -> None:
        """Wait until so many more were answered 250."""
        with self._changed:
            goal = len(self.accepted) + more
            assert self._changed.wait_for(lambda: len(self.accepted) >= goal, patience), (
                f"only {len(self.accepted)} of {goal} messages were taken"
            )

    def _run(self) -> None:
        while not self._is_over.is_set():
            if self.port is None:
                self._is_over.wait(0.02)
                continue
            # A node that dies, is not there yet, or tells us to come back: a new connection.
            with suppress(OSError, smtplib.SMTPException, AssertionError):
                self._send_over_one_connection(self.port)

    def _send_over_one_connection(self, port: int) -> None:
        client = Client(local_hostname="client.example", timeout=PATIENCE)
        try:
            client.connect("127.0.0.1", port)
            while not self._is_over.is_set():
                with self._changed:
                    self.sent += 1
                    number = self.sent
                queue_id = client.deliver("bob@example.net", [*self.recipients], make_text(number))
                seen = self.look()
                with self._changed:
                    self.seen[number] = seen
                    self.accepted[number] = queue_id
                    self._changed.notify_all()
        finally:
            client.close()


def make_files(folder: Path, sink_port: int) -> NodeFiles:
    """Make a node that delivers to a Maildir, and to the sink."""
    files = NodeFiles(folder)
    files.change("node", workers=2)
    files.change("receive", max_connection_rate_per_client=100_000)
    files.change("deliver", routes={"relayed.example": f"[127.0.0.1]:{sink_port}"})
    return files


def group(arrivals: list[Arrival]) -> dict[int, list[Arrival]]:
    """Give the arrivals of each number, in their order."""
    found: defaultdict[int, list[Arrival]] = defaultdict(list)
    for arrival in sorted(arrivals, key=lambda each: each.when):
        found[arrival.number].append(arrival)
    return dict(found)


def find_unexplained(
    groups: dict[int, list[Arrival]],
    kills: list[float],
    count_logged: Callable[[str], int],
    unheard: Collection[Arrival] = (),
) -> list[str]:
    """Give the doubles that no kill explains; `count_logged` counts a message's `status=sent`.

    Logged as often as it arrived: the kill fell between that line and the commit, so it was after
    the arrival. Logged less often: the sender of the first died before it read the 250. Where that
    is `unheard`, perhaps before the receiver, who lags a little, read the end of the message.
    """
    wrong = []
    for number, arrivals in groups.items():
        logged = count_logged(arrivals[0].queue_id)
        for first, again in pairwise(arrivals):
            slack = LAG if logged < len(arrivals) and first in unheard else 0.0
            if not any(first.when - slack <= kill <= again.when for kill in kills):
                gaps = [round(kill - first.when, 3) for kill in kills]
                wrong.append(
                    f"{number} ({first.queue_id}) came again after {again.when - first.when:.3f} s,"
                    f" logged {logged} times; kills, in seconds from the first: {gaps}"
                )
        if not 0 < logged <= len(arrivals):
            wrong.append(f"{number} arrived {len(arrivals)} times and is logged {logged} times")
    return wrong
