"""Before an order: whether CAA records let this authority issue to this account, by our methods.

RFC 8659 §3, RFC 8657 §3, §4; RFC 8555 §9.7.6 (caaIdentities). An order that they forbid would be
refused by the authority, and count against its limits. Where they only may forbid it, that is a
warning: the authority's own lookup decides. Nothing here stops an order: that is for who asks.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from letterlock.base.domains import Domain
from letterlock.protocols.acme.identifiers import IP, ChallengeType, Identifier, find_usable
from letterlock.protocols.caa.decide import (
    CaaCause,
    CaaDecision,
    CaaVerdict,
    Issuance,
    decide,
    shorten,
)
from letterlock.protocols.caa.publishing import REMEDIABLE, find_remedy
from letterlock.services.discover.caa import CaaFacts, CaaFinder

MAX_NAMES_AT_ONCE = 16
MAX_NAMES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Orderer:
    """Who asks, and whom. `issuers` are the authority's caaIdentities, none where it tells none.

    `account` is our account's URL there; None: there is none yet. `methods` are those that we can
    use, the preferred one first.
    """

    issuers: tuple[str, ...]
    account: str | None
    methods: tuple[ChallengeType, ...]


@dataclass(frozen=True, slots=True)
class CaaAdvice:
    """What is in the way of some names, and the record that would let us, as in a zone file.

    `publish` is None where no record is the remedy.
    """

    identifiers: tuple[Identifier, ...]
    reason: str
    publish: str | None = None

    def __str__(self) -> str:
        """Give one line for people, which begins with the names."""
        names = ", ".join(str(each) for each in self.identifiers[:MAX_NAMES_SHOWN])
        more = len(self.identifiers) - MAX_NAMES_SHOWN
        line = f"{names}{f' and {more} more' if more > 0 else ''}: {self.reason}"
        return f"{line}; publish instead: {self.publish}" if self.publish else line


@dataclass(frozen=True, slots=True)
class CaaExamination:
    """What CAA says of an order: `refusals` are sure, `warnings` are not.

    `methods` are those that CAA leaves of ours for each name; addresses are not in it, as there is
    no CAA for them.
    """

    refusals: tuple[CaaAdvice, ...] = ()
    warnings: tuple[CaaAdvice, ...] = ()
    methods: dict[Identifier, tuple[ChallengeType, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Finding:
    identifier: Identifier
    is_sure: bool
    reason: str
    publish: str | None = None


async def examine_caa(
    finder: CaaFinder, identifiers: Sequence[Identifier], orderer: Orderer
) -> CaaExamination:
    """Look up and judge every name of an order. A failed lookup is a warning."""
    slots = asyncio.Semaphore(MAX_NAMES_AT_ONCE)

    async def look(identifier: Identifier) -> CaaFacts:
        async with slots:
            return await finder.find(Domain(identifier.base))

    names = [each for each in dict.fromkeys(identifiers) if each.type != IP]
    async with asyncio.TaskGroup() as tasks:
        looks = [tasks.create_task(look(each)) for each in names]
    findings: list[_Finding] = []
    methods: dict[Identifier, tuple[ChallengeType, ...]] = {}
    for identifier, task in zip(names, looks, strict=True):
        judged = _judge(identifier, task.result(), orderer)
        methods[identifier] = tuple(
            method for method, verdict in judged if verdict.decision is CaaDecision.ALLOW
        )
        findings += _find_obstacles(identifier, judged, orderer)
    return CaaExamination(
        refusals=_gather(each for each in findings if each.is_sure),
        warnings=_gather(each for each in findings if not each.is_sure),
        methods=methods,
    )


def _judge(
    identifier: Identifier, facts: CaaFacts, orderer: Orderer
) -> list[tuple[ChallengeType, CaaVerdict]]:
    """Judge each method that can prove the name; without any, none is judged."""
    usable = find_usable(identifier)
    accounts = (orderer.account,) if orderer.account is not None else ()
    return [
        (
            method,
            decide(
                facts.relevant,
                Issuance(
                    Domain(identifier.base),
                    is_wildcard=identifier.is_wildcard,
                    issuers=orderer.issuers,
                    accounts=accounts,
                    method=method,
                ),
            ),
        )
        for method in orderer.methods
        if method in usable
    ]


def _find_obstacles(
    identifier: Identifier,
    judged: Sequence[tuple[ChallengeType, CaaVerdict]],
    orderer: Orderer,
) -> Iterable[_Finding]:
    obstacles = [verdict for _, verdict in judged if verdict.decision is not CaaDecision.ALLOW]
    allowed = [method for method, verdict in judged if verdict.decision is CaaDecision.ALLOW]
    for note in judged[0][1].notes if judged else ():
        yield _Finding(identifier, is_sure=False, reason=f"CAA {note}")
    if not obstacles:
        return
    first = obstacles[0]
    if allowed:
        reason = f"{first.reason}; {' or '.join(allowed)} will do"
        yield _Finding(identifier, is_sure=False, reason=reason)
    elif not orderer.issuers and first.cause is CaaCause.OTHER_ISSUER:
        assert first.record is not None
        reason = (
            f"CAA {shorten(first.record)} at {first.found_at}: the authority does not tell which "
            "name in such a record is its own"
        )
        yield _Finding(identifier, is_sure=False, reason=reason)
    else:
        # A critical record that we do not know, the authority may.
        is_sure = first.cause in REMEDIABLE
        publish = find_remedy(first, [method for method, _ in judged])
        yield _Finding(identifier, is_sure, first.reason, publish)


def _gather(findings: Iterable[_Finding]) -> tuple[CaaAdvice, ...]:
    """Tell once what is the same for several names."""
    names: dict[tuple[str, str | None], list[Identifier]] = {}
    for each in findings:
        names.setdefault((each.reason, each.publish), []).append(each.identifier)
    return tuple(
        CaaAdvice(tuple(identifiers), reason, publish)
        for (reason, publish), identifiers in names.items()
    )
