"""How many perspectives must see the same: the rules for corroboration, and their count.

Baseline Requirements 3.2.2.9 (how many remote ones, how many may differ, in how many regions),
5.4.1 (what of it is logged: "3/4"). A validator that was not reached differs as one that saw
otherwise does: nobody agrees by silence. Who looks is `services.ca.validating.perspectives`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

REGIONS = ("AFRINIC", "APNIC", "ARIN", "LACNIC", "RIPE NCC")
"""The service regions of the Regional Internet Registries."""

_REMOTES_SINCE = (
    (date(2026, 12, 15), 5),
    (date(2026, 6, 15), 4),
    (date(2026, 3, 15), 3),
    (date(2025, 3, 15), 2),
)
_SEVERAL = 2
_MANY = 6


@dataclass(frozen=True, slots=True)
class QuorumRules:
    """What is asked for. A private authority may do without remote perspectives."""

    min_remotes: int = 0
    min_regions: int = 2
    """In which those that agree must be, where there are two remote ones or more."""


@dataclass(frozen=True, slots=True)
class Vote:
    """What a remote perspective says."""

    perspective: str
    region: str
    agrees: bool


@dataclass(frozen=True, slots=True)
class Quorum:
    """What votes come to. `reason` is empty where the quorum is met."""

    agreeing: int
    asked: int
    may_differ: int
    regions: tuple[str, ...]
    reason: str = ""

    @property
    def is_met(self) -> bool:
        return not self.reason

    def __str__(self) -> str:
        return f"{self.agreeing}/{self.asked}"


def make_public_rules(day: date) -> QuorumRules:
    """Give what the Baseline Requirements ask of a public authority on a day."""
    remotes = next((count for since, count in _REMOTES_SINCE if day >= since), 0)
    return QuorumRules(remotes)


def count_may_differ(asked: int) -> int:
    """Say how many remote perspectives may see otherwise: 1 of 2 to 5, 2 of 6 and more."""
    return 2 if asked >= _MANY else 1 if asked >= _SEVERAL else 0


def judge_quorum(votes: Sequence[Vote], rules: QuorumRules) -> Quorum:
    """Count. Raises ValueError where a perspective votes twice."""
    if len({vote.perspective for vote in votes}) != len(votes):
        raise ValueError("each perspective votes once")
    asked, may_differ = len(votes), count_may_differ(len(votes))
    agreeing = [vote for vote in votes if vote.agrees]
    regions = tuple(sorted({vote.region for vote in agreeing}))
    reason = ""
    if asked < rules.min_remotes:
        reason = f"{asked} remote perspectives were asked, and at least {rules.min_remotes} must be"
    elif asked - len(agreeing) > may_differ:
        reason = f"{len(agreeing)} of {asked} remote perspectives agree: {may_differ} may differ"
    elif asked >= _SEVERAL and len(regions) < rules.min_regions:
        where = ", ".join(regions)
        reason = f"those that agree are in {where}, and must be in {rules.min_regions} regions"
    return Quorum(len(agreeing), asked, may_differ, regions, reason)
