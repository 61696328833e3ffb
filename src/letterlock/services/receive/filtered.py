"""One session's filters: asked about its senders and recipients, and about each whole message.

What they are asked and answer is `services.filter.contract`'s; this tells them in a session's words
and its log what became of it, in Postfix's (`milter-reject`, `milter-discard`, `milter-hold`). A
transaction that ends without a message is ended for them too.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, assert_never

from letterlock.base.config.filters import FilteredMail
from letterlock.network.smtp_owner import Peer
from letterlock.protocols.smtp.envelope import Envelope, Notify
from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.protocols.smtp.server_events import Hello, MailFrom, RcptTo
from letterlock.protocols.smtp.trace import TlsFacts
from letterlock.services.filter.chain import ChainSession, FilterChain, Told
from letterlock.services.filter.contract import (
    Discarded,
    FilterClient,
    FilterMail,
    Passed,
    Refused,
)
from letterlock.services.filter.link import Judged
from letterlock.services.filter.message import MessageCutter
from letterlock.services.receive.ending import write_filtered
from letterlock.services.receive.filter_log import Filtered
from letterlock.services.receive.incoming import IncomingMessage
from letterlock.services.receive.recipients import RelayClients
from letterlock.storage.queue import QueueId

FILTER_COUNTERS = ("filter_refused", "filter_discarded", "filter_held", "filter_failed")
"""What `letterlock status` counts of filters."""

_END = "END-OF-MESSAGE"
_NOWHERE = "0.0.0.0"  # noqa: S104 - nothing listens there
"""What filters are told of a client whose address gives it no rights. Of our own machine's, or of
none at all, some do what they do for our own mail: OpenDKIM signs it, rspamd looks less closely."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What all sessions share. `spool_dir` is where bodies lie while filters look at them."""

    chain: FilterChain
    exempt: RelayClients
    spool_dir: Path
    make_id: Callable[[], QueueId]
    count: Callable[[str], None]

    @property
    def problems(self) -> list[str]:
        """What the postmaster should know: filters that failed when they were asked last."""
        found = self.chain.failures.items()
        return [f"filter {name} fails: {failure}" for name, failure in found]


class FilteredSession(Protocol):
    """What is needed of a session."""

    def describe_client(self) -> FilterClient:
        """Tell who gives the mail."""

    def log_filtered(self, did: Filtered, recipient: str | None) -> None:
        """Write what a filter did."""


def make_client(hostname: str, peer: Peer, hello: Hello, tls: TlsFacts | None) -> FilterClient:
    """Tell who gives mail at port 25."""
    return FilterClient(
        source=FilteredMail.OUTSIDE,
        hostname=hostname,
        ip=peer.ip if peer.has_rights else _NOWHERE,
        port=peer.port if peer.has_rights else 0,
        name=None,
        helo=hello.name,
        is_extended=hello.is_extended,
        tls=tls,
        has_rights=peer.has_rights,
    )


