"""What goes over a connection to a lookup table: queries, and what they are answered with.

Postfix's socketmap_table(5) and tcp_table(5) say the same in two forms: `socketmap`, `tcp_table`.
"""

from dataclasses import dataclass
from enum import StrEnum

Query = bytes
"""A key to be looked up, as it came: any octets."""


@dataclass(frozen=True, slots=True)
class BadQuery:
    """What was asked is no look-up. It is answered with PERM, and the connection goes on."""

    reason: str


@dataclass(frozen=True, slots=True)
class Violation:
    """The stream does not follow the protocol: nothing behind can be read, the connection ends."""

    reason: str


Event = Query | BadQuery | Violation


class Status(StrEnum):
    """How a look-up ended, in socketmap's words."""

    OK = "OK"
    NOTFOUND = "NOTFOUND"
    TEMP = "TEMP"
    """Nobody can say now; ask again later."""
    TIMEOUT = "TIMEOUT"
    PERM = "PERM"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `text` is the value found, or the reason of a failure; empty with NOTFOUND."""

    status: Status
    text: str = ""


NOT_FOUND = Reply(Status.NOTFOUND)
