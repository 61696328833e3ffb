"""What an enabled incident does: it tells, notes what is replaced, and revokes.

Baseline Requirements 4.9.1 (what must be revoked, and by when), 4.9.5. What is replaced is revoked
a while later, so that its owner has put the new one to use; at the deadline all that is left. It is
done in steps under a lease, each of which finds in the store what is to be done: a process that is
killed loses nothing, and another goes on.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.errors import describe_defect
from letterlock.base.log import Log, Service
from letterlock.protocols.acme.server.objects import Certificate
from letterlock.protocols.audit.decisions import IncidentLogged
from letterlock.protocols.audit.records import AuditEntry
from letterlock.protocols.incidents.serials import format_serial
from letterlock.protocols.pki.issuance.revocation_lists import Reason
from letterlock.services.ca.incidents.telling import Teller, TellingStore
from letterlock.storage.ca.changes import EndWork, PutOffWork
from letterlock.storage.ca.incidents import (
    ChangeAffected,
    ChangeIncident,
    Incident,
    IncidentCounts,
    IncidentState,
    Standing,
)
from letterlock.storage.ca.kept import Claimed, Issued, Lease
from letterlock.storage.queue import StoreUnavailable

LEASE = timedelta(minutes=10)
LOOK_AGAIN = timedelta(minutes=1)
PAGE = 200
STEP = timedelta(minutes=3)
"""A step ends within its lease."""
MAX_TOLD = 200
REVOKED_AT_ONCE = 16


class Revoke(Protocol):
    """Puts a certificate on its list, with the audit's record (`services.ca.revoking.Revoker`)."""

    async def __call__(
        self, issued: Issued, reason: Reason, by: str, *, blocks_key: bool = False
    ) -> bool:
        """Do it. False: what is kept of the certificate is not `issued` any more: decide again."""


