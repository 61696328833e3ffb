"""How much one client, and all together, may have of us: connections at once, and their rate.

The counters are shared by all workers (`base.shared_counters`).
"""

from dataclasses import dataclass
from functools import lru_cache
from math import inf

from letterlock.base.client_keys import client_key
from letterlock.base.clock import Clock
from letterlock.base.shared_counters import SharedCounters
from letterlock.protocols.smtp.replies import Reply, reply

RATE_WINDOW_SECONDS = 60
_FULL = reply(421, "4.3.2", "Too many connections, try again later")


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """At most so many; 0 for no limit. The rate is in connections a minute."""

    connections: int = 2000
    connections_per_client: int = 50
    connection_rate_per_client: int = 120


class Clients:
    """Counts one worker's connections into the shared counters."""

    def __init__(
        self, limits: ClientLimits, counters: SharedCounters, worker: int, clock: Clock
    ) -> None:
        self._limits = limits
        self._counters = counters
        self._worker = worker
        self._clock = clock
        self._all = counters.slot("connections")
        self._slots = lru_cache(maxsize=4096)(self._find_slots)

    def admit(self, ip: str | None) -> Reply | None:
        """Count a connection in; a reply refuses it. Call `leave` once for each call of this.

        `ip` None: a proxy's, who has the clients of all the world.
        """
        limits, counters = self._limits, self._counters
        is_full = counters.count(self._worker, self._all) > (limits.connections or inf)
        if ip is None:
            return _FULL if is_full else None
        open_slot, rate_slot = self._slots(ip)
        window = int(self._clock.monotonic()) // RATE_WINDOW_SECONDS
        are_open = counters.count(self._worker, open_slot)
        a_minute = counters.count_in_window(self._worker, rate_slot, window)
        if is_full:
            return _FULL
        if are_open > (limits.connections_per_client or inf):
            return reply(421, "4.7.0", f"Too many connections at once from {ip}")
        if a_minute > (limits.connection_rate_per_client or inf):
            return reply(421, "4.7.0", f"Too many connections a minute from {ip}")
        return None

    def leave(self, ip: str | None) -> None:
        """Count a connection out."""
        self._counters.add(self._worker, self._all, -1)
        if ip is not None:
            self._counters.add(self._worker, self._slots(ip)[0], -1)

    def _find_slots(self, ip: str) -> tuple[int, int]:
        """Give the slots of a client's open connections and of its rate."""
        client = client_key(ip)
        return self._counters.slot(f"open {client}"), self._counters.slot(f"rate {client}")
