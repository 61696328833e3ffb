"""Which way a claim goes: into a mailbox of ours, or out to a next hop.

Asked at each attempt, not when the mail came in: a change of `relayhost` or `routes` holds for mail
that waits.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from letterlock.base.domains import Domain
from letterlock.services.deliver.local import LocalDelivery
from letterlock.services.deliver.remote import RemoteDelivery
from letterlock.services.discover.next_hop import NextHop, NextHopError, parse_next_hop
from letterlock.services.queue.outcomes import Delivery, Result, same_for_all
from letterlock.storage.queue import Claim, QueueStore


@dataclass(frozen=True, slots=True)
class Routing:
    """Where destinations go: `routes` by domain, then `relayhost`, else their own MX hosts."""

    local_domains: frozenset[str]
    routes: Mapping[Domain, NextHop]
    relayhost: NextHop | None
    port: int = 25

    def is_local(self, destination: str) -> bool:
        return destination in self.local_domains

    def find(self, destination: str) -> NextHop:
        """Give the next hop; raises NextHopError for a destination that is none."""
        if (route := self.routes.get(Domain(destination))) is not None:
            return route
        return self.relayhost or parse_next_hop(destination, self.port)


@dataclass(frozen=True, slots=True)
class ClaimDelivery:
    """Delivers any claim."""

    routing: Routing
    local: LocalDelivery
    remote: RemoteDelivery

    async def deliver(self, claim: Claim, store: QueueStore) -> Delivery:
        if self.routing.is_local(claim.destination):
            return await self.local.deliver(claim, store)
        try:
            next_hop = self.routing.find(claim.destination)
        except NextHopError as error:
            numbers = [item.number for item in claim.recipients]
            return Delivery(same_for_all(numbers, Result.FAILED, "5.1.2", str(error)))
        return await self.remote.deliver(claim, next_hop, store)
