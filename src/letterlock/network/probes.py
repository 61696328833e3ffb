"""One question to one address: a session up to TLS, and what each part of it showed.

RFC 5321 §4.1.1.1, RFC 3207 §4, RFC 6066 §3. MAIL is never said. A host that does not want to talk
to us is told apart from one that fails: what it would say to others is not known then.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import TypeVar

from OpenSSL import SSL

from letterlock.network.served_look import AskedName, make_look_context
from letterlock.network.smtp_speaker import Refused, Speaker, Target
from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Lost, Wire, connect
from letterlock.protocols.check import openings as opening
from letterlock.protocols.check.facts import AskedSni, Probe, State
from letterlock.protocols.check.openings import Speech
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.timeouts import ClientTimeouts
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.protocols.tls.handshake import FailureCause, HandshakeFailed

PROBE_SECONDS = 20.0
"""For each step that has no limit of its own."""

PROBE_STEPS = 6
"""A connection as a whole may take so many times as long as a step of it: a tarpit has no end."""

Found = TypeVar("Found")

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


async def probe_smtp(
    ip: str, port: int, helo: str, question: ProbeQuestion, seconds: float = PROBE_SECONDS
) -> Probe:
    """Ask. Whatever the host does is in the answer."""
    begun = Probe(question.asked, State.NOT_TESTED, question.sni, question.key)
    wire = await connect(ip, port, seconds)
    if isinstance(wire, Lost):
        return replace(begun, state=State.UNREACHABLE, detail=wire.detail)
    speaker = Speaker(wire, Target(ip, ip, port, helo), make_timeouts(seconds))
    try:
        probe = await _ask(speaker, question, begun, seconds)
    finally:
        wire.close()
    return replace(probe, transcript=speaker.dialogue.take())


async def probe_service(
    place: tuple[str, int],
    speech: Speech,
    helo: str,
    question: ProbeQuestion,
    seconds: float = PROBE_SECONDS,
) -> Probe:
    """Ask a service, at an address and a port, that may speak something else than SMTP first."""
    if speech is Speech.SMTP:
        asking = probe_smtp(*place, helo, question, seconds)
    else:
        asking = _probe_other(place, speech, question, seconds)
    found = await bound_whole(asking, seconds)
    if isinstance(found, Tarpit):
        detail = found.detail
        return Probe(question.asked, State.BLOCKED, question.sni, question.key, detail=detail)
    return found


async def bound_whole(asking: Awaitable[Found], seconds: float) -> Found | Tarpit:
    """Wait for what talks to a server, for `PROBE_STEPS` times the seconds of a step."""
    whole = PROBE_STEPS * seconds
    try:
        async with asyncio.timeout(whole):
            return await asking
    except TimeoutError:
        return Tarpit(f"it kept us for {whole:g} seconds, octet by octet")


async def _probe_other(
    place: tuple[str, int], speech: Speech, question: ProbeQuestion, seconds: float
) -> Probe:
    begun = Probe(question.asked, State.NOT_TESTED, question.sni, question.key)
    ip, port = place
    wire = await connect(ip, port, seconds)
    if isinstance(wire, Lost):
        return replace(begun, state=State.UNREACHABLE, detail=wire.detail)
    try:
        refused = None if speech is Speech.TLS else await open_service(wire, speech, seconds)
        if refused is not None:
            state = State.BLOCKED if refused.is_blocked else State.FINDING
            return replace(begun, state=state, detail=refused.text)
        driver = TlsDriver.client(_find_context(question), question.sni)
        outcome = await wire.start_tls(driver, seconds)
    finally:
        wire.close()
    begun = replace(begun, is_starttls_offered=True, handshake=outcome)
    if isinstance(outcome, HandshakeFailed):
        return replace(begun, state=State.FINDING, detail=outcome.detail)
    return replace(begun, state=State.OK, detail=f"TLS: {outcome.version} {outcome.cipher}")


async def open_service(wire: Wire, speech: Speech, seconds: float) -> opening.Refused | None:
    """Talk until TLS may begin; else give why it does not."""
    reader = opening.OpeningReader(speech)
    while True:
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


async def _ask(speaker: Speaker, question: ProbeQuestion, begun: Probe, seconds: float) -> Probe:
    failed = await speaker.greet()
    if isinstance(failed, Refused):
        return replace(begun, state=State.BLOCKED, detail=f"it said {_show(failed.reply)}")
    if failed is not None:
        # It took the connection: somebody is there, who does not talk to us.
        return replace(begun, state=State.BLOCKED, detail=failed.detail)
    if not speaker.capabilities.starttls:
        await speaker.quit()
        return replace(begun, state=State.FINDING, detail="STARTTLS is not offered")
    begun = replace(begun, is_starttls_offered=True)
    return await _start_tls(speaker, question, begun, seconds)


async def _start_tls(
    speaker: Speaker, question: ProbeQuestion, begun: Probe, seconds: float
) -> Probe:
    ready = await speaker.ask("STARTTLS", speaker.timeouts.helo)
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
        failure = HandshakeFailed(FailureCause.NOT_TLS, detail, sni=question.sni)
        return replace(begun, state=State.FINDING, handshake=failure, detail=detail)
    return await _shake_hands(speaker, question, begun, seconds)


async def _shake_hands(
    speaker: Speaker, question: ProbeQuestion, begun: Probe, seconds: float
) -> Probe:
    driver = TlsDriver.client(_find_context(question), question.sni)
    outcome = await speaker.wire.start_tls(driver, seconds)
    if isinstance(outcome, HandshakeFailed):
        speaker.dialogue.add("!", f"TLS handshake failed: {outcome.detail}")
        return replace(begun, state=State.FINDING, handshake=outcome, detail=outcome.detail)
    text = f"TLS: {outcome.version} {outcome.cipher}"
    speaker.dialogue.add("!", text)
    done = replace(begun, state=State.OK, handshake=outcome, detail=text)
    return await _finish(speaker, question, done)


async def _finish(speaker: Speaker, question: ProbeQuestion, done: Probe) -> Probe:
    """Ask what is offered under TLS, where that is asked for, and leave."""
    if question.asked is not AskedSni.OWN or question.key is not None:
        await speaker.quit()
        return done
    failed = await speaker.hello_again()
    if failed is None:
        offers = speaker.capabilities.requiretls
        await speaker.quit()
        return replace(done, offers_requiretls=offers)
    if (failure := speaker.wire.tls_failure) is not None:
        # In TLS 1.3 a server refuses the client after the client's handshake is complete.
        return replace(done, state=State.FINDING, handshake=failure, detail=failure.detail)
    if isinstance(failed, Refused):
        return replace(done, state=State.BLOCKED, detail=f"it said {_show(failed.reply)}")
    # TLS that breaks right behind the handshake is TLS that failed: nobody's mail gets further.
    chain = done.handshake.chain if done.handshake is not None else ()
    broken = HandshakeFailed(FailureCause.CLOSED, failed.detail, chain=chain, sni=question.sni)
    return replace(done, state=State.FINDING, handshake=broken, detail=failed.detail)


def make_timeouts(seconds: float) -> ClientTimeouts:
    """Be as patient at each step: somebody is looking on."""
    step = timedelta(seconds=seconds)
    return ClientTimeouts(**{each.name: step for each in fields(ClientTimeouts)})


def _find_context(question: ProbeQuestion) -> SSL.Context:
    is_old_welcome = question.is_old_welcome
    return make_look_context(AskedName(question.sni, question.key, is_old_welcome=is_old_welcome))


def _show(reply: Reply) -> str:
    return reply.text[:200]
