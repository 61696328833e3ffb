"""What was found where a certificate should be: one, or why there is none to be seen."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shown:
    """A certificate (DER, not looked into). `asked`: which questions showed it; none of a file."""

    source: str
    der: bytes
    asked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotAsked:
    """Nobody knows which certificate is there; `reason` is one line."""

    source: str
    reason: str
    asked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotOffered:
    """Nothing listens at one of the usual ports, which nobody said was in use."""

    source: str
    reason: str


Finding = Shown | NotAsked | NotOffered
