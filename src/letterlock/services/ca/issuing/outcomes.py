"""What one try at issuing came to."""

from dataclasses import dataclass
from datetime import timedelta

from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.server.refusals import ErrorType, refuse
from letterlock.protocols.audit.decisions import Decision

WAITS = (
    timedelta(seconds=2),
    timedelta(seconds=10),
    timedelta(seconds=30),
    timedelta(minutes=2),
)
"""Between the tries; so often it is tried once more."""
MAX_TRIES = len(WAITS) + 1


@dataclass(frozen=True, slots=True)
class Issued:
    """The certificate is kept, and the order is valid."""


@dataclass(frozen=True, slots=True)
class Refused:
    """There will be no certificate for this order. `decisions` are for the audit log."""

    problem: Problem
    decisions: tuple[Decision, ...] = ()


@dataclass(frozen=True, slots=True)
class Postponed:
    """It may work later; `problem` is what the order gets when it was tried often enough."""

    problem: Problem
    decisions: tuple[Decision, ...] = ()


@dataclass(frozen=True, slots=True)
class Overtaken:
    """Somebody changed what this rests on: it is to be read again."""


Outcome = Issued | Refused | Postponed | Overtaken


def make_internal_problem() -> Problem:
    """Make what a client is told of a fault on our side: that there is one. The log has it all."""
    detail = "the certificate could not be issued: a fault of the authority, whose log has more"
    return refuse(ErrorType.SERVER_INTERNAL, detail).problem
