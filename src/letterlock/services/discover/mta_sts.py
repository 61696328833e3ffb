"""The MTA-STS policy of a domain: from DNS, HTTPS, and the cache that all processes share.

RFC 8461 §3 (discovery), §5.1 (control flow). What holds and when to fetch is decided in
`protocols.mta_sts.cache`. A policy that holds is given at once, and refreshed behind; only where
none holds does the one who asks wait. In front is a small memory of this process, so that a domain
with much mail costs nothing. Whoever has us send mail to domains of his (bounces, for one) has
their policies fetched, as slowly as he likes: the refreshing of known ones never waits for those.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar, assert_never

from letterlock.base.clock import Clock, format_time
from letterlock.base.domains import MAX_DOMAIN_OCTETS, Domain
from letterlock.base.log import Log, Service
from letterlock.network.dns import Resolver
from letterlock.network.https import FetchFailed
from letterlock.protocols.mta_sts.cache import (
    CachedPolicy,
    CacheEntry,
    FetchFailure,
    Look,
    LookupFailed,
    Step,
    decide_step,
    find_fault,
    find_valid,
)
from letterlock.protocols.mta_sts.policy import MtaStsMode, PolicyError, parse_policy
from letterlock.protocols.mta_sts.record import LABEL, MtaStsRecord, RecordError, parse_record
from letterlock.protocols.policy.facts import MtaStsFacts
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.storage.policies import EMPTY, FetchLease, PolicyStore
from letterlock.storage.queue import StoreUnavailable

MAX_FETCHES = 20
"""Policies fetched at a time by this process where none holds, and as many where one does."""
MAX_WAITING = 1000
"""Fetches where none holds, with those that wait for their turn; then the next message looks."""
FETCH_SPACING_SECONDS = 0.01
"""Between the beginnings of two fetches: each costs some milliseconds of the CPU, and when many
begin at once, everything else in this process waits for all of them."""
WAIT_SECONDS = 65.0
"""How long one who asks waits for a policy; then it is as though there were none (RFC 8461 §3.3).
A fetch takes a minute at most, and goes on behind."""
LEASE = timedelta(seconds=90)
"""Longer than a fetch, so that no second one begins while the first goes on."""

LEAST_KEPT_SECONDS = 5.0
MOST_KEPT_SECONDS = 300.0
"""How long facts are kept in memory: for the record's TTL between these bounds."""
MAX_KEPT_OCTETS = 32 * 1024 * 1024
MAX_REFRESHES = 1000
"""Refreshes begun at a time because a message asked; what is more, `run` does later."""

REFRESH_PAUSE_SECONDS = 600.0
REFRESH_AT_ONCE = 100
REFRESHED_TOGETHER = 4
"""Those that nobody asked for leave most of MAX_FETCHES to those that somebody did."""
USED_WITHIN = timedelta(days=90)
"""What no mail has asked for in this time is not refreshed any more, and forgotten."""
NOTE_USE_AFTER = timedelta(days=1)

_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 2.0
_ENTRY_OCTETS = 2048
_OCTETS_FOR_EACH_OF_TEXT = 8

Key = TypeVar("Key")
T = TypeVar("T")


class PolicySource(Protocol):
    """`network.https.PolicyFetcher`."""

    async def fetch(self, domain: Domain) -> bytes | FetchFailed: ...


@dataclass(frozen=True, slots=True)
class FinderLimits:
    """How much a finder does at a time, and for how long it is waited for."""

    max_fetches: int = MAX_FETCHES
    wait_seconds: float = WAIT_SECONDS


@dataclass(frozen=True, slots=True)
class _Kept:
    facts: MtaStsFacts
    until: float
    octets: int


@dataclass(slots=True)
class _Lane:
    """Fetches of one kind; `count` is with those that wait for one of the slots."""

    slots: asyncio.Semaphore
    count: int = 0


