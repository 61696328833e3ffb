"""What the authority keeps of its incidents: why, until when, and each affected certificate.

An incident is made in parts, as it may have millions of certificates: `collecting` until all are
there, then `ready`. `enabled`, it is told, and what is affected is revoked; that is `ended` when
nothing is left. A certificate may be in several.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from letterlock.protocols.acme.renewal_info import CertificateId
from letterlock.protocols.acme.server.objects import Certificate
from letterlock.protocols.pki.issuance.revocation_lists import Reason


class IncidentState(StrEnum):
    """How far an incident is; it never goes back."""

    COLLECTING = "collecting"
    READY = "ready"
    ENABLED = "enabled"
    ENDED = "ended"
    WITHDRAWN = "withdrawn"
    """Somebody took it back, as it was none; what was revoked stays so."""


@dataclass(frozen=True, slots=True)
class Incident:
    """`why` and `page` are for everybody to read. `chosen` says how the certificates were found.

    At `renew_by` all that is left is revoked, for `reason`.
    """

    id: str
    state: IncidentState
    why: str
    page: str
    renew_by: datetime
    reason: Reason
    chosen: str
    created: datetime
    who: str
    enabled: datetime | None = None
    ended: datetime | None = None


@dataclass(frozen=True, slots=True)
class Affected:
    """A certificate of an incident. `number` is its place in lists of certificates.

    The moments say when its account was told, when an order for its replacement was issued, and
    when it was revoked, by us or before; None: not yet. `is_mailed`: it was told by mail, and has
    an address for it.
    """

    incident_id: str
    number: int
    name: CertificateId
    account_id: str
    not_after: datetime
    told: datetime | None = None
    replaced: datetime | None = None
    revoked: datetime | None = None
    is_mailed: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """An affected certificate, and the certificate as it is now.

    `is_replaced`: the order that replaces it has its certificate.
    """

    affected: Affected
    certificate: Certificate
    is_replaced: bool


@dataclass(frozen=True, slots=True)
class IncidentCounts:
    """How an incident stands. `left` has not ended, and is not revoked.

    `told` is by mail; `accounts_mute` are accounts without an address for it.
    """

    affected: int
    told: int
    replaced: int
    revoked: int
    expired: int
    left: int
    accounts: int
    accounts_told: int
    accounts_mute: int = 0


@dataclass(frozen=True, slots=True)
class AddIncident:
    """Refused where its id is taken."""

    incident: Incident


@dataclass(frozen=True, slots=True)
class ChangeIncident:
    before: Incident
    after: Incident


@dataclass(frozen=True, slots=True)
class AddAffected:
    """Add certificates to an incident; those that it has already stay as they are.

    Refused where the incident is not `collecting`.
    """

    incident_id: str
    affected: tuple[Affected, ...]


@dataclass(frozen=True, slots=True)
class MarkTold:
    """Note that an account was told, of all of its certificates in an incident.

    Not `is_mailed`: it has no address, and there is nothing more to do.
    """

    incident_id: str
    account_id: str
    moment: datetime
    is_mailed: bool = True


@dataclass(frozen=True, slots=True)
class ChangeAffected:
    """Note when an affected certificate was replaced, and when it was revoked."""

    before: Affected
    after: Affected


IncidentChange = AddIncident | ChangeIncident | AddAffected | MarkTold | ChangeAffected


class IncidentReads(Protocol):
    """Pages begin behind the number of a certificate, 0 for the first."""

    async def load_incident(self, incident_id: str) -> Incident | None: ...

    async def list_incidents(self) -> tuple[Incident, ...]:
        """List all, the newest first."""

    async def find_incidents_of(self, name: CertificateId) -> tuple[Incident, ...]:
        """Give those that a certificate is in, whatever their states; the oldest first."""

    async def count_affected(self, incident_id: str, now: datetime) -> IncidentCounts: ...

    async def list_affected(
        self, incident_id: str, after: int, limit: int
    ) -> tuple[Affected, ...]: ...

    async def list_standing(
        self, incident_id: str, now: datetime, after: int, limit: int
    ) -> tuple[Standing, ...]:
        """List those that have not ended and are not noted as revoked."""

    async def list_changed(
        self, incident_id: str, now: datetime, replaced_until: datetime, after: int, limit: int
    ) -> tuple[Standing, ...]:
        """List those of these that an order replaces, or that are revoked.

        Of those that are noted as replaced: those that were until a moment.
        """

    async def find_untold_account(self, incident_id: str) -> str | None:
        """Give an account that was not told yet."""

    async def list_untold(
        self, incident_id: str, account_id: str, after: int, limit: int
    ) -> tuple[Standing, ...]: ...
