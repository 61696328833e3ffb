"""One session of message submission, at the server: no mail before AUTH, no AUTH without TLS.

RFC 6409 §4.3 (authentication is required), RFC 4954 §4 to §6 (AUTH, its replies), RFC 8314 §3.3
(implicit TLS: the handshake comes before the greeting). What a mechanism says is `protocols.sasl`'s
business and the driver's; who is let in, the driver's alone.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from letterlock.protocols.sasl.responses import decode_initial_response, decode_response
from letterlock.protocols.smtp import commands, server_replies
from letterlock.protocols.smtp.input_buffer import LineFault
from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.protocols.smtp.server_channel import Mode
from letterlock.protocols.smtp.server_clients import ServerClients
from letterlock.protocols.smtp.server_events import Authenticate, StartTls
from letterlock.protocols.smtp.server_session import ServerSession
from letterlock.protocols.smtp.server_state import SessionSettings

AUTH_FIRST = reply(530, "5.7.0", "Authentication required")
EHLO_FIRST = reply(503, "5.5.1", "Send EHLO first")
AUTH_TWICE = reply(503, "5.5.1", "You are authenticated already")
AUTH_WITHOUT_TLS = reply(504, "5.5.4", "No AUTH without TLS: STARTTLS first")
UNKNOWN_MECHANISM = reply(504, "5.5.4", "This mechanism is not offered")
NO_BASE64 = reply(501, "5.5.2", "The response is not base64")
CANCELLED = reply(501, "5.7.0", "Authentication cancelled")
RESPONSE_TOO_LONG = reply(500, "5.5.6", "Authentication Exchange line is too long")

# RFC 4954 §6: what needs no authentication. STARTTLS comes before it.
_WITHOUT_AUTH = frozenset({"AUTH", "EHLO", "HELO", "NOOP", "RSET", "QUIT", "STARTTLS", "XCLIENT"})


class SubmissionSession(ServerSession):
    """A session on port 587, or with `is_implicit_tls` on port 465.

    `settings` must have mechanisms and `require_tls`.
    """

    def __init__(self, settings: SessionSettings, *, is_implicit_tls: bool = False) -> None:
        if not settings.auth_mechanisms or not settings.require_tls:
            raise ValueError("submission is with AUTH, and under TLS")
        super().__init__(settings)
        self.is_authenticated = False
        self._is_implicit_tls = is_implicit_tls
        self._is_response_due = False

    def greet(self) -> None:
        if not self._is_implicit_tls or self.is_tls:
            super().greet()
        elif self._input.octets:
            self._close("input before the handshake")
        else:
            self._mode = Mode.HANDSHAKE
            self._events.append(StartTls())

    def refuse(self, reply: Reply) -> None:
        if self._is_implicit_tls and not self.is_tls and self._mode is Mode.BANNER:
            # In clear it would not be understood, and a handshake is what we have no room for.
            self._close("refused")
        else:
            super().refuse(reply)

    def go_on_from(self, before: ServerClients, *, has_login: bool) -> None:
        super().go_on_from(before, has_login=has_login)
        self.is_authenticated = has_login

    def tls_started(self) -> None:
        has_greeted = self.is_tls or not self._is_implicit_tls
        super().tls_started()
        if not has_greeted and self._mode is Mode.COMMANDS:
            self._output += server_replies.format_banner(self.settings)

    def _read_line(self) -> bool:
        if not self._is_response_due:
            return super()._read_line()
        line = self._input.take_line()
        if line is None:
            return False
        self._is_response_due = False
        if isinstance(line, LineFault):
            self._refuse_fault(line)
        elif line == b"*":
            self._fail(CANCELLED, "AUTH")
        elif (response := decode_response(line)) is None:
            self._fail(NO_BASE64, "AUTH")
        else:
            self._ask(Authenticate(None, response), self._auth_answered)
        return True

    def _refuse_fault(self, fault: LineFault) -> None:
        if fault is LineFault.TOO_LONG:
            self._fail(RESPONSE_TOO_LONG, "AUTH")
        else:
            self._answer_fault(fault)

    def _find_refusal(self, verb: str) -> Reply | None:
        if verb == "AUTH" and self._refusal is None:
            return None  # it has refusals of its own
        if self.is_authenticated and not self.is_tls and self._refusal is None:
            # Logged in by its proxy's word, and no password goes over this connection.
            return None
        refusal = super()._find_refusal(verb)
        if refusal is None and not self.is_authenticated and verb not in _WITHOUT_AUTH:
            return AUTH_FIRST
        return refusal

    def _authenticate(self, command: commands.Auth) -> None:
        initial = command.initial
        response = None if initial is None else decode_initial_response(initial.encode())
        if not self.is_tls:
            # Whatever the password is: nobody learns by it (RFC 8314 §4.1).
            self._fail(AUTH_WITHOUT_TLS, "AUTH")
        elif not self.is_extended:
            self._fail(EHLO_FIRST, "AUTH")
        elif self.is_authenticated:
            # So it is in a transaction, too: there is none without authentication.
            self._fail(AUTH_TWICE, "AUTH")
        elif command.mechanism not in self.settings.auth_mechanisms:
            self._fail(UNKNOWN_MECHANISM, "AUTH")
        elif initial is not None and response is None:
            self._fail(NO_BASE64, "AUTH")
        else:
            self._ask(Authenticate(command.mechanism, response), self._auth_answered)

    def _auth_answered(self, answer: Reply) -> None:
        if answer.code == 334:
            # Not a reply like others: longer than those may be, and a space before nothing.
            self._output += f"334 {answer.lines[0]}\r\n".encode()
            self._is_response_due = True
            return
        self.is_authenticated = answer.is_positive
        self._pass_on(answer)

    # Any: as in ServerSession.
    _ACTIONS: ClassVar[Mapping[type, Callable[[Any, Any], None]]] = {
        **ServerSession._ACTIONS,  # noqa: SLF001 - the base class's
        commands.Auth: _authenticate,
    }