class SessionFilters:
    """One session's way through the filters."""

    def __init__(self, filters: Filters, session: FilteredSession) -> None:
        self._filters = filters
        self._session = session
        self._chain: ChainSession | None = None
        self._client: FilterClient | None = None
        self._queue_id: QueueId | None = None

    def ask_sender(self, event: MailFrom) -> Awaitable[Reply | None] | None:
        """Begin a transaction; None: no filter wants to know. It gives a reply that refuses."""
        sender = "" if event.sender is None else event.sender.format()
        return self._begin(sender, _format_mail_parameters(event))

    def ask_recipient(self, event: RcptTo) -> Awaitable[Reply | None] | None:
        """Take a recipient that we would accept; None and what it gives, as `ask_sender`."""
        if self._chain is None:
            return None
        parameters = _format_rcpt_parameters(event.notify, event.orcpt)
        return self._take(self._chain, event.mailbox.format(), parameters)

    async def ask_envelope(self, envelope: Envelope) -> dict[str, Reply] | Reply:
        """Ask about mail that comes without commands.

        Gives the recipients that are refused, with why, or the reply that refuses the message.
        """
        if (begun := self._begin(envelope.sender, ())) is None:
            return {}
        if (refusal := await begun) is not None:
            return refusal
        assert self._chain is not None
        refused: dict[str, Reply] = {}
        for each in envelope.recipients:
            parameters = _format_rcpt_parameters(each.notify, each.orcpt)
            refusal = await self._take(self._chain, each.address, parameters)
            if refusal is not None:
                refused[each.address] = refusal
        return refused

    def begin_message(self) -> tuple[QueueId, MessageCutter] | None:
        """Begin a message; None: no filter wants to see it."""
        if self._chain is None:
            return None
        queue_id = self._queue_id or self._filters.make_id()
        self._queue_id = None
        return queue_id, MessageCutter(self._filters.spool_dir)

    async def filter_message(self, message: IncomingMessage, rest: bytes) -> Reply | None:
        """Have a message judged, of which `rest` are the last octets; write what is left of it.

        With a reply it has ended: nothing is to be stored. Raises StoreUnavailable.
        """
        is_kept = False
        try:
            judged = await self._judge(message, rest)
            self._tell(message.queue_id, judged)
            match judged.answer:
                case Refused(refusal):
                    return refusal
                case Discarded():
                    return reply(250, "2.0.0", f"Ok: queued as {message.queue_id}")
                case Passed():
                    await _keep(message, judged)
                    is_kept = True
                    return None
                case _:
                    assert_never(judged.answer)
        finally:
            message.discard_spool()
            if not is_kept:
                message.writer.discard()

    def abort(self) -> None:
        """End the transaction, if there is one, without a message."""
        if self._chain is not None:
            self._chain.abort()

    def end(self) -> None:
        """End it with the client."""
        if self._chain is not None:
            self._chain.close()
        self._client = self._chain = None

    # ours

    def _begin(self, sender: str, parameters: tuple[str, ...]) -> Awaitable[Reply | None] | None:
        client = self._session.describe_client()
        if client != self._client:
            # The first sender; or it is another client now: there was a HELO, or TLS.
            self.end()
            self._client, self._chain = client, self._choose(client)
        if self._chain is None:
            return None
        self._queue_id = self._filters.make_id()
        return self._ask(self._chain, FilterMail(self._queue_id, sender, parameters))

    def _choose(self, client: FilterClient) -> ChainSession | None:
        is_remote = client.source is not FilteredMail.LOCAL
        if is_remote and client.has_rights and self._filters.exempt.may_relay(client.ip):
            return None
        return self._filters.chain.begin(client)

    async def _ask(self, chain: ChainSession, mail: FilterMail) -> Reply | None:
        return self._note("MAIL", await chain.begin(mail))

    async def _take(
        self, chain: ChainSession, address: str, parameters: tuple[str, ...]
    ) -> Reply | None:
        return self._note("RCPT", await chain.take_recipient(address, parameters), address)

    def _note(self, command: str, told: Told, recipient: str | None = None) -> Reply | None:
        if isinstance(told.answer, Passed):
            return None
        refusal = told.answer.reply
        self._filters.count("filter_refused")
        did = Filtered(f"milter-reject: {command}", refusal.text, told.by)
        self._session.log_filtered(did, recipient)
        return refusal

    async def _judge(self, message: IncomingMessage, rest: bytes) -> Judged:
        chain, cutter = self._chain, message.cutter
        assert chain is not None
        assert cutter is not None
        try:
            if rest and (waiting := cutter.receive(rest)) is not None:
                await waiting
            whole = await cutter.finish(message.queue_id, message.envelope)
            judged = await chain.judge(whole)
        except BaseException:
            # In the midst of a message: what is said next would be part of it.
            self.end()
            raise
        if isinstance(judged.answer, Passed) and not judged.message.envelope.recipients:
            answer = Discarded("no recipients are left")
            return Judged(answer, judged.message, by=judged.by)
        return judged

    def _tell(self, queue_id: QueueId, judged: Judged) -> None:
        """Log what was done to a message, and count it."""
        match judged.answer:
            case Refused(refusal):
                # As in Postfix's log: here, and only here, without the code.
                word, name, text = "milter-reject", "filter_refused", refusal.text[4:]
            case Discarded(reason):
                word, name, text = "milter-discard", "filter_discarded", reason
            case Passed():
                if judged.hold is None:
                    return
                word, name, text = "milter-hold", "filter_held", judged.hold
            case _:
                assert_never(judged.answer)
        self._filters.count(name)
        self._session.log_filtered(Filtered(f"{word}: {_END}", text, judged.by, queue_id), None)


async def _keep(message: IncomingMessage, judged: Judged) -> None:
    """Write what filters left of a message. Raises StoreUnavailable."""
    left = judged.message
    message.hold = judged.hold
    message.envelope, message.opening.header = left.envelope, left.header
    await write_filtered(message.writer, left, message.signing)


def _format_mail_parameters(event: MailFrom) -> tuple[str, ...]:
    given = (
        None if event.size is None else f"SIZE={event.size}",
        f"BODY={event.body_type}",
        "SMTPUTF8" if event.smtputf8 else None,
        None if event.ret is None else f"RET={event.ret}",
        None if event.envid is None else f"ENVID={event.envid}",
    )
    return tuple(each for each in given if each is not None)


def _format_rcpt_parameters(notify: frozenset[Notify], orcpt: str | None) -> tuple[str, ...]:
    asked = ",".join(each for each in Notify if each in notify)
    return tuple(text for text in (asked and f"NOTIFY={asked}", orcpt and f"ORCPT={orcpt}") if text)
