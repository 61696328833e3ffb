"""What proves to an authority that a name is ours: the interface that every way of it has.

RFC 8555 §8.2 (the server is told only when all is in place), §8.3, §8.4 (taken away afterwards).
"""

from dataclasses import dataclass
from typing import Protocol

from letterlock.protocols.acme.identifiers import ChallengeType, Identifier


@dataclass(frozen=True, slots=True)
class Proof:
    """What must be seen for one identifier. `protocols.acme.challenges` says in what form."""

    identifier: Identifier
    token: str
    key_authorization: str


class Solver(Protocol):
    """One way to prove names, by one type of challenge. Several proofs are up at a time."""

    @property
    def kind(self) -> ChallengeType:
        """Which challenge it answers."""

    async def present(self, proof: Proof) -> str | None:
        """Put it where the authority looks; return when it can be seen.

        A text says in one line why that can't be done.
        """

    async def cleanup(self, proof: Proof) -> None:
        """Take it away again, whatever came of it; also what was presented in part."""