class IncidentStore(TellingStore, Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def load_incident(self, incident_id: str) -> Incident | None: ...

    async def load_certificate(self, certificate_id: str) -> Issued | None: ...

    async def list_standing(
        self, incident_id: str, now: datetime, after: int, limit: int
    ) -> tuple[Standing, ...]: ...

    async def list_changed(
        self, incident_id: str, now: datetime, replaced_until: datetime, after: int, limit: int
    ) -> tuple[Standing, ...]: ...

    async def count_affected(self, incident_id: str, now: datetime) -> IncidentCounts: ...


@dataclass(frozen=True, slots=True)
class IncidentRules:
    """`after_replaced` is how long what is replaced is left to be in use."""

    after_replaced: timedelta = timedelta(hours=1)


class IncidentWork:
    """Does an incident. `do` is for `working.WorkRunner`, with work of the kind INCIDENT."""

    def __init__(
        self,
        store: IncidentStore,
        teller: Teller,
        revoke: Revoke,
        rules: IncidentRules,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store = store
        self._teller = teller
        self._revoke = revoke
        self._rules = rules
        self._clock = clock
        self._log = log

    async def do(self, claimed: Claimed) -> datetime | None:
        """Do a step. Gives when to go on; None: it has ended. Raises StoreUnavailable."""
        incident = await self._store.load_incident(claimed.work.subject)
        if incident is None or incident.state is not IncidentState.ENABLED:
            await self._store.commit((EndWork(claimed.lease),))
            return None
        is_told = await self._teller.tell(incident, MAX_TOLD)
        next_due = await self._revoke_what_is_due(incident)
        if await self._end(incident, claimed.lease, is_told=is_told is not False):
            return None
        due = self._clock.now() if is_told is False else next_due
        return due if await self._store.commit((PutOffWork(claimed.lease, due),)) else None

    async def _revoke_what_is_due(self, incident: Incident) -> datetime:
        """Go through what changed, at the deadline through all; gives when to go on."""
        end = self._clock.monotonic() + STEP.total_seconds()
        due = [self._clock.now() + LOOK_AGAIN]
        if incident.renew_by > self._clock.now():
            due.append(incident.renew_by)
        after = 0
        while self._clock.monotonic() <= end:
            now = self._clock.now()
            is_deadline = now >= incident.renew_by
            page = await self._list(incident, now, after, is_deadline=is_deadline)
            due += await self._settle(incident, page, now, is_deadline=is_deadline)
            if len(page) < PAGE:
                return max(min(due), now)
            # What is settled is listed no more: a step that begins anew goes on with the rest.
            after = page[-1].affected.number
        return self._clock.now()

    async def _list(
        self, incident: Incident, now: datetime, after: int, *, is_deadline: bool
    ) -> tuple[Standing, ...]:
        if is_deadline:
            return await self._store.list_standing(incident.id, now, after, PAGE)
        until = now - self._rules.after_replaced
        return await self._store.list_changed(incident.id, now, until, after, PAGE)

    async def _settle(
        self, incident: Incident, page: Sequence[Standing], now: datetime, *, is_deadline: bool
    ) -> list[datetime]:
        """Settle certificates; gives when some of them are due that are not yet."""
        slots = asyncio.Semaphore(REVOKED_AT_ONCE)

        async def settle(standing: Standing) -> datetime | None:
            async with slots:
                return await self._try_one(incident, standing, now, is_deadline=is_deadline)

        async with asyncio.TaskGroup() as tasks:
            done = [tasks.create_task(settle(each)) for each in page]
        return [due for each in done if (due := each.result()) is not None]

    async def _try_one(
        self, incident: Incident, standing: Standing, now: datetime, *, is_deadline: bool
    ) -> datetime | None:
        try:
            return await self._settle_one(incident, standing, now, is_deadline=is_deadline)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one certificate must not keep a million from it
            serial = format_serial(standing.certificate.name.serial)
            what = f"incident {incident.id}: certificate {serial} was not settled"
            self._log.write(Service.CA, f"error: {what}: {describe_defect(error)}")
            return None  # it is still there when all are gone through again

    async def _settle_one(
        self, incident: Incident, standing: Standing, now: datetime, *, is_deadline: bool
    ) -> datetime | None:
        before, certificate = standing.affected, standing.certificate
        replaced = before.replaced or (now if standing.is_replaced else None)
        after = replace(before, replaced=replaced, revoked=certificate.revoked)
        due = replaced + self._rules.after_replaced if replaced is not None else None
        is_due = certificate.revoked is None and (is_deadline or (due is not None and due <= now))
        if is_due and await self._revoke_one(incident, certificate):
            after = replace(after, revoked=now)
        if after != before:
            await self._store.commit((ChangeAffected(before, after),))
        return due if after.revoked is None and not is_due else None

    async def _revoke_one(self, incident: Incident, certificate: Certificate) -> bool:
        """Revoke; False: it was changed meanwhile, and is looked at again."""
        issued = await self._store.load_certificate(certificate.id)
        if issued is None or issued.certificate != certificate:
            return False
        by, is_compromise = f"incident {incident.id}", incident.reason is Reason.KEY_COMPROMISE
        return await self._revoke(issued, incident.reason, by, blocks_key=is_compromise)

    async def _end(self, incident: Incident, lease: Lease, *, is_told: bool) -> bool:
        """End the incident where nothing is left of it; gives whether it has ended."""
        if not is_told:
            return False
        now = self._clock.now()
        counts = await self._store.count_affected(incident.id, now)
        if counts.left:
            return False
        ended = replace(incident, state=IncidentState.ENDED, ended=now)
        logged = IncidentLogged(incident.id, "ended", "letterlock", counts.revoked)
        changes = (ChangeIncident(incident, ended), EndWork(lease))
        if not await self._store.commit(changes, (AuditEntry(now, logged),)):
            return False
        text = f"incident {incident.id} has ended: {counts.revoked} of {counts.affected} revoked"
        self._log.write(Service.CA, text)
        return True
