"""A message that a program of this machine dropped becomes a stored one, as a client's does.

It takes the way of a session's message (`ReceivingSession`): the same Received count, limits and
answers. The user who dropped it may send to anybody and in any name, as with sendmail(1), but
Received and the log tell who it was. RFC 5321 §4.4, RFC 3461 §4. What can't be taken goes back to
its sender: no mail ends without a word.
"""

import asyncio
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from msgspec.structs import replace

from letterlock.base.config.filters import FilteredMail
from letterlock.base.domains import Domain
from letterlock.base.log import Service
from letterlock.network.smtp_owner import Peer
from letterlock.protocols.smtp.dsn import is_dsn_wanted
from letterlock.protocols.smtp.dsn_report import Action, OriginalMessage, ReportedRecipient
from letterlock.protocols.smtp.envelope import Envelope, Recipient
from letterlock.protocols.smtp.header_section import (
    MAX_HEADER_OCTETS,
    HeaderTooLong,
    split_header,
)
from letterlock.protocols.smtp.message_data import BareNewline, ChunkDecoder
from letterlock.protocols.smtp.paths import parse_mailbox
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.server_session import MailFrom, MessageStart
from letterlock.protocols.smtp.submitted import Submission, complete_header
from letterlock.protocols.smtp.trace import Received
from letterlock.protocols.tables.expansion import Expanded
from letterlock.services.filter.contract import FilterClient
from letterlock.services.queue.notices import NoticeMaker, Told
from letterlock.services.receive.dropped import (
    PIECE_OCTETS,
    Dropped,
    DroppedFile,
    DroppedReader,
    LocalUser,
)
from letterlock.services.receive.session import Receiver, ReceivingSession
from letterlock.storage.queue import QueueId, StoreUnavailable

NULL_AUTHOR = "MAILER-DAEMON"


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """`origin` is the domain of addresses that have none."""

    origin: Domain
    max_message_bytes: int
    max_recipients: int
    make_token: Callable[[], str]
    notices: NoticeMaker


class Taken(Enum):
    """What became of a dropped message."""

    DONE = auto()
    """It is in the queue, or a notification of its refusal is: the file has had its time."""
    LATER = auto()
    """The queue can't take it now."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why some recipients, or all, get nothing. `status` is an enhanced status code."""

    recipients: tuple[Recipient, ...]
    status: str
    reason: str


