"""The looks at CAA before a signature, from everywhere: what passed here must pass elsewhere, too.

Baseline Requirements 3.2.2.9: CAA is corroborated each time it is looked up, by its own quorum.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.protocols.acme.identifiers import DNS, Identifier
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.refusals import ErrorType
from letterlock.protocols.caa.decide import Issuance
from letterlock.protocols.caa.rechecks import ProvedName
from letterlock.services.ca.caa_rechecks import LOOKS_AT_ONCE, Rechecked
from letterlock.services.ca.validating.caa_looks import CaaLooked, look_at_caa
from letterlock.services.ca.validating.perspectives import (
    Corroboration,
    Perspective,
    Perspectives,
)
from letterlock.services.discover.caa import CaaAnswer


class Rechecks(Protocol):
    """`caa_rechecks.CaaRechecker`."""

    async def recheck(self, names: Sequence[ProvedName]) -> Rechecked: ...


class CorroboratedRechecker:
    """Looks from here, and where all passed from all other places."""

    def __init__(
        self,
        rechecker: Rechecks,
        perspectives: Perspectives,
        clock: Clock,
        *,
        may_lack_top: bool = False,
    ) -> None:
        self._rechecker = rechecker
        self._perspectives = perspectives
        self._clock = clock
        self._may_lack_top = may_lack_top

    async def recheck(self, names: Sequence[ProvedName]) -> Rechecked:
        """Look at each name that needs it. Raises ValueError as `CaaRechecker`."""
        found = await self._rechecker.recheck(names)
        if found.problem is not None:
            return found
        slots = asyncio.Semaphore(LOOKS_AT_ONCE)
        began = self._clock.now()
        # Its name is an argument of each look: nothing is shared between them.
        async with asyncio.TaskGroup() as tasks:
            looks = [
                tasks.create_task(self._corroborate(CaaLooked(answer, began), slots))
                for answer in found.answers
            ]
        seen = [look.result() for look in looks]
        problems = [
            (answer, each.problem)
            for answer, each in zip(found.answers, seen, strict=True)
            if each.problem is not None
        ]
        remotes = tuple(report for each in seen for report in each.remotes)
        return replace(found, remotes=remotes, problem=_join(problems))

    async def _corroborate(
        self, looked: CaaLooked, slots: asyncio.Semaphore
    ) -> Corroboration[CaaLooked]:
        look = partial(self._look, looked.answer.verdict.issuance)
        async with slots:
            return await self._perspectives.corroborate_seen(looked, look)

    async def _look(self, issuance: Issuance, perspective: Perspective) -> CaaLooked:
        return await look_at_caa(
            issuance, perspective, self._clock, may_lack_top=self._may_lack_top
        )


def _join(found: Sequence[tuple[CaaAnswer, Problem]]) -> Problem | None:
    """Make one problem of those of several names (RFC 8555 §6.7.1)."""
    problems = tuple(
        replace(problem, identifier=Identifier(DNS, str(answer.verdict.issuance)))
        for answer, problem in found
    )
    if not problems:
        return None
    if len(problems) == 1:
        (only,) = problems
        return Problem(only.type, f"{only.identifier}: {only.detail}")
    kinds = {problem.type for problem in problems}
    kind = kinds.pop() if len(kinds) == 1 else ErrorType.COMPOUND
    detail = f"{len(problems)} names cannot be issued for, as seen from other places"
    return Problem(kind, detail, subproblems=problems)
