"""Connections that try a server: a hello made by hand, a command behind STARTTLS, a wrong end.

RFC 3207 §4 and §4.2, RFC 9051 §6.2.1, RFC 2595 §4, RFC 5321 §4.1.1.4. A hello leads to no session:
the connection ends with the server's answer. MAIL is said by `try_ending` alone, which is for
servers of one's own. That a server puts words into the answer to STARTTLS (response injection)
harms clients, and is theirs to refuse: `network.probes` does, and so does each connection here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from letterlock.network.probes import Tarpit, bound_whole, make_timeouts, open_service
from letterlock.network.served_look import AskedName, make_look_context
from letterlock.network.smtp_speaker import Refused, Speaker, Target
from letterlock.network.tls import TlsDriver
from letterlock.network.wire import Lost, Wire, connect
from letterlock.protocols.check.deep import Ending, Injection, TriedEnding
from letterlock.protocols.check.injections import FAREWELLS, INJECTED, FarewellReader
from letterlock.protocols.check.openings import OpeningReader, Speech
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.reply_reader import ReplyViolation
from letterlock.protocols.tls.client_hello import TLS_1_2, Incomplete, NotTls
from letterlock.protocols.tls.handshake import FailureCause, HandshakeFailed
from letterlock.protocols.tls.server_flight import Answer, ServerChoice, ServerFlightReader

_READY, _DATA, _DONE, _BYE, _CLOSING = 220, 354, 250, 221, 421
_SHOWN = 200

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Gate:
    """A service of an address, and how it is talked to. `seconds` is for each step."""

    ip: str
    port: int
    helo: str
    seconds: float
    speech: Speech = Speech.SMTP
    sni: str | None = None


@dataclass(frozen=True, slots=True)
class PutOff:
    """It did not come to a question: the server does not talk to us, or not that far.

    `is_silent`: it did, and nothing came.
    """

    detail: str
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that is sent to try an end: `head` is its fields, CRLF behind each."""

    recipient: str
    head: bytes


async def ask_hello(gate: Gate, hello: bytes) -> Answer | PutOff:
    """Send a ClientHello, and give what the server answers."""
    return await _visit(gate, lambda wire: _ask_hello(wire, gate, hello))


async def inject_command(gate: Gate) -> tuple[Injection, str] | PutOff:
    """Send NOOP in clear right behind STARTTLS, and see whether it is done under TLS.

    Then there is one reply more than was asked for: EHLO's comes when QUIT was said.
    """
    inject = _inject if gate.speech is Speech.SMTP else _inject_other
    return await _visit(gate, lambda wire: inject(wire, gate))


async def try_ending(gate: Gate, letter: Letter, text: str) -> TriedEnding | PutOff:
    """Send a message with a wrong end in it, `text` (`<LF>.<LF>`), and a NOOP behind that.

    A server that takes it for the end does the NOOP: then QUIT is not answered first.
    """
    return await _visit(gate, lambda wire: _try_ending(wire, gate, letter, text))


async def _visit(gate: Gate, ask: Callable[[Wire], Awaitable[Found | PutOff]]) -> Found | PutOff:
    wire = await connect(gate.ip, gate.port, gate.seconds)
    if isinstance(wire, Lost):
        return PutOff(wire.detail)
    try:
        found = await bound_whole(ask(wire), gate.seconds)
    finally:
        wire.close()
    return PutOff(found.detail) if isinstance(found, Tarpit) else found


async def _ask_hello(wire: Wire, gate: Gate, hello: bytes) -> Answer | PutOff:
    put_off = await _come_to_tls(wire, gate)
    if put_off is not None:
        return put_off
    reader = ServerFlightReader()
    await wire.write(hello, gate.seconds)
    while True:
        octets = await wire.read(gate.seconds)
        if isinstance(octets, Lost):
            return _conclude(reader, octets)
        answer = reader.receive(octets)
        if not isinstance(answer, Incomplete):
            if isinstance(answer, ServerChoice):
                wire.write_now(_make_close_notify(answer.version))
            return answer


def _make_close_notify(version: int) -> bytes:
    """RFC 5246 §7.2.1: a server's log then has an end, and no fault."""
    return b"\x15" + min(version, TLS_1_2).to_bytes(2, "big") + b"\x00\x02\x01\x00"


def _conclude(reader: ServerFlightReader, lost: Lost) -> Answer | PutOff:
    """Many a server refuses a hello by hanging up; silence tells nothing."""
    known = reader.finish()
    if known is None and lost.is_timeout:
        return PutOff("it was silent after a ClientHello", is_silent=True)
    return known or NotTls(lost.detail)


async def _come_to_tls(wire: Wire, gate: Gate) -> PutOff | None:
    if gate.speech is Speech.TLS:
        return None
    if gate.speech is not Speech.SMTP:
        refused = await open_service(wire, OpeningReader(gate.speech), gate.seconds)
        return None if refused is None else PutOff(refused.text)
    speaker = await _greet(wire, gate)
    return speaker if isinstance(speaker, PutOff) else await _say_starttls(speaker)


async def _greet(wire: Wire, gate: Gate) -> Speaker | PutOff:
    target = Target(gate.ip, gate.ip, gate.port, gate.helo)
    speaker = Speaker(wire, target, make_timeouts(gate.seconds))
    failed = await speaker.greet()
    if isinstance(failed, Refused):
        return PutOff(f"it said {_show(failed.reply)}")
    return speaker if failed is None else PutOff(failed.detail)