class LocalSubmissions:
    """Takes dropped messages, one at a time."""

    def __init__(self, receiver: Receiver, settings: LocalSettings) -> None:
        self._receiver = receiver
        self._settings = settings
        self._reader = DroppedReader(settings.origin, settings.max_message_bytes)

    async def take(self, file: DroppedFile, user: LocalUser, dropped: float) -> Taken:
        """Store a message, durable when this returns DONE.

        `dropped`: when, in seconds since 1970. Raises DropError for a file that is no message, and
        OSError.
        """
        now = self._receiver.clock.now()
        message = await asyncio.to_thread(self._reader.read, file, user, dropped, now)
        refusals: list[_Refusal] = []
        if message.bad:
            refusals.append(_Refusal(message.bad, "5.1.3", "this is not a mail address"))
        if message.envelope.recipients:
            found = await self._take_recipients(message)
            if found is None:
                if now < self._receiver.schedule.expires(message.moment, message.envelope.sender):
                    return Taken.LATER
                reason = "it could not be taken in all that time; the log of this host says why"
                found = [_Refusal(message.envelope.recipients, "4.4.7", reason)]
            refusals += found
        # Not before the others have theirs: what is tried again tells nobody twice.
        for each in refusals:
            if not await self._refuse(message, each):
                return Taken.LATER
        return Taken.DONE

    async def _take_recipients(self, message: Dropped) -> list[_Refusal] | None:
        """Store it; gives who gets nothing. None: later.

        An alias that cannot be followed keeps nobody else waiting.
        """
        refusal = self._judge(message)
        if refusal is not None:
            return [refusal]
        recipients = message.envelope.recipients
        lost = self._find_lost(recipients)
        left = tuple(each for each in recipients if each.address not in lost)
        if not (lost and left):
            return await self._filter_and_store(message)
        envelope = replace(message.envelope, recipients=left)
        found = await self._filter_and_store(dataclasses.replace(message, envelope=envelope))
        if found is None:
            return None
        return found + [
            _Refusal((each,), "5.3.5", lost[each.address])
            for each in recipients
            if each.address in lost
        ]

    def _find_lost(self, recipients: tuple[Recipient, ...]) -> dict[str, str]:
        """Give why aliases of recipients cannot be followed: one at a time, as RCPT does."""
        tables = self._receiver.tables.current()
        lost: dict[str, str] = {}
        for each in recipients if tables.may_rewrite else ():
            expansion = tables.expand(parse_mailbox(each.address))
            if not isinstance(expansion, Expanded):
                lost[each.address] = expansion.reason
        return lost

    def _judge(self, message: Dropped) -> _Refusal | None:
        recipients = message.envelope.recipients
        if message.size > self._settings.max_message_bytes:
            most = self._settings.max_message_bytes
            return _Refusal(recipients, "5.3.4", f"the message is larger than {most} octets")
        if len(recipients) > self._settings.max_recipients:
            most = self._settings.max_recipients
            return _Refusal(recipients, "5.5.3", f"more than {most} recipients")
        return None

    async def _filter_and_store(self, message: Dropped) -> list[_Refusal] | None:
        """Do what a client's session does from MAIL on; gives who gets nothing. None: later."""
        session = _LocalSession(self._receiver, message.user)
        try:
            asked = await session.ask_filters(message.envelope)
            if isinstance(asked, Reply):
                return _refuse_by(asked, message.envelope.recipients)
            refusals: list[_Refusal] = []
            for each in message.envelope.recipients:
                if (refusal := asked.get(each.address)) is None:
                    continue
                if (found := _refuse_by(refusal, (each,))) is None:
                    return None
                refusals += found
            left = tuple(r for r in message.envelope.recipients if r.address not in asked)
            envelope = replace(message.envelope, recipients=left)
            stored = await self._store(message, envelope, session) if left else []
            return None if stored is None else [*refusals, *stored]
        finally:
            session.end_filters()

    async def _store(
        self, message: Dropped, envelope: Envelope, session: "_LocalSession"
    ) -> list[_Refusal] | None:
        """Do what a client's session does from DATA to its reply."""
        recipients = envelope.recipients
        decoder = ChunkDecoder(BareNewline.NORMALIZE)
        message.file.seek(message.start)
        beginning = b""
        while len(beginning) <= MAX_HEADER_OCTETS and (piece := await _read_piece(message.file)):
            beginning += decoder.feed(piece)
        is_whole = len(beginning) <= MAX_HEADER_OCTETS
        if is_whole:
            beginning += decoder.finish()
        try:
            fields, rest = split_header(beginning)
        except HeaderTooLong as error:
            return [_Refusal(recipients, "5.3.4", str(error))]
        answer = session.answer_message(MessageStart(is_chunked=True, envelope=envelope))
        if not answer.is_positive:
            return None
        try:
            header = complete_header(fields, self._submission(message))
            await _give(session, header + b"\r\n" + rest)
            while not is_whole and (piece := await _read_piece(message.file)):
                await _give(session, decoder.feed(piece))
            if not is_whole:
                await _give(session, decoder.finish())
            answer = await session.answer_end()
        finally:
            session.drop_message()
        return [] if answer.is_positive else _refuse_by(answer, recipients)

    async def _refuse(self, message: Dropped, refusal: _Refusal) -> bool:
        """Send a notification to the sender; False: the queue can't take it now."""
        receiver, envelope = self._receiver, message.envelope
        names = ", ".join(f"<{each.address}>" for each in refusal.recipients[:10])
        receiver.log.write(
            Service.PICKUP,
            f"refused: from={_describe(message.user)}, sender=<{envelope.sender}>, to={names}: "
            f"{refusal.reason}",
            sender=envelope.sender,
            to=tuple(each.address for each in refusal.recipients),
        )
        reported = tuple(
            ReportedRecipient(each, refusal.status, refusal.reason)
            for each in refusal.recipients
            if is_dsn_wanted(envelope.sender, each, Action.FAILED)
        )
        if not reported:
            return True
        try:
            await self._save_notice(message, reported)
        except StoreUnavailable:
            return False
        return True

    async def _save_notice(self, message: Dropped, reported: tuple[ReportedRecipient, ...]) -> None:
        receiver = self._receiver
        queue_id = receiver.make_id()
        original = OriginalMessage(
            message.envelope, queue_id, message.moment, message.size, await _read_header(message)
        )
        told = Told(Action.FAILED, reported)
        notice = await self._settings.notices.make(
            told, original, receiver.store.write_body, queue_id
        )
        await receiver.store.save(notice)
        receiver.log.write(Service.BOUNCE, "sender non-delivery notification", queue_id=queue_id)
        receiver.wake(notice.destinations)

    def _submission(self, message: Dropped) -> Submission:
        origin = self._settings.origin
        return Submission(
            author=message.envelope.sender or f"{NULL_AUTHOR}@{origin}",
            full_name=message.full_name if message.envelope.sender else "Mail Delivery System",
            moment=message.moment,
            hostname=self._receiver.hostname,
            origin=origin,
            token=self._settings.make_token(),
        )


