"""One mail transaction, as a client: what is sent when, and what the replies came to.

RFC 5321 §3.3, §4.1.4, §4.2; RFC 2920 §3.1 (pipelining); RFC 3030 §2 (BDAT); RFC 2033 §4.2 (LMTP's
reply for each recipient). No I/O: the driver sends what it is given, reads replies, and streams
the content when `wants_body`. What goes into the commands is decided in `plan`.
"""

from collections import deque
from typing import Literal, assert_never

from msgspec import Struct

from letterlock.protocols.smtp.envelope import Notify, Recipient
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.replies import reply as make_reply
from letterlock.protocols.smtp.sending import DotStuffer, LineNormalizer
from letterlock.protocols.smtp.transaction_result import (
    RecipientOutcome,
    Stage,
    TransactionResult,
)

__all__ = [
    "RecipientCommand",
    "RecipientOutcome",
    "Script",
    "Stage",
    "Transaction",
    "TransactionResult",
]

MAX_UNANSWERED_CHUNKS = 4
"""BDAT chunks under way at a time, where the server takes pipelined commands."""
MAX_DIALOGUE_LINE = 500
"""Characters of a reply that are kept in the dialogue."""


class RecipientCommand(Struct, frozen=True):
    """A recipient and its RCPT line; `refusal` instead when it cannot be sent to this server."""

    recipient: Recipient
    line: str
    refusal: Reply | None = None


class Script(Struct, frozen=True):
    """What a transaction is to say. Lines are without CRLF.

    `chunk_octets`: 0 for DATA; else the content goes in BDAT chunks of about that size.
    `is_binary`: the content's octets are not touched.
    """

    mail: str
    recipients: tuple[RecipientCommand, ...]
    is_pipelined: bool
    chunk_octets: int = 0
    is_binary: bool = False
    is_lmtp: bool = False
    has_dsn: bool = False


class _Slot(Struct):
    """A recipient on its way; decided when it has a reply."""

    recipient: Recipient
    reply: Reply | None = None
    stage: Stage = Stage.NONE
    is_taken: bool = False
    """RCPT was accepted."""
    is_ours: bool = False
    may_follow: bool = False

    @property
    def is_pending(self) -> bool:
        return self.reply is None

    def settle(self, reply: Reply, stage: Stage, *, is_ours: bool = False) -> None:
        self.reply, self.stage, self.is_ours = reply, stage, is_ours


_CommandStage = Literal[Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.BDAT, Stage.END]


class _Command(Struct, frozen=True):
    stage: _CommandStage
    line: str
    slot: _Slot | None = None


