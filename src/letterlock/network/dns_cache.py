"""Keep DNS answers as long as they say, and ask each question once at a time.

RFC 1035 §3.2.1 (TTL). Asking is `network.dns`.
"""

import asyncio
from dataclasses import replace

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver
from letterlock.protocols.dns.answers import Answer, CaaRecord

MAX_KEPT_SECONDS = 3600
"""The longest that an answer is kept, whatever its TTL says."""

FAILURE_KEPT_SECONDS = 5
"""How long a failure is kept: many messages for one domain should not ask once each."""

MAX_KEPT_RECORDS = 50_000
"""Bounds the memory, also for answers made large on purpose: about 10 MB."""

_TEXT_OCTETS_LIKE_A_RECORD = 128


class CachingResolver:
    """A resolver in front of another: a bounded memory, oldest out first."""

    def __init__(
        self, resolver: Resolver, clock: Clock, *, max_records: int = MAX_KEPT_RECORDS
    ) -> None:
        self._resolver = resolver
        self._clock = clock
        self._max_records = max_records
        self._records = 0
        self._kept: dict[tuple[Domain, str], tuple[float, Answer]] = {}
        self._flights: dict[tuple[Domain, str], asyncio.Future[Answer | None]] = {}

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        key = (name, rdtype)
        while True:
            if kept := self._find(key):
                return kept
            flight = self._flights.get(key)
            if flight is None:
                return await self._fly(key)
            # Shielded: one who stops waiting must not stop the others.
            if answer := await asyncio.shield(flight):
                return answer
            # Whoever asked was cancelled: ask again.

    def forget(self) -> None:
        """Forget all answers."""
        self._kept.clear()
        self._records = 0

    async def _fly(self, key: tuple[Domain, str]) -> Answer:
        flight = asyncio.get_running_loop().create_future()
        self._flights[key] = flight
        answer = None
        try:
            answer = await self._resolver.ask(*key)
            self._keep(key, answer)
            return answer
        finally:
            del self._flights[key]
            flight.set_result(answer)

    def _find(self, key: tuple[Domain, str]) -> Answer | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        expires, answer = kept
        remaining = expires - self._clock.monotonic()
        if remaining <= 0:
            self._drop(key)
            return None
        return replace(answer, ttl=int(remaining)) if answer.ttl else answer

    def _keep(self, key: tuple[Domain, str], answer: Answer) -> None:
        lifetime = min(answer.ttl, MAX_KEPT_SECONDS) if answer.is_answer else FAILURE_KEPT_SECONDS
        if lifetime <= 0:
            return
        self._kept[key] = (self._clock.monotonic() + lifetime, answer)
        self._records += _weigh(answer)
        while self._records > self._max_records:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[Domain, str]) -> None:
        _, answer = self._kept.pop(key)
        self._records -= _weigh(answer)


def _weigh(answer: Answer) -> int:
    """Count an answer's records, long texts as several, and one for the answer itself."""
    octets = 0
    for record in answer.records:
        text = record.value if isinstance(record, CaaRecord) else record
        octets += len(text) if isinstance(text, bytes) else 0
    links = len(answer.cnames)
    return 1 + links + len(answer.records) + octets // _TEXT_OCTETS_LIKE_A_RECORD
