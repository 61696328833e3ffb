"""What an operator's commands do about incidents: they work on the store alone.

`ca serve` does what is enabled: it sees it within half a minute.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.counts import format_count
from letterlock.base.errors import LocalError
from letterlock.node.ca.caring import make_evidence_rules
from letterlock.node.ca.commands import find_operator
from letterlock.node.ca.rules import find_port, find_url
from letterlock.protocols.incidents.crls import SerialListError
from letterlock.protocols.incidents.lists import SerialListReader
from letterlock.protocols.pki.issuance.revocation_lists import Reason
from letterlock.services.ca.incidents.changing import (
    ID_MARK,
    Collected,
    NewIncident,
    create,
    enable,
    load,
    withdraw,
)
from letterlock.services.ca.incidents.choosing import Choice, Chosen, choose, choose_serials
from letterlock.storage.ca.incidents import Affected, Incident, IncidentCounts
from letterlock.storage.ca.store import AuthorityStore
from letterlock.storage.serial_lists.source import ListDamaged, ListFile

PAGE = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """What an operator says of a new incident; `page` None: it gets one of our status page.

    Certificates come from `serials` and `lists`, or where there are neither, of `choice`.
    """

    why: str
    renew_by: datetime
    reason: Reason
    choice: Choice
    page: str | None = None
    serials: tuple[int, ...] = ()
    lists: tuple[Path, ...] = ()

    @property
    def chosen(self) -> str:
        """How certificates are found, for people."""
        parts = [format_count(len(self.serials), "serial number")] if self.serials else []
        parts += [f"the list {each.name}" for each in self.lists]
        return ", ".join(parts) or str(self.choice)


@dataclass(frozen=True, slots=True)
class Standing:
    """An incident and how far it is."""

    incident: Incident
    counts: IncidentCounts


async def create_incident(
    config: Config,
    store: AuthorityStore,
    clock: Clock,
    asked: Asked,
    show: Callable[[Collected], None],
) -> Standing:
    """Make an incident. Raises LocalError, IncidentError and StoreUnavailable."""
    now = clock.now()
    page = asked.page or f"{find_url(config, find_port(config))}/status/incident/{ID_MARK}"
    new = NewIncident(asked.why, page, asked.renew_by, asked.reason, asked.chosen, find_operator())
    incident = await create(store, new, _choose(config, store, asked, now), now, show)
    return await find_standing(store, clock, incident)


async def enable_incident(store: AuthorityStore, clock: Clock, incident_id: str) -> Standing:
    """Enable one. Raises IncidentError and StoreUnavailable."""
    incident = await enable(store, incident_id, find_operator(), clock.now())
    return await find_standing(store, clock, incident)


async def withdraw_incident(store: AuthorityStore, clock: Clock, incident_id: str) -> Standing:
    """Take one back. Raises as above."""
    incident = await withdraw(store, incident_id, find_operator(), clock.now())
    return await find_standing(store, clock, incident)


async def find_standings(
    store: AuthorityStore, clock: Clock, incident_id: str | None
) -> list[Standing]:
    """Give one incident, or all, the newest first. Raises IncidentError, StoreUnavailable."""
    if incident_id is not None:
        incidents: Sequence[Incident] = [await load(store, incident_id)]
    else:
        incidents = await store.list_incidents()
    return [await find_standing(store, clock, each) for each in incidents]


async def find_standing(store: AuthorityStore, clock: Clock, incident: Incident) -> Standing:
    """Count what an incident affects. Raises StoreUnavailable."""
    return Standing(incident, await store.count_affected(incident.id, clock.now()))


async def list_affected(store: AuthorityStore, incident_id: str) -> AsyncIterator[Affected]:
    """Give all that an incident affects. Raises IncidentError and StoreUnavailable."""
    await load(store, incident_id)
    after = 0
    while page := await store.list_affected(incident_id, after, PAGE):
        for each in page:
            yield each
        after = page[-1].number


def _choose(
    config: Config, store: AuthorityStore, asked: Asked, now: datetime
) -> AsyncIterator[Chosen]:
    if asked.serials or asked.lists:
        return choose_serials(store, _read_serials(asked), now)
    return choose(store, asked.choice, make_evidence_rules(config), now)


def _read_serials(asked: Asked) -> Iterator[int]:
    yield from asked.serials
    for path in asked.lists:
        try:
            with ListFile(path) as file:
                yield from _read_list(file)
        except (ListDamaged, SerialListError) as error:
            raise LocalError(f"{path}: {error}") from error


def _read_list(file: ListFile) -> Iterator[int]:
    reader = SerialListReader()
    for octets in file.read_unpacked():
        yield from (serial for _, serial in reader.receive(octets))
    yield from (serial for _, serial in reader.finish())
    if reader.unreadable:
        # What could not be read may be affected: the operator is to look at it, not to miss it.
        first = reader.faults[0]
        others = format_count(reader.unreadable - 1, "more line")
        raise LocalError(
            f"{file.path}:{first.line}: {first.reason} (and {others}): "
            "put that right, or leave those lines out"
        )
