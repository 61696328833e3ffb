"""How a server session takes messages: DATA with its text, BDAT with its chunks.

RFC 5321 §4.1.1.4, RFC 3030 §2, RFC 1870 §6.3, RFC 2920 §3.1. What is text is `message_data`'s.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from letterlock.protocols.smtp import server_replies
from letterlock.protocols.smtp.commands import Bdat, Data
from letterlock.protocols.smtp.incoming_message import IncomingChunks, IncomingText
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.server_channel import CHUNK, COMMANDS, TEXT, ServerChannel
from letterlock.protocols.smtp.server_events import (
    MessageAborted,
    MessageEnd,
    MessageOctets,
    MessageStart,
)
from letterlock.protocols.smtp.server_state import SessionSettings, Transaction


@dataclass(slots=True)
class _Chunk:
    """A chunk of BDAT that is being read; `finish` is called when it is."""

    left: int
    is_kept: bool
    finish: Callable[[], object]


class ServerMessages(ServerChannel):
    """The part of a server session between an accepted RCPT and the message's reply."""

    def __init__(self, settings: SessionSettings) -> None:
        super().__init__(settings)
        self._chunk: _Chunk | None = None
        # Since the last accepted message: octets of refused chunks, commands that further nothing.
        self._discarded = 0
        self._junk = 0

    def begin_text(self, _: Data) -> None:
        match self._find_ready_transaction():
            case Reply() as problem:
                self._fail(problem, "DATA")
            case transaction if transaction.is_chunked:
                self._fail(server_replies.CHUNKS_BEGUN, "DATA")
            case transaction:
                event = MessageStart(is_chunked=False, envelope=transaction.envelope())
                self._ask(event, self._text_answered)

    def _text_answered(self, reply: Reply) -> None:
        is_positive = reply.is_positive
        if is_positive:
            self._message = IncomingText(
                self.settings.bare_newline, self.settings.max_message_bytes
            )
        if self._octets:
            # Text that did not wait: whatever the answer was, it must never become
            self._end(server_replies.OUT_OF_STEP, "improper command pipelining after DATA")
        elif is_positive:
            self._mode = TEXT
            self._send(server_replies.START_TEXT)
        else:
            self._pass_on(reply)

    def begin_chunk(self, command: Bdat) -> None:
        match self._find_ready_transaction():
            case Reply() as problem:
                self._discard_chunk(command, partial(self._fail, problem, "BDAT"))
            case transaction if not transaction.is_chunked:
                transaction.is_chunked = True
                event = MessageStart(is_chunked=True, envelope=transaction.envelope())
                self._ask(event, partial(self._first_chunk_answered, transaction, command))
            case _:
                self._keep_chunk(command)

    def _find_ready_transaction(self) -> Transaction | Reply:
        """Give the transaction that a message can come for, or the reply that says why none can."""
        transaction = self._transaction
        if transaction is None:
            return server_replies.HELLO_FIRST if self.hello is None else server_replies.MAIL_FIRST
        if transaction.has_failed:
            return server_replies.CHUNK_FAILED
        if transaction.recipients:
            return transaction
        has_tried = transaction.has_tried_recipients
        return server_replies.NO_RECIPIENTS if has_tried else server_replies.RCPT_FIRST

    def _first_chunk_answered(self, transaction: Transaction, command: Bdat, reply: Reply) -> None:
        if reply.is_positive:
            self._message = IncomingChunks(
                self.settings.bare_newline, self.settings.max_message_bytes
            )
            self._keep_chunk(command)
        else:
            transaction.has_failed = True
            self._discard_chunk(command, partial(self._pass_on, reply))

    def _keep_chunk(self, command: Bdat) -> None:
        self._mode = CHUNK
        finish = partial(self._finish_chunk, command)
        self._chunk = _Chunk(command.octets, is_kept=True, finish=finish)

    def _discard_chunk(self, command: Bdat, finish: Callable[[], object]) -> None:
        # RFC 3030 §2: a refused chunk is read to its end before the reply.
        self._mode = CHUNK
        self._chunk = _Chunk(command.octets, is_kept=False, finish=finish)

    def _finish_chunk(self, command: Bdat) -> None:
        message, transaction = self._message, self._transaction
        assert isinstance(message, IncomingChunks)
        assert transaction is not None
        if command.is_last:
            if text := message.finish():
                self._events.append(MessageOctets(text))
            self._end_message(message.violation)
        elif (violation := message.violation) is not None:
            transaction.has_failed = True
            self._message = None
            self._events.append(MessageAborted())
            self._fail(violation, "BDAT")
        else:
            self._send(server_replies.chunk_received(command.octets))

    def _end_message(self, violation: Reply | None) -> None:
        self._message = None
        if violation is None:
            self._ask(MessageEnd(), self._message_answered)
            return
        self._transaction = None
        self._events.append(MessageEnd(violation))
        self._send(violation)
        self._count_error()

    def _message_answered(self, reply: Reply) -> None:
        self._transaction = None
        if self._pass_on(reply):
            self.errors = self._junk = self._discarded = 0

    def read_text(self) -> bool:
        message = self._message
        octets = self._octets
        if not octets or not isinstance(message, IncomingText):
            return False
        text, used, is_ended = message.take(bytes(octets))
        del octets[:used]
        if text:
            self._events.append(MessageOctets(text))
        if self._is_too_much(message.received):
            return True
        if is_ended:
            self._mode = COMMANDS
            self._end_message(message.violation)
        return True

    def read_chunk(self) -> bool:
        chunk = self._chunk
        assert chunk is not None
        if chunk.left and not self._octets:
            return False
        octets = self._input.take(chunk.left)
        chunk.left -= len(octets)
        message = self._message
        if chunk.is_kept and isinstance(message, IncomingChunks):
            if text := message.take(octets):
                self._events.append(MessageOctets(text))
            seen = message.received
        else:
            seen = self._discarded = self._discarded + len(octets)
        if not self._is_too_much(seen) and not chunk.left:
            self._mode = COMMANDS
            self._chunk = None
            chunk.finish()
        return True

    def _is_too_much(self, octets: int) -> bool:
        """End the session when far more came than we would ever keep."""
        if octets <= 2 * self.settings.max_message_bytes:
            return False
        self._end(server_replies.too_much_input(self.settings), "message far over the limit")
        return True
