"""Alarms of the audit: into the log, to the authority's people by mail, and by a halt if so set."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from letterlock.base.clock import Clock
from letterlock.base.log import Log, Service
from letterlock.protocols.audit.decisions import Decision
from letterlock.services.ca.halting import HaltStore, halt

MAIL_EVERY = timedelta(hours=1)
"""The log has all; a mail says that there is something to read."""
MAX_LINES = 50
WHO = "the audit"

SendMail = Callable[[str, Sequence[str]], Awaitable[str | None]]
"""Mails the authority's people: a subject, and lines. Gives why it could not; None: it did."""


@dataclass(frozen=True, slots=True)
class AlarmRules:
    """`halts`: what is found stops issuance."""

    halts: bool = False


class Alarm:
    """Tells of what an audit found. `send` None: there is nobody to mail."""

    def __init__(
        self,
        store: HaltStore,
        rules: AlarmRules,
        clock: Clock,
        log: Log,
        send: SendMail | None = None,
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._log = log
        self._send = send
        self._fault: str | None = None

    async def raise_it(self, lines: Sequence[str], because: Sequence[Decision]) -> None:
        """Tell the log, and stop issuance where that is set; `because` is logged in the audit.

        Raises StoreUnavailable.
        """
        for line in lines[:MAX_LINES]:
            self._log.write(Service.CA, f"alarm: audit: {line}")
        if len(lines) > MAX_LINES:
            self._log.write(Service.CA, f"alarm: audit: {len(lines) - MAX_LINES} more")
        if self._rules.halts and lines:
            why = f"the audit found something: {lines[0]}"
            await halt(self._store, why, WHO, self._clock.now(), because)

    async def mail(self, subject: str, lines: Sequence[str]) -> bool:
        """Mail the authority's people; gives whether there is nothing to mail any more."""
        if self._send is None:
            return True
        shown = list(lines[:MAX_LINES])
        if len(lines) > MAX_LINES:
            shown.append(f"and {len(lines) - MAX_LINES} more, in the log")
        failure = await self._send(subject, shown)
        before, self._fault = self._fault, failure
        if failure is not None and failure != before:
            # Once: where thousands are faulty, it is tried many times a second.
            self._log.write(Service.CA, f"error: the audit's mail cannot be left: {failure}")
        return failure is None
