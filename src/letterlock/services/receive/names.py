"""Names for clients, looked up beside the session: nobody waits for a name server.

The name is for Received and the log, and is there when it is needed if the resolver is quick; till
then, and for clients that have none, it is `unknown`, as in Postfix.
"""

import asyncio
from dataclasses import dataclass
from ipaddress import ip_address

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver
from letterlock.services.discover.client_names import find_client_name

LOOKUP_SECONDS = 10.0
KEEP_SECONDS = 60.0
"""A client that comes again within it is not looked up again."""
MAX_KNOWN = 4096
MAX_LOOKUPS = 100
"""At one time; further clients stay unknown. Less than half of `network.dns.MAX_QUERIES`: reverse
zones that never answer must not keep deliveries waiting."""


@dataclass(slots=True)
class ClientName:
    """A client's name, or None as long as none is known."""

    name: Domain | None = None


class ClientNames:
    """Looks clients' names up while `run` runs."""

    def __init__(self, resolver: Resolver, clock: Clock) -> None:
        self._resolver = resolver
        self._clock = clock
        self._known: dict[str, tuple[float, ClientName]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._open = 0

    def begin(self, ip: str) -> ClientName:
        """Begin to look up; the answer appears in what is given back."""
        now = self._clock.monotonic()
        known = self._known.get(ip)
        if known is not None and now < known[0]:
            return known[1]
        found = ClientName()
        if self._tasks is not None and self._open < MAX_LOOKUPS:
            self._open += 1
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[ip] = (now + KEEP_SECONDS, found)
            self._tasks.create_task(self._find(ip, found))
        return found

    async def run(self) -> None:
        """Look up until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    async def _find(self, ip: str, found: ClientName) -> None:
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                found.name = await find_client_name(self._resolver, ip_address(ip))
        except (TimeoutError, ValueError):
            # No name in time, or what we have is no address: unknown.
            return
        finally:
            self._open -= 1