class MtaStsFinder:
    """Finds policies. Methods raise StoreUnavailable while the shared cache is away.

    They must: without it nobody knows whether a policy holds, and mail waits rather than leave
    without the TLS that a policy demands.
    """

    def __init__(
        self,
        resolver: Resolver,
        store: PolicyStore,
        source: PolicySource,
        clock: Clock,
        log: Log,
        limits: FinderLimits = FinderLimits(),
    ) -> None:
        self._resolver = resolver
        self._store = store
        self._source = source
        self._clock = clock
        self._log = log
        self._wait_seconds = limits.wait_seconds
        self._unknown = _Lane(asyncio.Semaphore(limits.max_fetches))
        self._known = _Lane(asyncio.Semaphore(limits.max_fetches))
        self._next_fetch = 0.0
        self._kept: dict[Domain, _Kept] = {}
        self._kept_octets = 0
        self._looks: dict[tuple[Domain, bool], asyncio.Task[MtaStsFacts]] = {}
        self._fetches: dict[tuple[Domain, str | None], asyncio.Task[CacheEntry]] = {}

    async def find(self, domain: Domain) -> MtaStsFacts:
        """Find what is known of a domain's policy now.

        Waits for a fetch only where no policy holds, and WAIT_SECONDS at most.
        """
        kept = self._kept.get(domain)
        if kept is not None and kept.until > self._clock.monotonic():
            expires = kept.facts.expires
            if expires is None or self._clock.now() <= expires:
                return kept.facts
        return await self._join(domain, is_recheck=False)

    async def recheck(self, domain: Domain) -> MtaStsFacts:
        """Look whether the record has another id, and wait for the policy that it announces.

        RFC 8461 §5.1: to be done before a failure to meet a policy is reported or made permanent.
        """
        return await self._join(domain, is_recheck=True)

    async def run(self) -> None:
        """Refresh what nobody asks for, until cancelled."""
        fault = ""
        while True:
            try:
                count = await self.refresh_due()
                fault = ""
            except StoreUnavailable as error:
                count = 0
                if fault != (fault := str(error)):
                    self._log.write(Service.TLS, f"warning: policies are not refreshed: {fault}")
            if count < REFRESH_AT_ONCE:
                await asyncio.sleep(REFRESH_PAUSE_SECONDS)

    async def refresh_due(self) -> int:
        """Refresh the policies whose time has come, forget what is of no use; gives how many."""
        now = self._clock.now()
        used_since = now - USED_WITHIN
        domains = await self._store.list_due(now, used_since, limit=REFRESH_AT_ONCE)
        slots = asyncio.Semaphore(REFRESHED_TOGETHER)

        async def refresh(domain: Domain) -> None:
            async with slots:
                look, _ = await self._ask(domain)
                # Shielded: somebody may wait for this fetch.
                await asyncio.shield(self._begin_fetch(domain, look, self._known))

        # Each to its end: that one fails is no reason to stop the others.
        outcomes = await asyncio.gather(*map(refresh, domains), return_exceptions=True)
        for error in filter(None, outcomes):
            raise error
        await self._store.forget(used_since, now)
        return len(domains)

    async def close(self) -> None:
        """End what goes on behind; nobody may be waiting any more, and the store is still open."""
        tasks = [*self._looks.values(), *self._fetches.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _join(self, domain: Domain, *, is_recheck: bool) -> MtaStsFacts:
        """Have one look at a time for each domain; whoever stops waiting stops no other."""
        key = (domain, is_recheck)
        task = self._looks.get(key)
        if task is None:
            task = asyncio.ensure_future(self._look(domain, is_recheck=is_recheck))
            self._looks[key] = task
            task.add_done_callback(lambda done: self._end(self._looks, key, done))
        return await asyncio.shield(task)

    async def _look(self, domain: Domain, *, is_recheck: bool) -> MtaStsFacts:
        look, ttl = await self._ask(domain)
        stored = await self._store.load(domain)
        entry = stored.entry if stored is not None else EMPTY
        now = self._clock.now()
        if stored is not None and now - stored.used >= NOTE_USE_AFTER:
            await self._store.note_use(domain, now)
        step = decide_step(entry, look, now)
        is_waited_for = step in (Step.FETCH, Step.DROP) or (
            is_recheck and step is Step.REFRESH and _has_other_id(entry, look)
        )
        if is_waited_for:
            lane = self._unknown if step is Step.FETCH else self._known
            if step is Step.FETCH and lane.count >= MAX_WAITING:
                return _make_late_facts(domain, look, entry, self._clock.now())
            fetch = self._begin_fetch(domain, look, lane)
            await asyncio.wait([fetch], timeout=self._wait_seconds)
            if not fetch.done():
                return _make_late_facts(domain, look, entry, self._clock.now())
            entry = fetch.result()
        elif step is Step.REFRESH and self._known.count < MAX_REFRESHES:
            self._begin_fetch(domain, look, self._known)
        facts = _make_facts(domain, look, entry, self._clock.now())
        self._keep(facts, ttl)
        return facts

    async def _ask(self, domain: Domain) -> tuple[Look, int]:
        """Look the record up; gives its TTL too, in seconds."""
        name = Domain(f"{LABEL}.{domain}")
        if len(name) > MAX_DOMAIN_OCTETS:
            return None, 0
        answer = await self._resolver.ask(name, "TXT")
        if not answer.is_answer:
            return LookupFailed(answer.reason), 0
        texts = [each for each in answer.records if isinstance(each, bytes)]
        return parse_record(texts), answer.ttl

    def _begin_fetch(self, domain: Domain, look: Look, lane: _Lane) -> "asyncio.Task[CacheEntry]":
        """Have one fetch at a time of each id; of several ids, the lease has one go first."""
        key = (domain, _find_id(look))
        task = self._fetches.get(key)
        if task is None:
            task = asyncio.ensure_future(self._fetch(domain, look, lane))
            self._fetches[key] = task
            task.add_done_callback(lambda done: self._end(self._fetches, key, done))
        return task

    def _end(self, tasks: "dict[Key, asyncio.Task[T]]", key: Key, done: "asyncio.Task[T]") -> None:
        """Forget a task that has ended; its error is for those that wait, if any still do."""
        del tasks[key]
        if not done.cancelled():
            done.exception()

    async def _fetch(self, domain: Domain, look: Look, lane: _Lane) -> CacheEntry:
        """Fetch, or wait for the process that does; gives what is kept then."""
        lane.count += 1
        try:
            return await self._fetch_in_turn(domain, look, lane.slots)
        finally:
            lane.count -= 1

    async def _fetch_in_turn(
        self, domain: Domain, look: Look, slots: asyncio.Semaphore
    ) -> CacheEntry:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            async with slots:
                now = self._clock.now()
                lease = await self._store.claim_fetch(domain, now, now + LEASE)
                if lease is not None:
                    return await self._fetch_under(lease, look)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            entry = await self._load(domain)
            if decide_step(entry, look, self._clock.now()) is Step.KEEP:
                return entry

    async def _fetch_under(self, lease: FetchLease, look: Look) -> CacheEntry:
        entry = lease.entry
        try:
            match step := decide_step(entry, look, self._clock.now()):
                case Step.KEEP:
                    pass  # another process was quicker
                case Step.DROP:
                    entry = EMPTY
                    self._log.write(Service.TLS, f"{lease.domain}: no MTA-STS policy any more")
                case Step.FETCH | Step.REFRESH:
                    await self._take_turn()
                    outcome = await self._source.fetch(lease.domain)
                    entry = self._take(lease, look, outcome)
                case _:
                    assert_never(step)
        finally:
            # Also when cancelled: others need not wait for the lease's end.
            is_ours = await self._store.settle_fetch(lease, entry)
            self._drop_kept(lease.domain)
        return entry if is_ours else await self._load(lease.domain)

    async def _take_turn(self) -> None:
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next_fetch)
        self._next_fetch = turn + FETCH_SPACING_SECONDS
        if turn > now:
            await asyncio.sleep(turn - now)

    def _take(self, lease: FetchLease, look: Look, outcome: bytes | FetchFailed) -> CacheEntry:
        """Make of a fetch what is to be kept, and tell the operator of it."""
        now = self._clock.now()
        old = lease.entry.cached
        identifier = _find_id(look)
        if isinstance(outcome, bytes):
            policy = parse_policy(outcome)
            if not isinstance(policy, PolicyError):
                # Without a record, what it said last still names the policy.
                name = identifier or (old.id if old is not None else "")
                self._log.write(
                    Service.TLS,
                    f"{lease.domain}: MTA-STS policy fetched: mode {policy.mode}, id {name}",
                )
                return CacheEntry(CachedPolicy(name, policy, outcome.decode(), now))
            outcome = FetchFailed(ResultType.STS_POLICY_INVALID, policy.reason)
        self._warn(lease, outcome.reason, now)
        failure = FetchFailure(identifier, now, outcome.result_type, outcome.reason)
        return CacheEntry(old, failure)

    def _warn(self, lease: FetchLease, reason: str, now: datetime) -> None:
        """RFC 8461 §3.3: administrators SHOULD hear of it, unless the mode is none."""
        valid = find_valid(lease.entry, now)
        if valid is None:
            consequence = "mail goes as without one"
        elif valid.policy.mode is MtaStsMode.NONE:
            return
        else:
            consequence = f"the one of {format_time(valid.fetched)} holds until "
            consequence += format_time(valid.expires)
        text = f"warning: {lease.domain}: no MTA-STS policy fetched: {reason}; {consequence}"
        self._log.write(Service.TLS, text)

    async def _load(self, domain: Domain) -> CacheEntry:
        stored = await self._store.load(domain)
        return stored.entry if stored is not None else EMPTY

    def _keep(self, facts: MtaStsFacts, ttl: int) -> None:
        self._drop_kept(facts.domain)
        seconds = min(max(ttl, LEAST_KEPT_SECONDS), MOST_KEPT_SECONDS)
        octets = _ENTRY_OCTETS + _OCTETS_FOR_EACH_OF_TEXT * len(facts.policy_text or "")
        self._kept[facts.domain] = _Kept(facts, self._clock.monotonic() + seconds, octets)
        self._kept_octets += octets
        while self._kept_octets > MAX_KEPT_OCTETS:
            self._drop_kept(next(iter(self._kept)))

    def _drop_kept(self, domain: Domain) -> None:
        if (kept := self._kept.pop(domain, None)) is not None:
            self._kept_octets -= kept.octets


