"""A name is validated: its challenge from all perspectives, and then its CAA records from all.

RFC 8555 §7.1.6 (pending to valid or invalid), RFC 8659 §3; Baseline Requirements 3.2.2.9: both are
corroborated. Where the proof is missing CAA is not looked at. Storing what it came to is not here.
"""

from dataclasses import dataclass
from functools import partial

from letterlock.base.clock import Clock
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.validation.proofs import Expected
from letterlock.protocols.caa.decide import Issuance
from letterlock.protocols.caa.rechecks import CaaCheck, ProvedName
from letterlock.services.ca.validating.caa_looks import CaaLooked, look_at_caa
from letterlock.services.ca.validating.hosts import ValidationBounds
from letterlock.services.ca.validating.looks import look_at_challenge
from letterlock.services.ca.validating.outcomes import Looked
from letterlock.services.ca.validating.perspectives import Corroboration, Perspective, Perspectives


@dataclass(frozen=True, slots=True)
class Validation:
    """All that was seen. `caa` is None where the proof is missing, and for addresses."""

    control: Corroboration[Looked]
    caa: Corroboration[CaaLooked] | None = None

    @property
    def problem(self) -> Problem | None:
        """Why the challenge is invalid; None: it is valid."""
        if self.control.problem is not None or self.caa is None:
            return self.control.problem
        return self.caa.problem

    @property
    def check(self) -> CaaCheck | None:
        """The look at CAA from here, for finalize; None: there was none."""
        return self.caa.primary.seen.check if self.caa is not None else None


class Validator:
    """Validates names, as the configuration has it."""

    def __init__(
        self,
        perspectives: Perspectives,
        clock: Clock,
        bounds: ValidationBounds,
        *,
        may_lack_top: bool = False,
    ) -> None:
        self._perspectives = perspectives
        self._clock = clock
        self._bounds = bounds
        self._may_lack_top = may_lack_top

    async def validate(self, expected: Expected, issuance: Issuance | None) -> Validation:
        """Validate. `issuance` is None for an address. Raises ValueError for that of another."""
        ProvedName(expected.identifier, issuance)
        if issuance is not None and issuance.method != expected.method:
            raise ValueError(f"{issuance} is not to be issued by {expected.method}")

        async def look(perspective: Perspective) -> Looked:
            return await look_at_challenge(expected, perspective, self._bounds)

        control = await self._perspectives.corroborate(look)
        if control.problem is not None or issuance is None:
            return Validation(control)
        look_up = partial(self._look_up, issuance)
        return Validation(control, await self._perspectives.corroborate(look_up))

    async def _look_up(self, issuance: Issuance, perspective: Perspective) -> CaaLooked:
        return await look_at_caa(
            issuance, perspective, self._clock, may_lack_top=self._may_lack_top
        )
