"""MTA-STS policies: what the policy file says.

RFC 8461 §3.2. Fetching and caching are elsewhere.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class MtaStsMode(StrEnum):
    """RFC 8461 §5."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class MtaStsPolicy:
    """A policy file. `mx` holds patterns as they stand there, none only with mode none."""

    mode: MtaStsMode
    mx: tuple[str, ...]
    max_age: timedelta
