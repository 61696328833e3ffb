"""Orders that led to nothing yet: what a process goes on with instead of placing another.

RFC 8555 §7.4: an order that is `processing` may take long, and a certificate that was issued counts
against the authority's limits whether it came into use or not. Only in memory: after a restart
another is ordered.
"""

from dataclasses import dataclass

from letterlock.base.clock import Clock
from letterlock.protocols.acme.fields import Url
from letterlock.protocols.acme.jws import SigningKey
from letterlock.services.certify.issuing import Issued
from letterlock.services.certify.keys import digest_key
from letterlock.storage.certificates import CertificateId

KEPT_SECONDS = 24 * 3600.0
"""Orders end some days after they were placed, and settings may have changed."""


@dataclass(frozen=True, slots=True)
class Left:
    """Where one order stands. `issued`: the certificate is there, and was not kept or used yet."""

    directory: str
    key: SigningKey
    order: Url
    issued: Issued | None = None


class LeftOrders:
    """One for each process: at most one order for each certificate at each authority."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left: dict[tuple[CertificateId, str], tuple[float, Left]] = {}

    def note(self, which: CertificateId, left: Left) -> None:
        """Keep it from now on; the time counts from the first time that this order was noted."""
        place = (which, left.directory)
        before = self._left.get(place)
        is_same = before is not None and before[1].order == left.order
        since = before[0] if before is not None and is_same else self._clock.monotonic()
        self._left[place] = (since, left)

    def forget(self, which: CertificateId, directory: str | None = None) -> None:
        """Forget what is done, or nothing can come of; None: at all authorities."""
        for place in list(self._left):
            if place[0] == which and directory in (None, place[1]):
                del self._left[place]

    def find(self, which: CertificateId, directory: str, key: SigningKey) -> Left | None:
        """Find the order of an authority for a key."""
        left = self._find(which, directory)
        if left is None or digest_key(left.key) != digest_key(key):
            return None
        return left

    def find_key(self, which: CertificateId) -> SigningKey | None:
        """Find the key of an order, which may be kept nowhere else."""
        directories = [directory for each, directory in self._left if each == which]
        found = (self._find(which, directory) for directory in directories)
        return next((left.key for left in found if left is not None), None)

    def _find(self, which: CertificateId, directory: str) -> Left | None:
        since, left = self._left.get((which, directory), (0.0, None))
        if left is None or self._clock.monotonic() - since >= KEPT_SECONDS:
            self.forget(which, directory)
            return None
        return left
