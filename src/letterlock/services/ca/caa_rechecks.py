"""CAA again when an order is finalized: a look of its own at each name that needs one.

Baseline Requirements 3.2.2.8, RFC 8659 §3. Which names need one and what the looks come to is
`protocols.caa.rechecks`; the look is the one that `caa check` makes. The resolver should keep no
answers of its own: what it gives must be as young as it is taken to be.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from letterlock.base.clock import Clock
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.refusals import ErrorType
from letterlock.protocols.caa.decide import decide
from letterlock.protocols.caa.rechecks import (
    DueLook,
    ProvedName,
    RecheckRule,
    conclude,
    find_due,
    find_problem,
)
from letterlock.protocols.caa.relevant import LookupFailed
from letterlock.protocols.dns.answers import Security
from letterlock.services.ca.validating.caa_looks import CaaLooked
from letterlock.services.ca.validating.perspectives import Report
from letterlock.services.discover.caa import CaaAnswer, CaaFacts, CaaFinder, check_caa

LOOKS_AT_ONCE = 16
PATIENCE = timedelta(minutes=2)
"""No look of an order is begun after this; the finder bounds each."""


@dataclass(frozen=True, slots=True)
class Rechecked:
    """An order after its looks. `problem` says why it must not be issued; None: it may.

    `names` have the looks to keep; `answers` are what each look found, for the audit, in the order
    of `due`. `remotes` are what was seen of them from other places, if any were asked.
    """

    names: tuple[ProvedName, ...]
    due: tuple[DueLook, ...] = ()
    answers: tuple[CaaAnswer, ...] = ()
    problem: Problem | None = None
    remotes: tuple[Report[CaaLooked], ...] = ()


class CaaRechecker:
    """Looks at what is due."""

    def __init__(
        self,
        finder: CaaFinder,
        clock: Clock,
        rule: RecheckRule,
        *,
        patience: timedelta = PATIENCE,
    ) -> None:
        self._finder = finder
        self._clock = clock
        self._rule = rule
        self._patience = patience.total_seconds()

    async def recheck(self, names: Sequence[ProvedName]) -> Rechecked:
        """Look at each name that needs it. All are looked at, so that all are told.

        Raises ValueError for an order that has a name twice.
        """
        due = find_due(names, self._clock.now(), self._rule)
        slots = asyncio.Semaphore(LOOKS_AT_ONCE)
        end = self._clock.monotonic() + self._patience
        # The look is an argument of its own task: nothing is shared between them.
        async with asyncio.TaskGroup() as tasks:
            looks = [tasks.create_task(self._look(each, slots, end)) for each in due]
        found = [look.result() for look in looks]
        verdicts = [answer.verdict for answer, _ in found]
        checked = conclude(names, due, [(answer.verdict, began) for answer, began in found])
        problem = find_problem(verdicts)
        if problem is None and (left := find_due(checked, self._clock.now(), self._rule)):
            # Looks that took longer than they may be old, or a clock that was set.
            reason = f"{left[0].issuance}: {left[0].reason}"
            problem = Problem(ErrorType.SERVER_INTERNAL, f"CAA has to be looked up again: {reason}")
        return Rechecked(checked, due, tuple(answer for answer, _ in found), problem)

    async def _look(
        self, due: DueLook, slots: asyncio.Semaphore, end: float
    ) -> tuple[CaaAnswer, datetime]:
        async with slots:
            began = self._clock.now()
            if self._clock.monotonic() < end:
                return await check_caa(self._finder, due.issuance), began
        return _give_up(due), began


def _give_up(due: DueLook) -> CaaAnswer:
    name = due.issuance.name
    reason = "the time for this order has run out"
    failed = LookupFailed(name, name, Security.FAILED, reason)
    return CaaAnswer(CaaFacts((), failed), decide(failed, due.issuance))
