"""One SMTP session as the server sees it: octets in, events and octets out, no I/O.

RFC 5321 §3 and §4; RFC 1870, RFC 2034, RFC 2920, RFC 3030, RFC 3207, RFC 3461, RFC 6152, RFC 6531,
RFC 8689.
The driver gives what it receives to `receive`, takes events until there is none, answers those that
ask, and sends `bytes_to_send` whenever it waits. Which mail is accepted is the driver's business;
which octets are a command, and that nothing else ever becomes one, is decided here.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from letterlock.protocols.smtp import commands, server_replies
from letterlock.protocols.smtp.commands import parse_command
from letterlock.protocols.smtp.envelope import Recipient
from letterlock.protocols.smtp.input_buffer import LineFault
from letterlock.protocols.smtp.message_data import BareNewline
from letterlock.protocols.smtp.paths import Mailbox
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.server_channel import CHUNK, CLOSED, COMMANDS, HANDSHAKE, TEXT, Mode
from letterlock.protocols.smtp.server_clients import ServerClients
from letterlock.protocols.smtp.server_events import (
    Aside,
    Authenticate,
    ClientNamed,
    Closed,
    Event,
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
    StartTls,
)
from letterlock.protocols.smtp.server_state import SessionSettings, Transaction

__all__ = [
    "Aside",
    "Authenticate",
    "BareNewline",
    "ClientNamed",
    "Closed",
    "Event",
    "Hello",
    "MailFrom",
    "MessageAborted",
    "MessageEnd",
    "MessageOctets",
    "MessageStart",
    "OriginTold",
    "ProtocolError",
    "Quit",
    "RcptTo",
    "Reset",
    "ServerSession",
    "SessionSettings",
    "StartTls",
]

# RFC 2920 §3.1: these end a group of commands. (VRFY, EXPN, NOOP and QUIT do too, but nothing that
# follows them can be mistaken for a command.)
# XCLIENT is followed by a greeting.
_END_OF_GROUP = frozenset({"EHLO", "HELO", "DATA", "STARTTLS", "XCLIENT"})
# RFC 3207 §4: what needs no TLS where TLS is required.
_WITHOUT_TLS = frozenset({"NOOP", "EHLO", "STARTTLS", "QUIT"})
# Postfix's SMTPD_CMD_FLAG_LIMIT, HELP, and BDAT where its chunk is empty: commands that further
# nothing.
_JUNK = frozenset({"EHLO", "HELO", "RSET", "NOOP", "VRFY", "HELP", "BDAT"})
_EMPTY_CHUNK = commands.Bdat(0, is_last=False)


class ServerSession(ServerClients):
    """A session on port 25, from the banner on."""

    def __init__(self, settings: SessionSettings) -> None:
        super().__init__(settings)
        self._refusal: Reply | None = None
        # False where `_find_refusal` finds none: it is not asked for each command then.
        self._has_conditions = settings.require_tls
        self._is_eof = False

    def greet(self) -> None:
        """Queue the banner. A client that spoke before it is turned away (RFC 5321 §4.3.1)."""
        if self._mode is not Mode.BANNER:
            raise RuntimeError("the session was greeted already")
        self._mode = COMMANDS
        if self._octets:
            self._send(server_replies.OUT_OF_STEP)
            self._close("input before the banner")
        else:
            self._output += server_replies.format_banner(self.settings)

    def refuse(self, reply: Reply) -> None:
        """Refuse all service: in place of the banner, or after `tls_started`.

        421 and 521 close; after anything else every command but QUIT is refused (RFC 5321 §3.1;
        after TLS with the same reply, RFC 3207 §4.1).
        """
        self._has_conditions = True
        if self._mode is not Mode.BANNER:
            self._refusal = reply
            return
        self._mode = COMMANDS
        self._send(reply)
        self._refusal = server_replies.ONLY_QUIT
        if reply.code in (421, 521):
            self._close("refused")

    def receive(self, data: bytes) -> None:
        """Take octets from the client, decrypted."""
        mode = self._mode
        if mode is HANDSHAKE:
            self._close("input between STARTTLS and the handshake")
        elif mode is not CLOSED:
            self._octets += data

    def receive_eof(self) -> None:
        """Nothing more will come. What came before is still carried out."""
        self._is_eof = True
        if self._mode is HANDSHAKE:
            self._close("lost connection after STARTTLS")

    def next_event(self) -> Event | None:
        """Give what happened next; None: more octets, an answer or the handshake is needed."""
        events = self._events
        while not events:
            # Most looks find nothing more, since clients wait for our answer: no call for those.
            if self._owed is not None or not (self._octets or self._is_eof or self._mode is CHUNK):
                return None
            if not self._advance():
                return None
        return events.popleft()

    def tls_started(self) -> None:
        """Forget everything: the session is as after its greeting (RFC 3207 §4.2)."""
        if self._mode is CLOSED:
            return
        if self._mode is not HANDSHAKE:
            raise RuntimeError("no handshake was asked for")
        self._mode = COMMANDS
        self.is_tls = True
        self.hello = None
        self.is_extended = False

    # reading

    def _advance(self) -> bool:
        """Use some input; False when nothing can be done with what there is."""
        mode = self._mode
        if mode is COMMANDS:
            is_used = self._read_line()
        elif mode is TEXT:
            is_used = self.read_text()
        elif mode is CHUNK:
            is_used = self.read_chunk()
        else:
            return False
        if not is_used and self._is_eof:
            self._close(f"lost connection after {self._last_verb}")
            return True
        return is_used

    def _read_line(self) -> bool:
        line = self._input.take_line()
        if line is None:
            return False
        if isinstance(line, LineFault):
            self._answer_fault(line)
            return True
        transaction = self._transaction
        may_be_unicode = transaction is not None and transaction.mail.parameters.smtputf8
        self._carry_out(parse_command(line, may_be_unicode=may_be_unicode))
        return True

    def _answer_fault(self, fault: LineFault) -> None:
        if fault is LineFault.ENDLESS:
            self._end(server_replies.too_much_input(self.settings), "endless line")
        else:
            self._fail(server_replies.LINE_FAULTS[fault], "")

    # commands

    def _carry_out(self, command: commands.Command) -> None:
        self._last_verb = verb = command.verb
        if self._octets and self._is_end_of_group(verb):
            self._events.append(ProtocolError(server_replies.OUT_OF_STEP, verb))
            self._end(server_replies.OUT_OF_STEP, f"improper command pipelining after {verb}")
            return
        refusal = self._find_refusal(verb) if self._has_conditions else None
        if refusal is None:
            self._ACTIONS[type(command)](self, command)
            if verb in _JUNK and (verb != "BDAT" or command == _EMPTY_CHUNK):
                self._count_junk()
        elif isinstance(command, commands.Bdat):
            self._discard_chunk(command, partial(self._fail, refusal, verb))
        elif verb == "BDAT":
            self._reject(commands.Rejected(verb, refusal))
        else:
            self._fail(refusal, verb)

    def _is_end_of_group(self, verb: str) -> bool:
        """Say whether nothing may follow this command (RFC 2920 §3.1)."""
        return verb in _END_OF_GROUP or (not self.is_extended and verb not in ("QUIT", "BDAT"))

    def _find_refusal(self, verb: str) -> Reply | None:
        if self._refusal is not None and verb != "QUIT":
            return self._refusal
        if self.settings.require_tls and not self.is_tls and verb not in _WITHOUT_TLS:
            # A proxy that speaks no TLS to us may have had it with its client.
            if verb == "XCLIENT" and self.settings.may_name_clients:
                return None
            return server_replies.TLS_FIRST
        return None

    def _count_junk(self) -> None:
        self._junk += 1
        if self._junk > self.settings.max_commands:
            self._count_error()

    def _greet_back(self, command: commands.Ehlo | commands.Helo) -> None:
        self._forget_transaction()
        self.hello = command.name
        self.is_extended = isinstance(command, commands.Ehlo)
        if self.is_extended:
            self._output += server_replies.format_ehlo(self.settings, is_tls=self.is_tls)
        else:
            self._send(server_replies.helo(self.settings))
        self._events.append(Hello(command.name, self.is_extended))

    def _begin_transaction(self, command: commands.Mail) -> None:
        if self.hello is None:
            self._fail(server_replies.HELLO_FIRST, "MAIL")
        elif self._transaction is not None:
            self._fail(server_replies.MAIL_TWICE, "MAIL")
        elif (command.parameters.size or 0) > self.settings.max_message_bytes:
            self._fail(server_replies.TOO_BIG, "MAIL")
        elif command.parameters.has_auth and not self.settings.auth_mechanisms:
            self._fail(server_replies.NO_AUTH_PARAMETER, "MAIL")
        elif command.parameters.requiretls and (refusal := self._find_tls_refusal()) is not None:
            self._fail(refusal, "MAIL")
        else:
            asked = command.parameters
            event = MailFrom(
                command.sender,
                asked.size,
                asked.body_type,
                asked.smtputf8,
                asked.ret,
                asked.envid,
            )
            self._ask(event, partial(self._sender_answered, command))

    def _find_tls_refusal(self) -> Reply | None:
        """Say why MAIL may not ask for REQUIRETLS (RFC 8689 §2: only where it is offered)."""
        if not self.settings.offer_requiretls:
            return server_replies.NO_REQUIRETLS
        return None if self.is_tls else server_replies.ENCRYPTION_NEEDED

    def _sender_answered(self, command: commands.Mail, reply: Reply) -> None:
        if self._pass_on(reply):
            self._transaction = Transaction(command)

    def _add_recipient(self, command: commands.Rcpt) -> None:
        transaction = self._transaction
        if transaction is None:
            self._fail(server_replies.MAIL_FIRST, "RCPT")
        elif transaction.is_chunked:
            self._fail(server_replies.CHUNKS_BEGUN, "RCPT")
        elif len(transaction.recipients) >= self.settings.max_recipients:
            self._refuse_one_more(transaction)
        else:
            transaction.has_tried_recipients = True
            mailbox = command.mailbox or Mailbox("postmaster", self.settings.hostname)
            asked = command.parameters
            recipient = Recipient(mailbox.format(), asked.notify, asked.orcpt)
            event = RcptTo(
                mailbox, asked.notify, asked.orcpt, is_postmaster=command.mailbox is None
            )
            self._ask(event, partial(self._recipient_answered, transaction, recipient))

    def _refuse_one_more(self, transaction: Transaction) -> None:
        # RFC 5321 §4.5.3.1.10: 452, and the client sends to the rest later. It must get that far,
        # so as many again are no errors.
        transaction.refused_for_number += 1
        if transaction.refused_for_number <= self.settings.max_recipients:
            self._send(server_replies.TOO_MANY_RECIPIENTS)
            self._events.append(ProtocolError(server_replies.TOO_MANY_RECIPIENTS, "RCPT"))
        else:
            self._fail(server_replies.TOO_MANY_RECIPIENTS, "RCPT")

    def _recipient_answered(
        self, transaction: Transaction, recipient: Recipient, reply: Reply
    ) -> None:
        if self._pass_on(reply):
            transaction.recipients.append(recipient)

    def _start_tls(self, _: commands.StartTls) -> None:
        if self.is_tls:
            self._fail(server_replies.TLS_TWICE, "STARTTLS")
        elif not self.settings.offer_starttls:
            self._fail(server_replies.NO_TLS_NOW, "STARTTLS")
        else:
            self._forget_transaction()
            self._send(server_replies.READY_FOR_TLS)
            self._events.append(StartTls())
            self._mode = HANDSHAKE

    def _refuse_auth(self, _: commands.Auth) -> None:
        self._fail(server_replies.NO_AUTH, "AUTH")

    def _reset(self, _: commands.Rset) -> None:
        self._forget_transaction()
        self._events.append(Reset())
        self._send(server_replies.OK)

    def _quit(self, _: commands.Quit) -> None:
        self._forget_transaction()
        self._send(server_replies.BYE)
        self._events.append(Quit())
        self._close("quit")

    def _reject(self, command: commands.Rejected) -> None:
        self._fail(command.reply, command.verb)
        if command.verb == "BDAT" and self._mode is not CLOSED:
            # Octets of unknown number follow: none of them may be taken for a command.
            self._close("BDAT without a length")

    def _reply_ok(self, _: commands.Noop) -> None:
        self._reply_aside("NOOP", server_replies.OK)

    def _reply_to_vrfy(self, _: commands.Vrfy) -> None:
        self._reply_aside("VRFY", server_replies.VRFY)

    def _reply_to_help(self, _: commands.Help) -> None:
        self._reply_aside("HELP", server_replies.HELP)

    def _reply_aside(self, command: str, reply: Reply) -> None:
        self._send(reply)
        self._events.append(Aside(command))

    # Any: each action takes the command that it stands beside.
    _ACTIONS: ClassVar[Mapping[type, Callable[["ServerSession", Any], None]]] = {
        commands.Ehlo: _greet_back,
        commands.Helo: _greet_back,
        commands.Mail: _begin_transaction,
        commands.Rcpt: _add_recipient,
        commands.Data: ServerClients.begin_text,
        commands.Bdat: ServerClients.begin_chunk,
        commands.Rset: _reset,
        commands.Noop: _reply_ok,
        commands.Quit: _quit,
        commands.Vrfy: _reply_to_vrfy,
        commands.Help: _reply_to_help,
        commands.StartTls: _start_tls,
        commands.Auth: _refuse_auth,
        commands.Xclient: ServerClients.take_client,
        commands.Xforward: ServerClients.take_origin,
        commands.Rejected: _reject,
    }
