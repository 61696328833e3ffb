"""One SMTP session on port 25: who may send what, and a message stored before its 250.

Implements `network.smtp_server.SessionOwner`. Decisions are pure functions (`recipients`) or
counts (`clients`); this joins them to the queue. RFC 5321 §4.1.1, §4.4, §6.3.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.base.log import Log, Service
from letterlock.network.server_certificates import Choice, ChoiceReason
from letterlock.network.smtp_owner import Peer
from letterlock.protocols.smtp.envelope import Envelope
from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.protocols.smtp.server_session import (
    Hello,
    MailFrom,
    MessageStart,
    ProtocolError,
    RcptTo,
)
from letterlock.protocols.smtp.trace import Received, count_received, format_received
from letterlock.protocols.tls.failures import explain_failure
from letterlock.protocols.tls.handshake import Handshake, HandshakeFailed
from letterlock.services.queue.directory import LocalDirectory
from letterlock.services.queue.schedule import Schedule
from letterlock.services.receive.clients import Clients
from letterlock.services.receive.names import ClientNames
from letterlock.services.receive.recipients import RelayClients, judge_recipient
from letterlock.storage.queue import BodyWriter, NewMessage, QueueId, QueueStore, StoreUnavailable

MAX_HEADER_OCTETS = 256 * 1024
"""So much of a message is looked at for Received lines."""

COUNTERS = (
    "connections",
    "refused",
    "messages",
    "tls",
    "tls_failed",
    "no_sni",
    "unknown_sni",
)
"""What `letterlock status` counts of clients."""

_UNKNOWN_NAMES = (ChoiceReason.UNKNOWN_NAME, ChoiceReason.NOT_A_NAME)


@dataclass(frozen=True, slots=True)
class Receiver:
    """What all sessions of a process share."""

    hostname: Domain
    directory: LocalDirectory
    relay: RelayClients
    clients: Clients
    store: QueueStore
    schedule: Schedule
    names: ClientNames
    max_hops: int
    clock: Clock
    log: Log
    make_id: Callable[[], QueueId]
    count: Callable[[str], None]
    wake: Callable[[], None]
    """Called when a message was stored: it may be delivered at once."""


@dataclass(slots=True)
class _Message:
    """A message on its way in."""

    queue_id: QueueId
    envelope: Envelope
    writer: BodyWriter
    header: bytearray
    is_header_whole: bool = False
    refusal: Reply | None = None


class ReceivingSession:
    """Answers one session's events."""

    def __init__(self, receiver: Receiver, peer: Peer) -> None:
        self._receiver = receiver
        self._peer = peer
        self._may_relay = receiver.relay.may_relay(peer.ip)
        self._hello = Hello("", is_extended=False)
        self._tls: Handshake | None = None
        self._smtputf8 = False
        self._message: _Message | None = None
        self._counts: Counter[str] = Counter()
        self._name = receiver.names.begin(peer.ip)

    def start_connection(self) -> Reply | None:
        receiver = self._receiver
        receiver.count("connections")
        refusal = receiver.clients.admit(self._peer.ip)
        if refusal is not None:
            receiver.count("refused")
            self._log(f"refused {self._client}: {refusal.text}")
        else:
            self._log(f"connect from {self._client}")
        return refusal

    def answer_hello(self, event: Hello) -> None:
        self._hello = event
        self._counts["ehlo" if event.is_extended else "helo"] += 1

    def answer_mail(self, event: MailFrom) -> Reply:
        del event
        self._counts["mail"] += 1
        return reply(250, "2.1.0", "Ok")

    def answer_rcpt(self, event: RcptTo) -> Reply:
        receiver = self._receiver
        self._counts["rcpt"] += 1
        refusal = judge_recipient(event.mailbox, receiver.directory, may_relay=self._may_relay)
        if refusal is not None:
            self._log(f"NOQUEUE: reject: RCPT from {self._client}: {refusal.text}")
            return refusal
        return reply(250, "2.1.5", "Ok")

    def answer_message(self, event: MessageStart) -> Reply:
        receiver = self._receiver
        self._counts["bdat" if event.is_chunked else "data"] += 1
        try:
            writer = receiver.store.write_body()
        except StoreUnavailable as error:
            return self._refuse_for_store(error)
        queue_id = receiver.make_id()
        self._message = _Message(queue_id, event.envelope, writer, bytearray())
        trace = format_received(self._trace(queue_id, event.envelope))
        # Far below the size at which a writer goes to disk: nothing to wait for.
        writer.write(trace)
        return reply(354, None, "End data with <CR><LF>.<CR><LF>")

    def take_octets(self, data: bytes) -> Awaitable[None] | None:
        message = self._message
        if message is None or message.refusal is not None:
            return None
        if not message.is_header_whole:
            _keep_header(message, data)
        waiting = message.writer.write(data)
        return None if waiting is None else self._write(message, waiting)

    async def answer_end(self) -> Reply:
        message, self._message = self._message, None
        assert message is not None
        refusal = message.refusal or self._judge_header(message)
        if refusal is not None:
            message.writer.discard()
            return refusal
        try:
            return await self._store(message)
        except StoreUnavailable as error:
            return self._refuse_for_store(error)
        except Exception as error:  # noqa: BLE001 - whatever broke: not stored, so not 250
            self._log(f"error: {message.queue_id} could not be stored: {error!r}")
            return reply(451, "4.3.0", "Requested action aborted: local error in processing")

    def drop_message(self) -> None:
        if self._message is not None:
            self._message.writer.discard()
            self._message = None

    def note_tls(self, handshake: Handshake, choice: Choice | None) -> None:
        self._tls = handshake
        self._counts["starttls"] += 1
        self._hello = Hello("", is_extended=False)
        count = self._receiver.count
        count("tls")
        if choice is not None and choice.reason is ChoiceReason.NO_SNI:
            count("no_sni")
        elif choice is not None and choice.reason in _UNKNOWN_NAMES:
            count("unknown_sni")
        sni = f"sni {handshake.sni}" if handshake.sni is not None else "sni none"
        self._receiver.log.write(
            Service.SMTPD,
            f"Anonymous TLS connection established from {self._client}: "
            f"{describe_tls(handshake)}, {sni}",
            version=handshake.version,
            cipher=handshake.cipher,
            group=handshake.group,
            sni=handshake.sni,
        )

    def note_tls_failure(self, failure: HandshakeFailed) -> None:
        self._receiver.count("tls_failed")
        finding = explain_failure(failure)
        self._log(f"SSL_accept error from {self._client}: {finding.text} ({finding.reason_code})")

    def note_error(self, event: ProtocolError) -> None:
        self._log(f"NOQUEUE: reject: {event.command} from {self._client}: {event.reply.text}")

    def end_connection(self, reason: str) -> None:
        self._receiver.clients.leave(self._peer.ip)
        if reason != "quit":
            self._log(f"{reason} from {self._client}")
        counts = "".join(f" {name}={count}" for name, count in self._counts.items())
        self._log(f"disconnect from {self._client}{counts} commands={self._counts.total()}")

    # ours

    async def _write(self, message: _Message, waiting: Awaitable[None]) -> None:
        try:
            await waiting
        except StoreUnavailable as error:
            message.refusal = self._refuse_for_store(error)

    async def _store(self, message: _Message) -> Reply:
        receiver, envelope = self._receiver, message.envelope
        body = await message.writer.finish()
        now = receiver.clock.now()
        new = NewMessage(
            queue_id=message.queue_id,
            envelope=envelope,
            destinations=tuple(_destination(item.address) for item in envelope.recipients),
            body=body,
            received=now,
            expires=receiver.schedule.expires(now, envelope.sender),
            origin=self._origin(),
        )
        await receiver.store.save(new)
        receiver.count("messages")
        receiver.log.write(
            Service.SMTPD,
            f"client={self._client}, helo=<{self._hello.name}>, from=<{envelope.sender}>, "
            f"size={body.size}, nrcpt={len(envelope.recipients)} (queue active)",
            queue_id=message.queue_id,
        )
        receiver.wake()
        return reply(250, "2.0.0", f"Ok: queued as {message.queue_id}")

    def _judge_header(self, message: _Message) -> Reply | None:
        hops = count_received(bytes(message.header))
        if hops > self._receiver.max_hops:
            self._log(f"NOQUEUE: reject: {hops} Received headers from {self._client}: mail loop")
            return reply(554, "5.4.6", f"Mail loop: the message has {hops} Received headers")
        return None

    def _refuse_for_store(self, error: StoreUnavailable) -> Reply:
        self._log(f"warning: message from {self._client} not taken: {error}")
        if error.is_full:
            return reply(452, "4.3.1", "Insufficient system storage, try again later")
        return reply(451, "4.3.0", "The queue cannot be written now, try again later")

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

    def _origin(self) -> dict[str, str]:
        tls = describe_tls(self._tls) if self._tls is not None else ""
        return {"client": self._peer.ip, "helo": self._hello.name, "tls": tls}

    @property
    def _client(self) -> str:
        return f"{self._name.name or 'unknown'}[{self._peer.ip}]"

    def _log(self, text: str) -> None:
        self._receiver.log.write(Service.SMTPD, text)


def describe_tls(handshake: Handshake) -> str:
    """Give a handshake in the words of Postfix's log."""
    bits = handshake.cipher_bits
    group = f" key-exchange {handshake.group}" if handshake.group else ""
    resumed = ", resumed" if handshake.resumed else ""
    return (
        f"{handshake.version} with cipher {handshake.cipher} ({bits}/{bits} bits){group}{resumed}"
    )


def _destination(address: str) -> str:
    """Give the destination that recipients are grouped by: what stands behind the last @."""
    return address.rpartition("@")[2]


def _keep_header(message: _Message, data: bytes) -> None:
    """Keep a message's header, as far as it is looked at."""
    header = message.header
    start = max(0, len(header) - 3)
    header += data[: MAX_HEADER_OCTETS - len(header)]
    end = header.find(b"\r\n\r\n", start)
    if end >= 0:
        del header[end + 2 :]
    message.is_header_whole = end >= 0 or len(header) >= MAX_HEADER_OCTETS
