"""Connections that try a server, made to servers that misbehave."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from letterlock.network import probes
from letterlock.network.deep_probes import (
    Gate,
    Letter,
    PutOff,
    ask_hello,
    inject_command,
    try_ending,
)
from letterlock.protocols.check.deep import Ending, Injection, TriedEnding
from letterlock.protocols.check.openings import Speech
from letterlock.protocols.tls.client_hello import TLS_1_2, TLS_1_3, NotTls
from letterlock.protocols.tls.groups import GROUPS
from letterlock.protocols.tls.hello_writer import Offer, write_client_hello
from letterlock.protocols.tls.server_flight import Alerted, ServerChoice
from letterlock.protocols.tls.suites import SUITES, is_tls_1_3
from tests.accepting import accepting
from tests.misbehaving import Act, Answer, Conduct, Server, TlsConduct, serving
from tests.network.certificates import issue

HOST = "mx.peer.example"
NEW = write_client_hello(
    Offer(TLS_1_3, tuple(filter(is_tls_1_3, SUITES)), tuple(GROUPS), HOST), bytes(32)
)
OLD = write_client_hello(Offer(TLS_1_2, tuple(SUITES), tuple(GROUPS), HOST), bytes(32))
LETTER = Letter("postmaster@peer.example", b"Subject: a test\r\n")


def good(**parts: object) -> Conduct:
    return replace(Conduct(issue((HOST,), "ec")), **parts)  # type: ignore[arg-type] # passed on


@asynccontextmanager
async def one(conduct: Conduct, seconds: float = 30.0) -> AsyncIterator[tuple[Server, Gate]]:
    async with serving(conduct) as (server,):
        yield server, Gate(server.ip, server.port, "checker.example", seconds, sni=HOST)


async def test_a_hello_is_answered_and_nothing_more_is_said() -> None:
    """RFC 8446 §4.1.4."""
    async with one(good()) as (server, gate):
        new, old = await ask_hello(gate, NEW), await ask_hello(gate, OLD)
    assert isinstance(new, ServerChoice)
    assert isinstance(old, ServerChoice)
    assert (new.version, old.version) == (TLS_1_3, TLS_1_2)
    assert old.group is not None
    verbs = [line.split()[0] for line, _ in server.seen.commands]
    assert verbs == ["EHLO", "STARTTLS"] * 2


async def test_a_hello_may_come_first_or_after_other_speech() -> None:
    async with one(good(is_implicit_tls=True)) as (_, gate):
        found = await ask_hello(replace(gate, speech=Speech.TLS), NEW)
        assert isinstance(found, ServerChoice)
        silent = await ask_hello(replace(gate, speech=Speech.IMAP, seconds=0.1), NEW)
        assert isinstance(silent, PutOff)


@pytest.mark.parametrize(
    ("speech", "greeting", "ready"),
    [
        (Speech.IMAP, b"* OK hello\r\n", b"a1 OK begin\r\n"),
        (Speech.POP3, b"+OK hello\r\n", b"+OK begin\r\n"),
    ],
)
async def test_imap_and_pop3_are_asked_behind_their_own_words(
    speech: Speech, greeting: bytes, ready: bytes
) -> None:
    heard = []
    is_over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        heard.append(await reader.readline())
        writer.write(ready)
        heard.append(await reader.readexactly(len(NEW)))
        writer.write(b"\x15\x03\x01\0\x02\x02\x28")
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        is_over.set()

    async with accepting(talk) as port:
        gate = Gate("127.0.0.1", port, "checker.example", 30.0, speech)
        assert await ask_hello(gate, NEW) == Alerted("handshake_failure")
        await is_over.wait()
    assert heard[1] == NEW


@pytest.mark.parametrize(
    ("conduct", "said"),
    [
        (good(answers={"banner": "421 4.7.0 not you"}), "it said 421 4.7.0 not you"),
        (good(answers={"banner": Act.CLOSE}), "connection closed by peer"),
        (good(has_starttls=False), "STARTTLS is not offered"),
        (good(answers={"STARTTLS": "454 4.7.0 later"}), "STARTTLS is refused: 454 4.7.0 later"),
        (good(injected=b"250 not asked for\r\n"), "plain text came between"),
    ],
)
async def test_who_does_not_come_so_far_has_not_answered(conduct: Conduct, said: str) -> None:
    async with one(conduct) as (_, gate):
        found = await ask_hello(gate, NEW)
    assert isinstance(found, PutOff)
    assert said in found.detail


async def test_nobody_there_is_no_answer_either() -> None:
    async with one(good()) as (_, gate):
        pass
    assert isinstance(await ask_hello(gate, NEW), PutOff)


@pytest.mark.parametrize(
    ("instead", "expected"),
    [
        (Act.CLOSE, NotTls("connection closed by peer")),
        (
            b"500 what?\r\n",
            NotTls("the first octet of its answer is 0x35, not that of a TLS record"),
        ),
        (b"\x15\x03\x01\0\x02\x02\x46", Alerted("protocol_version")),
    ],
)
async def test_a_refusal_is_an_answer(instead: bytes | Act, expected: NotTls | Alerted) -> None:
    async with one(good(instead_of_tls=instead)) as (_, gate):
        assert await ask_hello(gate, NEW) == expected


async def test_silence_tells_nothing() -> None:
    # On a machine that is busy the greeting may be late as well: then there is more time for it.
    found: object = None
    for seconds in (0.2, 2.0, 20.0):
        async with one(good(instead_of_tls=Act.SILENCE), seconds) as (_, gate):
            found = await ask_hello(gate, NEW)
        if found == PutOff("it was silent after a ClientHello", is_silent=True):
            return
    pytest.fail(f"{found}")


async def test_nobody_is_listened_to_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBE_STEPS", 0)
    async with one(good()) as (_, gate):
        assert await ask_hello(gate, NEW) == PutOff("it kept us for 0 seconds, octet by octet")


OLD_TLS = TlsConduct(versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2))


@pytest.mark.parametrize(
    ("conduct", "expected"),
    [
        (good(), Injection.DISCARDED),
        (good(tls=OLD_TLS), Injection.DISCARDED),
        (good(keeps_commands=True), Injection.EXECUTED),
        (good(keeps_commands=True, tls=OLD_TLS), Injection.EXECUTED),
        (good(answers={"STARTTLS": "501 5.5.4 no arguments"}), Injection.REFUSED),
        (good(answers={"STARTTLS": Act.CLOSE}), Injection.REFUSED),
        (good(injected=b"250 2.0.0 Ok\r\n"), Injection.IN_CLEAR),
        (good(instead_of_tls=b"250 2.0.0 Ok\r\n"), Injection.IN_CLEAR),
        (good(instead_of_tls=Act.CLOSE), Injection.REFUSED),
        (good(under_tls={"EHLO": Act.CLOSE}), Injection.REFUSED),
    ],
)
async def test_what_is_done_with_a_command_behind_starttls(
    conduct: Conduct, expected: Injection
) -> None:
    """RFC 3207 §4.2: what came before TLS is forgotten."""
    async with one(conduct) as (server, gate):
        found = await inject_command(gate)
    assert not isinstance(found, PutOff)
    assert found[0] is expected, found
    assert server.seen.mails == []
    done = ("NOOP", True) in server.seen.commands
    assert done == (expected is Injection.EXECUTED)


@pytest.mark.parametrize("speech", [Speech.IMAP, Speech.POP3])
@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, Injection.DISCARDED),
        ({"keeps_commands": True}, Injection.EXECUTED),
        ({"keeps_commands": True, "tls": OLD_TLS}, Injection.EXECUTED),
        ({"answers": {"STARTTLS": "a1 NO"}}, Injection.REFUSED),
        ({"answers": {"STARTTLS": Act.CLOSE}}, Injection.REFUSED),
        ({"injected": b"a2 OK\r\n"}, Injection.IN_CLEAR),
        ({"instead_of_tls": b"a2 OK\r\n"}, Injection.IN_CLEAR),
        ({"instead_of_tls": Act.CLOSE}, Injection.REFUSED),
        ({"under_tls": {"QUIT": Act.CLOSE}}, Injection.REFUSED),
    ],
)
async def test_what_is_done_behind_starttls_of_imap_and_pop3(
    speech: Speech, parts: dict[str, object], expected: Injection
) -> None:
    """RFC 9051 §6.2.1, RFC 2595 §4: what came before TLS is forgotten."""
    async with one(good(speech=speech, **parts)) as (server, gate):
        found = await inject_command(replace(gate, speech=speech))
    assert not isinstance(found, PutOff)
    assert found[0] is expected, found
    noop = "a2 NOOP" if speech is Speech.IMAP else "NOOP"
    done = (noop, True) in server.seen.commands
    assert done == (expected is Injection.EXECUTED)


async def test_a_mailbox_that_puts_us_off_is_not_asked() -> None:
    async with one(good(speech=Speech.IMAP, answers={"banner": "* BYE busy"})) as (_, gate):
        found = await inject_command(replace(gate, speech=Speech.IMAP))
    assert found == PutOff("it said * BYE busy")


@pytest.mark.parametrize(
    "conduct", [good(has_starttls=False), good(answers={"banner": "421 4.7.0 not you"})]
)
async def test_without_starttls_there_is_nothing_to_inject(conduct: Conduct) -> None:
    async with one(conduct) as (_, gate):
        assert isinstance(await inject_command(gate), PutOff)


@pytest.mark.parametrize("has_starttls", [True, False])
@pytest.mark.parametrize(
    ("text", "is_strict", "expected"),
    [
        ("<LF>.<LF>", False, Ending.TAKEN),
        ("<LF>.<CR><LF>", False, Ending.TAKEN),
        ("<CR><LF>.<LF>", False, Ending.TAKEN),
        ("<CR>.<CR>", False, Ending.NOT_TAKEN),
        ("<LF>.<LF>", True, Ending.NOT_TAKEN),
        ("<CR><LF>.<LF>", True, Ending.NOT_TAKEN),
    ],
)
async def test_what_ends_a_message(
    text: str, expected: Ending, *, is_strict: bool, has_starttls: bool
) -> None:
    """RFC 5321 §4.1.1.4. Where there is TLS it is under TLS."""
    async with one(good(is_strict_about_ends=is_strict, has_starttls=has_starttls)) as (
        server,
        gate,
    ):
        found = await try_ending(gate, LETTER, text)
    assert isinstance(found, TriedEnding)
    assert (found.text, found.ending) == (text, expected)
    (taken,) = server.seen.taken
    assert (taken.sender, taken.recipients) == ("", ("postmaster@peer.example",))
    assert taken.is_tls == has_starttls
    assert taken.content.startswith(b"Subject: a test\r\n\r\n")
    assert (b"NOOP" in taken.content) == (expected is Ending.NOT_TAKEN)


@pytest.mark.parametrize("answer", ["521 5.5.2 bare <LF> received", "421 4.3.0 closing", Act.CLOSE])
async def test_who_refuses_the_message_has_not_been_tricked(answer: Answer) -> None:
    async with one(good(is_strict_about_ends=True, answers={".": answer})) as (_, gate):
        found = await try_ending(gate, LETTER, "<LF>.<LF>")
    assert isinstance(found, TriedEnding)
    assert found.ending is Ending.REFUSED


@pytest.mark.parametrize(
    "conduct",
    [
        good(answers={"banner": "554 5.7.1 no"}),
        good(answers={"STARTTLS": "454 4.7.0 later"}),
        good(instead_of_tls=Act.CLOSE),
        good(answers={"MAIL": "550 5.7.1 no"}),
        good(answers={"RCPT": "550 5.1.1 no such user"}),
        good(answers={"DATA": "451 4.3.0 no"}),
    ],
)
async def test_without_a_message_there_is_no_end(conduct: Conduct) -> None:
    async with one(conduct) as (server, gate):
        assert isinstance(await try_ending(gate, LETTER, "<LF>.<LF>"), PutOff)
    assert server.seen.taken == []
    assert server.seen.mails_in_clear == []
