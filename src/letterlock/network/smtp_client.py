"""SMTP connections that go out: dial, greet, STARTTLS, judge, log in, and only then mail.

RFC 5321 §3.1, §4.5.3.2; RFC 3207 §4; RFC 8314 §3.3 (TLS before the greeting). Sockets and
time-outs are here; what is sent and what replies mean is in `protocols.smtp`, whether a handshake
is good enough in `protocols.policy`. What the peer does is a value:
`Connected`, `TlsFailed`, `Unreachable`, `Refused` or `NotLoggedIn`.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import assert_never

from letterlock.base.clock import Clock
from letterlock.base.domains import DomainError
from letterlock.base.errors import LocalError
from letterlock.network.client_contexts import ClientContexts, ClientSettings
from letterlock.network.smtp_login import DEFAULT_TERMS, LoginTerms, NotLoggedIn, log_in
from letterlock.network.smtp_speaker import Refused, Secured, Speaker, Target, Unreachable
from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Lost, Wire, connect
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.policy.judge import (
    judge,
    judge_failure,
    judge_no_starttls,
)
from letterlock.protocols.policy.requirement import Level, Requirement
from letterlock.protocols.policy.verdict import Verdict
from letterlock.protocols.sasl.client_steps import Credentials
from letterlock.protocols.smtp.capabilities import Capabilities
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.timeouts import ClientTimeouts
from letterlock.protocols.smtp.transaction import Transaction
from letterlock.protocols.smtp.transaction_result import TransactionResult
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed


@dataclass(frozen=True, slots=True)
class DialTimeouts:
    """How long each step may take."""

    connect: timedelta = timedelta(seconds=30)
    handshake: timedelta = timedelta(minutes=1)
    steps: ClientTimeouts = field(default_factory=ClientTimeouts)


@dataclass(frozen=True, slots=True)
class TlsFailed:
    """TLS did not come to what was required, and nothing was sent."""

    verdict: Verdict
    handshake: Handshake | HandshakeFailed | None
    dialogue: tuple[str, ...] = ()
    secured: Secured | None = None
    """The handshake that was good enough, where the session broke right behind it."""
    source: str | None = None
    """The address that we came from."""
    helo: str = ""
    """What the server called itself in its reply to EHLO."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """Our own settings for this hop can't be used (a trust file, a cipher list): mail waits."""

    reason: str


class Connected:
    """A connection over which mail may go: the requirement it was judged by is met."""

    def __init__(
        self, target: Target, speaker: Speaker, verdict: Verdict, handshake: Handshake | None
    ) -> None:
        self.target = target
        self.verdict = verdict
        self.handshake = handshake
        self.uses = 0
        self._speaker = speaker

    @property
    def capabilities(self) -> Capabilities:
        return self._speaker.capabilities

    @property
    def source(self) -> str | None:
        """The address that we come from."""
        return self._speaker.wire.find_own_ip()

    @property
    def is_open(self) -> bool:
        """The peer has neither closed it nor said anything (a 421) since it was last used."""
        return not self._speaker.has_unread() and self._speaker.wire.is_open

    def take_dialogue(self) -> tuple[str, ...]:
        """Give the lines said since the last call."""
        return self._speaker.dialogue.take()

    async def send(
        self, transaction: Transaction, content: AsyncIterator[bytes], *, is_smtputf8: bool
    ) -> TransactionResult:
        """Carry out a transaction; whatever happens to the connection is in its result."""
        self.uses += 1
        return await self._speaker.carry_out(transaction, content, is_smtputf8=is_smtputf8)

    async def reset(self) -> bool:
        """Make ready for a further transaction; False when the connection is of no more use."""
        reply = await self._speaker.ask("RSET", self._speaker.timeouts.mail)
        return isinstance(reply, Reply) and reply.is_positive

    async def quit(self) -> None:
        """Say QUIT, and close cleanly (RFC 5321 §4.1.1.10, RFC 8446 §6.1)."""
        await self._speaker.quit()

    def abort(self) -> None:
        """Close without a word."""
        self._speaker.wire.close()

    async def log_in(
        self, credentials: Credentials, terms: LoginTerms
    ) -> NotLoggedIn | Unreachable | None:
        """Log in, before anything else is said; None: we are."""
        secured = Secured(self.handshake, self.verdict) if self.handshake is not None else None
        return await log_in(self._speaker, secured, credentials, terms)


Dialled = Connected | TlsFailed | Refused | Unreachable | Unusable | NotLoggedIn


