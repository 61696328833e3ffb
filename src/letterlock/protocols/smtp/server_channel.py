"""What a server session stands on: replies to send, events to tell, errors, and how it ends.

RFC 5321 §3.8 and §4.2.1 (421), RFC 2920 §3.2 (replies leave in order, together where they may).
Commands and messages are `server_session`'s.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from letterlock.protocols.smtp import server_replies
from letterlock.protocols.smtp.envelope import Recipient
from letterlock.protocols.smtp.incoming_message import IncomingChunks, IncomingText
from letterlock.protocols.smtp.input_buffer import InputBuffer
from letterlock.protocols.smtp.replies import Reply, format_reply
from letterlock.protocols.smtp.server_events import Closed, Event, MessageAborted, ProtocolError
from letterlock.protocols.smtp.server_state import SessionSettings, Transaction


class Mode(Enum):
    """What the next octets are."""

    BANNER = auto()
    COMMANDS = auto()
    TEXT = auto()
    CHUNK = auto()
    HANDSHAKE = auto()
    CLOSED = auto()


# Python 3.11 finds a member of an Enum ten times as slowly as a name of a module, and each command
# asks for some five of them.
COMMANDS, TEXT, CHUNK = Mode.COMMANDS, Mode.TEXT, Mode.CHUNK
HANDSHAKE, CLOSED = Mode.HANDSHAKE, Mode.CLOSED


class ServerChannel:
    """The part of a server session that knows no command.

    `hello` is the name that the client gave, None before EHLO or HELO; `errors` counts replies 4xx
    and 5xx since the last accepted message.
    """

    def __init__(self, settings: SessionSettings) -> None:
        self.settings = settings
        self.hello: str | None = None
        self.is_extended = False
        self.is_tls = False
        self.errors = 0
        self._mode = Mode.BANNER
        self._input = InputBuffer(settings.bare_newline)
        # The same all the time.
        self._octets = self._input.octets
        self._output = bytearray()
        self._events: deque[Event] = deque()
        self._owed: Callable[[Reply], object] | None = None
        self._transaction: Transaction | None = None
        # Not None from a positive answer to MessageStart until the message's end.
        self._message: IncomingText | IncomingChunks | None = None
        self._last_verb = "CONNECT"
        self._is_stopping = False

    @property
    def is_closed(self) -> bool:
        """Nothing more is read; the `Closed` event may still be waiting."""
        return self._mode is CLOSED

    @property
    def is_answer_owed(self) -> bool:
        """An event asked. What comes meanwhile is only kept, so the driver should read no more."""
        return self._owed is not None

    @property
    def sender(self) -> str | None:
        """The open transaction's sender, "" for the null reverse-path; None: there is none."""
        return None if self._transaction is None else self._transaction.sender

    @property
    def recipients(self) -> tuple[Recipient, ...]:
        """The open transaction's accepted recipients."""
        return () if self._transaction is None else tuple(self._transaction.recipients)

    def answer(self, reply: Reply) -> None:
        """Answer the event that asked; 421 closes. Does nothing when the session has ended."""
        if self._mode is CLOSED:
            return
        if self._owed is None:
            raise RuntimeError("no event has asked for an answer")
        go_on, self._owed = self._owed, None
        go_on(reply)
        if self._is_stopping:
            self.shut_down()

    def bytes_to_send(self) -> bytes:
        """Take what is to be sent."""
        if not self._output:
            return b""
        octets = bytes(self._output)
        self._output.clear()
        return octets

    def time_out(self) -> None:
        """End the session because the client took too long."""
        self._end(server_replies.timed_out(self.settings), f"timeout after {self._last_verb}")

    def shut_down(self) -> None:
        """End the session because we stop: now, or when the answer that is owed was given."""
        if self._owed is not None:
            self._is_stopping = True
        else:
            self._end(server_replies.shutting_down(self.settings), "shutting down")

    def _ask(self, event: Event, go_on: Callable[[Reply], object]) -> None:
        self._events.append(event)
        self._owed = go_on

    def _send(self, reply: Reply) -> None:
        self._output += format_reply(reply)

    def _pass_on(self, reply: Reply) -> bool:
        """Send the driver's reply; says if it is a positive one."""
        self._output += format_reply(reply)
        if reply.code < 400:
            return True
        if reply.code == 421:
            self._close("answered 421")
        else:
            self._count_error()
        return False

    def _fail(self, reply: Reply, verb: str) -> None:
        """Send our own refusal."""
        self._send(reply)
        self._events.append(ProtocolError(reply, verb))
        self._count_error()

    def _count_error(self) -> None:
        self.errors += 1
        if self.errors >= self.settings.max_errors:
            reason = f"too many errors after {self._last_verb}"
            self._end(server_replies.too_many_errors(self.settings), reason)

    def _end(self, reply: Reply, reason: str) -> None:
        """Send a last reply, unless the other side expects TLS, and close."""
        if self._mode is CLOSED:
            return
        if self._mode is not HANDSHAKE:
            self._send(reply)
        self._close(reason)

    def _close(self, reason: str) -> None:
        self._forget_transaction()
        self._owed = None
        self._input.clear()
        self._mode = CLOSED
        self._events.append(Closed(reason))

    def _forget_transaction(self) -> None:
        self._transaction = None
        if self._message is not None:
            self._message = None
            self._events.append(MessageAborted())
