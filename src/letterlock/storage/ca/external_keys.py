"""What the authority keeps of keys for external account binding: that they are, not what they are.

RFC 8555 §7.3.4. The keys themselves are nowhere; who makes them is `services.ca.external_accounts`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ExternalKey:
    """A key by its `kid`. `revoked` None: it binds accounts.

    `made` None: nobody noted it, as releases did before there was a list; or there is no such key.
    """

    kid: str
    made: datetime | None = None
    revoked: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChangeExternalKey:
    """Refused where somebody changed it meanwhile. One that was never noted is as its kid alone."""

    before: ExternalKey
    after: ExternalKey


class ExternalKeyReads(Protocol):
    async def load_external_key(self, kid: str) -> ExternalKey:
        """Give what is noted of a key; of one that was never noted, its kid alone."""

    async def list_external_keys(self, after: str | None, limit: int) -> tuple[ExternalKey, ...]:
        """List those that were noted, by their kids."""