class Dialer:
    """Opens connections that meet a requirement, or says why not."""

    def __init__(
        self,
        contexts: ClientContexts,
        timeouts: DialTimeouts,
        clock: Clock,
        login: LoginTerms = DEFAULT_TERMS,
    ) -> None:
        self._contexts = contexts
        self._login = login
        self._timeouts = timeouts
        self._clock = clock

    async def dial(
        self,
        target: Target,
        requirement: Requirement,
        anchors: TrustAnchors,
        *,
        is_tls_wanted: bool = True,
        credentials: Credentials | None = None,
    ) -> Dialled:
        """Connect to one address, and log in if there are `credentials`.

        `is_tls_wanted` False: in clear, as the level must allow.
        """
        assert is_tls_wanted or not requirement.level.is_tls_required
        driver = None
        if is_tls_wanted and requirement.level is not Level.NONE:
            try:
                context = self._contexts.find(_client_settings(requirement))
                driver = TlsDriver.client(context, requirement.sni)
            except (LocalError, DomainError) as error:
                return Unusable(str(error))
        wire = await connect(
            target.ip, target.port, self._timeouts.connect.total_seconds(), source=target.source
        )
        if isinstance(wire, Lost):
            return Unreachable(wire.detail, is_silent=True)
        source = wire.find_own_ip()
        try:
            dialled = await self._open(wire, target, driver, requirement, anchors)
            if isinstance(dialled, TlsFailed):
                return replace(dialled, source=source)
            if credentials is None or not isinstance(dialled, Connected):
                return dialled
            return await dialled.log_in(credentials, self._login) or dialled
        except BaseException:
            wire.close()
            raise

    async def _open(
        self,
        wire: Wire,
        target: Target,
        driver: TlsDriver | None,
        requirement: Requirement,
        anchors: TrustAnchors,
    ) -> Dialled:
        speaker = Speaker(wire, target, self._timeouts.steps)
        if target.is_implicit_tls:
            assert driver is not None, "such a hop is held to TLS"
            return await self._shake_hands(speaker, driver, requirement, anchors)
        failed = await speaker.greet()
        if failed is not None:
            return failed
        if driver is None:
            verdict = judge_no_starttls(requirement, None, is_tried=False)
            return Connected(target, speaker, verdict, None)
        secured = await self._secure(speaker, driver, requirement, anchors)
        if isinstance(secured, TlsFailed):
            return replace(secured, helo=speaker.capabilities.name)
        return secured

    async def _secure(
        self,
        speaker: Speaker,
        driver: TlsDriver,
        requirement: Requirement,
        anchors: TrustAnchors,
    ) -> Dialled:
        if not speaker.capabilities.starttls:
            return await _without_tls(speaker, judge_no_starttls(requirement, None))
        answer = await speaker.ask("STARTTLS", speaker.timeouts.helo)
        if not isinstance(answer, Reply):
            return speaker.gone(answer, "STARTTLS")
        if answer.code != 220:
            return await _without_tls(speaker, judge_no_starttls(requirement, answer))
        if speaker.has_unread():
            # RFC 3207 §6: plain text after the 220 was put there by somebody else.
            speaker.wire.close()
            failure = HandshakeFailed(
                FailureCause.NOT_TLS, "plain text came between the 220 and the handshake"
            )
            verdict = judge_failure(requirement, failure, anchors, self._clock.now())
            return TlsFailed(verdict, failure, speaker.dialogue.take())
        return await self._shake_hands(speaker, driver, requirement, anchors)

    async def _shake_hands(
        self,
        speaker: Speaker,
        driver: TlsDriver,
        requirement: Requirement,
        anchors: TrustAnchors,
    ) -> Dialled:
        outcome = await speaker.wire.start_tls(driver, self._timeouts.handshake.total_seconds())
        match outcome:
            case HandshakeFailed():
                speaker.dialogue.add("!", f"TLS handshake failed: {outcome.detail}")
                speaker.wire.close()
                verdict = judge_failure(requirement, outcome, anchors, self._clock.now())
                return TlsFailed(verdict, outcome, speaker.dialogue.take())
            case Handshake():
                return await self._judge(speaker, outcome, requirement, anchors)
            case _:
                assert_never(outcome)

    async def _judge(
        self,
        speaker: Speaker,
        handshake: Handshake,
        requirement: Requirement,
        anchors: TrustAnchors,
    ) -> Dialled:
        verdict = judge(requirement, handshake, anchors, self._clock.now())
        speaker.dialogue.add("!", f"TLS: {handshake.version} {handshake.cipher}: {verdict.reason}")
        if not verdict.may_send:
            # RFC 3207 §4.1: not what is required, so QUIT right after the handshake.
            if speaker.target.is_implicit_tls:
                speaker.wire.close()
            else:
                await speaker.quit()
            return TlsFailed(verdict, handshake, speaker.dialogue.take())
        if speaker.target.is_implicit_tls:
            failed = await speaker.greet()
        else:
            # RFC 3207 §4.2: what was said before TLS is forgotten.
            failed = await speaker.hello_again()
        if failed is not None and (failure := speaker.wire.tls_failure) is not None:
            # In TLS 1.3 a server refuses the client after the client's handshake is complete.
            late = judge_failure(requirement, failure, anchors, self._clock.now())
            return TlsFailed(late, failure, failed.dialogue)
        if isinstance(failed, Unreachable) and requirement.level is Level.MAY:
            # A host whose TLS breaks right behind the handshake: as one that fails in it.
            failure = HandshakeFailed(FailureCause.CLOSED, failed.detail, sni=handshake.sni)
            late = judge_failure(requirement, failure, anchors, self._clock.now())
            return TlsFailed(late, failure, failed.dialogue, Secured(handshake, verdict))
        if failed is not None:
            return replace(failed, secured=Secured(handshake, verdict))
        return Connected(speaker.target, speaker, verdict, handshake)


async def _without_tls(speaker: Speaker, verdict: Verdict) -> Dialled:
    if verdict.may_send:
        return Connected(speaker.target, speaker, verdict, None)
    await speaker.quit()
    return TlsFailed(verdict, None, speaker.dialogue.take())


def _client_settings(requirement: Requirement) -> ClientSettings:
    """Give what the requirement means for the handshake itself.

    Where the chain must verify, a refusal inside the handshake tells the peer why. Not with a
    tafile: its anchors count without their dates, which OpenSSL does not do.
    """
    level = requirement.level
    is_strict = level in (Level.VERIFY, Level.SECURE) and not requirement.trust_files
    return ClientSettings(
        min_version=requirement.min_version,
        max_version=requirement.max_version,
        ciphers=requirement.ciphers,
        is_opportunistic=level is Level.MAY,
        is_verifying=is_strict,
    )