def _find_id(look: Look) -> str | None:
    return look.id if isinstance(look, MtaStsRecord) else None


def _has_other_id(entry: CacheEntry, look: Look) -> bool:
    return entry.cached is not None and _find_id(look) not in (None, entry.cached.id)


def _make_facts(domain: Domain, look: Look, entry: CacheEntry, now: datetime) -> MtaStsFacts:
    valid = find_valid(entry, now)
    fault = find_fault(entry, look, now)
    text = look.text if isinstance(look, MtaStsRecord | RecordError) else None
    return MtaStsFacts(
        domain,
        record=text or None,
        id=_find_id(look),
        policy=valid.policy if valid else None,
        policy_text=valid.text if valid else None,
        fetched=valid.fetched if valid else None,
        expires=valid.expires if valid else None,
        error=fault.reason if fault else None,
        result_type=fault.result_type if fault else None,
    )


def _make_late_facts(domain: Domain, look: Look, entry: CacheEntry, now: datetime) -> MtaStsFacts:
    """Give what holds while a fetch goes on for longer than anybody waits."""
    fetching = FetchFailure(
        _find_id(look),
        now,
        ResultType.STS_POLICY_FETCH_ERROR,
        "the policy is still being fetched",
    )
    return _make_facts(domain, look, CacheEntry(entry.cached, fetching), now)
