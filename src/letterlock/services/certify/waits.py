"""What a process remembers of roll-overs' waits, so that a clock that was set cuts none short.

RFC 7671 §8.1: the wait for caches is one of elapsed time. What is kept of it are two moments of the
wall clock, which a process finds again after a restart; while it runs, the monotonic clock says how
much of the wait is left. A moment that only a wrong clock can have given is replaced.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from letterlock.base.clock import Clock
from letterlock.services.certify.rollover import PublishedTlsa
from letterlock.storage.certificates import CertificateId, RollOver, RollOverStage

TOLERANCE = timedelta(minutes=5)
"""Clocks of nodes that share a store differ, and a clock that is wrong by little is slewed."""
LONGEST = timedelta(days=60)
"""No wait is longer: caches keep nothing for more than a few weeks."""
_WAITING = (RollOverStage.SEEN, RollOverStage.SWITCHED)


@dataclass(frozen=True, slots=True)
class _Wait:
    """One stage as it was seen first; `end` is by the monotonic clock."""

    stage: RollOverStage
    since: datetime
    end: float


class Waits:
    """One for each process: what it has seen of each certificate's roll-over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[CertificateId, _Wait | None] = {}
        self._ttls: dict[CertificateId, tuple[bytes, timedelta]] = {}

    def correct(self, which: CertificateId, rollover: RollOver | None) -> RollOver | None:
        """Give a roll-over with the moments that it has by a clock that nobody set.

        To be asked at each look, also while there is none.
        """
        if rollover is None:
            self._seen[which] = None
            return None
        now, elapsed = self._clock.now(), self._clock.monotonic()
        left = self._find_left(which, rollover)
        ready = rollover.ready or now
        is_impossible = rollover.since > now + TOLERANCE or ready > now + LONGEST
        if is_impossible:
            rollover = replace(rollover, since=now, ready=now + left)
        elif rollover.stage in _WAITING and ready < now + left - TOLERANCE:
            rollover = replace(rollover, ready=now + left)
        end = elapsed + left.total_seconds()
        self._seen[which] = _Wait(rollover.stage, rollover.since, end)
        return rollover

    def raise_ttl(
        self, which: CertificateId, rollover: RollOver, published: PublishedTlsa
    ) -> PublishedTlsa:
        """Give what is published with the longest TTL that was seen in this roll-over.

        The records before may have had a longer one than those with the next key beside them:
        caches keep them for that long.
        """
        key, longest = self._ttls.get(which, (b"", timedelta()))
        if key == rollover.spki_sha256:
            published = replace(published, ttl=max(longest, published.ttl))
        self._ttls[which] = (rollover.spki_sha256, published.ttl)
        return published

    def _find_left(self, which: CertificateId, rollover: RollOver) -> timedelta:
        """Say how much is left of a stage's wait."""
        now = self._clock.now()
        ready, seen = rollover.ready or now, self._seen.get(which)
        if seen is not None and (seen.stage, seen.since) == (rollover.stage, rollover.since):
            left = timedelta(seconds=seen.end - self._clock.monotonic())
        elif which in self._seen:
            # It began since the last look: both moments are by one clock, whatever that said.
            left = ready - rollover.since
        else:
            left = min(ready - now, ready - rollover.since)
        return max(left, timedelta())
