"""Delivery to mailboxes of our own: Maildir, with Return-Path and Delivered-To.

RFC 5321 §4.4 (Return-Path at final delivery), §6.3 (loops). A full disk defers.
"""

from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from msgspec.structs import replace

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.protocols.smtp.paths import AddressError, Mailbox, parse_mailbox
from letterlock.protocols.smtp.trace import format_delivered_to, format_return_path
from letterlock.services.queue.directory import ROLE_NAMES, LocalDirectory
from letterlock.services.queue.outcomes import LOCAL, Delivery, Outcome, Result
from letterlock.storage.maildir import Delivered, MaildirFailed, MaildirFull, MaildirStore
from letterlock.storage.queue import AttemptRecord, Claim, ClaimedRecipient, QueueStore


@dataclass(frozen=True, slots=True)
class LocalDelivery:
    """Delivers claims whose destination is one of our domains."""

    directory: LocalDirectory
    maildirs: MaildirStore
    clock: Clock

    async def deliver(self, claim: Claim, store: QueueStore) -> Delivery:
        """Deliver to each recipient's mailbox; one's failure is not another's."""
        started, began = self.clock.now(), self.clock.monotonic()
        outcomes: list[Outcome] = []
        for item in claim.recipients:
            try:
                outcomes.append(await self._deliver_one(claim, item, store))
            except Exception as error:
                if not outcomes:
                    raise
                # Who has it must not get it again.
                text = f"local error: {error!r}"
                outcomes.append(Outcome(item.number, Result.DEFERRED, "4.3.0", text, LOCAL))
        attempt = AttemptRecord(
            started=started,
            duration=timedelta(seconds=self.clock.monotonic() - began),
            relay=LOCAL,
            summary="; ".join(dict.fromkeys(item.reply for item in outcomes)),
            story={"outcome": "; ".join(item.reply for item in outcomes), "dialogue": []},
            recipients=tuple(item.number for item in outcomes),
        )
        return Delivery(tuple(outcomes), (attempt,))

    def with_role_mailboxes(self, claim: Claim) -> Claim:
        """Give the claim with the postmaster's mailbox in place of role names that are none.

        For a mail store that knows its mailboxes, but not who is postmaster here.
        """
        return replace(claim, recipients=tuple(map(self._with_role_mailbox, claim.recipients)))

    def _with_role_mailbox(self, claimed: ClaimedRecipient) -> ClaimedRecipient:
        address = claimed.recipient.address
        home = self._find_home(address)
        if home is None or address.partition("@")[0].lower() not in ROLE_NAMES:
            return claimed
        domain, name = home
        renamed = replace(claimed.recipient, address=Mailbox(name, domain).format())
        return replace(claimed, recipient=renamed)

    async def _deliver_one(
        self, claim: Claim, claimed: ClaimedRecipient, store: QueueStore
    ) -> Outcome:
        address, number = claimed.recipient.address, claimed.number
        home = self._find_home(address)
        if home is None:
            text = f"<{address}>: no such user here"
            return Outcome(number, Result.FAILED, "5.1.1", text, LOCAL)
        domain, name = home
        prefix = format_return_path(claim.sender) + format_delivered_to(address)
        async with aclosing(store.read_body(claim.queue_id)) as body:
            result = await self.maildirs.deliver(domain, name, prefix, body)
        match result:
            case Delivered():
                text = f"delivered to maildir {name}@{domain}"
                return Outcome(number, Result.DELIVERED, "2.0.0", text, LOCAL)
            case MaildirFull(reason):
                return Outcome(number, Result.DEFERRED, "4.2.2", f"mailbox full: {reason}", LOCAL)
            case MaildirFailed(reason, is_permanent):
                if is_permanent:
                    return Outcome(number, Result.FAILED, "5.2.0", reason, LOCAL)
                return Outcome(number, Result.DEFERRED, "4.2.0", f"mailbox: {reason}", LOCAL)
            case _:
                assert_never(result)

    def _find_home(self, address: str) -> tuple[Domain, str] | None:
        try:
            mailbox = parse_mailbox(address)
        except AddressError:
            return None
        return self.directory.find_mailbox(mailbox)
