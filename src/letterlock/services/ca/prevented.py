"""Tells domains that want to know it (iodef) what their CAA records have prevented.

RFC 8659 §4.4. To whom, and what it says, is `protocols.caa.iodef`; a host is written to once a day
at most, over all processes, and nobody waits for it: what is too much, or fails, is told in the log
and forgotten.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.base.log import Log, Service
from letterlock.protocols.acme.fields import Url
from letterlock.protocols.acme.server.rate_limits import Counter, Exceeded, Limit, use
from letterlock.protocols.acme.validation.proofs import Expected
from letterlock.protocols.caa.decide import CaaDecision, CaaVerdict, Issuance
from letterlock.protocols.caa.iodef import (
    PreventedIssuance,
    ReportTarget,
    find_targets,
    format_description,
    format_iodef,
)
from letterlock.protocols.caa.rechecks import ProvedName
from letterlock.services.ca.caa_rechecks import Rechecked
from letterlock.services.ca.validating.validate import Validation
from letterlock.storage.ca.changes import UseCounter
from letterlock.storage.ca.store import Commits
from letterlock.storage.queue import StoreUnavailable

MAX_WAITING = 100
"""Verdicts that are not told yet: an attacker makes more than anybody wants to read."""
ONCE_A_DAY = Limit("reports of CAA to a host", 1, 1, timedelta(days=1))
_NUMBER_OCTETS = 8

Post = Callable[[Url, bytes], Awaitable[str | None]]
"""Posts a document. Gives why it was not taken; None: it was."""
Mail = Callable[[str, str, str], Awaitable[str | None]]
"""Mails a text: to an address, with a subject. As above."""
Tell = Callable[[CaaVerdict], None]


class ReportStore(Commits, Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def load_counters(self, counters: Sequence[Counter]) -> tuple[Counter, ...]: ...


@dataclass(frozen=True, slots=True)
class Reporting:
    """Who reports, and how."""

    authority: Domain
    contact: str
    post: Post
    mail: Mail


class PreventedReports:
    """Reports one verdict after the other while `run` runs."""

    def __init__(self, store: ReportStore, reporting: Reporting, clock: Clock, log: Log) -> None:
        self._store = store
        self._reporting = reporting
        self._clock = clock
        self._log = log
        self._waiting: asyncio.Queue[tuple[CaaVerdict, datetime]] = asyncio.Queue(MAX_WAITING)

    def tell(self, verdict: CaaVerdict) -> None:
        """Have it reported, if records of the domain forbade it."""
        if verdict.decision is CaaDecision.DENY and not self._waiting.full():
            self._waiting.put_nowait((verdict, self._clock.now()))

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            verdict, at = await self._waiting.get()
            try:
                await self.report(verdict, at)
            except StoreUnavailable as error:
                self._log.write(Service.CA, f"warning: no report to {verdict.found_at}: {error}")

    async def report(self, verdict: CaaVerdict, at: datetime) -> int:
        """Report it, and give to how many. Raises StoreUnavailable."""
        targets, unused = find_targets(verdict)
        for each in unused:
            self._log.write(Service.CA, f"{verdict.issuance}: no report: {each.reason}")
        count = 0
        for target in targets:
            if await self._may_write(target.host):
                count += await self._send(target, verdict, at)
        return count

    async def _may_write(self, host: Domain) -> bool:
        now, counter = self._clock.now(), Counter(ONCE_A_DAY, host)
        (kept,) = await self._store.load_counters([counter])
        if isinstance(use(kept, now), Exceeded):
            return False
        return await self._store.commit([UseCounter(counter, now)])

    async def _send(self, target: ReportTarget, verdict: CaaVerdict, at: datetime) -> bool:
        sent = self._reporting
        prevented = PreventedIssuance(
            token_hex(_NUMBER_OCTETS), sent.authority, sent.contact, at, [verdict]
        )
        if isinstance(target.to, Url):
            failure = await sent.post(target.to, format_iodef(prevented))
        else:
            subject = f"No certificate for {verdict.issuance}: its CAA records forbid it"
            failure = await sent.mail(target.to, subject, format_description(prevented))
        outcome = "reported" if failure is None else f"not reported: {failure}"
        self._log.write(Service.CA, f"{verdict.issuance}: to {target}: {outcome}")
        return failure is None


class Validates(Protocol):
    """`validating.validate.Validator`."""

    async def validate(self, expected: Expected, issuance: Issuance | None) -> Validation: ...


class Rechecks(Protocol):
    """`caa_rechecks.CaaRechecker`."""

    async def recheck(self, names: Sequence[ProvedName]) -> Rechecked: ...


class TellingValidator:
    """Validates, and tells what CAA forbade as seen from here."""

    def __init__(self, validator: Validates, tell: Tell) -> None:
        self._validator = validator
        self._tell = tell

    async def validate(self, expected: Expected, issuance: Issuance | None) -> Validation:
        found = await self._validator.validate(expected, issuance)
        if found.caa is not None:
            self._tell(found.caa.primary.seen.answer.verdict)
        return found


class TellingRechecker:
    """Looks at CAA again, and tells what it forbade."""

    def __init__(self, rechecker: Rechecks, tell: Tell) -> None:
        self._rechecker = rechecker
        self._tell = tell

    async def recheck(self, names: Sequence[ProvedName]) -> Rechecked:
        found = await self._rechecker.recheck(names)
        for each in found.answers:
            self._tell(each.verdict)
        return found
