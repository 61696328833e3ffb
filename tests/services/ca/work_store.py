"""An authority's store in memory, as far as work behind requests goes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from letterlock.protocols.acme.server.rate_limits import Counter, Exceeded, use
from letterlock.protocols.audit.records import AuditEntry
from letterlock.storage.ca.changes import (
    AddPause,
    AddWork,
    Change,
    ChangeAuthorization,
    ChangeCounter,
    EndWork,
    PutOffWork,
    UseCounter,
)
from letterlock.storage.ca.kept import Claimed, KeptAuthorization, PausedName, WorkKind
from letterlock.storage.queue import StoreUnavailable


class WorkStore:
    """All of a commit or none of it; `is_away` refuses everything."""

    def __init__(self) -> None:
        self.work: dict[str, Claimed] = {}
        self.authorizations: dict[str, KeptAuthorization] = {}
        self.counters: dict[tuple[str, str], Counter] = {}
        self.entries: list[AuditEntry] = []
        self.paused: list[PausedName] = []
        self.is_away = False
        self.commits = 0

    async def commit(self, changes: Sequence[Change], entries: Sequence[AuditEntry] = ()) -> bool:
        self._require()
        self.commits += 1
        kept = dict(self.work), dict(self.authorizations), dict(self.counters)
        if not all(self._change(each) for each in changes):
            self.work, self.authorizations, self.counters = kept
            return False
        self.entries += entries
        return True

    def _change(self, change: Change) -> bool:
        match change:
            case AddWork(work, lease):
                is_new = work.subject not in self.work
                self.work[work.subject] = Claimed(work, lease)
                return is_new
            case EndWork(lease):
                found = self.work.pop(lease.subject, None)
                return found is not None and found.lease.number == lease.number
            case PutOffWork(lease, due):
                found = self.work[lease.subject]
                self.work[lease.subject] = Claimed(found.work, replace(found.lease, until=due))
                return found.lease.number == lease.number
            case ChangeAuthorization(before, after, check):
                held = self.authorizations[before.id]
                self.authorizations[before.id] = KeptAuthorization(after, check or held.check)
                return held.authorization == before
            case _:
                return self._count(change)

    def _count(self, change: Change) -> bool:
        match change:
            case UseCounter(counter, now):
                return self._use(counter, now)
            case ChangeCounter(before, after):
                held = self._find(before)
                self.counters[after.limit.name, after.key] = after
                return held == before
            case AddPause(pause):
                self.paused.append(pause)
                return True
            case _:
                raise NotImplementedError(change)

    def _use(self, counter: Counter, now: datetime) -> bool:
        used = use(self._find(counter), now)
        if isinstance(used, Exceeded):
            return False
        self.counters[counter.limit.name, counter.key] = used
        return True

    async def load_authorization(self, authorization_id: str) -> KeptAuthorization | None:
        self._require()
        return self.authorizations.get(authorization_id)

    async def load_counters(self, counters: Sequence[Counter]) -> tuple[Counter, ...]:
        self._require()
        return tuple(self._find(each) for each in counters)

    async def claim_work(
        self, kind: WorkKind, owner: str, now: datetime, until: datetime, limit: int
    ) -> tuple[Claimed, ...]:
        self._require()
        due = [each for each in self.work.values() if each.work.kind is kind]
        due = [each for each in due if each.lease.until <= now][:limit]
        found = []
        for each in due:
            number = each.lease.number + 1
            lease = replace(each.lease, owner=owner, until=until, number=number)
            self.work[each.work.subject] = Claimed(each.work, lease)
            found.append(self.work[each.work.subject])
        return tuple(found)

    async def find_next_due(self, kind: WorkKind) -> datetime | None:
        ends = [each.lease.until for each in self.work.values() if each.work.kind is kind]
        return min(ends, default=None)

    def _find(self, counter: Counter) -> Counter:
        return self.counters.get((counter.limit.name, counter.key), counter)

    def _require(self) -> None:
        if self.is_away:
            raise StoreUnavailable("the database is away")
