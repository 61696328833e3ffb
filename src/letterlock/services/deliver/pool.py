"""Connections kept open for further mail to the same host under the same requirement.

A connection judged by one requirement, or logged in as one account, is never used under another:
the key holds all of it.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from msgspec import Struct

from letterlock.base.clock import Clock
from letterlock.network.smtp_client import Connected
from letterlock.network.smtp_speaker import Target
from letterlock.protocols.policy.requirement import Requirement
from letterlock.protocols.sasl.client_steps import Credentials

SWEEP_SECONDS = 1.0
MAX_IDLE = 200


class ConnectionKey(Struct, frozen=True):
    """What must be the same for a connection to be used again."""

    target: Target
    requirement: Requirement
    credentials: Credentials | None = None
    """Who is logged in. Not for others' mail: a server tells accounts apart."""

    def __hash__(self) -> int:
        # A requirement has many parts, and few targets have more than one of them.
        return hash(self.target)


class _Idle(Struct):
    connection: Connected
    since: float


@dataclass(slots=True)
class ConnectionPool:
    """Idle connections. `idle_seconds` 0: none is kept. `max_uses`: messages on one connection."""

    clock: Clock
    idle_seconds: float = 10.0
    max_uses: int = 100
    _idle: dict[ConnectionKey, deque[_Idle]] = field(default_factory=dict)
    _is_ended: bool = False

    def take(self, key: ConnectionKey) -> Connected | None:
        """Give an idle connection; the peer may have closed it meanwhile."""
        waiting = self._idle.get(key)
        while waiting:
            # The latest: the peer's idle time-out is furthest away.
            idle = waiting.pop()
            if not waiting:
                del self._idle[key]
            if idle.connection.is_open:
                return idle.connection
            idle.connection.abort()
            waiting = self._idle.get(key)
        return None

    async def keep(self, key: ConnectionKey, connection: Connected) -> None:
        """Keep a connection that is ready for another MAIL, or end it when it has served enough."""
        mail_max = connection.capabilities.limits.mail_max
        most = min(self.max_uses, mail_max or self.max_uses)
        is_full = sum(map(len, self._idle.values())) >= MAX_IDLE
        if self._is_ended or not self.idle_seconds or connection.uses >= most or is_full:
            await connection.quit()
            return
        idle = _Idle(connection, self.clock.monotonic())
        self._idle.setdefault(key, deque()).append(idle)

    async def run(self) -> None:
        """Close what was idle for too long; at the end, everything."""
        try:
            while True:
                await asyncio.sleep(SWEEP_SECONDS)
                await self.sweep()
        finally:
            self._is_ended = True
            for waiting in self._idle.values():
                for idle in waiting:
                    idle.connection.abort()
            self._idle.clear()

    async def sweep(self) -> None:
        """Close what has been idle for too long."""
        oldest = self.clock.monotonic() - self.idle_seconds
        late: list[Connected] = []
        for key, waiting in tuple(self._idle.items()):
            while waiting and waiting[0].since <= oldest:
                late.append(waiting.popleft().connection)
            if not waiting:
                del self._idle[key]
        async with asyncio.TaskGroup() as tasks:
            for connection in late:
                tasks.create_task(connection.quit())
