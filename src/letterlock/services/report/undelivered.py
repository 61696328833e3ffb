"""Mail with a report that was in the queue, and that nobody took: the report is known as failed.

RFC 8460 §5.5 (tried for 24 hours). The queue may be a worker's own, and the node's database is one
for all; which of them delivers the mail, and to whom aliases lead it, does not matter.
"""

import asyncio
from collections.abc import Callable, Sequence

from letterlock.base.clock import Clock
from letterlock.base.counts import format_count
from letterlock.base.errors import LocalError
from letterlock.base.log import Log, Service
from letterlock.base.waiting import finish_within
from letterlock.protocols.smtp.dsn_causes import EXPIRED_STATUS
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.services.report.carrying import LIFETIME, PLACE, REPORT
from letterlock.storage.own_reports import FailedMail, ReportStore
from letterlock.storage.queue import (
    Claim,
    MessageStory,
    QueueStore,
    RecipientResult,
    RecipientState,
    StoreUnavailable,
)

MAX_WAITING = 10_000
"""Mails whose failure is not noted yet, while the node's database is away."""
RETRY_SECONDS = 30.0
END_SECONDS = 10.0
_NOT_FAILED = {RecipientState.QUEUED, RecipientState.HELD, RecipientState.DELIVERED}


class UndeliveredReports:
    """Notes in the node's database which mails failed. Fulfils `settlements.FailureTaker`.

    What waits to be noted is in memory: a process that dies between the commit of a mail's outcome
    and that of its note leaves the report as sent. That is a moment, or as long as the node's
    database is away. Nothing else waits for it; the log has told why the mail failed.
    """

    def __init__(self, make_store: Callable[[], ReportStore], clock: Clock, log: Log) -> None:
        """Each store that is made is opened once; none is before a mail failed."""
        self._make_store = make_store
        self._clock = clock
        self._log = log
        self._waiting: list[FailedMail] = []
        self._arrived = asyncio.Event()
        self._fault = ""

    def wants(self, claim: Claim) -> bool:
        """Say if it may be a report of ours: they go out in spite of failures of TLS."""
        return claim.tls_demand is TlsDemand.TLS_REQUIRED_NO

    async def take(
        self, claim: Claim, failed: Sequence[RecipientResult], store: QueueStore
    ) -> None:
        """Note that recipients of a message were given up; it is no report if it does not say so.

        A report has failed when all whom aliases lead it to are done with, and nobody took it.
        """
        try:
            story = await store.find_story(claim.queue_id)
        except StoreUnavailable as error:
            self._warn(f"that {claim.queue_id} failed is not noted: {error}")
            return
        if story is None or _is_taken(story):
            return
        origin = story.message.origin
        report_id, place = origin.get(REPORT), origin.get(PLACE, "")
        if report_id is None or not place.isdecimal():
            return
        if len(self._waiting) >= MAX_WAITING:
            self._warn(f"that {report_id} failed is not noted: {MAX_WAITING} wait for the database")
            return
        reason = _describe(claim, failed[-1])
        self._waiting.append(FailedMail(report_id, int(place), self._clock.now(), reason))
        self._arrived.set()

    async def run(self) -> None:
        """Note what comes, until cancelled; then what is left, if that takes no long time."""
        try:
            while True:
                if await self._note():
                    await self._arrived.wait()
                    self._arrived.clear()
                else:
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            await finish_within(self._note(), END_SECONDS)
            if self._waiting:
                text = f"{_count(self._waiting)} known as sent, whose mail failed"
                self._warn(text)

    async def _note(self) -> bool:
        """Note what waits; False: it cannot be done now."""
        mails = tuple(self._waiting)
        if not mails:
            return True
        try:
            await self._keep(mails)
        except (StoreUnavailable, LocalError) as error:
            if str(error) != self._fault:
                self._warn(f"reports whose mail failed cannot be noted now: {error}")
            self._fault = str(error)
            return False
        except Exception as error:  # noqa: BLE001 - a worker outlives what is wrong with a note
            self._warn(f"{_count(mails)} known as sent, whose mail failed: {error!r}")
        else:
            for each in mails:
                self._warn(f"the report {each.report_id} is given up: {each.reason}")
        self._fault = ""
        del self._waiting[: len(mails)]
        return True

    async def _keep(self, mails: Sequence[FailedMail]) -> None:
        store = self._make_store()
        await store.open()
        try:
            await store.note_failed(mails)
        finally:
            await store.close()

    def _warn(self, text: str) -> None:
        self._log.write(Service.TLSRPT, f"warning: {text}")


def _count(mails: Sequence[FailedMail]) -> str:
    return format_count(len(mails), "report stays", "reports stay")


def _is_taken(story: MessageStory) -> bool:
    """Say if somebody took the mail, or may still do so."""
    return any(each.state in _NOT_FAILED for each in story.message.recipients)


def _describe(claim: Claim, failed: RecipientResult) -> str:
    (to,) = (each.recipient for each in claim.recipients if each.number == failed.number)
    what = "bounced"
    if failed.status == EXPIRED_STATUS:
        what = f"was given up after {LIFETIME.total_seconds() / 3600:g} hours"
    return f"the mail to <{to.address}> {what}: {failed.reply}"