async def _say_starttls(speaker: Speaker) -> PutOff | None:
    if not speaker.capabilities.starttls:
        await speaker.quit()
        return PutOff("STARTTLS is not offered")
    ready = await speaker.ask("STARTTLS", speaker.timeouts.helo)
    if not isinstance(ready, Reply) or ready.code != _READY:
        return PutOff(f"STARTTLS is refused: {_show(ready)}")
    if speaker.has_unread():
        # RFC 3207 §6: plain text after the 220 was put there by somebody else.
        return PutOff("plain text came between the 220 and the handshake")
    return None


async def _inject(wire: Wire, gate: Gate) -> tuple[Injection, str] | PutOff:
    speaker = await _greet(wire, gate)
    if isinstance(speaker, PutOff):
        return speaker
    if not speaker.capabilities.starttls:
        return PutOff("STARTTLS is not offered")
    ready = await speaker.ask("STARTTLS\r\nNOOP", speaker.timeouts.helo)
    if not isinstance(ready, Reply) or ready.code != _READY:
        return Injection.REFUSED, _show(ready)
    if speaker.has_unread():
        return Injection.IN_CLEAR, "a second reply came in clear"
    failed = await _shake_hands(wire, gate)
    if failed is None:
        # What is read under TLS has nothing to do with what was read before.
        return await _count_replies(Speaker(wire, speaker.target, speaker.timeouts))
    is_clear = failed.cause is FailureCause.NOT_TLS
    return (Injection.IN_CLEAR if is_clear else Injection.REFUSED), failed.detail


async def _count_replies(speaker: Speaker) -> tuple[Injection, str]:
    first = await speaker.ask(f"EHLO {speaker.target.helo}", speaker.timeouts.helo)
    second = await speaker.ask("QUIT", speaker.timeouts.quit)
    if isinstance(second, Reply) and second.code == _DONE:
        return Injection.EXECUTED, _show(first)
    return (Injection.DISCARDED if isinstance(first, Reply) else Injection.REFUSED), _show(first)


async def _inject_other(wire: Wire, gate: Gate) -> tuple[Injection, str] | PutOff:
    """Do the same in IMAP or POP3."""
    opening = OpeningReader(gate.speech, INJECTED[gate.speech])
    refused = await open_service(wire, opening, gate.seconds)
    if refused is not None and not opening.has_asked:
        return PutOff(refused.text)
    if refused is not None:
        return (Injection.IN_CLEAR if refused.is_early else Injection.REFUSED), refused.text
    if wire.has_unread():
        return Injection.IN_CLEAR, "a second answer came in clear"
    failed = await _shake_hands(wire, gate)
    if failed is not None:
        is_clear = failed.cause is FailureCause.NOT_TLS
        return (Injection.IN_CLEAR if is_clear else Injection.REFUSED), failed.detail
    await wire.write(FAREWELLS[gate.speech], gate.seconds)
    reader = FarewellReader(gate.speech)
    while not isinstance(octets := await wire.read(gate.seconds), Lost):
        if reader.receive(octets):
            break
    return reader.conclude()


async def _shake_hands(wire: Wire, gate: Gate) -> HandshakeFailed | None:
    context = make_look_context(AskedName(gate.sni, is_old_welcome=True))
    outcome = await wire.start_tls(TlsDriver.client(context, gate.sni), gate.seconds)
    return outcome if isinstance(outcome, HandshakeFailed) else None


async def _try_ending(wire: Wire, gate: Gate, letter: Letter, text: str) -> TriedEnding | PutOff:
    speaker = await _greet(wire, gate)
    if isinstance(speaker, PutOff):
        return speaker
    if speaker.capabilities.starttls:
        put_off = await _say_starttls(speaker)
        if put_off is not None:
            return put_off
        failed = await _shake_hands(wire, gate)
        if failed is not None:
            return PutOff(failed.detail)
        speaker = Speaker(wire, speaker.target, speaker.timeouts)
        await speaker.hello_again()
    for command, wanted in (
        ("MAIL FROM:<>", _DONE),
        (f"RCPT TO:<{letter.recipient}>", _DONE),
        ("DATA", _DATA),
    ):
        reply = await speaker.ask(command, speaker.timeouts.mail)
        if not isinstance(reply, Reply) or reply.code != wanted:
            return PutOff(f"{command} is answered with {_show(reply)}")
    return await _send_ending(speaker, letter, text)


async def _send_ending(speaker: Speaker, letter: Letter, text: str) -> TriedEnding:
    ending = text.replace("<CR>", "\r").replace("<LF>", "\n").encode("ascii")
    body = letter.head + b"\r\nA wrong end of a message follows." + ending + b"NOOP\r\n.\r\n"
    await speaker.wire.write(body, speaker.timeouts.data_block.total_seconds())
    first = await speaker.reply(speaker.timeouts.data_end)
    if not isinstance(first, Reply):
        return TriedEnding(text, Ending.REFUSED, _show(first))
    second = await speaker.ask("QUIT", speaker.timeouts.quit)
    if isinstance(second, Reply) and second.code not in (_BYE, _CLOSING):
        return TriedEnding(text, Ending.TAKEN, f"{_show(first)}; then {_show(second)}")
    is_taken = first.code == _DONE
    return TriedEnding(text, Ending.NOT_TAKEN if is_taken else Ending.REFUSED, _show(first))


def _show(answer: Reply | ReplyViolation | Lost) -> str:
    if isinstance(answer, Reply):
        return answer.text[:_SHOWN]
    return answer.detail if isinstance(answer, Lost) else f"not SMTP: {answer.reason}"
