"""How long an answer may be kept: as long as every DNS answer that it rests on.

RFC 1035 §3.2.1 (TTL), within bounds of our own: an answer costs little to make again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver
from letterlock.protocols.dns.answers import Answer

LEAST_SECONDS = 10.0
MOST_SECONDS = 300.0
"""What changes in DNS is answered within its TTL between these bounds and the cache's grace; an
MTA-STS policy that another process fetched five minutes later, the memory of its finder."""


@dataclass(slots=True)
class Lifetime:
    """The shortest time that was noted, in seconds, between the bounds."""

    seconds: float = MOST_SECONDS

    def note(self, seconds: float) -> None:
        self.seconds = max(LEAST_SECONDS, min(self.seconds, seconds))


_noted: ContextVar[Lifetime] = ContextVar("_noted")


class NotingResolver:
    """A resolver that notes the TTL of each answer for the one who asks within `noting`."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def ask(self, name: Domain, rdtype: str) -> Answer:
        answer = await self._resolver.ask(name, rdtype)
        if (lifetime := _noted.get(None)) is not None:
            # A failure has none: it is asked again soon.
            lifetime.note(answer.ttl if answer.is_answer else LEAST_SECONDS)
        return answer


@contextmanager
def noting() -> Iterator[Lifetime]:
    """Note the TTLs of all that is asked in here, also by tasks that begin in here."""
    lifetime = Lifetime()
    token = _noted.set(lifetime)
    try:
        yield lifetime
    finally:
        _noted.reset(token)
