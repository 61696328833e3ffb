"""What everybody may see of an authority: whether it issues, its incidents, the head of its log.

Incidents that were only prepared, or taken back, are nobody else's business. What is found is kept
for a moment: to count what is affected is work, and anybody may ask.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.protocols.acme.renewal_info import CertificateId
from letterlock.protocols.audit.heads import SignedHead
from letterlock.storage.ca.incidents import Incident, IncidentCounts, IncidentState
from letterlock.storage.ca.kept import Halt, Issued

KEPT = timedelta(seconds=10)
MAX_INCIDENTS = 50
PUBLIC = (IncidentState.ENABLED, IncidentState.ENDED)


class StatusReads(Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def load_halt(self) -> Halt: ...

    async def list_incidents(self) -> tuple[Incident, ...]: ...

    async def count_affected(self, incident_id: str, now: datetime) -> IncidentCounts: ...

    async def load_last_signed_head(self) -> SignedHead | None: ...


@dataclass(frozen=True, slots=True)
class PublicIncident:
    """An incident and how far it is."""

    incident: Incident
    counts: IncidentCounts


@dataclass(frozen=True, slots=True)
class PublicStatus:
    """How the authority stands at a moment; incidents are the newest first."""

    moment: datetime
    halt: Halt
    incidents: tuple[PublicIncident, ...]
    head: SignedHead | None

    def find(self, incident_id: str) -> PublicIncident | None:
        """Find an incident."""
        return next((each for each in self.incidents if each.incident.id == incident_id), None)


class StatusKeeper:
    """Reads how the authority stands, at most once in KEPT."""

    def __init__(self, store: StatusReads, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lock = asyncio.Lock()
        self._kept: PublicStatus | None = None

    async def read(self) -> PublicStatus:
        """Give it. Raises StoreUnavailable."""
        async with self._lock:
            now = self._clock.now()
            kept = self._kept
            if kept is None or not timedelta() <= now - kept.moment < KEPT:
                kept = self._kept = await self._read(now)
            return kept

    async def _read(self, now: datetime) -> PublicStatus:
        found = [each for each in await self._store.list_incidents() if each.state in PUBLIC]
        incidents = [
            PublicIncident(each, await self._store.count_affected(each.id, now))
            for each in found[:MAX_INCIDENTS]
        ]
        return PublicStatus(
            now,
            await self._store.load_halt(),
            tuple(incidents),
            await self._store.load_last_signed_head(),
        )


class CertificateReads(Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def find_certificate(self, name: CertificateId) -> Issued | None: ...

    async def find_incidents_of(self, name: CertificateId) -> tuple[Incident, ...]: ...


@dataclass(frozen=True, slots=True)
class KnownCertificate:
    """A certificate of ours, and the incidents that affect it, as far as they are public."""

    is_revoked: bool
    incidents: tuple[Incident, ...]


async def find_known(store: CertificateReads, name: CertificateId) -> KnownCertificate | None:
    """Find a certificate; None: it is none of ours. Raises StoreUnavailable."""
    issued = await store.find_certificate(name)
    if issued is None:
        return None
    incidents = tuple(each for each in await store.find_incidents_of(name) if each.state in PUBLIC)
    return KnownCertificate(issued.certificate.revoked is not None, incidents)
