"""A claim goes its way: into a mailbox or a mail store of ours, or out to a next hop.

Asked at each attempt, not when the mail came in: a change of `relayhost`, of `routes` or of a table
holds for mail that waits.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, assert_never

from msgspec.structs import replace

from letterlock.base.clock import Clock
from letterlock.protocols.smtp.envelope import Recipient
from letterlock.protocols.tables.transport import (
    Discard,
    Fail,
    LmtpHost,
    LmtpSocket,
    ToLmtp,
    ToMailbox,
    Way,
)
from letterlock.services.deliver.lmtp import LmtpDelivery
from letterlock.services.deliver.local import LocalDelivery
from letterlock.services.deliver.remote import RemoteDelivery
from letterlock.services.deliver.ways import Course, Routing, ToHost, find_course, split_by_way
from letterlock.services.queue.outcomes import Delivery, Result, same_for_all
from letterlock.services.redirect.tables import NO_TABLES, Tables, TableSource
from letterlock.storage.queue import AttemptRecord, Claim, QueueStore

__all__ = ["ClaimDelivery", "Routing"]


class ReportTaker(Protocol):
    """Takes TLS reports of others out of mail for some addresses, before it is delivered there."""

    def wants(self, recipient: Recipient) -> bool:
        """Say if reports may come to a recipient."""

    async def take(self, claim: Claim, store: QueueStore) -> str | None:
        """Keep the reports of a message. None: it can go on; else why it has to wait."""


@dataclass(frozen=True, slots=True)
class ClaimDelivery:
    """Delivers any claim. `store`: the server that has the mailboxes of our domains, if one has."""

    routing: Routing
    local: LocalDelivery
    remote: RemoteDelivery
    lmtp: LmtpDelivery | None = None
    mail_store: LmtpSocket | LmtpHost | None = None
    tables: TableSource = NO_TABLES
    reports: ReportTaker | None = None

    async def deliver(self, claim: Claim, store: QueueStore) -> Delivery:
        tables = self.tables.current()
        ways = split_by_way(claim, tables)
        if len(ways) == 1:
            (way,) = ways
            return await self._deliver_way(claim, way, tables, store)
        parts: list[Delivery] = []
        for way, items in ways.items():
            part = replace(claim, recipients=tuple(items))
            try:
                parts.append(await self._deliver_way(part, way, tables, store))
            except Exception as error:
                if not parts:
                    raise
                # What went the ways before must not go again.
                parts.append(self._end(part, Result.DEFERRED, "4.3.0", f"local error: {error!r}"))
        return Delivery(
            tuple(outcome for part in parts for outcome in part.outcomes),
            tuple(attempt for part in parts for attempt in part.attempts),
            tuple(session for part in parts for session in part.sessions),
        )

    async def _deliver_way(
        self, claim: Claim, way: Way, tables: Tables, store: QueueStore
    ) -> Delivery:
        course = find_course(way, claim.destination, claim.sender, tables, self.routing)
        taker = self.reports
        if taker is None or isinstance(course, Fail):
            return await self._follow(course, claim, store)
        taking = [item for item in claim.recipients if taker.wants(item.recipient)]
        reason = await taker.take(claim, store) if taking else None
        if reason is None:
            return await self._follow(course, claim, store)
        waits = replace(claim, recipients=tuple(taking))
        later = self._end(waits, Result.DEFERRED, "4.3.0", reason)
        others = tuple(item for item in claim.recipients if item not in taking)
        if not others:
            return later
        now = await self._follow(course, replace(claim, recipients=others), store)
        return Delivery(
            (*now.outcomes, *later.outcomes), (*now.attempts, *later.attempts), now.sessions
        )

    async def _follow(self, course: Course, claim: Claim, store: QueueStore) -> Delivery:
        match course:
            case ToHost():
                return await self.remote.deliver(
                    claim,
                    course.next_hop,
                    store,
                    is_relay=course.is_relay,
                    is_chosen=course.is_chosen,
                )
            case ToLmtp(server):
                return await self._hand_over(claim, server, store)
            case ToMailbox():
                return await self._deliver_home(claim, store)
            case Discard(reason):
                return self._end(claim, Result.DELIVERED, "2.0.0", reason)
            case Fail(status, reason):
                result = Result.FAILED if status.startswith("5") else Result.DEFERRED
                return self._end(claim, result, status, reason)
            case _:
                assert_never(course)

    async def _deliver_home(self, claim: Claim, store: QueueStore) -> Delivery:
        if self.mail_store is None:
            return await self.local.deliver(claim, store)
        return await self._hand_over(self.local.with_role_mailboxes(claim), self.mail_store, store)

    async def _hand_over(
        self, claim: Claim, server: LmtpSocket | LmtpHost, store: QueueStore
    ) -> Delivery:
        assert self.lmtp is not None, "there is one wherever there may be tables"
        return await self.lmtp.deliver(claim, server, store)

    def _end(self, claim: Claim, result: Result, status: str, reason: str) -> Delivery:
        """End it by the table, without a connection."""
        clock: Clock = self.local.clock
        numbers = tuple(item.number for item in claim.recipients)
        attempt = AttemptRecord(
            started=clock.now(),
            duration=timedelta(),
            relay="none",
            summary=reason,
            story={"outcome": reason, "dialogue": []},
            recipients=numbers,
        )
        return Delivery(same_for_all(numbers, result, status, reason), (attempt,))
