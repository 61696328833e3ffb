"""The cache of MTA-STS policies as its users see it: values, and the interface of each engine.

RFC 8461 §3.3. It is part of the node's database, which all processes of a node share, or all nodes:
`storage.sqlite.policies` and `storage.postgres.policies`; `tests/storage` runs one suite on both.
A fetch is claimed with a lease, so that one process does it and the others wait for what it finds.
When to fetch is `protocols.mta_sts.cache`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from letterlock.base.domains import Domain
from letterlock.protocols.mta_sts.cache import (
    CachedPolicy,
    CacheEntry,
    FetchFailure,
    find_refresh_time,
)
from letterlock.protocols.mta_sts.policy import MtaStsPolicy, parse_policy
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.storage.records import from_micros, to_micros, to_text

ENTRY_COLUMNS = (
    "policy_id",
    "policy_text",
    "fetched",
    "expires",
    "refresh",
    "failed",
    "failed_id",
    "failure_type",
    "failure",
)
"""The columns of a CacheEntry, as `make_row` and `read_row` have them."""

EMPTY = CacheEntry()


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """What is kept of one domain. `used` is when mail last asked for it."""

    domain: Domain
    entry: CacheEntry
    used: datetime


@dataclass(frozen=True, slots=True)
class FetchLease:
    """The right to fetch for one domain.

    `entry` is what was kept when it was given: look again whether there is still work to do.
    """

    domain: Domain
    token: str
    entry: CacheEntry


class PolicyStore(Protocol):
    """Each method is one transaction. What the database refuses is StoreUnavailable."""

    async def open(self) -> None:
        """Make or bring forward the tables. Raises LocalError when the operator must act."""

    async def close(self) -> None: ...

    async def load(self, domain: Domain) -> StoredPolicy | None:
        """Give what is kept of a domain; None when there is nothing."""

    async def note_use(self, domain: Domain, now: datetime) -> None:
        """Note that mail asks for a domain that is kept."""

    async def claim_fetch(
        self, domain: Domain, now: datetime, until: datetime
    ) -> FetchLease | None:
        """Take the lease of a domain, kept or not; None while another has it."""

    async def settle_fetch(self, lease: FetchLease, entry: CacheEntry) -> bool:
        """Keep what came of a fetch, and end the lease; False when it is not ours any more.

        An empty entry is forgotten; the lease's own ends it without a change.
        """

    async def list_due(self, now: datetime, used_since: datetime, *, limit: int) -> list[Domain]:
        """List the domains whose policy holds, is to be refreshed, and is not just being fetched.

        The longest due first.
        """

    async def list_policies(
        self, *, limit: int = 1000, after: Domain | None = None
    ) -> list[StoredPolicy]:
        """List what is kept, in the order of the domains."""

    async def forget(self, used_before: datetime, now: datetime) -> int:
        """Remove what has long not been used and does not hold any more; gives how many."""


def make_row(entry: CacheEntry) -> tuple[str | int | None, ...]:
    """Give the values of ENTRY_COLUMNS."""
    cached, failure, refresh = entry.cached, entry.failure, find_refresh_time(entry)
    policy: tuple[str | int | None, ...] = (None,) * 5
    if cached is not None and refresh is not None:
        times = (cached.fetched, cached.expires, refresh)
        policy = (cached.id, cached.text, *map(to_micros, times))
    if failure is None:
        return (*policy, None, None, None, None)
    reason = to_text(failure.reason)
    return (*policy, to_micros(failure.at), failure.id, failure.result_type.value, reason)


def read_row(row: Sequence[Any]) -> CacheEntry:
    """Read the values of ENTRY_COLUMNS."""
    policy_id, text, fetched, _, _, failed, failed_id, failure_type, reason = row
    cached = failure = None
    if text is not None:
        policy = parse_policy(text.encode())
        # Else another release wrote what this one can't read: it is fetched anew.
        if isinstance(policy, MtaStsPolicy):
            cached = CachedPolicy(policy_id, policy, text, from_micros(fetched))
    if failed is not None:
        failure = FetchFailure(failed_id, from_micros(failed), ResultType(failure_type), reason)
    return CacheEntry(cached, failure)
