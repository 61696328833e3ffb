"""What is answered to who asks for a host: one line for each certificate that it shows."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What is known of a certificate."""

    AFFECTED = "affected"
    REVOKED = "revoked"
    NOT_AFFECTED = "not-affected"
    NOT_OURS = "not-ours"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answered:
    """A certificate where it was seen; or why there is none to be seen."""

    source: str
    verdict: Verdict
    serial: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class HostAnswer:
    """The answer for what was asked. `status` is HTTP's."""

    asked: str
    summary: str
    found: tuple[Answered, ...] = ()
    status: int = 200
