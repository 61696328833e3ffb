"""The server that Postfix looks things up at: socketmap and tcp_table on the same sockets.

Which of both a client speaks shows its first octet: a netstring begins with a digit. What is known
is answered at once; a client whose answer has to be found waits, and nobody else. Answers go out in
the order of the queries.

A Postfix asks the same few hundred queries again and again, in the same octets: of those the server
remembers what the answer was, in octets too, for as long as that one holds.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, cast

from letterlock.base.clock import Clock
from letterlock.base.waiting import let_arrive, wait_for_event
from letterlock.network.listening import Listening
from letterlock.protocols.maps.messages import BadQuery, Event, Reply, Status, Violation
from letterlock.protocols.maps.socketmap import SocketmapReader, format_socketmap_reply
from letterlock.protocols.maps.tcp_table import TcpTableReader, format_tcp_reply

SWEEP_SECONDS = 1.0
END_SECONDS = 5.0
"""For how long at the end answers are waited for that are being found."""
MAX_PIPELINED = 256
"""Queries taken from one connection before the first of them is answered; Postfix sends one."""
MAX_REMEMBERED = 10_000
"""Queries whose octets are known, of all connections; with more of them all are forgotten."""
MAX_REMEMBERED_OCTETS = 1500
"""Of a query and its answer together: longer ones are read each time."""
_BACKLOG = 1024


@dataclass(slots=True, eq=False)
class Known:
    """An answer that may be given again and again, without a question, until `until`.

    By the monotonic clock, in seconds. Whoever gave it takes it back by setting `until` to the
    past.
    """

    reply: Reply
    until: float


class Answers(Protocol):
    """Where answers come from: `services.answer.cache.AnswerCache`."""

    def find(self, key: bytes) -> Known | None:
        """Give an answer at once; None: `wait` for it."""

    def wait(self, key: bytes) -> "asyncio.Future[Reply]":
        """Give what becomes the answer; others may wait for it too."""

    def sweep(self) -> None:
        """See to what waits for long; called once a second."""


class Reader(Protocol):
    def receive(self, octets: bytes) -> list[Event]: ...

    @property
    def is_between(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Language:
    """One of the protocols, and the answers to the octets of whole queries."""

    make_reader: Callable[[], Reader]
    format: Callable[[Reply], bytes]
    remembered: dict[bytes, tuple[Known, bytes]] = field(default_factory=dict)

    def remember(self, query: bytes, known: Known) -> None:
        answer = self.format(known.reply)
        if len(query) + len(answer) > MAX_REMEMBERED_OCTETS:
            return
        if len(self.remembered) >= MAX_REMEMBERED:
            self.remembered.clear()
        self.remembered[query] = known, answer


@dataclass(frozen=True, slots=True)
class MapLimits:
    """`connections` are those at a time; one more ends the one that is idle for longest."""

    connections: int = 2000
    idle_seconds: float = 150.0
    """Longer than Postfix keeps a connection that it does not use (100 s)."""


class MapServer:
    """All connections of one process."""

    def __init__(self, answers: Answers, limits: MapLimits, clock: Clock) -> None:
        self.answers = answers
        self._limits = limits
        self.now = clock.monotonic
        self._listening = Listening()
        self._connections: set[_Connection] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self.socketmap = _Language(SocketmapReader, format_socketmap_reply)
        self.tcp_table = _Language(TcpTableReader, format_tcp_reply)

    async def open(self, listeners: list[socket.socket]) -> None:
        """Begin to accept."""
        # For Unix sockets too: since Python 3.13 `create_unix_server` takes the file away when it
        # ends, and that is the next worker's, or systemd's.
        await self._listening.start(listeners, lambda: _Connection(self), _BACKLOG)

    async def run(self) -> None:
        """Keep time limits until cancelled; then end what is open."""
        try:
            while True:
                await asyncio.sleep(SWEEP_SECONDS)
                self.answers.sweep()
                self.sweep()
        finally:
            await self._end_all()

    def sweep(self) -> None:
        """End the connections that have been idle for too long, or take no answer."""
        before = self.now() - self._limits.idle_seconds
        for connection in tuple(self._connections):
            if connection.used <= before and not connection.is_waiting:
                connection.abort()

    async def _end_all(self) -> None:
        self._listening.stop()
        await let_arrive()
        for connection in tuple(self._connections):
            connection.finish()
        await wait_for_event(self._empty, END_SECONDS)
        for connection in tuple(self._connections):
            connection.abort()

    # what a connection asks of us

    def choose(self, octets: bytes) -> _Language:
        """Say what a client speaks that begins so."""
        return self.socketmap if octets[:1].isdigit() else self.tcp_table

    def begin(self, connection: "_Connection") -> None:
        self._connections.add(connection)
        self._empty.clear()
        if len(self._connections) > self._limits.connections:
            idle = [each for each in self._connections if not each.is_waiting]
            if idle:
                min(idle, key=lambda each: each.used).abort()

    def end(self, connection: "_Connection") -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()


class _Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, server: MapServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._language = server.socketmap
        self._reader: Reader | None = None
        self._events: deque[Event] = deque()
        self._is_ending = False
        self._is_stuck = False
        self._is_reading = True
        self._is_between = False
        """All that came is answered, and what comes next begins a query."""
        self.is_waiting = False
        """For an answer; such a connection is not idle."""
        self.used = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none by inheritance.
        self._transport = cast("asyncio.Transport", transport)
        self.used = self._server.now()
        self._server.begin(self)

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self._transport = None
        self._events.clear()
        self._server.end(self)

    def data_received(self, octets: bytes) -> None:
        now = self.used = self._server.now()
        if self._is_between:
            found = self._language.remembered.get(octets)
            if found is not None and now < found[0].until:
                assert self._transport is not None
                self._transport.write(found[1])
                return
        if not self._is_ending:
            self._read(octets)

    def _read(self, octets: bytes) -> None:
        if self._reader is None:
            self._language = self._server.choose(octets)
            self._reader = self._language.make_reader()
        was_between = self._is_between
        events = self._reader.receive(octets)
        self._events.extend(events)
        if not self.is_waiting:
            self._answer()
        self._balance()
        if was_between and self._is_between and len(events) == 1:
            self._remember(octets, events[0])

    def _remember(self, octets: bytes, event: Event) -> None:
        """Keep what is answered to a query that came in one piece."""
        if isinstance(event, bytes) and (known := self._server.answers.find(event)) is not None:
            self._language.remember(octets, known)

    def eof_received(self) -> bool:
        # What was asked is answered before the end.
        self.finish()
        return True

    def pause_writing(self) -> None:
        self._is_stuck = True
        self._balance()

    def resume_writing(self) -> None:
        self._is_stuck = False
        self._balance()

    def finish(self) -> None:
        """End as soon as what was asked is answered."""
        self._is_ending = True
        self._is_between = False
        if not self.is_waiting and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End at once."""
        if self._transport is not None:
            self._transport.abort()

    def _answer(self) -> None:
        """Answer what can be answered; the first query that can't has the others wait."""
        replies: list[bytes] = []
        while self._events and not self.is_waiting:
            match event := self._events.popleft():
                case bytes():
                    if (reply := self._find(event)) is not None:
                        replies.append(self._language.format(reply))
                case BadQuery():
                    replies.append(self._language.format(Reply(Status.PERM, event.reason)))
                case Violation():
                    self._is_ending = True
                    self._events.clear()
        if self._transport is None:
            return
        if replies:
            self._transport.write(b"".join(replies))
        if self._is_ending and not self.is_waiting:
            self._transport.close()

    def _find(self, key: bytes) -> Reply | None:
        """Give an answer; None: it is waited for, and `_resume` goes on."""
        answers = self._server.answers
        known = answers.find(key)
        if known is not None:
            return known.reply
        future = answers.wait(key)
        if future.done():
            return future.result()
        self.is_waiting = True
        future.add_done_callback(self._resume)
        return None

    def _resume(self, future: "asyncio.Future[Reply]") -> None:
        self.is_waiting = False
        if self._transport is None:
            return
        self.used = self._server.now()
        if not future.cancelled():
            self._transport.write(self._language.format(future.result()))
        self._answer()
        self._balance()

    def _balance(self) -> None:
        """See where we stand.

        No more is read while too much waits for answers, or for the client to take them.
        """
        if self._transport is None:
            return
        is_idle = not (self._is_ending or self.is_waiting or self._events)
        self._is_between = is_idle and self._reader is not None and self._reader.is_between
        may_read = not self._is_stuck and len(self._events) <= MAX_PIPELINED
        if may_read == self._is_reading:
            return
        self._is_reading = may_read
        if may_read:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
