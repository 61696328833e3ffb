"""What the authority keeps of its own audit: how far it is, and the heads of the log it signed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from letterlock.protocols.audit.heads import SignedHead


@dataclass(frozen=True, slots=True)
class AuditProgress:
    """How far an audit is. `name` says which; `position` is what it has looked at last.

    `round` counts how often it went through all from the beginning; `began` is when it did last.
    `ended` is when it was at the end of all; `checked` and `faulty` count since `began`. `mailed`
    is when somebody was told of what it found.
    """

    name: str
    position: int = 0
    round: int = 0
    began: datetime | None = None
    ended: datetime | None = None
    checked: int = 0
    faulty: int = 0
    mailed: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChangeProgress:
    """Refused where somebody went on meanwhile. One that nobody began is as its name alone."""

    before: AuditProgress
    after: AuditProgress


@dataclass(frozen=True, slots=True)
class AddHead:
    """Keep a head that was signed; nothing happens where one of its number is kept."""

    head: SignedHead


AuditChange = ChangeProgress | AddHead


class AuditProgressReads(Protocol):
    async def load_progress(self, name: str) -> AuditProgress:
        """Give how far an audit is; one that nobody began is at its beginning."""

    async def load_last_signed_head(self) -> SignedHead | None: ...

    async def list_signed_heads(self, after: int, limit: int) -> tuple[SignedHead, ...]:
        """List them by their numbers."""
