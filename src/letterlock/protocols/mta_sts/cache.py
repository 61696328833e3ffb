"""Keeping MTA-STS policies: what holds, when to fetch, what is wrong, as functions of the time.

RFC 8461 §3.3 (refreshing, and waiting after a failure), §5.1 (lifetime counts from the fetch), §6
(what is reportable), §8.3 (removal). Where entries are kept is `storage.policies`; who fetches, and
when that is waited for, `services.discover.mta_sts`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import assert_never

from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.protocols.mta_sts.record import MtaStsRecord, RecordError
from letterlock.protocols.tlsrpt.result_types import ResultType

FAILED_FETCH_WAIT = timedelta(minutes=5)
"""RFC 8461 §3.3: the least time between failing fetches of one id."""
FAILED_OTHER_WAIT = timedelta(seconds=10)
"""The least time after a failing fetch of another id: a record that alternates is no way round."""
REFRESH_AFTER = timedelta(days=1)
"""RFC 8461 §3.3 suggests a day, whatever the record says."""
LEAST_REFRESH = timedelta(hours=1)
"""Policies that live for less than a day are refreshed at half of it, but not oftener than this,
and so are those whose last refresh failed, unless a message asks for them."""
CLOCK_SKEW = timedelta(minutes=5)
"""What the clocks of two nodes may differ; a time further ahead was written by a wrong clock."""


@dataclass(frozen=True, slots=True)
class LookupFailed:
    """Whether there is a record is not known; `reason` is one line."""

    reason: str


Look = MtaStsRecord | RecordError | LookupFailed | None
"""What DNS says of the record; None: that there is none."""


@dataclass(frozen=True, slots=True)
class CachedPolicy:
    """A policy as it was fetched. `id` is the record's at that time, `text` the file as it stood.

    `fetched` is when it came over HTTPS the last time: finding the same id proves a policy current,
    and does not make it younger.
    """

    id: str
    policy: MtaStsPolicy
    text: str
    fetched: datetime

    @property
    def expires(self) -> datetime:
        return self.fetched + self.policy.max_age

    def holds(self, now: datetime) -> bool:
        """Tell whether the time since the fetch has not exceeded max_age (RFC 8461 §5.1)."""
        return now <= self.expires


@dataclass(frozen=True, slots=True)
class FetchFailure:
    """A fetch that gave no policy. `id` is what the record said; None: it was not there."""

    id: str | None
    at: datetime
    result_type: ResultType
    reason: str


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """What is kept of one domain: the last policy, and the failure of a later fetch, if any."""

    cached: CachedPolicy | None = None
    failure: FetchFailure | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong with the last look; `result_type` is None where nothing is to be reported."""

    reason: str
    result_type: ResultType | None


class Step(Enum):
    """What to do before an entry is used."""

    KEEP = auto()
    FETCH = auto()
    """Nothing holds: whoever asks waits for it."""
    REFRESH = auto()
    """A policy holds and is used at once; a fetch goes on behind."""
    DROP = auto()
    """The record is gone, and the policy has expired, or is of mode none, with which a domain gives
    MTA-STS up (RFC 8461 §8.3): nothing is kept of it."""


def find_valid(entry: CacheEntry, now: datetime) -> CachedPolicy | None:
    """Find the policy that holds at this moment."""
    return entry.cached if entry.cached is not None and entry.cached.holds(now) else None


def decide_step(entry: CacheEntry, look: Look, now: datetime) -> Step:
    """Decide what to do next about a domain."""
    valid = find_valid(entry, now)
    is_active = valid is not None and valid.policy.mode is not MtaStsMode.NONE
    if look is None and entry.cached is not None and not is_active:
        return Step.DROP
    if valid is None and not isinstance(look, MtaStsRecord):
        return Step.KEEP
    identifier = look.id if isinstance(look, MtaStsRecord) else None
    if entry.failure is not None and not _may_fetch_after(entry.failure, identifier, now):
        return Step.KEEP
    if valid is None:
        return Step.FETCH
    if identifier not in (None, valid.id) or _is_refresh_due(valid, now):
        return Step.REFRESH
    return Step.KEEP


def find_refresh_time(entry: CacheEntry) -> datetime | None:
    """Give when to refresh a policy that nobody asks for; None when there is none."""
    if entry.cached is None:
        return None
    due = entry.cached.fetched + _refresh_after(entry.cached)
    return due if entry.failure is None else max(due, entry.failure.at + LEAST_REFRESH)


def find_fault(entry: CacheEntry, look: Look, now: datetime) -> Fault | None:
    """Say what went wrong with the last look, and whether RFC 8461 §6 wants it reported."""
    valid = find_valid(entry, now)
    is_active = valid is not None and valid.policy.mode is not MtaStsMode.NONE
    missed = ResultType.STS_POLICY_FETCH_ERROR if is_active else None
    match look:
        case LookupFailed(reason):
            return Fault(f"the MTA-STS record cannot be looked up: {reason}", missed)
        case RecordError(reason):
            return Fault(f"invalid MTA-STS record: {reason}", ResultType.STS_POLICY_FETCH_ERROR)
        case None:
            return Fault("the MTA-STS record is gone", missed) if is_active else None
        case MtaStsRecord(identifier):
            failure = entry.failure
            # What failed for another id is of the past, unless it is why nothing holds now.
            if failure is None or (valid is not None and failure.id != identifier):
                return None
            return Fault(failure.reason, failure.result_type)
        case _:
            assert_never(look)


def _may_fetch_after(failure: FetchFailure, identifier: str | None, now: datetime) -> bool:
    wait = FAILED_FETCH_WAIT if failure.id == identifier else FAILED_OTHER_WAIT
    since = now - failure.at
    return since >= wait or since < -CLOCK_SKEW


def _is_refresh_due(cached: CachedPolicy, now: datetime) -> bool:
    since = now - cached.fetched
    return since >= _refresh_after(cached) or since < -CLOCK_SKEW


def _refresh_after(cached: CachedPolicy) -> timedelta:
    return min(REFRESH_AFTER, max(cached.policy.max_age / 2, LEAST_REFRESH))
