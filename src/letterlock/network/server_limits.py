"""How long clients of our servers may take, and how many there may be."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """How long a client may take, and how many there may be at once in this process.

    Rates are in octets a second; 0 is no limit.
    """

    idle: timedelta = timedelta(minutes=5)
    session: timedelta = timedelta(hours=1)
    min_bytes_per_second: int = 100
    connections: int = 0
