"""Reports go out: planned when their day is over, composed, addressed, and tried until taken.

RFC 8460 §4.1 (a day of UTC, and a random delay behind it), §5.5 (tried again for 24 hours, with
exponential back-off). All that is known of a report is in the store, and work on it is claimed
there: of several nodes one sends it, and any may go on. A process that dies between handing a
report over and noting that sends it again, under the same identifier.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from msgspec.structs import replace

from letterlock.base.clock import Clock
from letterlock.base.log import Log, Service
from letterlock.protocols.tlsrpt.destinations import (
    DestinationError,
    HttpsDestination,
    MailDestination,
    parse_destination,
)
from letterlock.services.report.addressing import Addressing, Unwanted, Wanted
from letterlock.services.report.carrying import (
    LIFETIME,
    HttpsCarrier,
    MailCarrier,
    NotTaken,
    Outgoing,
)
from letterlock.services.report.composing import DayReports, Submitter, Topic
from letterlock.services.report.counts import CountSource
from letterlock.storage.own_reports import (
    DeliveryState,
    OwnReport,
    ReportDelivery,
    ReportKey,
    ReportLease,
    ReportStore,
    find_due,
)
from letterlock.storage.queue import StoreUnavailable

GRACE = timedelta(minutes=5)
"""After midnight: other nodes may still be adding to the day that is over."""
LEASE = timedelta(minutes=30)
AT_ONCE = 100
"""Reports claimed together, and kept together."""
ROUND_SECONDS = 30.0
FIRST_DELAY = timedelta(minutes=5)
LONGEST_DELAY = timedelta(hours=6)
KEPT_LONGER = timedelta(days=7)
"""What is known of reports is kept beyond what was counted: else a day might be reported anew."""
_POSTS_AT_A_TIME = 20


@dataclass(frozen=True, slots=True)
class ReportTools:
    """What reports are made, kept and sent with. `random` gives a number in 0..1."""

    store: ReportStore
    sources: Sequence[CountSource]
    addressing: Addressing
    submitter: Submitter
    mail: MailCarrier
    https: HttpsCarrier
    clock: Clock
    log: Log
    random: Callable[[], float]
    within: timedelta
    keep: timedelta


class Sending:
    """Plans, and works on what is due."""

    def __init__(self, tools: ReportTools) -> None:
        self._tools = tools
        self._sources: Mapping[str, CountSource] = {each.name: each for each in tools.sources}
        self._loaded: tuple[str, DayReports] | None = None
        self._posts = asyncio.Semaphore(_POSTS_AT_A_TIME)
        self.problem: str | None = None
        """Why the last report by mail was not taken, on one line; None: it was."""
        self._fault = ""
        self._forgotten: date | None = None
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Have what is due be sent now."""
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled; a store that is away is tried again."""
        while True:
            self._wake.clear()
            try:
                await self.plan()
                while await self.work():
                    pass
                self._fault = ""
            except StoreUnavailable as error:
                if str(error) != self._fault:
                    self._log(f"warning: reports cannot be sent now: {error}")
                self._fault = str(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ROUND_SECONDS):
                    await self._wake.wait()

    def list_over(self, days: Sequence[date]) -> list[date]:
        """Give those of these days that are over, and not too long ago."""
        now = self._tools.clock.now()
        last, first = (now - GRACE).date(), (now - self._tools.keep).date()
        return [day for day in days if first <= day < last]

    async def plan(self, *, only: date | None = None, is_hurried: bool = False) -> None:
        """Plan the days that are over, or one: each report has a moment of its own, or is due now.

        Raises StoreUnavailable.
        """
        for source in self._tools.sources:
            planned = set(await self._tools.store.list_planned_days(source.name))
            for day in self.list_over(await source.list_days()):
                if day not in planned and only in (None, day):
                    await self._plan_day(source, day, is_hurried=is_hurried)
        today = self._tools.clock.now().date()
        if self._forgotten != today:
            await self._tools.store.forget(today - self._tools.keep - KEPT_LONGER)
            self._forgotten = today

    async def hurry(self, *, only: date | None = None) -> None:
        """Make due now what was not tried yet, of one day or of all. Raises StoreUnavailable."""
        store = self._tools.store
        for source in self._tools.sources:
            for day in await store.list_planned_days(source.name):
                if only in (None, day):
                    await store.hurry(source.name, day, self._tools.clock.now())

    async def work(self) -> bool:
        """Work on some of what is due; False: nothing was. Raises StoreUnavailable."""
        tools, now = self._tools, self._tools.clock.now()
        names = list(self._sources)
        leases = await tools.store.claim(names, now, now + LEASE, limit=AT_ONCE)
        if not leases:
            self._loaded = None
            return False
        key = leases[0].report.key
        day = await self._load(key.source, key.day)
        async with asyncio.TaskGroup() as tasks:
            working = [tasks.create_task(self._work_on(lease, day)) for lease in leases]
        worked = [(lease, task.result()) for lease, task in zip(leases, working, strict=True)]
        await tools.store.settle(worked)
        return True

    async def _plan_day(self, source: CountSource, day: date, *, is_hurried: bool) -> None:
        tools = self._tools
        reports = await self._load(source.name, day)
        midnight = datetime.combine(day + timedelta(days=1), time(), UTC)
        now = tools.clock.now()
        planned = []
        for topic in reports.topics:
            moment = now if is_hurried else midnight + tools.random() * tools.within
            report_id = tools.submitter.make_report_id(source.name, day, topic)
            key = ReportKey(source.name, day, topic.domain, topic.record)
            planned.append(OwnReport(key, report_id, max(moment, now)))
        if await tools.store.plan(source.name, day, planned):
            more = f"; {reports.beyond} sessions are in none of them" if reports.beyond else ""
            text = f"{day.isoformat()} is over: {len(planned)} domains and hosts to report to{more}"
            self._log(text)

    async def _load(self, source: str, day: date) -> DayReports:
        """Give a day's reports; the last one is kept at hand."""
        if self._loaded is None or (self._loaded[0], self._loaded[1].day) != (source, day):
            self._loaded = source, DayReports(day, await self._sources[source].load_day(day))
        return self._loaded[1]

    async def _work_on(self, lease: ReportLease, day: DayReports) -> OwnReport:
        report = lease.report
        try:
            if not report.deliveries:
                report = await self._compose(report, day)
            return await self._deliver(report)
        except Exception as error:  # noqa: BLE001 - one report's fault is not another's
            self._log(f"error: the report about {report.key.domain} broke: {error!r}")
            return self._postpone(report, f"local error: {error!r}")

    async def _compose(self, report: OwnReport, day: DayReports) -> OwnReport:
        """Compose and address a report; one without deliveries is over, or tried again."""
        topic = Topic(report.key.domain, report.key.record)
        wanted = await self._tools.addressing.find(topic)
        match wanted:
            case Unwanted(reason, is_passing):
                if is_passing:
                    return self._postpone(report, reason)
                return replace(report, due=None, note=reason)
            case Wanted(uris):
                told = await self._tools.addressing.find_told(day, topic, wanted)
                octets = day.compose(topic, self._tools.submitter, report.report_id, told)
                if octets is None:
                    return replace(report, due=None, note="told in the reports of its domains")
                deliveries = tuple(ReportDelivery(uri) for uri in uris)
                return replace(report, note="", deliveries=deliveries, octets=octets)

    def _postpone(self, report: OwnReport, reason: str) -> OwnReport:
        """Try again in an hour; not any more when the day has been over for two days.

        Once more in any case: after days without this machine, its resolver may not be there yet.
        """
        now = self._tools.clock.now()
        is_late = bool(report.note) and (now.date() - report.key.day).days > 2
        return replace(report, due=None if is_late else now + timedelta(hours=1), note=reason)

    async def _deliver(self, report: OwnReport) -> OwnReport:
        """Try each destination that waits and is due."""
        if report.octets is None:
            return report
        now = self._tools.clock.now()
        outgoing = Outgoing(report.report_id, report.key.domain, report.key.day, report.octets)
        deliveries = list(report.deliveries)
        for number, each in enumerate(deliveries):
            is_due = each.due is None or each.due <= now
            if each.state is DeliveryState.WAITING and is_due:
                deliveries[number] = await self._try(outgoing, each, number)
        due = find_due(deliveries)
        octets = None if due is None else report.octets
        return replace(report, due=due, deliveries=tuple(deliveries), octets=octets)

    async def _try(self, report: Outgoing, delivery: ReportDelivery, number: int) -> ReportDelivery:
        now = self._tools.clock.now()
        first, tries = delivery.first or now, delivery.tries + 1
        try:
            refused = await self._carry(report, delivery.uri, number)
        except StoreUnavailable as error:
            refused = NotTaken(f"the queue cannot be used now: {error}")
        except DestinationError as error:
            return replace(
                delivery, state=DeliveryState.FAILED, tries=tries, first=first, note=str(error)
            )
        what = f"the report about {report.domain} on {report.day.isoformat()}"
        if refused is None:
            self._log(f"{what} was sent to {delivery.uri}: {report.report_id}")
            return replace(
                delivery, state=DeliveryState.SENT, tries=tries, first=first, due=None, note=""
            )
        due = find_next_try(first, tries, now, refused.wait)
        reason = refused.reason
        if due is None:
            self._log(f"warning: {what} is given up for {delivery.uri}: {reason}")
            state = DeliveryState.FAILED
        else:
            state = DeliveryState.WAITING
        return replace(delivery, state=state, tries=tries, first=first, due=due, note=reason)

    async def _carry(self, report: Outgoing, uri: str, number: int) -> NotTaken | None:
        match parse_destination(uri):
            case MailDestination() as address:
                self.problem = await self._tools.mail.send(report, address, number)
                return None if self.problem is None else NotTaken(self.problem)
            case HttpsDestination() as server:
                async with self._posts:
                    return await self._tools.https.post(report, server)

    def _log(self, text: str) -> None:
        self._tools.log.write(Service.TLSRPT, text)


def find_next_try(
    first: datetime, tries: int, now: datetime, wait: timedelta | None = None
) -> datetime | None:
    """Say when to try again after so many tries; None: it is given up (RFC 8460 §5.5).

    Not before `wait`, which the server asked for, is over, unless that is the last moment.
    """
    end = first + LIFETIME
    if now >= end:
        return None
    delay: timedelta = FIRST_DELAY * (1 << min(tries - 1, 10))
    return min(now + max(min(delay, LONGEST_DELAY), wait or timedelta()), end)
