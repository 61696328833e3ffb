"""How much an account may send in an hour, over all workers of the node.

What one that was stolen can do before somebody looks is bounded by it.
"""

from dataclasses import dataclass

from letterlock.base.clock import Clock
from letterlock.base.shared_counters import SharedCounters
from letterlock.services.receive.logins import Account

WINDOW_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class QuotaLimits:
    """In an hour, for accounts that have no limits of their own; 0: none."""

    messages: int = 500
    recipients: int = 2000


class Quotas:
    """Counts what one worker took into the shared counters."""

    def __init__(
        self, limits: QuotaLimits, counters: SharedCounters, worker: int, clock: Clock
    ) -> None:
        self._limits = limits
        self._counters = counters
        self._worker = worker
        self._clock = clock

    def may_send(self, account: Account) -> bool:
        """Say whether a further message may be begun."""
        limit = account.max_messages
        sent = self._count(f"messages of {account.name}")
        return _is_below(sent, self._limits.messages if limit is None else limit)

    def may_send_to(self, account: Account, recipients: int) -> bool:
        """Say whether a message that has so many recipients may have one more."""
        limit = account.max_recipients
        sent = self._count(f"recipients of {account.name}") + recipients
        return _is_below(sent, self._limits.recipients if limit is None else limit)

    def note_message(self, account: Account, recipients: int) -> None:
        """Count a message that was taken."""
        counters, window = self._counters, self._window()
        slot = counters.slot(f"recipients of {account.name}")
        counters.add_in_window(self._worker, counters.slot(f"messages of {account.name}"), window)
        for _ in range(recipients):
            counters.add_in_window(self._worker, slot, window)

    def _count(self, key: str) -> int:
        return self._counters.total_in_window(self._counters.slot(key), self._window())

    def _window(self) -> int:
        return int(self._clock.monotonic()) // WINDOW_SECONDS + 1


def _is_below(count: int, limit: int) -> bool:
    return not limit or count < limit
