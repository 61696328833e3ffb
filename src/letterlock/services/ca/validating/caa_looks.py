"""CAA from one perspective: the look that `caa check` makes, as a thing that can be corroborated.

RFC 8659 §3; Baseline Requirements 3.2.2.9 (CAA is corroborated as the proof is, by its own quorum).
"""

from dataclasses import dataclass
from datetime import datetime

from letterlock.base.clock import Clock
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.caa.decide import Issuance
from letterlock.protocols.caa.rechecks import CaaCheck, find_problem, make_check
from letterlock.services.ca.validating.perspectives import Perspective
from letterlock.services.discover.caa import CaaAnswer, CaaFinder, check_caa


@dataclass(frozen=True, slots=True)
class CaaLooked:
    """A look at CAA, and when it began."""

    answer: CaaAnswer
    began: datetime

    @property
    def problem(self) -> Problem | None:
        """Why it may not be issued; None: it may."""
        return find_problem([self.answer.verdict])

    @property
    def check(self) -> CaaCheck:
        """What is kept of it with the authorization."""
        return make_check(self.answer.verdict, self.began)


async def look_at_caa(
    issuance: Issuance, perspective: Perspective, clock: Clock, *, may_lack_top: bool = False
) -> CaaLooked:
    """Look. `may_lack_top`: names are private, as `CaaFinder` has it."""
    began = clock.now()
    finder = CaaFinder(perspective.resolver, clock, may_lack_top=may_lack_top)
    return CaaLooked(await check_caa(finder, issuance), began)
