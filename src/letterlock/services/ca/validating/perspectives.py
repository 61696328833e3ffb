"""Places from which the same is looked at, and what they come to together.

Baseline Requirements 3.2.2.9: first from here; where that passed, from all remote ones at once, and
each result is kept, those that agree and those that do not. They share no answer: each perspective
has its own resolver, and its own way to connect. A later try begins anew, and counts no earlier
agreement. Two things are looked at like this: the proof of a name, and its CAA records. The count
is `protocols.acme.validation.quorums`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from letterlock.network.dialing import Dialer
from letterlock.network.dns import Backend
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.refusals import ErrorType
from letterlock.protocols.acme.validation.quorums import (
    Quorum,
    QuorumRules,
    Vote,
    judge_quorum,
)


@dataclass(frozen=True, slots=True)
class Perspective:
    """One place. `region` is the registry region (`RIPE NCC`) that it is in.

    The resolver is one that goes to the network itself: a cache would keep "no such name" of a
    challenge that was looked for too early, or the text of the one before, and give it to the next
    try. Nor should what it asks keep any: libunbound with `max_age` 0 (a second, in effect), or an
    Unbound with `cache-max-ttl: 0` and `cache-max-negative-ttl: 0`.
    """

    name: str
    region: str
    resolver: Backend
    dialer: Dialer


class Outcome(Protocol):
    """What a look gives: `outcomes.Looked`, `caa_looks.CaaLooked`."""

    @property
    def problem(self) -> Problem | None:
        """Why it did not pass; None: it did."""


Seen = TypeVar("Seen", bound=Outcome)


@dataclass(frozen=True, slots=True)
class Report(Generic[Seen]):
    """What one perspective saw."""

    perspective: str
    region: str
    seen: Seen


@dataclass(frozen=True, slots=True)
class Corroboration(Generic[Seen]):
    """What all saw. Without a pass here no remote one was asked, and there is no quorum."""

    primary: Report[Seen]
    remotes: tuple[Report[Seen], ...] = ()
    quorum: Quorum | None = None

    @property
    def problem(self) -> Problem | None:
        """What is wrong, of the first that saw something wrong; None: all rules are met."""
        if self.primary.seen.problem is not None or self.quorum is None:
            return self.primary.seen.problem
        if self.quorum.is_met:
            return None
        found = (each.seen.problem for each in self.remotes if each.seen.problem is not None)
        if first := next(found, None):
            detail = f"seen from other places: {first.detail} ({self.quorum.reason})"
            return replace(first, detail=detail)
        return Problem(ErrorType.SERVER_INTERNAL, self.quorum.reason)


class Perspectives:
    """The places that an authority has.

    The primary one must know what DNSSEC says (Baseline Requirements 3.2.2.4, 3.2.2.8.1; RFC 8657
    §5.6), unless names are private and `may_lack_dnssec`.
    """

    def __init__(
        self,
        primary: Perspective,
        remotes: Sequence[Perspective],
        rules: QuorumRules,
        *,
        may_lack_dnssec: bool = False,
    ) -> None:
        """Raise ValueError for two of one name, and for a resolver that is not to be believed."""
        if not (primary.resolver.is_trusted or may_lack_dnssec):
            raise ValueError(
                f"{primary.name}: the word of {primary.resolver.address} on DNSSEC does not count"
            )
        names = [primary.name, *(each.name for each in remotes)]
        if len(set(names)) != len(names):
            raise ValueError(f"two perspectives have one name: {', '.join(names)}")
        self._primary = primary
        self._remotes = tuple(remotes)
        self._rules = rules

    async def corroborate(
        self, look: Callable[[Perspective], Awaitable[Seen]]
    ) -> Corroboration[Seen]:
        """Look from here, and where it passed from everywhere else; `look` bounds its own time."""
        return await self._ask_others(await _report(self._primary, look), look)

    async def corroborate_seen(
        self, seen: Seen, look: Callable[[Perspective], Awaitable[Seen]]
    ) -> Corroboration[Seen]:
        """Look from everywhere else at what was seen from here."""
        primary = Report(self._primary.name, self._primary.region, seen)
        return await self._ask_others(primary, look)

    @property
    def has_remotes(self) -> bool:
        return bool(self._remotes)

    async def _ask_others(
        self, primary: Report[Seen], look: Callable[[Perspective], Awaitable[Seen]]
    ) -> Corroboration[Seen]:
        if primary.seen.problem is not None:
            return Corroboration(primary)
        async with asyncio.TaskGroup() as tasks:
            looks = [tasks.create_task(_report(each, look)) for each in self._remotes]
        remotes = tuple(each.result() for each in looks)
        votes = [Vote(each.perspective, each.region, not each.seen.problem) for each in remotes]
        return Corroboration(primary, remotes, judge_quorum(votes, self._rules))


async def _report(
    perspective: Perspective, look: Callable[[Perspective], Awaitable[Seen]]
) -> Report[Seen]:
    return Report(perspective.name, perspective.region, await look(perspective))
