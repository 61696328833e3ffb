"""One SMTP connection that comes in: a socket and TLS under a session.

Decides nothing: each event of `protocols.smtp.server_session` goes to its `SessionOwner`
(`services.receive`), whose answer goes back. Reading stops when octets come while an answer
is owed, so a client can't fill memory. RFC 3207 §4 (STARTTLS), RFC 8446 §6.1 (closing).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Protocol, assert_never, cast

from letterlock.network.server_certificates import ServerCertificates
from letterlock.network.server_limits import ServerLimits
from letterlock.network.smtp_owner import Peer, SessionOwner, make_peer
from letterlock.network.tls import TlsDriver
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.server_session import (
    Aside,
    ClientNamed,
    Closed,
    Hello,
    MailFrom,
    MessageAborted,
    MessageEnd,
    MessageOctets,
    MessageStart,
    OriginTold,
    ProtocolError,
    Quit,
    RcptTo,
    Reset,
    ServerSession,
    StartTls,
)
from letterlock.protocols.tls.handshake import Handshake, HandshakeFailed

HANDSHAKE_SECONDS = 60.0
LINGER_SECONDS = 5.0
"""How long a client is still read from after we said the last word: closing at once, with octets of
its unread, would reset the connection, and it would never see that word."""
SLOW_START_SECONDS = 30.0


class ConnectionHome(Protocol):
    """What a connection needs of its server."""

    @property
    def certificates(self) -> ServerCertificates | None: ...
    @property
    def limits(self) -> ServerLimits: ...
    @property
    def is_crowded(self) -> bool: ...
    @property
    def is_ending(self) -> bool: ...
    def now(self) -> float: ...

    def begin(self, connection: "Connection", peer: Peer) -> tuple[ServerSession, SessionOwner]: ...

    def end(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, server: ConnectionHome, tasks: asyncio.TaskGroup) -> None:
        self._server = server
        self._tasks = tasks
        self._transport: asyncio.Transport
        self._session: ServerSession
        self._owner: SessionOwner
        self._tls: TlsDriver | None = None
        self._is_handshaking = self._is_waiting = self._is_paused = False
        self._is_reading = True
        self._is_stopping = self._is_ended = self._is_expecting_end = False
        self._lost: str | None = None
        self._late: str | None = None
        self._lingers_until = 0.0
        self._started = self._active = server.now()
        self._message_started: float | None = None
        self._message_octets = 0

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.start(transport, make_peer(transport))

    def start(self, transport: asyncio.BaseTransport, peer: Peer) -> None:
        """Greet a client, or refuse it."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._session, self._owner = self._server.begin(self, peer)
        self._greet()
        self._pump()

    def _greet(self) -> None:
        # Nothing of theirs is unread: who is turned away is closed at once, and has no descriptor.
        self._is_expecting_end = True
        if refusal := self._owner.start_connection(is_crowded=self._server.is_crowded):
            self._session.refuse(refusal)
        elif self._server.is_ending:
            self._session.shut_down()
        else:
            self._is_expecting_end = False
            self._session.greet()

    def data_received(self, data: bytes) -> None:
        if self._is_ended:
            return
        was_waiting = self._is_waiting
        if self._tls is None:
            self._session.receive(data)
        else:
            self._tls.receive(data)
            if self._is_handshaking and not self._go_on_with_handshake():
                return
        self._pump()
        if was_waiting and self._is_waiting:
            # Not sooner: to stop and go on costs two system calls, and few clients come so early.
            self._stop_reading()

    def eof_received(self) -> bool:
        if self._is_ended:
            return False
        if self._is_handshaking:
            assert self._tls is not None
            self._tls.receive_eof()
            self._go_on_with_handshake()
            return False
        self._session.receive_eof()
        self._pump()
        # What was read whole is still stored, and its reply still sent.
        return not self._is_ended

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_handshaking and self._tls is not None:
            self._tls.receive_eof(is_reset=isinstance(exc, ConnectionResetError))
            self._go_on_with_handshake()
        self._lost = f"lost connection: {exc}" if exc else "lost connection"
        if not (self._is_waiting or self._is_ended):
            # Else what is being stored is stored to its end first: the owner has it in hands.
            self._end(self._lost)
        self._server.end(self)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._pump()

    # the server's side

    def check_time(self, now: float) -> None:
        limits = self._server.limits
        if self._is_ended and now > self._lingers_until:
            self._transport.abort()
        if self._is_waiting or self._is_ended:
            return
        idle = HANDSHAKE_SECONDS if self._is_handshaking else limits.idle.total_seconds()
        if now - self._active > idle:
            self._time_out(None)
        elif self._message_started is not None and limits.min_bytes_per_second:
            # Whatever the hour: a message that is cut off comes again, and is cut off again.
            seconds = now - self._message_started
            least = seconds * limits.min_bytes_per_second
            if seconds > SLOW_START_SECONDS and self._message_octets < least:
                self._time_out("message came too slowly")
        elif now - self._started > limits.session.total_seconds():
            self._time_out("session took too long")

    def shut_down(self) -> None:
        """End soon: now, or after the reply that is owed."""
        self._is_stopping = True
        if not self._is_waiting and not self._is_ended:
            self._session.shut_down()
            self._pump()

    # ours

    def _pump(self) -> None:
        """Go through the events there are, until one has to be waited for."""
        session = self._session
        if self._tls is not None and not self._is_handshaking:
            self._read_plaintext(self._tls)
        while not (self._is_waiting or self._is_paused or self._is_handshaking or self._is_ended):
            event = session.next_event()
            if event is None:
                break
            self._ACTIONS[type(event)](self, event)
        if not self._is_ended:  # else all was sent before
            self._flush()
        if self._is_paused:
            self._stop_reading()
        elif not self._is_reading and not self._is_waiting:
            self._go_on_reading()

    def _answer(self, answer: Reply | Awaitable[Reply]) -> None:
        if type(answer) is Reply:
            self._session.answer(answer)
        else:
            self._wait(self._answer_later(cast("Awaitable[Reply]", answer)))

    async def _answer_later(self, answer: Awaitable[Reply]) -> None:
        self._session.answer(await answer)

    def _begin_message(self, event: MessageStart) -> None:
        self._message_started, self._message_octets = self._server.now(), 0
        self._session.answer(self._owner.answer_message(event))

    def _take_octets(self, event: MessageOctets) -> None:
        self._active = self._server.now()
        self._message_octets += len(event.data)
        if (waiting := self._owner.take_octets(event.data)) is not None:
            self._wait(waiting)

    def _end_message(self, event: MessageEnd) -> None:
        self._message_started = None
        if event.violation is None:
            self._wait(self._answer_later(self._owner.answer_end()))
        else:
            self._owner.drop_message(event.violation)

    def _abort_message(self, _: MessageAborted) -> None:
        self._message_started = None
        self._owner.drop_message()

    def _quit(self, event: Quit) -> None:
        self._is_expecting_end = True
        self._owner.note_command(event)

    def _wait(self, waiting: Awaitable[None]) -> None:
        self._is_waiting = True
        self._tasks.create_task(self._finish_waiting(waiting))

    async def _finish_waiting(self, waiting: Awaitable[None]) -> None:
        try:
            await waiting
        except Exception as error:  # noqa: BLE001 - ends this session, and no other
            self._end(f"internal error: {error!r}")
            self._transport.abort()
            return
        finally:
            self._is_waiting = False
            self._active = self._server.now()
        if self._lost is not None:
            self._end(self._lost)
            return
        if self._is_stopping and not self._is_ended:
            self._session.shut_down()
        self._pump()

    async def _change_client(self, event: ClientNamed) -> None:
        """Go on with the client that a proxy names, as if it had connected by itself."""
        if self._lost is not None:
            return
        name = event.attributes.get("LOGIN", "")
        session, owner = self._server.begin(self, self._owner.name_client(event))
        if name and (refusal := await owner.log_in(name)) is not None:
            self._owner.note_error(ProtocolError(refusal, "XCLIENT"))
            self._session.answer(refusal)
            return
        self._owner.end_connection("client named")
        session.go_on_from(self._session, has_login=bool(name))
        self._session, self._owner = session, owner
        self._greet()

    def _start_tls(self, _: StartTls) -> None:
        """Send the 220; from here on what comes is TLS (RFC 3207 §4)."""
        self._flush()
        certificates = self._server.certificates
        assert certificates is not None, "STARTTLS is offered only with a certificate"
        self._tls = TlsDriver.server(certificates)
        self._is_handshaking = True

    def _go_on_with_handshake(self) -> bool:
        """Take the handshake as far as the octets go; True when it is done."""
        assert self._tls is not None
        outcome = self._tls.do_handshake()
        if octets := self._tls.bytes_to_send():
            self._transport.write(octets)
        match outcome:
            case None:
                return False
            case Handshake():
                self._is_handshaking = False
                self._active = self._server.now()
                self._session.tls_started()
                self._owner.note_tls(outcome, self._tls.choice)
                return True
            case HandshakeFailed():
                self._is_handshaking = False
                self._owner.note_tls_failure(outcome)
                self._owner.drop_message()
                self._end("lost connection after STARTTLS")
                self._hang_up()
                return False
            case _:
                assert_never(outcome)

    def _read_plaintext(self, tls: TlsDriver) -> None:
        while plain := tls.read():
            self._session.receive(plain)
        if not tls.is_closed:
            return
        if tls.failure is not None and not self._is_ended:
            self._owner.note_tls_failure(tls.failure)
        self._session.receive_eof()

    def _flush(self) -> None:
        octets = self._session.bytes_to_send()
        if octets:
            # Each command has a reply: the client is not idle.
            self._active = self._server.now()
        if self._tls is not None and not self._is_handshaking:
            if octets:
                self._tls.write(octets)
            octets = self._tls.bytes_to_send()
        if octets and not self._transport.is_closing():
            self._transport.write(octets)

    def _stop_reading(self) -> None:
        """Read no more while we owe an answer, or have answers that the client does not take.

        What a client can make us hold stays bounded.
        """
        self._is_reading = False
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def _go_on_reading(self) -> None:
        self._is_reading = True
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _time_out(self, reason: str | None) -> None:
        """End for want of time. `reason` None: nothing came; the session says in which command."""
        if self._is_handshaking:
            assert self._tls is not None
            self._owner.note_tls_failure(self._tls.time_out())
            self._is_handshaking = False
            self._end(reason or "timeout")
            self._transport.abort()
            return
        self._late = reason
        self._session.time_out()
        self._pump()
        self._end("timeout")
        if self._is_paused:
            self._transport.abort()

    def _close(self, reason: str) -> None:
        if self._tls is not None and not self._is_handshaking:
            # Our last word and close_notify in one packet.
            self._tls.write(self._session.bytes_to_send())
            self._tls.close()
        self._flush()
        self._end(reason)
        self._hang_up()

    def _hang_up(self) -> None:
        """Close: at once when the client expects it, else when it has heard our last word."""
        if not self._is_expecting_end and not self._transport.is_closing():
            # Not connected any more: the client did not wait for our last word.
            with contextlib.suppress(OSError):
                self._transport.write_eof()
                self._go_on_reading()
                self._lingers_until = self._server.now() + LINGER_SECONDS
                return
        self._transport.close()

    def _end(self, reason: str) -> None:
        if self._is_ended:
            return
        self._is_ended = True
        if self._message_started is not None:
            self._message_started = None
            self._owner.drop_message()
        self._owner.end_connection(self._late or reason)

    # A table, not `match`: for each event of each command it costs one look.
    # Any: each action takes the event that it stands beside.
    _ACTIONS: ClassVar[Mapping[type, Callable[["Connection", Any], None]]] = {
        Hello: lambda self, event: self._owner.answer_hello(event),
        MailFrom: lambda self, event: self._answer(self._owner.answer_mail(event)),
        RcptTo: lambda self, event: self._answer(self._owner.answer_rcpt(event)),
        MessageStart: _begin_message,
        MessageOctets: _take_octets,
        MessageEnd: _end_message,
        MessageAborted: _abort_message,
        ProtocolError: lambda self, event: self._owner.note_error(event),
        StartTls: _start_tls,
        Reset: lambda self, event: self._owner.note_command(event),
        ClientNamed: lambda self, event: self._wait(self._change_client(event)),
        OriginTold: lambda self, event: self._owner.note_origin(event),
        Aside: lambda self, event: self._owner.note_command(event),
        Quit: _quit,
        Closed: lambda self, event: self._close(event.reason),
    }
