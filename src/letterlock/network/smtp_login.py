"""Logging in at a server that takes our mail: after its TLS was judged, and before any MAIL.

RFC 4954 §4, §6, §14. What is said is in `protocols.smtp.authentication`; which account, who calls.
Neither passwords nor responses come into a dialogue, nor do challenges, against which passwords can
be tried.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from letterlock.network.smtp_speaker import Secured, Speaker, Unreachable
from letterlock.network.wire import Lost
from letterlock.protocols.policy.verdict import Outcome
from letterlock.protocols.sasl.channel_binding import ChannelBindings
from letterlock.protocols.sasl.client_mechanisms import begin_exchange, choose_mechanism
from letterlock.protocols.sasl.client_steps import Credentials
from letterlock.protocols.sasl.mechanisms import Mechanism
from letterlock.protocols.sasl.responses import encode_challenge
from letterlock.protocols.smtp.authentication import (
    Authentication,
    AuthStep,
    LoggedIn,
    LoginBroken,
    LoginRefused,
    Say,
)
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.reply_reader import ReplyViolation

_NONCE_OCTETS = 18
_HIDDEN = "..."
_MIN_HIDDEN_CHARACTERS = 3
"""A password shorter than this is not looked for in replies: it would be found in any."""


@dataclass(frozen=True, slots=True)
class LoginTerms:
    """How we log in, wherever. `may_be_unproved`: also at hosts that proved nothing, under TLS."""

    mechanisms: tuple[Mechanism, ...] = tuple(Mechanism)
    may_be_unproved: bool = False
    make_nonce: Callable[[], str] = lambda: secrets.token_urlsafe(_NONCE_OCTETS)


DEFAULT_TERMS = LoginTerms()


@dataclass(frozen=True, slots=True)
class NotLoggedIn:
    """We have an account there, and could not log in: no mail was sent.

    `reply` is the server's, where it said no.
    """

    reason: str
    dialogue: tuple[str, ...] = ()
    secured: Secured | None = None
    reply: Reply | None = None

    @property
    def is_refused(self) -> bool:
        """The server wants no login of this account: asked again soon, it may lock it."""
        return self.reply is not None and self.reply.is_permanent


async def log_in(
    speaker: Speaker, secured: Secured | None, credentials: Credentials, terms: LoginTerms
) -> NotLoggedIn | Unreachable | None:
    """Log in; None: we are. Anything else has closed the connection."""
    refusal = _refuse_to_say(secured, terms)
    bindings = speaker.wire.find_channel_bindings()
    offered = speaker.capabilities.auth
    mechanism = choose_mechanism(offered, terms.mechanisms, bindings)
    if refusal is None and mechanism is None:
        refusal = _explain_no_mechanism(offered, terms)
    if refusal is not None or mechanism is None:
        await speaker.quit()
        return NotLoggedIn(_tell(refusal, credentials), speaker.dialogue.take(), secured)
    authentication = _begin(mechanism, credentials, terms, bindings)
    ended = await _Login(speaker, credentials).carry_out(authentication, mechanism)
    if isinstance(ended, Unreachable):
        return ended
    if isinstance(ended, LoggedIn):
        speaker.dialogue.add("!", f"logged in as {credentials.user} by {mechanism}")
        return None
    await speaker.quit()
    reason, reply = _explain_end(ended, credentials, mechanism)
    return NotLoggedIn(_tell(reason, credentials), speaker.dialogue.take(), secured, reply)


class _Login:
    """The lines of one AUTH."""

    def __init__(self, speaker: Speaker, credentials: Credentials) -> None:
        self._speaker = speaker
        self._credentials = credentials

    async def carry_out(
        self, authentication: Authentication, mechanism: Mechanism
    ) -> LoggedIn | LoginRefused | LoginBroken | Unreachable:
        # To prepare and count takes long.
        step: AuthStep = await asyncio.to_thread(authentication.begin)
        shown = f"AUTH {mechanism}"
        while isinstance(step, Say):
            if step.line.startswith(f"{shown} "):
                shown += f" {_HIDDEN}"
            answer = await self._say(step.line, shown)
            if not isinstance(answer, Reply):
                return self._speaker.gone(answer, "the reply to AUTH")
            step = await asyncio.to_thread(authentication.receive, answer)
            shown = _HIDDEN
        if isinstance(step, LoginBroken) and not step.is_owed:
            # RFC 4954 §4: the server awaits a response, and is told that none comes.
            await self._say("*", "*")
        return step

    async def _say(self, line: str, shown: str) -> Reply | ReplyViolation | Lost:
        patience = self._speaker.timeouts.helo
        return await self._speaker.say_secret(line, shown, patience, self._show)

    def _show(self, reply: Reply) -> str:
        return f"334 {_HIDDEN}" if reply.code == 334 else hide(reply.text, self._credentials)


def hide(text: str, credentials: Credentials) -> str:
    """Take a password out of what a server said, which may repeat what it was told."""
    password = credentials.password
    if len(password) < _MIN_HIDDEN_CHARACTERS:
        return text
    whole = f"\0{credentials.user}\0{password}".encode()
    for secret in (encode_challenge(whole), encode_challenge(password.encode()), password):
        text = text.replace(secret, _HIDDEN)
    return text


def _begin(
    mechanism: Mechanism, credentials: Credentials, terms: LoginTerms, bindings: ChannelBindings
) -> Authentication:
    may_bind = Mechanism.SCRAM_SHA_256_PLUS in terms.mechanisms
    nonce = terms.make_nonce()
    exchange = begin_exchange(mechanism, credentials, nonce, bindings, may_bind=may_bind)
    return Authentication(mechanism, exchange)


def _refuse_to_say(secured: Secured | None, terms: LoginTerms) -> str | None:
    """Say why no password is said here; None: it may be. What is required says so before."""
    if secured is None:
        return "there is no TLS, and a password is not said in clear"
    if secured.verdict.outcome is not Outcome.AUTHENTICATED and not terms.may_be_unproved:
        return f"the host did not prove itself ({secured.verdict.reason})"
    return None


def _explain_no_mechanism(offered: frozenset[str], terms: LoginTerms) -> str:
    if not offered:
        return "it does not offer AUTH"
    theirs = " ".join(ascii(each)[1:-1] for each in sorted(offered))[:200]
    return f"it offers AUTH {theirs}, of which we have none ({' '.join(terms.mechanisms)})"


def _explain_end(
    ended: LoginRefused | LoginBroken, credentials: Credentials, mechanism: Mechanism
) -> tuple[str, Reply | None]:
    match ended:
        case LoginRefused(reply):
            return f"it said: {hide(reply.text, credentials)} (in reply to AUTH {mechanism})", reply
        case LoginBroken(reason):
            return f"AUTH {mechanism}: {hide(reason, credentials)}", None


def _tell(reason: str | None, credentials: Credentials) -> str:
    return f"cannot log in with the password of {credentials.where}: {reason}"
