"""What follows from a delivery: done, again later, given up; and who is told.

RFC 5321 §4.5.4.1 (retries), §6.1 (bounces); RFC 3461 §5.2 (which notification for whom). All of it,
the notifications included, is saved in one transaction of the store.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from msgspec.structs import replace

from letterlock.base.clock import Clock
from letterlock.base.log import Log, Service
from letterlock.protocols.smtp.dsn import DOUBLE_BOUNCE, is_dsn_wanted
from letterlock.protocols.smtp.dsn_causes import EXPIRED_STATUS
from letterlock.protocols.smtp.dsn_report import Action, ReportedRecipient
from letterlock.services.queue.notices import NoticeMaker, Told, gather_tried
from letterlock.services.queue.outcomes import LOCAL, Delivery, Outcome, Result
from letterlock.services.queue.schedule import Schedule
from letterlock.storage.queue import (
    AttemptRecord,
    Claim,
    ClaimedRecipient,
    NewMessage,
    QueueStore,
    RecipientResult,
    RecipientState,
    Settlement,
    StoreUnavailable,
)

_NOTICES = {
    Action.FAILED: "sender non-delivery notification",
    Action.DELAYED: "sender delay notification",
    Action.DELIVERED: "sender delivery status notification",
    Action.RELAYED: "sender delivery status notification",
    Action.EXPANDED: "sender delivery status notification",
}


class FailureTaker(Protocol):
    """Takes note of mail that was given up, when that is saved."""

    def wants(self, claim: Claim) -> bool:
        """Say if such a message is looked at; asked only when a recipient was given up."""

    async def take(
        self, claim: Claim, failed: Sequence[RecipientResult], store: QueueStore
    ) -> None:
        """Take note of recipients that were given up. Raises nothing, and does not wait long."""


@dataclass(slots=True)
class _Decided:
    """What was decided so far."""

    results: list[RecipientResult] = field(default_factory=list)
    reported: dict[Action, list[ReportedRecipient]] = field(default_factory=dict)
    next_attempt: datetime | None = None
    has_given_up: bool = False


@dataclass(frozen=True, slots=True)
class Settlements:
    """Settles claims. `jitter` gives a number in 0..1.

    `has_postmaster_copies`: our postmaster is told of notifications that cannot be delivered.
    """

    notices: NoticeMaker
    schedule: Schedule
    clock: Clock
    log: Log
    jitter: Callable[[], float]
    save_retry: timedelta = timedelta(seconds=2)
    has_postmaster_copies: bool = False
    failures: FailureTaker | None = None

    async def settle(self, claim: Claim, delivery: Delivery, store: QueueStore) -> None:
        """Decide, tell the log, save. Raises StoreUnavailable when it can't be saved in time."""
        now = self.clock.now()
        recipients = {item.number: item for item in claim.recipients}
        decided = _Decided()
        for outcome in delivery.outcomes:
            claimed = recipients[outcome.number]
            decidable = self._put_off(claim, claimed, outcome)
            self._decide(claim, claimed, decidable, now, decided)
        # The lines of one turn of the loop are written at its end. What is saved must be logged
        # before: killed in between, mail would be gone without a word.
        await asyncio.sleep(0)
        while True:
            if await self._save(claim, delivery, decided, store):
                return
            await asyncio.sleep(self.save_retry.total_seconds())

    def _put_off(self, claim: Claim, claimed: ClaimedRecipient, outcome: Outcome) -> Outcome:
        """Let a failure wait while nobody knows where its sender's mail goes.

        The notification would end at an alias that is no mailbox, and nobody be told. It waits no
        longer than a message may.
        """
        is_told = outcome.result is Result.FAILED and is_dsn_wanted(
            claim.sender, claimed.recipient, Action.FAILED
        )
        hindrance = self.notices.find_hindrance(claim.sender) if is_told else None
        if hindrance is None:
            return outcome
        reply = f"{outcome.reply} (waits, as its sender cannot be told of it: {hindrance})"
        return replace(outcome, result=Result.DEFERRED, status="4.3.0", reply=reply)

    def _decide(
        self,
        claim: Claim,
        claimed: ClaimedRecipient,
        outcome: Outcome,
        now: datetime,
        decided: _Decided,
    ) -> None:
        """Decide about one recipient."""
        if outcome.result is Result.DEFERRED:
            self._defer(claim, claimed, outcome, now, decided)
            return
        if outcome.result is Result.FAILED:
            state = RecipientState.FAILED
        else:
            state = RecipientState.DELIVERED
            if not outcome.is_dsn_passed_on:
                action = Action.DELIVERED if _is_final(outcome) else Action.RELAYED
                self._report(claim, claimed, outcome, action, decided)
        self._log_outcome(claim, claimed, outcome, outcome.result, now)
        if state is RecipientState.FAILED:
            self._give_up(claim, claimed, outcome, decided)
        decided.results.append(
            RecipientResult(outcome.number, state, outcome.status, outcome.reply)
        )

    def _defer(
        self,
        claim: Claim,
        claimed: ClaimedRecipient,
        outcome: Outcome,
        now: datetime,
        decided: _Decided,
    ) -> None:
        attempts = claimed.attempts + 1
        due = self.schedule.next_attempt(attempts, now, claim.expires, self.jitter())
        if due is None:
            self._log_outcome(claim, claimed, outcome, "expired, returned to sender", now)
            self._give_up(claim, claimed, outcome, decided, status=EXPIRED_STATUS)
            decided.results.append(
                RecipientResult(
                    outcome.number, RecipientState.FAILED, EXPIRED_STATUS, outcome.reply
                )
            )
            return
        is_sent = claimed.is_delay_notified
        is_notice_due = (
            self.schedule.is_delay_notice_due(claim.received, now, is_sent=is_sent)
            and self.notices.find_hindrance(claim.sender) is None
        )
        if is_notice_due:
            decided.next_attempt = min(due, decided.next_attempt or due)
            self._report(claim, claimed, outcome, Action.DELAYED, decided)
        self._log_outcome(claim, claimed, outcome, "deferred", now)
        decided.results.append(
            RecipientResult(
                outcome.number,
                RecipientState.QUEUED,
                outcome.status,
                outcome.reply,
                next_attempt=due,
                is_delay_notified=is_sent or is_notice_due,
            )
        )

    def _give_up(
        self,
        claim: Claim,
        claimed: ClaimedRecipient,
        outcome: Outcome,
        decided: _Decided,
        *,
        status: str | None = None,
    ) -> None:
        """Let the sender know; of a notification at most our postmaster (RFC 5321 §6.1)."""
        decided.has_given_up = True
        if not claim.sender:
            then = "told to postmaster" if self._is_copied(claim) else "dropped"
            self.log.write(
                Service.BOUNCE,
                f"warning: undeliverable notification to <{claimed.recipient.address}> {then}",
                queue_id=claim.queue_id,
                to=claimed.recipient.address,
            )
        self._report(claim, claimed, outcome, Action.FAILED, decided, status=status)

    def _report(
        self,
        claim: Claim,
        claimed: ClaimedRecipient,
        outcome: Outcome,
        action: Action,
        decided: _Decided,
        *,
        status: str | None = None,
    ) -> None:
        """Note what the sender is to be told, if anything."""
        is_copied = action is Action.FAILED and self._is_copied(claim)
        if not (is_copied or is_dsn_wanted(claim.sender, claimed.recipient, action)):
            return
        decided.reported.setdefault(action, []).append(
            ReportedRecipient(
                recipient=claimed.recipient,
                status=status or outcome.status,
                diagnostic=outcome.diagnostic or outcome.reply,
                remote_mta=outcome.remote,
                last_attempt=self.clock.now(),
                tls_result=outcome.tls_result,
                cause=outcome.status,
            )
        )

    def _is_copied(self, claim: Claim) -> bool:
        """Say if our postmaster is told of a notification that failed; never of such a copy."""
        return self.has_postmaster_copies and not claim.sender and claim.envid != DOUBLE_BOUNCE

    async def _make_notice(
        self, claim: Claim, delivery: Delivery, decided: _Decided, action: Action, store: QueueStore
    ) -> NewMessage:
        attempts: Sequence[AttemptRecord] = delivery.attempts
        if any(item.attempts for item in claim.recipients):
            story = await store.find_story(claim.queue_id)
            attempts = [*story.attempts, *attempts] if story is not None else attempts
        reported = decided.reported[action]
        addresses = {each.recipient.address for each in reported}
        told = Told(
            action,
            tuple(reported),
            gather_tried(
                attempts,
                (item.number for item in claim.recipients if item.recipient.address in addresses),
            ),
            decided.next_attempt,
            claim.expires,
            None if claim.sender else f"postmaster@{self.notices.hostname}",
        )
        original = await self.notices.read_original(claim, told, store)
        return await self.notices.make(told, original, store.write_body)

    async def _save(
        self, claim: Claim, delivery: Delivery, decided: _Decided, store: QueueStore
    ) -> bool:
        """Save it with its notifications; False: to be tried again.

        That goes on while the lease lasts: what the peer took must not be sent twice. After that
        StoreUnavailable is left to rise.
        """
        messages: dict[Action, NewMessage] = {}
        try:
            for action in tuple(decided.reported):
                try:
                    notice = await self._make_notice(claim, delivery, decided, action, store)
                except (StoreUnavailable, asyncio.CancelledError):
                    raise
                except Exception as error:  # noqa: BLE001 - a fault of ours: see _do_without
                    self._do_without(claim, action, decided, error)
                else:
                    messages[action] = notice
            settlement = Settlement(
                claim=claim,
                results=tuple(decided.results),
                attempts=delivery.attempts,
                messages=tuple(messages.values()),
                settled=self.clock.now(),
                sessions=delivery.sessions,
            )
            is_ours = await store.settle(settlement)
        except StoreUnavailable as error:
            if self.clock.now() >= claim.lease_until:
                raise
            self.log.write(
                Service.QUEUE,
                f"warning: outcome not saved yet, trying again: {error}",
                queue_id=claim.queue_id,
            )
            return False
        if is_ours:
            self._log_notices(claim, messages)
            if decided.has_given_up:
                await self._tell_failed(claim, decided, store)
        else:
            self.log.write(
                Service.QUEUE,
                "warning: the claim ended before its outcome was saved (deleted, or its lease "
                "ran out); it may be delivered twice",
                queue_id=claim.queue_id,
            )
        return True

    async def _tell_failed(self, claim: Claim, decided: _Decided, store: QueueStore) -> None:
        """Tell who wants to know it whom this message was given up for. It is saved already."""
        if self.failures is not None and self.failures.wants(claim):
            failed = [each for each in decided.results if each.state is RecipientState.FAILED]
            if failed:
                await self.failures.take(claim, failed, store)

    def _do_without(
        self, claim: Claim, action: Action, decided: _Decided, error: Exception
    ) -> None:
        """Settle without a notification that could not be made.

        What the peer took must not be sent again, so the rest is settled all the same. But nobody's
        mail ends without a word: what failed waits, and is tried again.
        """
        self.log.write(
            Service.BOUNCE, f"error: {_NOTICES[action]} broke: {error!r}", queue_id=claim.queue_id
        )
        del decided.reported[action]
        if action is Action.FAILED:
            later = self.clock.now() + self.schedule.retry_max
            decided.results = [
                replace(result, state=RecipientState.QUEUED, next_attempt=later)
                if result.state is RecipientState.FAILED
                else result
                for result in decided.results
            ]

    def _log_notices(self, claim: Claim, messages: Mapping[Action, NewMessage]) -> None:
        for action, message in messages.items():
            count, size = len(message.envelope.recipients), message.body.size
            self.log.write(
                Service.QUEUE,
                f"from=<>, size={size}, nrcpt={count} (queue active)",
                queue_id=message.queue_id,
                sender="",
                size=size,
                nrcpt=count,
            )
            whose = _NOTICES[action] if claim.sender else "postmaster non-delivery notification"
            text = f"{whose}: {message.queue_id}"
            self.log.write(Service.BOUNCE, text, queue_id=claim.queue_id)

    def _log_outcome(
        self, claim: Claim, claimed: ClaimedRecipient, outcome: Outcome, word: str, now: datetime
    ) -> None:
        """Write the line that Postfix's readers know."""
        delay = max(0.0, (now - claim.received).total_seconds())
        connect, send = outcome.connect_seconds, outcome.send_seconds
        before = max(0.0, delay - connect - send)
        service = Service.LOCAL if outcome.relay == LOCAL else Service.SMTP
        # Postfix 3.11 has it before `dsn=`, where pflogsumm 1.1.5 takes the line for none.
        level = f" tls={outcome.tls_level}" if outcome.tls_level else ""
        self.log.write(
            service,
            f"to=<{claimed.recipient.address}>, relay={outcome.relay}, "
            f"delay={_format_seconds(delay)}, delays={_format_seconds(before)}/0/"
            f"{_format_seconds(connect)}/{_format_seconds(send)}, dsn={outcome.status}, "
            f"status={word} ({outcome.reply}){level}",
            queue_id=claim.queue_id,
            to=claimed.recipient.address,
            sender=claim.sender,
            relay=outcome.relay,
            status=outcome.status,
            result=word,
            tls_level=outcome.tls_level or None,
            result_type=outcome.tls_result,
            reply=outcome.reply,
        )


def _is_final(outcome: Outcome) -> bool:
    """Say if the message goes nowhere from there (RFC 3461 §5.2.3): no server took it."""
    return outcome.is_final or outcome.relay in {LOCAL, "none"}


def _format_seconds(seconds: float) -> str:
    """Give two digits below ten seconds, and whole ones from there, as Postfix does."""
    if seconds >= 10:
        return f"{seconds:.0f}"
    return f"{round(seconds, 1 if seconds >= 1 else 2):g}"
