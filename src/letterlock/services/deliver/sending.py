"""Sending over one connection: as many transactions as its recipients need.

RFC 5321 §4.5.3.1.10 (too many recipients), RFC 9422 §4, RFC 8689 §4.2.1 (which host may have it);
the plan and the transaction are pure, in `protocols.smtp`. The body is read from the store in
pieces and is never whole in memory.
"""

from contextlib import aclosing
from dataclasses import dataclass

from msgspec import Struct, field

from letterlock.network.smtp_client import Connected
from letterlock.protocols.smtp.content import ContentFacts, ContentScan
from letterlock.protocols.smtp.envelope import Envelope, TlsDemand
from letterlock.protocols.smtp.plan import (
    Refusal,
    TransactionSettings,
    find_host_refusal,
    must_scan,
    plan,
    split_recipients,
)
from letterlock.protocols.smtp.transaction import Transaction
from letterlock.protocols.smtp.transaction_result import RecipientOutcome, Stage, TransactionResult
from letterlock.services.deliver.journey import Journey
from letterlock.services.deliver.outgoing import is_proved
from letterlock.storage.queue import ClaimedRecipient

MAX_TRANSACTIONS = 50
"""On one connection for one message: a server that always takes a few more is not followed on."""
MAX_TOLD_REPLIES = 5
"""Different ones, of one session, in what is told of it."""


class Sent(Struct):
    """How it went.

    `is_usable`: another message may follow on this connection. `is_stale`: the connection was gone
    before MAIL was answered, nothing was sent. `summary` has the last reply, and when all is done
    what the recipients were answered: not all of them the same.
    """

    summary: str = "nothing was sent"
    numbers: list[int] = field(default_factory=list)
    is_usable: bool = True
    must_close: bool = False
    is_stale: bool = False
    replies: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends a claim's message to those who still wait."""

    settings: TransactionSettings
    max_recipients: int = 100

    async def send(self, journey: Journey, connection: Connected) -> Sent:
        """Send until everyone had an answer, or the connection ends."""
        if (unfit := self._refuse_host(journey, connection)) is not None:
            return unfit
        sent = Sent()
        most = connection.uses + MAX_TRANSACTIONS
        most = min(most, connection.capabilities.limits.mail_max or most)
        groups = self._groups(list(journey.waiting.values()), connection)
        while groups and sent.is_usable and connection.uses < most:
            group = groups.pop(0)
            groups = await self._send_group(journey, connection, group, sent) + groups
        if sent.is_stale:
            return sent
        left = [item for group in groups for item in group]
        journey.note_untried(connection.target.relay, sent.summary, left)
        if journey.waiting:
            journey.sessions += 1
        if len(sent.replies) > 1:
            told = [*sent.replies][:MAX_TOLD_REPLIES]
            sent.summary = "; ".join(told) + ("; ..." if len(told) < len(sent.replies) else "")
        return sent

    def _refuse_host(self, journey: Journey, connection: Connected) -> Sent | None:
        """Send nothing to a host that must not have the message; None: it may have it."""
        if journey.claim.tls_demand is not TlsDemand.REQUIRETLS:
            return None
        refusal = find_host_refusal(
            journey.envelope(()), connection.capabilities, may_require_tls=is_proved(connection)
        )
        if refusal is None:
            return None
        text = f"{connection.target.relay}: {refusal.text}"
        journey.note_unfit(connection.target.relay, refusal.status or "5.7.10", text)
        # RFC 8689 §4.2.1: QUIT, and the next host.
        return Sent(text, list(journey.waiting), is_usable=False)

    def _groups(
        self, recipients: list[ClaimedRecipient], connection: Connected
    ) -> list[list[ClaimedRecipient]]:
        if len(recipients) == 1:
            return [recipients]
        split = split_recipients(
            [item.recipient for item in recipients], connection.capabilities, self.max_recipients
        )
        rest = iter(recipients)
        return [[next(rest) for _ in group] for group in split]

    async def _send_group(
        self,
        journey: Journey,
        connection: Connected,
        group: list[ClaimedRecipient],
        sent: Sent,
    ) -> list[list[ClaimedRecipient]]:
        """Do one transaction; gives the groups that may follow at once."""
        envelope = journey.envelope(group)
        content = await self._look_at(journey, envelope, connection)
        planned = plan(
            envelope,
            content,
            connection.capabilities,
            self.settings,
            may_require_tls=is_proved(connection),
        )
        target = connection.target
        is_first = not sent.numbers
        sent.numbers += [item.number for item in group]
        if isinstance(planned, Refusal):
            outcomes = {
                item.number: RecipientOutcome(
                    item.recipient, planned.reply, Stage.NONE, is_ours=True
                )
                for item in group
            }
            journey.note_outcomes(target.relay, outcomes)
            sent.summary = planned.reply.text
            sent.replies[sent.summary] = None
            return []
        result = await self._carry_out(journey, connection, planned, envelope)
        if is_first and connection.uses > 1 and _is_stale(result):
            sent.is_stale, sent.is_usable, sent.must_close = True, False, True
            sent.summary = result.outcomes[0].reply.text
            return []
        by_number = {
            item.number: outcome for item, outcome in zip(group, result.outcomes, strict=True)
        }
        journey.note_outcomes(target.relay, by_number)
        sent.summary = (result.final_reply or result.outcomes[-1].reply).text
        sent.replies.update(dict.fromkeys(each.reply.text for each in result.outcomes))
        sent.must_close = result.must_close
        sent.is_usable = not result.must_close and (
            not result.needs_rset or await connection.reset()
        )
        follow = [item for item in group if result.is_sent and by_number[item.number].may_follow]
        return self._groups(follow, connection) if follow else []

    async def _carry_out(
        self, journey: Journey, connection: Connected, planned: Transaction, envelope: Envelope
    ) -> TransactionResult:
        async with aclosing(journey.read_body()) as content:
            return await connection.send(planned, content, is_smtputf8=envelope.smtputf8)

    async def _look_at(
        self, journey: Journey, envelope: Envelope, connection: Connected
    ) -> ContentFacts:
        if not must_scan(envelope, connection.capabilities):
            return ContentFacts(journey.claim.size)
        scan = ContentScan()
        async with aclosing(journey.read_body()) as content:
            async for piece in content:
                scan.receive(piece)
        return scan.facts()


def _is_stale(result: TransactionResult) -> bool:
    """Say if the connection ended before MAIL was answered: the server had closed it as idle.

    RFC 5321 §3.8: it may say 421 before. Recipients that cannot be sent to this host at all
    (Stage.NONE) do not count.
    """
    asked = [item for item in result.outcomes if item.stage is not Stage.NONE]
    return bool(asked) and all(
        item.stage is Stage.MAIL and (item.is_ours or item.reply.code == 421) for item in asked
    )
