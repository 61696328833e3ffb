"""What a look at a challenge came to, with everything that it rested on.

RFC 8555 §6.7 (the types of problems), Baseline Requirements 5.4.1 (what is kept for the audit).
"""

from dataclasses import dataclass, field

from letterlock.protocols.acme.fields import format_line
from letterlock.protocols.acme.problems import MAX_DETAIL_CHARACTERS, Problem
from letterlock.protocols.acme.server.refusals import ErrorType
from letterlock.protocols.acme.validation.proofs import Expected
from letterlock.protocols.dns.answers import Answer


@dataclass(frozen=True, slots=True)
class Looked:
    """A look at a challenge. `problem` is None where the name was proved.

    `lookups` are all DNS answers that it rested on, `steps` what was done, a line each, in order.
    """

    expected: Expected
    problem: Problem | None
    lookups: tuple[Answer, ...]
    steps: tuple[str, ...]

    @property
    def is_passed(self) -> bool:
        return self.problem is None


@dataclass(slots=True)
class Notes:
    """What is written down while a look goes on, so that one that is cut off tells all it saw."""

    lookups: list[Answer] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def conclude(self, expected: Expected, problem: Problem | None) -> Looked:
        return Looked(expected, problem, tuple(self.lookups), tuple(self.steps))


def refuse(kind: ErrorType, detail: str) -> Problem:
    """Make the problem of a look: one printable line, and bounded."""
    return Problem(kind, format_line(detail, MAX_DETAIL_CHARACTERS))
