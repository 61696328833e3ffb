"""One SMTP session on port 25: who may send what, and a message stored before its 250.

Implements `network.smtp_server.SessionOwner`. Decisions are pure functions (`recipients`) or
counts (`clients`); this joins them to the queue. RFC 5321 §4.1.1, §4.4, §6.3; RFC 8689 §4.1;
RFC 6376 §5: what our own clients send is signed before it is stored.
"""

from collections.abc import Awaitable

from msgspec.structs import replace

from letterlock.base.log import Service
from letterlock.network.server_certificates import Choice, ChoiceReason
from letterlock.network.smtp_owner import Peer
from letterlock.protocols.smtp.envelope import Envelope
from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.protocols.smtp.requiretls import find_tls_demand
from letterlock.protocols.smtp.server_session import (
    Aside,
    ClientNamed,
    Hello,
    MailFrom,
    MessageStart,
    OriginTold,
    ProtocolError,
    Quit,
    RcptTo,
    Reset,
)
from letterlock.protocols.smtp.trace import Received, count_received, format_received
from letterlock.protocols.tls.failures import explain_failure
from letterlock.protocols.tls.handshake import Handshake, HandshakeFailed
from letterlock.services.filter.contract import FilterClient
from letterlock.services.receive import proxied
from letterlock.services.receive.command_counts import CommandCounts
from letterlock.services.receive.ending import end_content
from letterlock.services.receive.expanded import report_expanded
from letterlock.services.receive.filter_log import Filtered, FilteredLine, log_filtered
from letterlock.services.receive.filtered import SessionFilters, make_client
from letterlock.services.receive.incoming import IncomingMessage
from letterlock.services.receive.opening import TOO_LONG
from letterlock.services.receive.programs import make_opening
from letterlock.services.receive.receiver import COUNTERS, Receiver
from letterlock.services.receive.recipients import judge_recipient
from letterlock.services.receive.redirected import find_destinations, redirect
from letterlock.services.receive.session_log import log_handshake, log_refusal, log_stored
from letterlock.services.receive.tls_words import describe_tls
from letterlock.storage.queue import NewMessage, QueueId, StoreUnavailable

__all__ = ["COUNTERS", "Receiver", "ReceivingSession"]

_NO_HELLO = Hello("", is_extended=False)
_SENDER_OK = reply(250, "2.1.0", "Ok")
_RECIPIENT_OK = reply(250, "2.1.5", "Ok")
_GO_ON = reply(354, None, "End data with <CR><LF>.<CR><LF>")
_UNKNOWN_NAMES = (ChoiceReason.UNKNOWN_NAME, ChoiceReason.NOT_A_NAME)


