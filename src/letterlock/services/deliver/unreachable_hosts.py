"""Addresses that could not be connected to: not tried again for a while, then by one delivery.

RFC 5321 §4.5.4.1: a client keeps a list of hosts it cannot reach, rather than just retrying queued
mail. Mail for an address on the list waits for its next attempt as if it had been tried, without
the connection's time-out; where other addresses are left, it goes to those at once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from letterlock.base.clock import Clock

FIRST_SECONDS = 10.0
"""How long an address is left alone after it could not be reached, doubled each time it is so
again: short, since most hosts that refuse are only starting anew."""
MOST_SECONDS = 300.0
FORGOTTEN_SECONDS = 4 * MOST_SECONDS
"""What nobody tried for so long after its time was over is new again."""
MAX_ADDRESSES = 10_000

Address = tuple[str, int]
"""IP address and port."""


@dataclass(slots=True)
class _Outage:
    reason: str
    seconds: float
    until: float
    is_tried: bool = False


@dataclass(slots=True)
class Trial:
    """One try to connect. Say how it ended; without a word it does not count."""

    is_over: bool = False
    failure: str | None = None

    def succeed(self) -> None:
        """Note that the host answered."""
        self.is_over = True

    def fail(self, reason: str) -> None:
        """Note that there was no connection."""
        self.is_over, self.failure = True, reason


@dataclass(slots=True)
class UnreachableHosts:
    """One worker's list.

    `max_trials`: how many addresses on it may be tried again at once, so that those that don't
    answer take up only a part of a worker's deliveries.
    """

    clock: Clock
    max_trials: int = 25
    _outages: dict[Address, _Outage] = field(default_factory=dict)
    _trials: int = 0

    def find_reason(self, address: Address) -> str | None:
        """Say why an address is not to be tried now; None: it may be."""
        outage = self._outages.get(address)
        if outage is None:
            return None
        now = self.clock.monotonic()
        if now > outage.until + FORGOTTEN_SECONDS and not outage.is_tried:
            del self._outages[address]
            return None
        if now < outage.until or outage.is_tried or self._trials >= self.max_trials:
            return outage.reason
        return None

    @contextmanager
    def trial(self, address: Address) -> Iterator[Trial]:
        """Try an address that may be tried."""
        outage = self._outages.get(address)
        if outage is not None:
            outage.is_tried = True
            self._trials += 1
        trial = Trial()
        try:
            yield trial
        finally:
            if outage is not None:
                outage.is_tried = False
                self._trials -= 1
            if trial.failure is not None:
                self._note_failure(address, trial.failure, was_known=outage is not None)
            elif trial.is_over:
                self._outages.pop(address, None)

    def forget(self) -> None:
        """Try every address again: somebody knows better."""
        self._outages.clear()

    def _note_failure(self, address: Address, reason: str, *, was_known: bool) -> None:
        # Deliveries that tried it together count as one.
        known = self._outages.pop(address, None)
        seconds = FIRST_SECONDS
        if known is not None:
            seconds = min(2 * known.seconds, MOST_SECONDS) if was_known else known.seconds
        until = self.clock.monotonic() + seconds
        self._outages[address] = _Outage(reason, seconds, until)
        if len(self._outages) > MAX_ADDRESSES:
            # The one that failed longest ago.
            del self._outages[next(iter(self._outages))]
