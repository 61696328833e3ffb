"""What a mail transaction came to, for each recipient.

RFC 5321 §3.3, §4.5.3.1.10; RFC 3461 §5.2.2. Made by `transaction`.
"""

from enum import StrEnum

from msgspec import Struct

from letterlock.protocols.smtp.envelope import Recipient
from letterlock.protocols.smtp.replies import Reply


class Stage(StrEnum):
    """What a reply answers; the words are those of Postfix's log and bounces."""

    MAIL = "MAIL FROM command"
    RCPT = "RCPT TO command"
    DATA = "DATA command"
    BDAT = "BDAT command"
    END = "end of DATA command"
    """The final dot, or BDAT LAST."""
    NONE = "no command"
    """Nothing was sent that it could answer, or nothing was sent at all."""


class RecipientOutcome(Struct, frozen=True):
    """What a transaction came to for one recipient.

    `is_accepted`: the server took the message for it. `reply` is what decided; `is_ours` when not
    the server but we said it (connection lost, not sendable). `may_follow`: refused only because
    there were too many; another transaction may follow at once (RFC 5321 §4.5.3.1.10).
    `is_relayed`: taken by a server without DSN although its success was to be notified, so that
    a "relayed" DSN is due from us (RFC 3461 §5.2.2).
    """

    recipient: Recipient
    reply: Reply
    stage: Stage
    is_accepted: bool = False
    is_ours: bool = False
    may_follow: bool = False
    is_relayed: bool = False


class TransactionResult(Struct, frozen=True):
    """What a transaction came to.

    `final_reply`: the one to the end of the content; None when it never came. `must_close`: the
    connection cannot be used further. `needs_rset`: it can, after RSET.
    """

    outcomes: tuple[RecipientOutcome, ...]
    final_reply: Reply | None
    must_close: bool
    needs_rset: bool

    @property
    def is_sent(self) -> bool:
        """The server took the message for at least one recipient."""
        return any(outcome.is_accepted for outcome in self.outcomes)

    @property
    def remaining(self) -> tuple[Recipient, ...]:
        """Those for whom another transaction may follow at once. Empty when nothing was sent."""
        if not self.is_sent:
            return ()
        return tuple(outcome.recipient for outcome in self.outcomes if outcome.may_follow)
