"""What comes next in an exchange: said to the client, asked of whoever keeps accounts, or its end.

RFC 4422 §3. Values, made by the mechanisms of this package.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol


class Fault(Enum):
    """Why an exchange failed."""

    MALFORMED = auto()
    """What the client said is not of this mechanism."""
    REFUSED = auto()
    """The name, the password or the proof is wrong, or it is for another."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Say this to the client, and give the exchange what it responds."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class PasswordGiven:
    """Ends the exchange: the client is this account if the password is its. Both are prepared."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerifierNeeded:
    """Asks for what is kept of an account: give it to the exchange."""

    name: str


@dataclass(frozen=True, slots=True)
class Proved:
    """Ends the exchange: the client is this account."""

    name: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Ends the exchange. `reason` is for the log; `name`, if there was one, is prepared."""

    fault: Fault
    reason: str
    name: str | None = None


Step = Challenge | PasswordGiven | VerifierNeeded | Proved | Failed


class Exchange(Protocol):
    """One exchange of a mechanism, from AUTH on."""

    def begin(self, initial: bytes | None) -> Step:
        """Begin, with the initial response if there was one."""

    def receive(self, response: bytes) -> Step:
        """Take the response to the last challenge."""
