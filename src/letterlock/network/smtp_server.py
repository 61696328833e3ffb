"""The SMTP connections that come in: accepted, swept for time limits, ended in order.

Time limits are kept by one sweep over all connections, not by a timer for each.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence

from letterlock.base.clock import Clock
from letterlock.base.waiting import let_arrive, wait_for_event
from letterlock.network.listening import Listening
from letterlock.network.proxy_gate import Proxies, ProxyGate
from letterlock.network.server_certificates import ServerCertificates
from letterlock.network.server_limits import ServerLimits
from letterlock.network.smtp_connection import Connection
from letterlock.network.smtp_owner import Peer, SessionOwner
from letterlock.protocols.smtp.server_session import (
    ServerSession,
)

SWEEP_SECONDS = 1.0
_BACKLOG = 4096
END_SECONDS = 30.0
"""How long messages that are being stored are waited for at the end."""


class SmtpServer:
    """All connections of one process."""

    def __init__(
        self,
        owner: Callable[[Peer], tuple[ServerSession, SessionOwner]],
        certificates: ServerCertificates | None,
        limits: ServerLimits,
        clock: Clock,
        proxies: Proxies | None = None,
    ) -> None:
        """`proxies` None: nobody may tell of other clients than itself."""
        self._owner = owner
        self._certificates = certificates
        self._limits = limits
        # As it is, not a method around it: it is asked for every command.
        self.now = clock.monotonic
        self._listening = Listening()
        self._connections: set[Connection] = set()
        self._gates: set[ProxyGate] = set()
        self._proxies = proxies
        self._tasks: asyncio.TaskGroup | None = None
        self._is_ending = False
        self._empty = asyncio.Event()
        self._empty.set()

    async def run(self, listeners: Sequence[socket.socket]) -> None:
        """Accept on listening sockets until cancelled; then end what is open, with 421."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                for listener in listeners:
                    # A reply must not wait for the client's delayed acknowledgement. Connections
                    # take it over; asyncio sets it only for sockets made with proto=IPPROTO_TCP.
                    with contextlib.suppress(OSError):
                        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await self._listening.start(listeners, self._accept, _BACKLOG)
                while True:
                    await asyncio.sleep(SWEEP_SECONDS)
                    self.sweep()
            finally:
                self.stop_accepting()
                await self._end_all()

    def sweep(self) -> None:
        """End the connections whose time is up."""
        now = self.now()
        for gate in tuple(self._gates):
            gate.check_time(now)
        for connection in tuple(self._connections):
            connection.check_time(now)

    def stop_accepting(self) -> None:
        """Accept no more connections; those there are go on."""
        self._listening.stop()

    async def wait_empty(self) -> None:
        """Return when no connection is left; one that was accepted just now counts."""
        await let_arrive()
        await self._empty.wait()

    async def _end_all(self) -> None:
        """Let messages that are being stored get their reply; end everything else."""
        self._is_ending = True
        await let_arrive()
        for gate in tuple(self._gates):
            gate.shut_down()
        for connection in tuple(self._connections):
            connection.shut_down()
        loop = asyncio.get_running_loop()
        end = loop.time() + END_SECONDS
        while not self._empty.is_set() and loop.time() < end:
            # Clients that don't close after our last word are not waited for.
            self.sweep()
            await wait_for_event(self._empty, SWEEP_SECONDS)

    def _accept(self) -> Connection | ProxyGate:
        connection = self._connection()
        if self._proxies is None:
            return connection
        return ProxyGate(self, connection, self._proxies)

    def _connection(self) -> Connection:
        assert self._tasks is not None
        return Connection(self, self._tasks)

    # what a connection asks of us: `ConnectionHome`

    @property
    def certificates(self) -> ServerCertificates | None:
        return self._certificates

    @property
    def limits(self) -> ServerLimits:
        return self._limits

    @property
    def is_crowded(self) -> bool:
        """More connections are open than may be; those count that are only closed slowly."""
        count = len(self._connections) + len(self._gates)
        return bool(self._limits.connections) and count > self._limits.connections

    @property
    def is_ending(self) -> bool:
        """Who comes now is told to come back."""
        return self._is_ending

    def begin(self, connection: Connection, peer: Peer) -> tuple[ServerSession, SessionOwner]:
        self._connections.add(connection)
        self._empty.clear()
        return self._owner(peer)

    def begin_gate(self, gate: ProxyGate) -> None:
        self._gates.add(gate)
        self._empty.clear()

    def end_gate(self, gate: ProxyGate) -> None:
        self._gates.discard(gate)
        self._note_emptiness()

    def end(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._note_emptiness()

    def _note_emptiness(self) -> None:
        if not (self._connections or self._gates):
            self._empty.set()
