"""Whether an incident wants a certificate renewed at once, as ARI tells clients (RFC 9773 §4.2)."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from letterlock.protocols.acme.renewal_info import CertificateId
from letterlock.protocols.acme.server.objects import Certificate
from letterlock.protocols.acme.server.renewals import Urgency
from letterlock.storage.ca.incidents import Incident, IncidentState

FindUrgency = Callable[[Certificate], Awaitable[Urgency | None]]

_TELLS = (IncidentState.ENABLED, IncidentState.ENDED)
"""One that has ended says still why what it revoked was to be renewed."""


class UrgencyReads(Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def find_incidents_of(self, name: CertificateId) -> tuple[Incident, ...]: ...


def make_find_urgency(store: UrgencyReads) -> FindUrgency:
    """Give what `requests.authority.Authority.find_urgency` is."""

    async def find_urgency(certificate: Certificate) -> Urgency | None:
        """Give why, by the incident that was enabled first. Raises StoreUnavailable."""
        told = [
            Urgency(each.enabled, each.page)
            for each in await store.find_incidents_of(certificate.name)
            if each.state in _TELLS and each.enabled is not None
        ]
        return min(told, key=lambda each: each.since, default=None)

    return find_urgency
