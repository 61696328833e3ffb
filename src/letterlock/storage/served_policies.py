"""The MTA-STS policies that our own policy hosts served: what others may still keep to.

RFC 8461 §3.2 (max_age counts from the fetch), §8.3. They are in the node's database, since any node
may have served one: `storage.sqlite.served_policies` and `storage.postgres.served_policies`;
`tests/storage` runs one suite on both. What follows from them is in `services.publish.policies`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from letterlock.base.domains import Domain
from letterlock.protocols.mta_sts.policy import MtaStsPolicy, format_policy, parse_policy
from letterlock.storage.records import from_micros, to_micros

SERVED_COLUMNS = (
    "domain",
    "policy_id",
    "policy_text",
    "served_from",
    "served_until",
    "held_until",
)
"""The columns of a ServedPolicy, as `make_served_row` and `read_served_row` have them."""


@dataclass(frozen=True, slots=True)
class ServedPolicy:
    """One policy of one domain. `until` is when it was served last, or may have been."""

    domain: Domain
    id: str
    policy: MtaStsPolicy
    since: datetime
    until: datetime

    @property
    def held_until(self) -> datetime:
        """When the last one forgets it who fetched it as late as could be."""
        return self.until + self.policy.max_age


class ServedPolicies(Protocol):
    """Each method is one transaction. What the database refuses is StoreUnavailable."""

    async def note(self, served: ServedPolicy) -> None:
        """Note that a policy is served; `until` may lie ahead, for a node that is killed before.

        Of what is noted of it already `since` stays, and the later `until`.
        """

    async def list_served(self, domain: Domain, now: datetime) -> list[ServedPolicy]:
        """List the policies of a domain that somebody may still hold, the latest served first."""

    async def forget(self, now: datetime) -> int:
        """Remove those that nobody can hold any more; gives how many."""


def make_served_row(served: ServedPolicy) -> tuple[str | int, ...]:
    """Give the values of SERVED_COLUMNS. The first two are the key."""
    return (
        served.domain,
        served.id,
        format_policy(served.policy),
        to_micros(served.since),
        to_micros(served.until),
        to_micros(served.held_until),
    )


def read_served_row(row: Sequence[Any]) -> ServedPolicy | None:
    """Read the values of SERVED_COLUMNS. None: another release wrote what this one can't read."""
    domain, identifier, text, since, until, _ = row
    policy = parse_policy(text.encode())
    if not isinstance(policy, MtaStsPolicy):
        return None
    return ServedPolicy(Domain(domain), identifier, policy, from_micros(since), from_micros(until))
