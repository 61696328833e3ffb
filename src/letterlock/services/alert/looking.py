"""Gathers what alerts are decided by: kept reports, our own, policies served, certificates in use.

Reports on domains of others are left out: anybody may send some. As long as no report came, and the
day is the same one, what was found of reports stays as it was.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.config.alerting import AlertsSection
from letterlock.base.domains import Domain
from letterlock.protocols.mta_sts.policy import MtaStsPolicy, format_policy
from letterlock.services.alert.conditions import ACTIVE_DAYS, WINDOW_DAYS, Found, join
from letterlock.services.alert.failures import GoodDays, find_failures
from letterlock.services.alert.own import (
    LOOKED_BACK,
    LostSessions,
    UsedCertificate,
    find_ends,
    find_intake,
    find_lost,
    find_undelivered,
)
from letterlock.services.alert.rates import find_rates
from letterlock.services.alert.senders import (
    PublishedPolicy,
    find_delays,
    find_policy_gone,
    find_silent,
    find_stale,
)
from letterlock.services.intake.summary import normalize_policy, summarize
from letterlock.services.report.counts import CountSource
from letterlock.storage.own_reports import OwnReport, ReportStore
from letterlock.storage.received_reports import Arrival, KeptResult, ReceivedStore
from letterlock.storage.served_policies import ServedPolicies

MAX_UNPROVED = 10_000
_Kept = tuple[Domain, Sequence[KeptResult], Sequence[KeptResult], Sequence[Arrival]]
"""A domain, its results, those before them that have failures, and when they came."""
_EVER = date.min


@dataclass(frozen=True, slots=True)
class Looked:
    """What is looked at, and where. `policy` is what `policy_domains` publish.

    `sources` are those of our own reports, `collected` those of them that only this node sees;
    `list_used` gives the certificates that this process serves.
    """

    node: str
    section: AlertsSection
    domains: tuple[Domain, ...]
    policy: MtaStsPolicy | None
    policy_domains: tuple[Domain, ...]
    received: ReceivedStore
    own: ReportStore
    served: ServedPolicies
    sources: Sequence[CountSource]
    collected: Sequence[CountSource]
    list_used: Callable[[], Sequence[UsedCertificate]]


class Finder(Protocol):
    """Finds what is wrong now."""

    async def find(self) -> Found:
        """Look. Raises StoreUnavailable."""


class Looking:
    """Looks at everything. Fulfils `Finder`."""

    def __init__(self, looked: Looked, clock: Clock) -> None:
        self._looked = looked
        self._clock = clock
        self._fresh: tuple[int, date] | None = None
        self._of_reports = Found()
        self._lost_on: date | None = None
        self._of_lost = Found()

    async def find(self) -> Found:
        looked, now = self._looked, self._clock.now()
        today = now.date()
        newest = await self._find_newest(today)
        if self._fresh != (newest, today):
            self._of_reports = await self._find_in_reports(today)
            self._fresh = newest, today
        if self._lost_on != today:
            self._of_lost = find_lost(await self._list_lost(today), looked.node)
            self._lost_on = today
        undelivered = find_undelivered(await self._list_own(today), looked.section, now)
        ends = find_ends(looked.list_used(), looked.node, now)
        return join((self._of_reports, self._of_lost, undelivered, ends))

    async def _find_newest(self, today: date) -> int:
        since = today - timedelta(WINDOW_DAYS)
        listed = await self._looked.received.list_reports(domain=None, since=since, limit=1)
        return listed[0].id if listed else 0

    async def _find_in_reports(self, today: date) -> Found:
        looked, now = self._looked, self._clock.now()
        found: list[Found] = []
        counted: dict[str, date] = {}
        # Those of tomorrow, too: a sender's clock may be ahead of ours.
        since, until = today - timedelta(WINDOW_DAYS), today + timedelta(2)
        for domain in looked.domains:
            results = await looked.received.list_results(domain, since, until)
            if not results:
                continue
            older = await looked.received.list_results(domain, _EVER, since, only_failing=True)
            for each in results:
                counted[each.submitter] = max(each.day, counted.get(each.submitter, each.day))
            published = await self._find_published(domain)
            # Whatever is in reports: nobody's mail waits for it.
            arrivals = await looked.received.list_arrivals(domain, since)
            kept = domain, results, older, arrivals
            found.append(await asyncio.to_thread(self._judge, kept, published, today))
        begin = now - timedelta(ACTIVE_DAYS)
        unproved = await looked.received.list_unproved(begin, limit=MAX_UNPROVED)
        return join((*found, find_intake(unproved, counted, looked.section, now)))

    def _judge(self, of_domain: _Kept, published: PublishedPolicy | None, today: date) -> Found:
        section, (domain, results, older, arrivals) = self._looked.section, of_domain
        since, until = today - timedelta(WINDOW_DAYS), today + timedelta(1)
        summary = summarize(domain, results, older, since, until)
        return join(
            (
                find_rates(domain, results, section, today),
                find_failures(summary, GoodDays(results), today),
                find_silent(summary, find_delays(arrivals), section.silent_days, today),
                find_stale(summary, published, today),
                find_policy_gone(summary, results, today),
            )
        )

    async def _find_published(self, domain: Domain) -> PublishedPolicy | None:
        """Give the policy that is published; None: it is not by us, or nobody asked for it yet."""
        looked = self._looked
        if looked.policy is None or domain not in looked.policy_domains:
            return None
        served = await looked.served.list_served(domain, self._clock.now())
        current = [each for each in served if each.policy == looked.policy]
        if not current:
            return None
        held = tuple(_normalize(each.policy) for each in served if each not in current)
        return PublishedPolicy(_normalize(looked.policy), current[0].since, held)

    async def _list_own(self, today: date) -> list[OwnReport]:
        store, first = self._looked.own, today - timedelta(LOOKED_BACK)
        return [
            report
            for source in self._looked.sources
            for day in await store.list_planned_days(source.name)
            if day >= first
            for report in await store.list_reports(source.name, day)
        ]

    async def _list_lost(self, today: date) -> list[LostSessions]:
        first = today - timedelta(LOOKED_BACK)
        found = []
        for source in self._looked.collected:
            for day in await source.list_days():
                if first <= day < today:
                    counts = await source.load_day(day)
                    found.append(LostSessions(day, counts.dropped, counts.beyond))
        return found


def _normalize(policy: MtaStsPolicy) -> tuple[str, ...]:
    return normalize_policy("sts", format_policy(policy).splitlines())