class _LocalSession(ReceivingSession):
    """A session without a client: the user of this machine stands for it."""

    def __init__(self, receiver: Receiver, user: LocalUser) -> None:
        super().__init__(receiver, Peer("local", 0))
        self._user = user
        # To anybody, and signed (DKIM): it is mail of our own.
        self._may_relay = True

    async def ask_filters(self, envelope: Envelope) -> dict[str, Reply] | Reply:
        """Ask about sender and recipients; gives those that are refused, or a reply for all."""
        if self._filters is None:
            return {}
        sender = parse_mailbox(envelope.sender) if envelope.sender else None
        self._mail = MailFrom(sender)
        return await self._filters.ask_envelope(envelope)

    def end_filters(self) -> None:
        """Let the filters go."""
        if self._filters is not None:
            self._filters.end()

    def describe_client(self) -> FilterClient:
        """Tell filters of this machine: as Postfix tells of mail by sendmail(1)."""
        hostname = self._receiver.hostname
        return FilterClient(
            source=FilteredMail.LOCAL,
            hostname=hostname,
            ip="127.0.0.1",
            port=0,
            name="localhost",
            helo="localhost",
            login=self._user.name,
            may_relay=True,
        )

    def _trace(self, queue_id: QueueId, envelope: Envelope) -> Received:
        receiver = self._receiver
        return Received(
            helo="",
            client_ip="",
            by=receiver.hostname,
            queue_id=queue_id,
            moment=receiver.clock.now(),
            smtputf8=envelope.smtputf8,
            user_id=self._user.number,
        )

    def _origin(self) -> dict[str, str]:
        return {
            "client": "local",
            "helo": self._receiver.hostname,
            "tls": "",
            "user": self._user.name,
        }

    @property
    def _client(self) -> str:
        return f"local[{_describe(self._user)}]"


def _describe(user: LocalUser) -> str:
    return f"uid {user.number}, {user.name}"


def _refuse_by(answer: Reply, recipients: tuple[Recipient, ...]) -> list[_Refusal] | None:
    """Give who is refused by an answer; None: it puts them off."""
    if answer.is_transient:
        return None
    return [_Refusal(recipients, answer.status or "5.0.0", " ".join(answer.lines))]


async def _give(session: ReceivingSession, octets: bytes) -> None:
    if octets and (waiting := session.take_octets(octets)) is not None:
        await waiting


async def _read_piece(file: DroppedFile) -> bytes:
    return await asyncio.to_thread(file.read, PIECE_OCTETS) or b""


async def _read_header(message: Dropped) -> bytes:
    """Give the header section for a notification; nothing of one that is too long."""
    await asyncio.to_thread(message.file.seek, message.start)
    decoder = ChunkDecoder(BareNewline.NORMALIZE)
    beginning = b""
    while len(beginning) <= MAX_HEADER_OCTETS and (piece := await _read_piece(message.file)):
        beginning += decoder.feed(piece)
    try:
        fields, _ = split_header(beginning)
    except HeaderTooLong:
        return b""
    return b"".join(octets for _, octets in fields)