class ReceivingSession:
    """Answers one session's events."""

    def __init__(self, receiver: Receiver, peer: Peer) -> None:
        self._receiver = receiver
        self._peer = peer
        self._may_relay = peer.has_rights and receiver.relay.may_relay(peer.ip)
        self._hello = _NO_HELLO
        self._tls: Handshake | None = peer.tls
        self._message: IncomingMessage | None = None
        self._mail: MailFrom | None = None
        self._counts = CommandCounts()
        self._name = proxied.begin_name(peer, receiver.names)
        filters = receiver.filters
        self._filters = None if filters is None else SessionFilters(filters, self)
        self._is_proxy = proxied.may_name_clients(peer, receiver.proxies)
        self._origin_told: dict[str, str] = {}

    def start_connection(self, *, is_crowded: bool = False) -> Reply | None:
        receiver, peer = self._receiver, self._peer
        refusal = None
        if not peer.is_proxy:
            receiver.count("connections")
            refusal = receiver.clients.admit(None if self._is_proxy else peer.ip)
            client = self._client
            way = "" if peer.via is None else proxied.describe_way(peer)
            receiver.log.write(Service.SMTPD, f"connect from {client}{way}", client=client)
        if refusal is None and is_crowded:
            refusal = reply(421, "4.3.2", "Too many connections for this server, try again later")
        if refusal is not None:
            receiver.count("refused")
            self._log_refusal("CONNECT", refusal)
        return refusal

    def answer_hello(self, event: Hello) -> None:
        self._hello = event
        self._forget_transaction()
        self._counts.add("EHLO" if event.is_extended else "HELO")

    def answer_mail(self, event: MailFrom) -> Reply | Awaitable[Reply]:
        self._mail = event
        if self._filters is not None and (asked := self._filters.ask_sender(event)) is not None:
            return self._answer_asked("MAIL", asked, _SENDER_OK)
        self._counts.add("MAIL")
        return _SENDER_OK

    def answer_rcpt(self, event: RcptTo) -> Reply | Awaitable[Reply]:
        receiver = self._receiver
        refused = judge_recipient(
            event.mailbox,
            receiver.directory,
            receiver.tables.current(),
            may_relay=self._may_relay,
        )
        if refused is not None:
            self._counts.add("RCPT", is_accepted=False)
            if refused.reason is not None:
                # The client first: what follows its name could be read as one.
                to = event.mailbox.format()
                self._log(f"warning: {self._client}: <{to}>: {refused.reason}", to=to)
            self._log_refusal("RCPT", refused.reply, event.mailbox.format())
            return refused.reply
        if self._filters is not None and (asked := self._filters.ask_recipient(event)) is not None:
            return self._answer_asked("RCPT", asked, _RECIPIENT_OK)
        self._counts.add("RCPT")
        return _RECIPIENT_OK

    def answer_message(self, event: MessageStart) -> Reply:
        receiver = self._receiver
        verb = "BDAT" if event.is_chunked else "DATA"
        try:
            writer = receiver.store.write_body()
        except StoreUnavailable as error:
            self._counts.add(verb, is_accepted=False)
            return self._refuse_for_store(error)
        filtered = self._filters.begin_message() if self._filters is not None else None
        queue_id, cutter = filtered or (receiver.make_id(), None)
        trace = format_received(self._trace(queue_id, event.envelope))
        signer = receiver.signer if self._may_relay else None
        signing = signer.begin() if signer is not None else None
        # What comes with XFORWARD is somebody else's, back from a filter.
        is_new = self._may_relay and self._peer.is_this_machine and not self._origin_told
        opening = make_opening(receiver, self._peer, event.envelope.sender, queue_id, is_new=is_new)
        self._message = IncomingMessage(
            *(queue_id, event.envelope, verb, writer, opening, len(trace), signing), cutter=cutter
        )
        # Far below the size at which a writer goes to disk: nothing to wait for.
        writer.write(trace)
        return _GO_ON

    def take_octets(self, data: bytes) -> Awaitable[None] | None:
        message = self._message
        if message is None or message.refusal is not None:
            return None
        if message.opening.header is None:
            data = self._open(message, data)
            if not data:
                return None
        if message.cutter is not None:
            waiting = message.cutter.receive(data)
            return None if waiting is None else self._write(message, waiting)
        if message.signing is not None:
            data = message.signing.receive(data)
        waiting = message.writer.write(data)
        return None if waiting is None else self._write(message, waiting)

    async def answer_end(self) -> Reply:
        message, self._message = self._message, None
        assert message is not None
        answer = await self._answer(message)
        self._counts.add(message.verb, is_accepted=answer.is_positive)
        self._forget_transaction()
        return answer

    def drop_message(self, violation: Reply | None = None) -> None:
        if violation is not None:
            self._log_refusal("END-OF-MESSAGE", violation)
        message = self._message
        if message is not None:
            if violation is not None or message.verb == "DATA":
                # Else a chunk was refused, which counts by itself.
                self._counts.add(message.verb, is_accepted=False)
            self._forget_transaction()
            message.discard()
            self._message = None

    def note_tls(self, handshake: Handshake, choice: Choice | None) -> None:
        self._tls = handshake
        self._counts.add("STARTTLS")
        self._hello = _NO_HELLO
        self._forget_transaction()
        if self._peer.is_proxy:
            return
        count = self._receiver.count
        count("tls")
        if choice is not None and choice.reason is ChoiceReason.NO_SNI:
            count("no_sni")
        elif choice is not None and choice.reason in _UNKNOWN_NAMES:
            count("unknown_sni")
        log_handshake(self._log, self._client, handshake)

    def note_tls_failure(self, failure: HandshakeFailed) -> None:
        if self._peer.is_proxy:
            return
        self._receiver.count("tls_failed")
        if self._tls is None:
            self._counts.add("STARTTLS", is_accepted=False)
        finding = explain_failure(failure)
        self._log(f"SSL_accept error from {self._client}: {finding.text} ({finding.reason_code})")

    def note_error(self, event: ProtocolError) -> None:
        self._counts.add(event.command, is_accepted=False)
        self._log_refusal(event.command or "UNKNOWN", event.reply)

    def note_command(self, event: Reset | Quit | Aside) -> None:
        if isinstance(event, Aside):
            self._counts.add(event.command)
            return
        self._forget_transaction()
        self._counts.add("QUIT" if isinstance(event, Quit) else "RSET")

    def name_client(self, event: ClientNamed) -> Peer:
        self._counts.add("XCLIENT")
        return proxied.name_client(self._peer, event, self._receiver.proxies, self._tls)

    async def log_in(self, name: str) -> Reply | None:
        """Refuse: without accounts nobody knows what a login may."""
        del name
        return proxied.NO_LOGIN

    def note_origin(self, event: OriginTold) -> None:
        self._counts.add("XFORWARD")
        self._origin_told = self._origin_told | event.attributes

    def end_connection(self, reason: str) -> None:
        if self._filters is not None:
            self._filters.end()
        if not self._peer.is_proxy:
            self._receiver.clients.leave(None if self._is_proxy else self._peer.ip)
        elif self._counts.has_only(proxied.LOOKS):
            return
        if reason not in {"quit", "refused", "client named"}:
            self._log(f"{reason} from {self._client}")
        client = self._client
        text = f"disconnect from {client} {self._counts.format()}"
        self._receiver.log.write(Service.SMTPD, text, client=client)

    # ours

    def _forget_transaction(self) -> None:
        self._mail = None
        self._origin_told = {}
        if self._filters is not None:
            self._filters.abort()

    def _open(self, message: IncomingMessage, data: bytes) -> bytes:
        """Take octets of the message's beginning; give what goes on."""
        opening = message.opening
        data = opening.receive(data)
        if opening.is_too_long:
            message.refusal = TOO_LONG
            self._log_refusal("END-OF-MESSAGE", TOO_LONG)
        return data

    async def _write(self, message: IncomingMessage, waiting: Awaitable[None]) -> None:
        try:
            await waiting
        except StoreUnavailable as error:
            message.refusal = self._refuse_for_store(error)

    async def _answer(self, message: IncomingMessage) -> Reply:
        rest = message.opening.finish()
        refusal = message.refusal or self._judge_header(message.header)
        if refusal is not None:
            message.discard()
            return refusal
        try:
            if message.cutter is not None and self._filters is not None:
                if (ended := await self._filters.filter_message(message, rest)) is not None:
                    return ended
                rest = b""
            if rest or message.signing is not None:
                await end_content(message.writer, rest, message.signing, message.trace_octets)
            return await self._store(message)
        except StoreUnavailable as error:
            return self._refuse_for_store(error)
        except Exception as error:  # noqa: BLE001 - whatever broke: not stored, so not 250
            self._log(f"error: {message.queue_id} could not be stored: {error!r}")
            return reply(451, "4.3.0", "Requested action aborted: local error in processing")

    async def _answer_asked(
        self, command: str, asked: Awaitable[Reply | None], good: Reply
    ) -> Reply:
        """Wait for what filters say."""
        refusal = await asked
        self._counts.add(command, is_accepted=refusal is None)
        return refusal or good

    async def _store(self, message: IncomingMessage) -> Reply:
        receiver, envelope = self._receiver, message.envelope
        demand = find_tls_demand(envelope.tls_demand, message.header)
        if demand is not envelope.tls_demand:
            envelope = replace(envelope, tls_demand=demand)
        redirected = redirect(envelope, receiver.tables.current())
        if isinstance(redirected, str):
            message.writer.discard()
            self._log(f"warning: {message.queue_id} not taken: {redirected}")
            return reply(451, "4.3.5", "Our tables cannot tell now, try again later")
        envelope = redirected.envelope
        body = await message.writer.finish()
        now = receiver.clock.now()
        new = NewMessage(
            queue_id=message.queue_id,
            envelope=envelope,
            destinations=find_destinations(envelope),
            body=body,
            received=now,
            expires=receiver.schedule.expires(now, envelope.sender),
            origin=self._origin(),
            hold=message.hold,
        )
        await receiver.store.save(new)
        receiver.count("messages")
        if message.opening.dropped:
            text = f"{message.opening.dropped} Authentication-Results in our name removed"
            receiver.log.write(Service.SMTPD, text, queue_id=message.queue_id)
        for key in message.signing.keys if message.signing is not None else ():
            # OpenDKIM's words.
            text = f"DKIM-Signature field added (s={key.selector}, d={key.domain})"
            receiver.log.write(Service.SMTPD, text, queue_id=message.queue_id)
        told = self._describe_login()
        if self._origin_told:
            told += proxied.describe_origin(self._origin_told)
        log_stored(receiver.log, self._client, told, self._hello.name, new)
        receiver.wake(new.destinations)
        if redirected.expanded:
            await report_expanded(receiver, new, redirected.expanded, message.header)
        return reply(250, "2.0.0", f"Ok: queued as {message.queue_id}")

    def _judge_header(self, header: bytes) -> Reply | None:
        hops = count_received(header)
        if hops > self._receiver.max_hops:
            refusal = reply(554, "5.4.6", f"Mail loop: the message has {hops} Received headers")
            self._log_refusal("END-OF-MESSAGE", refusal)
            return refusal
        return None

    def _refuse_for_store(self, error: StoreUnavailable) -> Reply:
        self._log(f"warning: message from {self._client} not taken: {error}")
        if error.is_full:
            return reply(452, "4.3.1", "Insufficient system storage, try again later")
        return reply(451, "4.3.0", "The queue cannot be written now, try again later")

    def describe_client(self) -> FilterClient:
        """Tell filters who gives the mail."""
        client = make_client(self._receiver.hostname, self._peer, self._hello, self._tls)
        name = self._name.name if self._peer.has_rights else None
        return replace(client, name=name, may_relay=self._may_relay)

    def log_filtered(self, did: Filtered, recipient: str | None) -> None:
        """Write what a filter did."""
        line = FilteredLine(self._client, self._hello, self._mail, recipient)
        log_filtered(self._log, did, line)

    def _trace(self, queue_id: QueueId, envelope: Envelope) -> Received:
        receiver = self._receiver
        return Received(
            helo=self._hello.name,
            client_ip=self._peer.ip,
            client_name=self._name.name,
            by=receiver.hostname,
            queue_id=queue_id,
            moment=receiver.clock.now(),
            is_extended=self._hello.is_extended,
            smtputf8=envelope.smtputf8,
            tls=self._tls,
            recipient=envelope.recipients[0].address if len(envelope.recipients) == 1 else None,
        )

    def _describe_login(self) -> str:
        """Give what the log tells of who is logged in: nobody is, on port 25."""
        return ""

    def _origin(self) -> dict[str, str]:
        tls = describe_tls(self._tls) if self._tls is not None else ""
        origin = {"client": self._peer.ip, "helo": self._hello.name, "tls": tls}
        if self._origin_told:
            origin["forwarded_for"] = proxied.format_origin(self._origin_told)
        return origin

    @property
    def _client(self) -> str:
        return f"{self._name.name or 'unknown'}[{self._peer.ip}]"

    def _log_refusal(self, command: str, refusal: Reply, recipient: str | None = None) -> None:
        what = f"{command} from {self._client}"
        log_refusal(self._log, what, refusal, self._hello, self._mail, recipient)

    def _log(self, text: str, **fields: str | None) -> None:
        self._receiver.log.write(Service.SMTPD, text, client=self._client, **fields)
