"""The CAA records that count for a name: looked up from the name towards the root, and not further.

RFC 8659 §3 (the climb; aliases are the resolver's business), Baseline Requirements 3.2.2.8 (what an
authority may do after a failed lookup). What the answers come to is `protocols.caa`; each question
is asked again for each name unless the resolver given here keeps answers. `check_caa` is the one
way to a decision: of the command, and of the authority.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver
from letterlock.protocols.caa.decide import CaaVerdict, Issuance, decide
from letterlock.protocols.caa.relevant import (
    RDTYPE,
    LookupFailed,
    Relevant,
    ends_climb,
    find_relevant,
    list_climb,
)
from letterlock.protocols.dns.answers import Answer, Security
from letterlock.protocols.dns.chains import fail

PATIENCE = timedelta(seconds=60)
"""No question is begun for a name after this. The resolver bounds the time of each."""


@dataclass(frozen=True, slots=True)
class CaaFacts:
    """What was asked for a name, in that order, and what it comes to.

    `is_zone_unsigned`: a lookup failed, and DNSSEC proves that its zone has no signatures, so that
    nobody's tampering can be ruled out and none is shown. It is for people and for the audit: no
    failure counts as permission here.
    """

    lookups: tuple[Answer, ...]
    relevant: Relevant
    is_zone_unsigned: bool = False


@dataclass(frozen=True, slots=True)
class CaaAnswer:
    """What was found for one name, and what it comes to."""

    facts: CaaFacts
    verdict: CaaVerdict


class CaaFinder:
    """Looks up. `may_lack_top`: names are private, and their top-level domain need not exist."""

    def __init__(
        self,
        resolver: Resolver,
        clock: Clock,
        *,
        patience: timedelta = PATIENCE,
        may_lack_top: bool = False,
    ) -> None:
        self._resolver = resolver
        self._clock = clock
        self._patience = patience.total_seconds()
        self._may_lack_top = may_lack_top

    async def find(self, name: Domain) -> CaaFacts:
        """Find what counts for a name; for a wildcard, for the name without its asterisk."""
        deadline = self._clock.monotonic() + self._patience
        lookups: list[Answer] = []
        for at in list_climb(name):
            lookups.append(await self._ask(at, RDTYPE, deadline))
            if ends_climb(lookups[-1]):
                break
        relevant = find_relevant(name, lookups, may_lack_top=self._may_lack_top)
        is_zone_unsigned = isinstance(relevant, LookupFailed) and await self._is_unsigned(
            relevant, deadline
        )
        return CaaFacts(tuple(lookups), relevant, is_zone_unsigned)

    async def _is_unsigned(self, failed: LookupFailed, deadline: float) -> bool:
        """Prove that a failed lookup was in a zone without signatures (RFC 4035 §4.3).

        The proof is an insecure answer at the name or the first one above it that answers, below a
        secure one: that shows that the resolver validates, and saw where the signatures end.
        """
        if failed.security is not Security.FAILED:
            return False
        states: list[Security] = []
        for at in list_climb(failed.at):
            answer = await self._ask(at, "SOA", deadline)
            if answer.security is not Security.FAILED:
                states.append(answer.security)
            if answer.security in (Security.SECURE, Security.BOGUS):
                break
        return _begins_insecure(states)

    async def _ask(self, name: Domain, rdtype: str, deadline: float) -> Answer:
        if self._clock.monotonic() >= deadline:
            return fail(name, rdtype, "the time for this name has run out")
        return await self._resolver.ask(name, rdtype)


async def check_caa(finder: CaaFinder, issuance: Issuance) -> CaaAnswer:
    """Look up the name of an issuance, and decide on it."""
    facts = await finder.find(issuance.name)
    return CaaAnswer(facts, decide(facts.relevant, issuance))


def _begins_insecure(states: Sequence[Security]) -> bool:
    return states[:1] == [Security.INSECURE] and states[-1] is Security.SECURE
