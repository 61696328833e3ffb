"""One question to one address: a session up to TLS, and what each part of it showed and took.

RFC 5321 §4.1.1.1, RFC 3207 §4, RFC 6066 §3. MAIL is never said. A host that does not want to talk
to us is told apart from one that fails: what it would say to others is not known then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import TypeVar

from letterlock.base.clock import Clock
from letterlock.network.probe_record import KeptDialogue, ProbeRecord
from letterlock.network.served_look import AskedName, make_look_context
from letterlock.network.smtp_speaker import Refused, Speaker, Target
from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Lost, Wire, connect
from letterlock.protocols.check import openings as opening
from letterlock.protocols.check.facts import AskedSni, Probe, ProbeStep, State
from letterlock.protocols.check.openings import Speech
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.reply_reader import ReplyViolation
from letterlock.protocols.smtp.timeouts import ClientTimeouts
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed

PROBE_SECONDS = 20.0
"""For each step that has no limit of its own."""

PROBE_STEPS = 6
"""A connection as a whole may take so many times as long as a step of it: a tarpit has no end."""

Found = TypeVar("Found")
Timing = Callable[[ProbeStep], AbstractContextManager[None]]
"""What counts the time of a step."""

_READY = 220  # RFC 3207 §4
_CLOSING = 421


@dataclass(frozen=True, slots=True)
class Tarpit:
    """A server that talked for longer than a connection as a whole may take."""

    detail: str


@dataclass(frozen=True, slots=True)
class ProbeQuestion:
    """What is asked: with which server name, for which type of key.

    `is_old_welcome`: TLS of any age is taken, and not only what strict senders take.
    """

    asked: AskedSni
    sni: str | None
    key: KeyType | None = None
    is_old_welcome: bool = False

    @property
    def is_first(self) -> bool:
        """It asks as a correct sender does: what is offered is asked of nobody else."""
        return self.asked is AskedSni.OWN and self.key is None


@dataclass(frozen=True, slots=True)
class ProbeTerms:
    """As whom it is asked, by which clock, and how many seconds each step may take."""

    helo: str
    clock: Clock
    seconds: float = PROBE_SECONDS


async def probe_service(
    place: tuple[str, int], speech: Speech, question: ProbeQuestion, terms: ProbeTerms
) -> Probe:
    """Ask an address and a port, by what is spoken there. What the host does is in the answer."""
    asking = _Asking(question, terms, ProbeRecord(terms.clock))
    found = await bound_whole(_probe(asking, place, speech), terms.seconds)
    if isinstance(found, Tarpit):
        found = replace(asking.begun, state=State.BLOCKED, detail=found.detail)
    return asking.record.add_to(found)


async def bound_whole(asking: Awaitable[Found], seconds: float) -> Found | Tarpit:
    """Wait for what talks to a server, for `PROBE_STEPS` times the seconds of a step."""
    whole = PROBE_STEPS * seconds
    try:
        async with asyncio.timeout(whole):
            return await asking
    except TimeoutError:
        return Tarpit(f"it kept us for {whole:g} seconds, octet by octet")


def untimed(_step: ProbeStep) -> AbstractContextManager[None]:
    """Count no time."""
    return nullcontext()


async def open_service(
    wire: Wire, reader: opening.OpeningReader, seconds: float, timing: Timing = untimed
) -> opening.Refused | None:
    """Talk until TLS may begin; else give why it does not."""
    while True:
        with timing(ProbeStep.STARTTLS if reader.has_asked else ProbeStep.BANNER):
            octets = await wire.read(seconds)
        if isinstance(octets, Lost):
            return opening.Refused(f"{octets.detail} before TLS", is_blocked=True)
        step = reader.receive(octets)
        if isinstance(step, opening.Say):
            await wire.write(step.octets, seconds)
        elif isinstance(step, opening.Refused):
            return step
        elif step is not None:
            return None


@dataclass(frozen=True, slots=True)
class _Asking:
    """A question that is being asked."""

    question: ProbeQuestion
    terms: ProbeTerms
    record: ProbeRecord

    @property
    def begun(self) -> Probe:
        """Give the answer as long as there is none."""
        question = self.question
        return Probe(question.asked, State.NOT_TESTED, question.sni, question.key)

    async def shake_hands(self, wire: Wire) -> Handshake | HandshakeFailed:
        question = self.question
        name = AskedName(question.sni, question.key, is_old_welcome=question.is_old_welcome)
        driver = TlsDriver.client(make_look_context(name), question.sni)
        with self.record.timing(ProbeStep.HANDSHAKE):
            outcome = await wire.start_tls(driver, self.terms.seconds)
        self.record.said.append(f"! {_describe(outcome)}")
        return outcome


async def _probe(asking: _Asking, place: tuple[str, int], speech: Speech) -> Probe:
    ip, port = place
    with asking.record.timing(ProbeStep.CONNECT):
        wire = await connect(ip, port, asking.terms.seconds)
    if isinstance(wire, Lost):
        return replace(asking.begun, state=State.UNREACHABLE, detail=wire.detail)
    try:
        if speech is Speech.SMTP:
            return await _SmtpProbe(asking, wire, ip, port).ask()
        return await _probe_other(asking, wire, speech)
    finally:
        wire.close()


async def _probe_other(asking: _Asking, wire: Wire, speech: Speech) -> Probe:
    if speech is not Speech.TLS:
        reader, record = opening.OpeningReader(speech), asking.record
        record.said = reader.said
        refused = await open_service(wire, reader, asking.terms.seconds, record.timing)
        if refused is not None:
            state = State.BLOCKED if refused.is_blocked else State.FINDING
            return replace(asking.begun, state=state, detail=refused.text)
    outcome = await asking.shake_hands(wire)
    begun = replace(asking.begun, is_starttls_offered=True, handshake=outcome)
    if isinstance(outcome, HandshakeFailed):
        return replace(begun, state=State.FINDING, detail=outcome.detail)
    return replace(begun, state=State.OK, detail=_describe(outcome))


class _SmtpProbe:
    """One SMTP session, up to what is offered under TLS."""

    def __init__(self, asking: _Asking, wire: Wire, ip: str, port: int) -> None:
        self._asking = asking
        self._question = asking.question
        self._timing = asking.record.timing
        terms = asking.terms
        target = Target(ip, ip, port, terms.helo)
        self._speaker = Speaker(wire, target, make_timeouts(terms.seconds))
        self._speaker.dialogue = KeptDialogue(asking.record.said)

    async def ask(self) -> Probe:
        begun, speaker = self._asking.begun, self._speaker
        with self._timing(ProbeStep.BANNER):
            failed = await speaker.take_greeting()
        if failed is None:
            with self._timing(ProbeStep.EHLO):
                failed = await speaker.say_hello()
        begun = replace(begun, hello=speaker.hello_reply)
        if isinstance(failed, Refused):
            return replace(begun, state=State.BLOCKED, detail=f"it said {_show(failed.reply)}")
        if failed is not None:
            # It took the connection: somebody is there, who does not talk to us.
            return replace(begun, state=State.BLOCKED, detail=failed.detail)
        if not speaker.capabilities.starttls:
            begun = replace(begun, state=State.FINDING, detail="STARTTLS is not offered")
            return await self._try_unoffered(begun)
        return await self._start_tls(replace(begun, is_starttls_offered=True))

    async def _try_unoffered(self, begun: Probe) -> Probe:
        """Say STARTTLS all the same: something on the way may have taken the word out."""
        if self._question.is_first:
            ready = await self._say_starttls()
            if isinstance(ready, Reply) and ready.code == _READY and not self._speaker.has_unread():
                outcome = await self._asking.shake_hands(self._speaker.wire)
                return replace(begun, unoffered=outcome)
        await self._speaker.quit()
        return begun

    async def _say_starttls(self) -> Reply | ReplyViolation | Lost:
        with self._timing(ProbeStep.STARTTLS):
            return await self._speaker.ask("STARTTLS", self._speaker.timeouts.helo)

    async def _start_tls(self, begun: Probe) -> Probe:
        speaker = self._speaker
        ready = await self._say_starttls()
        if not isinstance(ready, Reply):
            gone = speaker.gone(ready, "STARTTLS")
            return replace(begun, state=State.FINDING, detail=gone.detail)
        if ready.code != _READY:
            state = State.BLOCKED if ready.code == _CLOSING else State.FINDING
            await speaker.quit()
            detail = f"STARTTLS is refused: {_show(ready)}"
            return replace(begun, state=state, starttls=ready, detail=detail)
        if speaker.has_unread():
            # RFC 3207 §6: plain text after the 220 was put there by somebody else.
            detail = "plain text came between the 220 and the handshake"
            failure = HandshakeFailed(FailureCause.NOT_TLS, detail, sni=begun.sni)
            return replace(begun, state=State.FINDING, handshake=failure, detail=detail)
        outcome = await self._asking.shake_hands(speaker.wire)
        begun = replace(begun, handshake=outcome)
        if isinstance(outcome, HandshakeFailed):
            return replace(begun, state=State.FINDING, detail=outcome.detail)
        return await self._finish(replace(begun, state=State.OK, detail=_describe(outcome)))

    async def _finish(self, done: Probe) -> Probe:
        """Ask what is offered under TLS, where that is asked for, and leave."""
        speaker = self._speaker
        if not self._question.is_first:
            await speaker.quit()
            return done
        with self._timing(ProbeStep.EHLO_UNDER_TLS):
            failed = await speaker.hello_again()
        if failed is None:
            offers, reply = speaker.capabilities.requiretls, speaker.hello_reply
            await speaker.quit()
            return replace(done, offers_requiretls=offers, hello_under_tls=reply)
        if (failure := speaker.wire.tls_failure) is not None:
            # In TLS 1.3 a server refuses the client after the client's handshake is complete.
            return replace(done, state=State.FINDING, handshake=failure, detail=failure.detail)
        if isinstance(failed, Refused):
            return replace(done, state=State.BLOCKED, detail=f"it said {_show(failed.reply)}")
        # TLS that breaks right behind the handshake is TLS that failed: nobody's mail gets further.
        chain = done.handshake.chain if done.handshake is not None else ()
        broken = HandshakeFailed(FailureCause.CLOSED, failed.detail, chain=chain, sni=done.sni)
        return replace(done, state=State.FINDING, handshake=broken, detail=failed.detail)


def make_timeouts(seconds: float) -> ClientTimeouts:
    """Be as patient at each step: somebody is looking on."""
    step = timedelta(seconds=seconds)
    return ClientTimeouts(**{each.name: step for each in fields(ClientTimeouts)})


def _describe(outcome: Handshake | HandshakeFailed) -> str:
    if isinstance(outcome, HandshakeFailed):
        return f"TLS handshake failed: {outcome.detail}"
    return f"TLS: {outcome.version} {outcome.cipher}"


def _show(reply: Reply) -> str:
    return reply.text[:200]
