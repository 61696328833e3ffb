"""What http-01 and tls-alpn-01 have in common: a proof in the store, then a look at it.

RFC 8555 §8.2: the authority is told when all is in place, and a wrong set-up is found before that.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from letterlock.base.clock import Clock
from letterlock.base.config.values import ListenAddress
from letterlock.network.challenge_look import Unseen
from letterlock.protocols.acme.identifiers import ChallengeType
from letterlock.services.certify.solvers import Proof
from letterlock.storage.challenges import ChallengeStore, PendingChallenge
from letterlock.storage.queue import StoreUnavailable

LIFETIME = timedelta(hours=2)
"""Longer than an order is followed; then a proof is gone though nobody took it away."""

_BETWEEN_LOOKS = 0.5  # seconds
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here

Look = Callable[[str, int], Awaitable[Unseen | None]]
"""Looks at an address and a port; None: the proof is there."""


@dataclass(frozen=True, slots=True)
class OwnListeners:
    """Where a proof is looked at first: `listen` as in the settings; none: nowhere.

    A node that has just started gets `patience` until anybody can be reached there. `pause` waits
    for seconds: asyncio.sleep, or a fake's.
    """

    listen: Sequence[ListenAddress] = ()
    patience: timedelta = timedelta(seconds=10)
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def wait_for(self, look: Look, clock: Clock) -> str | None:
        """Return when a proof can be seen; a text says why it can't.

        An address that nobody can be reached at is a fault only when there is no other: `::` is
        listened at where there is no IPv6 too.
        """
        deadline = clock.monotonic() + self.patience.total_seconds()
        while True:
            unseen = await self._find_unseen(look)
            has_other = any(each.is_answered for _, each in unseen)
            if not unseen or (len(unseen) < len(self.listen) and not has_other):
                return None
            if has_other or clock.monotonic() >= deadline:
                faults = "; ".join(f"{place}: {each.reason}" for place, each in unseen)
                return f"our own listener does not show the proof: {faults}"
            await self.pause(_BETWEEN_LOOKS)

    async def _find_unseen(self, look: Look) -> list[tuple[ListenAddress, Unseen]]:
        places = [find_own_address(each) for each in self.listen]
        seen = await asyncio.gather(*(look(place.host, place.port) for place in places))
        pairs = zip(places, seen, strict=True)
        return [(place, each) for place, each in pairs if each is not None]


NO_LOOK = OwnListeners()


def find_own_address(listen: ListenAddress) -> ListenAddress:
    """Give where we reach a listener of our own."""
    return ListenAddress(_LOOPBACK.get(listen.host, listen.host), listen.port)


class StoredProofs:
    """Proofs of one type in the store, where the listeners of all nodes find them."""

    def __init__(
        self, kind: ChallengeType, store: ChallengeStore, clock: Clock, own: OwnListeners
    ) -> None:
        self._kind = kind
        self._store = store
        self._clock = clock
        self._own = own

    async def put(self, proof: Proof, look: Look) -> str | None:
        """Put one up, and look at it; a text says why it can't be seen."""
        now = self._clock.now()
        challenge = PendingChallenge(
            self._kind, proof.token, proof.identifier, proof.key_authorization, now + LIFETIME
        )
        try:
            await self._store.put(challenge, now)
        except StoreUnavailable as error:
            return f"the proof can't be stored: {error}"
        return await self._own.wait_for(look, self._clock)

    async def remove(self, proof: Proof) -> None:
        # What can't be removed now has its end all the same.
        with suppress(StoreUnavailable):
            await self._store.remove(self._kind, proof.token)