class Transaction:
    """One mail transaction, from MAIL to the reply that ends it.

    The driver's loop, until `is_done`: send `commands_to_send()`; when that is empty and
    `wants_body`, send the content through `encode_body` and `finish_body`; else read a reply and
    give it to `receive`. Replies that come while the content is sent are given at once.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._is_chunked = script.chunk_octets > 0
        self._slots = [_Slot(command.recipient) for command in script.recipients]
        self._unsent = deque([_Command(Stage.MAIL, script.mail)])
        for slot, command in zip(self._slots, script.recipients, strict=True):
            if command.refusal is None:
                self._unsent.append(_Command(Stage.RCPT, command.line, slot))
            else:
                slot.settle(command.refusal, Stage.NONE, is_ours=True)
        if not self._is_chunked:
            self._unsent.append(_Command(Stage.DATA, "DATA"))
        self._awaited: deque[_Command] = deque()
        self._dialogue: list[str] = []
        self._stuffer = DotStuffer()
        self._lines = LineNormalizer()
        self._chunk = bytearray()
        self._body_octets = 0
        self._is_body_open = False
        self._is_mail_accepted = False
        self._is_complete = False
        self._must_close = False
        self._is_done = False
        self._final_reply: Reply | None = None

    @property
    def is_done(self) -> bool:
        """Nothing more is to be sent or awaited; `result` has what it came to."""
        return self._is_done

    @property
    def wants_body(self) -> bool:
        """The content is to be sent, or to be sent further. False once the server refused it."""
        return self._is_body_open

    @property
    def may_send_body(self) -> bool:
        """More content may be sent before the next reply; False only between BDAT chunks."""
        limit = MAX_UNANSWERED_CHUNKS if self._script.is_pipelined else 1
        return self._is_body_open and len(self._awaited) < limit

    @property
    def awaits(self) -> Stage:
        """What the next reply answers: says which time-out holds, and what was under way."""
        return self._awaited[0].stage if self._awaited else Stage.NONE

    def take_dialogue(self) -> tuple[str, ...]:
        """Give the lines said since the last call, without content.

        `> ` stands before what we said, `< ` before what the server said, `! ` before the rest.
        """
        lines = tuple(self._dialogue)
        self._dialogue.clear()
        return lines

    def commands_to_send(self) -> bytes:
        """Give the commands to be sent now; empty when a reply or the content comes first."""
        wire = b""
        while self._unsent and (self._script.is_pipelined or not self._awaited):
            wire += self._send(self._unsent.popleft())
        return wire

    def encode_body(self, piece: bytes) -> bytes:
        """Give a piece of the content as it goes over the wire; empty when it is kept for later."""
        if not self._is_body_open:
            return b""
        self._body_octets += len(piece)
        if not self._is_chunked:
            return self._stuffer.encode(piece)
        self._chunk += piece if self._script.is_binary else self._lines.encode(piece)
        return self._send_chunk() if len(self._chunk) >= self._script.chunk_octets else b""

    def finish_body(self) -> bytes:
        """Give what ends the content. Only after the whole content was encoded."""
        if not self._is_body_open:
            return b""
        self._is_body_open = False
        self._dialogue.append(f"> (content of {self._body_octets} octets)")
        if self._is_chunked:
            if not self._script.is_binary:
                self._chunk += self._lines.finish()
            return self._send_chunk(is_last=True)
        self._dialogue.append("> .")
        self._await_end()
        return self._stuffer.finish()

    def receive(self, reply: Reply) -> None:
        """Take the next reply of the server."""
        self._dialogue.append(f"< {reply.text[:MAX_DIALOGUE_LINE]}")
        if self._is_done:
            self._must_close = True  # nobody asked: what comes next would be taken for an answer
        elif reply.code == 421:
            self._end(reply, self.awaits)
        elif not self._awaited:
            self._take_unasked(reply)
        elif not _is_understood(reply.code, self._awaited[0].stage):
            self._end(_unexpected(reply), self.awaits, is_ours=True)
        else:
            self._take(self._awaited.popleft(), reply)
            self._go_on()

    def lost(self, reason: str) -> None:
        """End it: the connection is gone or not to be used further.

        RFC 5321 §3.8: as if the server had answered 451; never counts as delivered.
        """
        if not self._is_done:
            self._dialogue.append(f"! {reason}")
            if any(command.stage is Stage.END for command in self._awaited):
                # The server may have it (RFC 5321 §4.5.3.2.6); in the words of Postfix's log.
                reason = f"{reason} -- message may be sent more than once"
            self._end(make_reply(451, "4.4.2", reason), self.awaits, is_ours=True)
        self._must_close = True

    def result(self) -> TransactionResult:
        """Give what it came to. Raises ValueError before `is_done`."""
        if not self._is_done:
            raise ValueError("the transaction is not done")
        return TransactionResult(
            outcomes=tuple(self._outcome(slot) for slot in self._slots),
            final_reply=self._final_reply,
            must_close=self._must_close,
            needs_rset=self._is_mail_accepted and not self._is_complete and not self._must_close,
        )

    def _send(self, command: _Command) -> bytes:
        self._awaited.append(command)
        self._dialogue.append(f"> {command.line}")
        return command.line.encode() + b"\r\n"

    def _send_chunk(self, *, is_last: bool = False) -> bytes:
        line = f"BDAT {len(self._chunk)}" + (" LAST" if is_last else "")
        self._dialogue.append(f"> {line}")
        if is_last:
            self._await_end()
        else:
            self._awaited.append(_Command(Stage.BDAT, line))
        wire = line.encode() + b"\r\n" + bytes(self._chunk)
        self._chunk.clear()
        return wire

    def _await_end(self) -> None:
        """RFC 2033 §4.2: LMTP has a reply for each recipient taken, SMTP one for all."""
        taken = [slot for slot in self._slots if slot.is_pending]
        for slot in taken if self._script.is_lmtp else [None]:
            self._awaited.append(_Command(Stage.END, "", slot))

    def _take_unasked(self, reply: Reply) -> None:
        """Take a reply that answers nothing: the content may be refused before its end."""
        if self._is_body_open and not reply.is_positive:
            self._end(reply, Stage.NONE)
        else:
            self._end(_unexpected(reply), Stage.NONE, is_ours=True)

    def _take(self, command: _Command, reply: Reply) -> None:
        match command.stage:
            case Stage.MAIL:
                self._take_mail(reply)
            case Stage.RCPT:
                self._take_rcpt(command.slot, reply)
            case Stage.DATA:
                self._take_data(reply)
            case Stage.BDAT:
                self._take_chunk(reply)
            case Stage.END:
                self._take_end(command.slot, reply)
            case _:
                assert_never(command.stage)

    def _take_mail(self, reply: Reply) -> None:
        self._is_mail_accepted = reply.is_positive
        if not reply.is_positive:
            self._settle_pending(reply, Stage.MAIL)

    def _take_rcpt(self, slot: _Slot | None, reply: Reply) -> None:
        assert slot is not None
        if slot.reply is not None:
            return  # MAIL was refused, and this only follows from it
        if reply.is_positive:
            slot.is_taken = True
            return
        too_many = _as_too_many(reply, sum(other.is_taken for other in self._slots))
        slot.may_follow = too_many is not None
        slot.settle(too_many or reply, Stage.RCPT)

    def _take_data(self, reply: Reply) -> None:
        if not reply.is_positive:
            self._settle_pending(reply, Stage.DATA)
        elif not self._has_pending:
            # RFC 2920 §3.1: DATA was taken although no recipient was: a single dot.
            self._unsent.append(_Command(Stage.END, "."))

    def _take_chunk(self, reply: Reply) -> None:
        if not reply.is_positive:
            self._settle_pending(reply, Stage.BDAT)
            self._is_body_open = False

    def _take_end(self, slot: _Slot | None, reply: Reply) -> None:
        if self._has_pending:
            self._final_reply = reply
        # RFC 3030 §2: a refused BDAT leaves an unknown state; the final dot ends it either way.
        self._is_complete = self._has_pending and (reply.is_positive or not self._is_chunked)
        if slot is None:
            self._settle_pending(reply, Stage.END)
        elif slot.is_pending:
            slot.settle(reply, Stage.END)

    def _go_on(self) -> None:
        """Find what follows when a reply was taken."""
        if self._awaited or self._is_body_open:
            return
        if not self._has_pending:
            # Nothing but the single dot is still worth sending.
            self._unsent = deque(each for each in self._unsent if each.stage is Stage.END)
            self._is_done = not self._unsent
        elif not self._unsent:
            # DATA was taken; or there is none, and all replies came (RFC 3030 §2: only then BDAT).
            self._is_body_open = True

    def _end(self, reply: Reply, stage: Stage, *, is_ours: bool = False) -> None:
        """End the transaction and the session: who is not decided yet gets this reply."""
        if stage is Stage.END and not is_ours:
            self._final_reply = reply
        self._settle_pending(reply, stage, is_ours=is_ours)
        self._unsent.clear()
        self._awaited.clear()
        self._is_body_open = False
        self._must_close = True
        self._is_done = True

    def _settle_pending(self, reply: Reply, stage: Stage, *, is_ours: bool = False) -> None:
        for slot in self._slots:
            if slot.is_pending:
                slot.settle(reply, stage, is_ours=is_ours)

    @property
    def _has_pending(self) -> bool:
        # A loop and no any(): asked after every reply.
        for slot in self._slots:  # noqa: SIM110 - see above
            if slot.reply is None:
                return True
        return False

    def _outcome(self, slot: _Slot) -> RecipientOutcome:
        assert slot.reply is not None
        is_accepted = slot.stage is Stage.END and slot.reply.is_positive
        wants_success = Notify.SUCCESS in slot.recipient.notify
        return RecipientOutcome(
            recipient=slot.recipient,
            reply=slot.reply,
            stage=slot.stage,
            is_accepted=is_accepted,
            is_ours=slot.is_ours,
            may_follow=slot.may_follow,
            is_relayed=is_accepted and wants_success and not self._script.has_dsn,
        )


def _is_understood(code: int, stage: Stage) -> bool:
    """Say whether a reply is one that this command can have (RFC 5321 §4.3.2).

    DATA has a 3xx, all others a 2xx; an error can answer any.
    """
    if not 200 <= code < 400:
        return True
    return code // 100 == (3 if stage is Stage.DATA else 2)


def _unexpected(reply: Reply) -> Reply:
    return make_reply(451, "4.5.0", f"unexpected reply from the server: {reply.text}")


def _as_too_many(reply: Reply, taken: int) -> Reply | None:
    """Give the 452 that a refused RCPT stands for when there were too many; else None.

    RFC 5321 §4.5.3.1.10: 552 is what RFC 821 said for it. Without an enhanced status code 552 can
    as well mean a full mailbox, so it counts only where a server may stop: after 100 recipients.
    """
    if reply.code == 452 and taken and reply.status in (None, "4.5.3"):
        return reply
    is_old_code = reply.status == "5.5.3" or (reply.status is None and taken >= 100)
    if reply.code == 552 and taken and is_old_code:
        return Reply(452, reply.lines, "4.5.3")
    return None
