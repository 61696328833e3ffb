"""An incident is made, enabled and taken back; each step is in the audit log."""

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from letterlock.protocols.acme.fields import format_line
from letterlock.protocols.audit.decisions import IncidentLogged
from letterlock.protocols.audit.records import AuditEntry
from letterlock.protocols.pki.issuance.revocation_lists import Reason
from letterlock.services.ca.incidents.choosing import Chosen
from letterlock.storage.ca.changes import AddWork
from letterlock.storage.ca.incidents import (
    AddAffected,
    AddIncident,
    Affected,
    ChangeIncident,
    Incident,
    IncidentState,
)
from letterlock.storage.ca.kept import Lease, ListedCertificate, Work, WorkKind
from letterlock.storage.ca.store import Commits

MAX_WHY_CHARACTERS = 500
ID_MARK = "{id}"
"""In a page's URL it becomes the incident's id."""
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_ID_CHARACTERS = 4


class IncidentError(Exception):
    """A step that an incident cannot take; the message is one line."""


class ChangingStore(Commits, Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def load_incident(self, incident_id: str) -> Incident | None: ...


@dataclass(frozen=True, slots=True)
class NewIncident:
    """What somebody says of an incident. `who` he is; `chosen`: how certificates are found."""

    why: str
    page: str
    renew_by: datetime
    reason: Reason
    chosen: str
    who: str


@dataclass(frozen=True, slots=True)
class Collected:
    """How far it is: certificates that were looked at, and those that are affected."""

    looked_at: int
    affected: int


def make_incident_id(now: datetime) -> str:
    """Choose an id: the day, and a few letters that nobody mistakes."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_CHARACTERS))
    return f"{now:%Y%m%d}-{letters}"


async def create(
    store: ChangingStore,
    new: NewIncident,
    pages: AsyncIterator[Chosen],
    now: datetime,
    on_progress: Callable[[Collected], None],
) -> Incident:
    """Make an incident of all that is chosen; gives it, ready to be enabled where that is any.

    Nothing is told to anybody before it is enabled. One that was broken off stays `collecting`,
    and does nothing. Raises IncidentError and StoreUnavailable.
    """
    incident = Incident(
        id=make_incident_id(now),
        state=IncidentState.COLLECTING,
        why=format_line(new.why, MAX_WHY_CHARACTERS),
        page="",
        renew_by=new.renew_by,
        reason=new.reason,
        chosen=new.chosen,
        created=now,
        who=new.who,
    )
    incident = replace(incident, page=new.page.replace(ID_MARK, incident.id))
    if incident.renew_by <= now:
        raise IncidentError("the time to renew by has passed")
    await _commit(store, AddIncident(incident))
    looked_at = affected = 0
    async for page in pages:
        looked_at += page.looked_at
        affected += len(page.certificates)
        if page.certificates:
            rows = tuple(_describe(incident, each) for each in page.certificates)
            await _commit(store, AddAffected(incident.id, rows))
        on_progress(Collected(looked_at, affected))
    # One that affects nothing is none.
    state = IncidentState.READY if affected else IncidentState.WITHDRAWN
    ready = replace(incident, state=state, ended=None if affected else now)
    entry = _log(ready, "created", new.who, now, affected)
    await _commit(store, ChangeIncident(incident, ready), entry)
    return ready


async def enable(store: ChangingStore, incident_id: str, who: str, now: datetime) -> Incident:
    """Enable an incident: from now on it is told. Raises IncidentError and StoreUnavailable."""
    before = await load(store, incident_id)
    if before.state is IncidentState.COLLECTING:
        raise IncidentError(f"{incident_id} is not complete: create it once more")
    if before.state is not IncidentState.READY:
        raise IncidentError(f"{incident_id} is {before.state} already")
    if before.renew_by <= now:
        raise IncidentError(f"{incident_id}: the time to renew by has passed: create it once more")
    after = replace(before, state=IncidentState.ENABLED, enabled=now)
    work = AddWork(
        Work(WorkKind.INCIDENT, after.id, now), Lease(WorkKind.INCIDENT, after.id, "", now)
    )
    entry = _log(after, "enabled", who, now)
    if not await store.commit((ChangeIncident(before, after), work), (entry,)):
        raise IncidentError(f"{incident_id}: somebody else changed it just now")
    return after


async def withdraw(store: ChangingStore, incident_id: str, who: str, now: datetime) -> Incident:
    """Take an incident back: nothing more is told or revoked. Raises as `enable`."""
    before = await load(store, incident_id)
    if before.state in (IncidentState.ENDED, IncidentState.WITHDRAWN):
        raise IncidentError(f"{incident_id} is {before.state} already")
    after = replace(before, state=IncidentState.WITHDRAWN, ended=now)
    entry = _log(after, "withdrawn", who, now)
    if not await store.commit((ChangeIncident(before, after),), (entry,)):
        raise IncidentError(f"{incident_id}: somebody else changed it just now")
    return after


async def load(store: ChangingStore, incident_id: str) -> Incident:
    """Give an incident. Raises IncidentError where there is none of that id."""
    found = await store.load_incident(incident_id)
    if found is None:
        raise IncidentError(f"there is no incident {incident_id}: `letterlock ca incident status`")
    return found


async def _commit(
    store: ChangingStore,
    change: AddIncident | AddAffected | ChangeIncident,
    entry: AuditEntry | None = None,
) -> None:
    if not await store.commit((change,), (entry,) if entry is not None else ()):
        raise IncidentError("somebody else changed the incident while it was made")


def _describe(incident: Incident, listed: ListedCertificate) -> Affected:
    certificate = listed.issued.certificate
    return Affected(
        incident.id, listed.number, certificate.name, certificate.account_id, certificate.not_after
    )


def _log(incident: Incident, action: str, who: str, now: datetime, count: int = 0) -> AuditEntry:
    logged = IncidentLogged(
        incident=incident.id,
        action=action,
        who=who,
        count=count,
        why=incident.why,
        url=incident.page,
        renew_by=incident.renew_by,
    )
    return AuditEntry(now, logged)
