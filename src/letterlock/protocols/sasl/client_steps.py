"""A login at another server, as its client: what is said, and when it went wrong.

RFC 4422 §3. Values and the shape of an exchange; the mechanisms are in `client_mechanisms`.
"""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account at another server. `where` is the line that it comes from, `file:line`."""

    user: str
    password: str = field(repr=False)
    where: str


@dataclass(frozen=True, slots=True)
class Broken:
    """What the server said is not of the mechanism, or it did not prove itself."""

    reason: str


class ClientExchange(Protocol):
    """One exchange of a mechanism. Nothing that it is given makes it raise."""

    def begin(self) -> bytes | Broken | None:
        """Give the initial response; None: the server speaks first."""

    def respond(self, challenge: bytes) -> bytes | Broken:
        """Answer a challenge."""

    def finish(self) -> Broken | None:
        """Take the server's word that it went well; None: it may be believed."""
