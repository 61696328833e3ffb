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
    """One for each process: at most one order for each certificate."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left: dict[CertificateId, tuple[float, Left]] = {}

    def note(self, which: CertificateId, left: Left) -> None:
        """Keep it from now on; the time counts from the first time that this order was noted."""
        before = self._left.get(which)
        is_same = before is not None and before[1].order == left.order
        since = before[0] if before is not None and is_same else self._clock.monotonic()
        self._left[which] = (since, left)

    def forget(self, which: CertificateId) -> None:
        """Forget it: it is done, or nothing can come of it."""
        self._left.pop(which, None)

    def find(self, which: CertificateId, directory: str, key: SigningKey) -> Left | None:
        """Find the order of an authority for a key."""
        left = self._find(which)
        if left is None or left.directory != directory or digest_key(left.key) != digest_key(key):
            return None
        return left

    def find_key(self, which: CertificateId) -> SigningKey | None:
        """Find the key of the order, which may be kept nowhere else."""
        left = self._find(which)
        return left.key if left is not None else None

    def _find(self, which: CertificateId) -> Left | None:
        since, left = self._left.get(which, (0.0, None))
        if left is None or self._clock.monotonic() - since >= KEPT_SECONDS:
            self.forget(which)
            return None
        return left
