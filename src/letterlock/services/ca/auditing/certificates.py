"""Every certificate, again and again: each of its names has its look at CAA, and all the rest.

New ones are looked at within a minute, all that have not ended once in each round. It goes on
where it was, whichever process does it: a million certificates are read by pages. What is found is
written into the audit log once, and told.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.protocols.audit.decisions import FindingLogged
from letterlock.protocols.audit.evidence import EvidenceRules, Logged
from letterlock.protocols.audit.records import AuditEntry
from letterlock.protocols.incidents.serials import format_serial
from letterlock.services.ca.auditing.alarms import MAIL_EVERY, Alarm
from letterlock.services.ca.auditing.grounds import LogReads, look_at_grounds
from letterlock.storage.ca.audits import AuditProgress, ChangeProgress
from letterlock.storage.ca.kept import Halt, Issued, ListedCertificate
from letterlock.storage.ca.store import Commits

NAME = "certificates"
PAGE = 100
MAX_PAGES = 50
"""In one step, so that it ends within its lease."""
LOOK_AGAIN = timedelta(minutes=1)
MAX_FAULTS = 20
"""That are written down of one certificate."""
SETTLING = timedelta(seconds=5)
"""A certificate is not looked at sooner: another process' clock may be behind."""


class AuditStore(Commits, LogReads, Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def list_certificates(self, after: int, limit: int) -> tuple[ListedCertificate, ...]: ...

    async def load_progress(self, name: str) -> AuditProgress: ...

    async def load_halt(self) -> Halt: ...


@dataclass(frozen=True, slots=True)
class Found:
    """A certificate that lacks something. `is_new`: the audit log did not have it yet."""

    finding: FindingLogged
    account_id: str
    is_new: bool

    @property
    def line(self) -> str:
        more = len(self.finding.faults) - 1
        rest = f" and {more} more" if more else ""
        return (
            f"certificate {self.finding.serial} of account {self.account_id}: "
            f"{self.finding.faults[0]}{rest}"
        )


class CertificateAudit:
    """Looks at certificates; `rounds` is how often at all of them."""

    def __init__(
        self,
        store: AuditStore,
        rules: EvidenceRules,
        alarm: Alarm,
        clock: Clock,
        *,
        rounds: timedelta,
    ) -> None:
        self._store = store
        self._rules = rules
        self._alarm = alarm
        self._clock = clock
        self._rounds = rounds

    async def step(self) -> datetime:
        """Look at some; gives when to go on. Raises StoreUnavailable."""
        for _ in range(MAX_PAGES):
            began = self._clock.monotonic()
            progress = await self._begin()
            page = await self._store.list_certificates(progress.position, PAGE)
            page = self._cut(page)
            if not await self._look_at(page, progress, is_end=len(page) < PAGE):
                # Another process is at it, too: that one goes on.
                return self._clock.now() + LOOK_AGAIN
            if len(page) < PAGE:
                return self._clock.now() + LOOK_AGAIN
            # Half of the time is for those who want certificates.
            await asyncio.sleep(self._clock.monotonic() - began)
        return self._clock.now()

    async def _begin(self) -> AuditProgress:
        """Give how far it is; from the beginning where a round is due."""
        now = self._clock.now()
        progress = await self._store.load_progress(NAME)
        is_due = progress.began is None or not timedelta() <= now - progress.began < self._rounds
        is_at_end = progress.began is None or progress.ended is not None
        if not (is_due and is_at_end):
            return progress
        begun = AuditProgress(NAME, 0, progress.round + 1, now, mailed=progress.mailed)
        done = await self._store.commit((ChangeProgress(progress, begun),))
        return begun if done else await self._store.load_progress(NAME)

    def _cut(self, page: tuple[ListedCertificate, ...]) -> tuple[ListedCertificate, ...]:
        latest = self._clock.now() - SETTLING
        for at, each in enumerate(page):
            if each.issued.issued > latest:
                return page[:at]
        return page

    async def _look_at(
        self, page: tuple[ListedCertificate, ...], progress: AuditProgress, *, is_end: bool
    ) -> bool:
        now = self._clock.now()
        current = [each for each in page if each.issued.certificate.not_after > now]
        found = [one for each in current if (one := await self._judge(each.issued)) is not None]
        after = replace(
            progress,
            position=page[-1].number if page else progress.position,
            checked=progress.checked + len(current),
            faulty=progress.faulty + len(found),
            ended=now if is_end else None,
        )
        new = [each for each in found if each.is_new]
        entries = tuple(AuditEntry(now, each.finding) for each in new)
        if after == progress and not entries:
            return True
        if not await self._store.commit((ChangeProgress(progress, after),), entries):
            return False
        if new:
            await self._tell(new, after, now)
        return True

    async def _tell(self, new: list[Found], progress: AuditProgress, now: datetime) -> None:
        lines = [each.line for each in new]
        await self._alarm.raise_it(lines, ())
        if progress.mailed is not None and timedelta() <= now - progress.mailed < MAIL_EVERY:
            return
        if await self._alarm.mail("Certificates that lack what they must rest on", lines):
            await self._store.commit((ChangeProgress(progress, replace(progress, mailed=now)),))

    async def _judge(self, issued: Issued) -> Found | None:
        grounds = await look_at_grounds(self._store, issued, self._rules)
        if not grounds.lacks:
            return None
        certificate = issued.certificate
        finding = FindingLogged(
            order=certificate.order_id,
            serial=format_serial(certificate.name.serial),
            faults=tuple(str(each) for each in grounds.lacks[:MAX_FAULTS]),
        )
        return Found(finding, certificate.account_id, not _is_known(finding, grounds.order_log))


def _is_known(finding: FindingLogged, log: tuple[Logged, ...]) -> bool:
    return any(each.decision == finding for each in log)
