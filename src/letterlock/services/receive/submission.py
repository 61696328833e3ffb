"""One session of message submission: an account sends as itself, to anybody.

Implements `network.smtp_owner.SessionOwner` with `answer_auth`. RFC 6409 §4.3, §6.1, §8; RFC 4954
§6; RFC 3848 §1 (`ESMTPSA`). What is stored, and how, is as on port 25 (`session`).
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import assert_never

from msgspec.structs import replace

from letterlock.base.config.filters import FilteredMail
from letterlock.base.log import make_value
from letterlock.network.smtp_owner import Peer
from letterlock.protocols.sasl.channel_binding import NO_BINDINGS, ChannelBindings
from letterlock.protocols.sasl.mechanisms import Mechanism, make_exchange
from letterlock.protocols.sasl.preparation import PreparationError, prepare_name
from letterlock.protocols.sasl.responses import encode_challenge
from letterlock.protocols.sasl.steps import Challenge, Failed, Fault
from letterlock.protocols.smtp.envelope import Envelope
from letterlock.protocols.smtp.first_line import FirstLine
from letterlock.protocols.smtp.header_fields import make_safe
from letterlock.protocols.smtp.header_section import MAX_HEADER_OCTETS
from letterlock.protocols.smtp.own_addresses import is_own_address
from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.protocols.smtp.server_session import Authenticate, MailFrom, MessageStart, RcptTo
from letterlock.protocols.smtp.trace import Received
from letterlock.services.filter.contract import FilterClient
from letterlock.services.receive.guesses import Guesses
from letterlock.services.receive.logins import (
    Account,
    AccountSource,
    LoggedIn,
    Login,
    Outcome,
    SourceDown,
    SourceUnavailable,
    TooManyGuesses,
)
from letterlock.services.receive.quotas import Quotas
from letterlock.services.receive.session import Receiver, ReceivingSession
from letterlock.services.receive.submitted_header import (
    find_foreign_author,
    format_missing,
    read_submitted_header,
)
from letterlock.storage.queue import QueueId

_NONCE_OCTETS = 18


@dataclass(frozen=True, slots=True)
class Submitter:
    """What all sessions of a process share, beside the receiver.

    `receiver.relay` lists nobody: only who is logged in may send to others.
    """

    receiver: Receiver
    source: AccountSource
    guesses: Guesses
    quotas: Quotas
    is_client_shown: bool = False
    is_author_checked: bool = True
    is_binding_offered: bool = True
    """Offer SCRAM with channel binding, where the source has what it needs."""
    make_nonce: Callable[[], str] = lambda: secrets.token_urlsafe(_NONCE_OCTETS)

    @property
    def mechanisms(self) -> tuple[Mechanism, ...]:
        """What EHLO lists, the best first."""
        return tuple(
            each
            for each in self.source.mechanisms
            if self.is_binding_offered or each is not Mechanism.SCRAM_SHA_256_PLUS
        )


class SubmittingSession(ReceivingSession):
    """Answers one session's events."""

    def __init__(self, submitter: Submitter, peer: Peer) -> None:
        super().__init__(submitter.receiver, peer)
        self._submitter = submitter
        self._login: Login | None = None
        self._mechanism = ""
        self._account: Account | None = None
        self._recipients = 0
        self._held: bytearray | None = None

    async def answer_auth(
        self,
        event: Authenticate,
        find_bindings: Callable[[], ChannelBindings] = lambda: NO_BINDINGS,
    ) -> Reply:
        """Go on with a login; the reply has the next challenge, or how it ended."""
        if event.mechanism is not None:
            self._mechanism = event.mechanism
            self._login = self._begin_login(Mechanism(event.mechanism), find_bindings)
            outcome = await self._login.begin(event.response)
        else:
            assert self._login is not None
            assert event.response is not None
            outcome = await self._login.receive(event.response)
        return self._tell(outcome)

    async def log_in(self, name: str) -> Reply | None:
        """Let the proxy's client in as an account, whose addresses and limits hold as ever."""
        try:
            account = await self._submitter.source.find_account(prepare_name(name))
        except PreparationError:
            account = None
        except SourceUnavailable as error:
            self._log(f"warning: {self._client}: XCLIENT LOGIN: {error}")
            return reply(454, "4.7.0", "Temporary authentication failure")
        if account is None:
            return reply(550, "5.7.0", "There is no such account")
        self._account, self._may_relay, self._mechanism = account, True, "XCLIENT"
        return None

    def answer_mail(self, event: MailFrom) -> Reply | Awaitable[Reply]:
        account, sender = self._logged_in, event.sender
        self._recipients = 0
        self._mail = event
        if sender is not None and not is_own_address(sender, account.addresses):
            name = make_safe(account.name)
            text = f"<{sender}>: Sender address rejected: not owned by user {name}"
            return self._refuse("MAIL", reply(550, "5.7.1", text))
        if not self._submitter.quotas.may_send(account):
            text = "Too many messages in this hour, try again later"
            return self._refuse("MAIL", reply(450, "4.7.1", text))
        return super().answer_mail(event)

    def answer_rcpt(self, event: RcptTo) -> Reply | Awaitable[Reply]:
        mailbox = event.mailbox
        if "." not in mailbox.domain and not mailbox.is_literal:
            # RFC 6409 §4.2: domains are fully qualified.
            refusal = reply(550, "5.1.2", f"<{mailbox}>: Recipient address rejected: not a domain")
            return self._refuse("RCPT", refusal)
        if not self._submitter.quotas.may_send_to(self._logged_in, self._recipients):
            refusal = reply(450, "4.7.1", "Too many recipients in this hour, try again later")
            return self._refuse("RCPT", refusal)
        answer = super().answer_rcpt(event)
        return self._count(answer) if isinstance(answer, Reply) else self._count_later(answer)

    def answer_message(self, event: MessageStart) -> Reply:
        self._held = bytearray()
        return super().answer_message(event)

    def take_octets(self, data: bytes) -> Awaitable[None] | None:
        held = self._held
        if held is None:
            return super().take_octets(data)
        start = max(0, len(held) - 3)
        held += data
        has_end = held.startswith(b"\r\n") or held.find(b"\r\n\r\n", start) >= 0
        if has_end or len(held) > MAX_HEADER_OCTETS:
            return self._release_header()
        return None

    async def answer_end(self) -> Reply:
        if self._held is not None and (waiting := self._release_header()) is not None:
            await waiting
        account, recipients = self._logged_in, self._recipients
        answer = await super().answer_end()
        if answer.is_positive:
            self._submitter.quotas.note_message(account, recipients)
        return answer

    def describe_client(self) -> FilterClient:
        name, mechanism = self._logged_in.name, self._mechanism
        client = super().describe_client()
        return replace(client, source=FilteredMail.SUBMISSION, login=name, mechanism=mechanism)

    # ours

    def _count(self, answer: Reply) -> Reply:
        """Count a recipient that was taken."""
        self._recipients += answer.is_positive
        return answer

    async def _count_later(self, answer: Awaitable[Reply]) -> Reply:
        return self._count(await answer)

    @property
    def _logged_in(self) -> Account:
        assert self._account is not None, "the session takes no mail before AUTH"
        return self._account

    def _begin_login(
        self, mechanism: Mechanism, find_bindings: Callable[[], ChannelBindings]
    ) -> Login:
        submitter = self._submitter
        is_bound = mechanism is Mechanism.SCRAM_SHA_256_PLUS
        exchange = make_exchange(
            mechanism,
            submitter.make_nonce(),
            find_bindings() if is_bound else NO_BINDINGS,
            is_plus_offered=Mechanism.SCRAM_SHA_256_PLUS in submitter.mechanisms,
        )
        return Login(submitter.source, submitter.guesses, self._peer.ip, exchange)

    def _tell(self, outcome: Outcome) -> Reply:
        match outcome:
            case Challenge(octets):
                return reply(334, None, encode_challenge(octets))
            case LoggedIn(account):
                self._account, self._may_relay = account, True
                self._counts.add("AUTH")
                return reply(235, "2.7.0", "Authentication successful")
            case Failed(Fault.MALFORMED, reason, name):
                answer = reply(501, "5.5.2", "The response is not of this mechanism")
            case Failed(_, reason, name):
                answer = reply(535, "5.7.8", "Authentication credentials invalid")
            case TooManyGuesses(name):
                reason = "too many failed logins"
                answer = reply(454, "4.7.0", "Too many failed logins, try again later")
            case SourceDown(why):
                # Not the client's fault, which fail2ban knows by these words.
                name, reason = None, f"Connection lost to authentication server: {why}"
                answer = reply(454, "4.7.0", "Temporary authentication failure")
            case _:
                assert_never(outcome)
        self._counts.add("AUTH", is_accepted=False)
        login = None if name is None else make_value(name)
        user = "" if login is None else f", sasl_username={login}"
        # In Postfix's words, which fail2ban reads.
        self._log(
            f"warning: {self._client}: SASL {self._mechanism} authentication failed: "
            f"{reason}{user}",
            sasl_username=login,
        )
        return answer

    def _refuse(self, command: str, refusal: Reply) -> Reply:
        self._counts.add(command, is_accepted=False)
        self._log_refusal(command, refusal)
        return refusal

    def _release_header(self) -> Awaitable[None] | None:
        """Judge the header section, and pass it on with what it lacked."""
        held, self._held = self._held, None
        message = self._message
        if held is None or message is None or message.refusal is not None:
            return None
        first_line = FirstLine()
        content = first_line.receive(bytes(held))
        if not first_line.is_decided:
            content += first_line.finish()
        fields = read_submitted_header(content)
        if isinstance(fields, Reply):
            message.refusal = fields
        elif self._submitter.is_author_checked:
            message.refusal = find_foreign_author(fields, self._logged_in.addresses)
        if message.refusal is not None:
            self._log_refusal("END-OF-MESSAGE", message.refusal)
            return None
        assert not isinstance(fields, Reply)
        receiver = self._receiver
        now = receiver.clock.now()
        missing = format_missing(fields, message.queue_id, receiver.hostname, now)
        return super().take_octets(missing + content)

    def _trace(self, queue_id: QueueId, envelope: Envelope) -> Received:
        return replace(
            super()._trace(queue_id, envelope),
            is_authenticated=True,
            is_client_hidden=not self._submitter.is_client_shown,
        )

    def _origin(self) -> dict[str, str]:
        return {**super()._origin(), "account": self._logged_in.name}

    def _describe_login(self) -> str:
        name = make_value(self._logged_in.name)
        return f", sasl_method={self._mechanism}, sasl_username={name}"
