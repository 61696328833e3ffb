"""One question to one address, asked of servers that misbehave."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from letterlock.base.clock import SystemClock
from letterlock.network import probes
from letterlock.network.probe_record import (
    MAX_CHARACTERS,
    MAX_LINES,
    ProbeRecord,
    bound_transcript,
)
from letterlock.network.probes import Found, ProbeQuestion, ProbeTerms, Tarpit, probe_service
from letterlock.protocols.check.facts import AskedSni, Probe, ProbeStep, State
from letterlock.protocols.check.openings import Speech
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed
from tests.accepting import accepting
from tests.fakes import FakeClock
from tests.misbehaving import GOOD_EXTENSIONS, Act, Conduct, Server, TlsConduct, serving
from tests.network.certificates import issue

HOST = "mx.peer.example"
OWN = ProbeQuestion(AskedSni.OWN, HOST)


@asynccontextmanager
async def one(conduct: Conduct) -> AsyncIterator[Server]:
    async with serving(conduct) as (server,):
        yield server


async def ask(server: Server, question: ProbeQuestion = OWN, seconds: float = 20.0) -> Probe:
    return await visit((server.ip, server.port), Speech.SMTP, question, seconds)


async def visit(
    place: tuple[str, int], speech: Speech, question: ProbeQuestion = OWN, seconds: float = 60.0
) -> Probe:
    terms = ProbeTerms("checker.example", SystemClock(), seconds)
    return await probe_service(place, speech, question, terms)


def good(**parts: object) -> Conduct:
    return replace(Conduct(issue((HOST,), "ec")), **parts)  # type: ignore[arg-type] # passed on


async def test_a_good_server_is_asked_no_more_than_is_needed() -> None:
    async with one(good(extensions=(*GOOD_EXTENSIONS, "REQUIRETLS"))) as server:
        probe = await ask(server)
    assert (probe.state, probe.sni, probe.key) == (State.OK, HOST, None)
    assert isinstance(probe.handshake, Handshake)
    assert probe.handshake.chain[0] == issue((HOST,), "ec").der
    assert probe.is_starttls_offered
    assert probe.offers_requiretls
    verbs = [line.split()[0] for line, _ in server.seen.commands]
    assert verbs == ["EHLO", "STARTTLS", "EHLO", "QUIT"]
    assert any("TLS: TLSv1.3" in line for line in probe.transcript)


@pytest.mark.parametrize("sni", [None, "unknown.invalid"])
async def test_other_names_are_sent_as_they_are_asked_for(sni: str | None) -> None:
    asked = AskedSni.NONE if sni is None else AskedSni.WRONG
    async with one(good()) as server:
        probe = await ask(server, ProbeQuestion(asked, sni))
    assert (probe.state, probe.asked, server.seen.snis) == (State.OK, asked, [sni])
    assert [line.split()[0] for line, _ in server.seen.commands] == ["EHLO", "STARTTLS", "QUIT"]


async def test_a_key_of_one_type_can_be_asked_for() -> None:
    both = good(tls=TlsConduct(second=issue((HOST,), "rsa")))
    async with one(both) as server:
        for key, issued in (
            (KeyType.RSA, issue((HOST,), "rsa")),
            (KeyType.ECDSA, issue((HOST,), "ec")),
        ):
            probe = await ask(server, ProbeQuestion(AskedSni.OWN, HOST, key))
            assert isinstance(probe.handshake, Handshake)
            assert probe.handshake.chain[0] == issued.der
    async with one(good()) as server:
        probe = await ask(server, ProbeQuestion(AskedSni.OWN, HOST, KeyType.RSA))
    assert isinstance(probe.handshake, HandshakeFailed)


async def test_a_key_of_one_type_can_not_be_asked_for_where_there_is_tls_1_3_alone() -> None:
    """RFC 8446 §4.2.3: no suite says which key; the version alone is refused."""
    only = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)
    for conduct, cause in (
        (good(tls=TlsConduct(versions=only)), FailureCause.VERSION),
        (good(), FailureCause.ALERT_RECEIVED),
    ):
        async with one(conduct) as server:
            probe = await ask(server, ProbeQuestion(AskedSni.OWN, HOST, KeyType.RSA))
        assert isinstance(probe.handshake, HandshakeFailed)
        assert probe.handshake.cause is cause


@pytest.mark.parametrize(
    ("answers", "detail"),
    [
        ({"banner": "421 4.3.2 too many connections"}, "it said 421 4.3.2 too many"),
        ({"banner": "554 5.7.1 you are listed"}, "it said 554 5.7.1 you are"),
        ({"EHLO": "450 4.7.1 greylisted"}, "it said 450 4.7.1"),
        ({"banner": Act.CLOSE}, "closed"),
        ({"banner": "hello"}, "not SMTP"),
        ({"STARTTLS": "421 4.3.2 going down"}, "STARTTLS is refused: 421"),
    ],
)
async def test_who_does_not_want_to_talk_to_us_is_blocked(
    answers: dict[str, str | Act], detail: str
) -> None:
    async with one(good(answers=answers)) as server:
        probe = await ask(server)
    assert probe.state is State.BLOCKED
    assert detail in probe.detail


async def test_a_tarpit_is_told_from_a_host_that_is_not_there() -> None:
    async with one(good(answers={"banner": Act.SILENCE})) as server:
        probe = await ask(server, seconds=0.2)
        assert probe.state is State.BLOCKED
        gone = await visit(("127.0.0.1", 1), Speech.SMTP)
    assert (gone.state, gone.handshake) == (State.UNREACHABLE, None)


@pytest.mark.parametrize(
    ("conduct", "is_offered", "detail"),
    [
        (Conduct(has_starttls=False), False, "STARTTLS is not offered"),
        (good(answers={"STARTTLS": "454 4.7.0 no TLS"}), True, "STARTTLS is refused: 454"),
        (good(answers={"STARTTLS": Act.CLOSE}), True, "waiting for STARTTLS"),
    ],
)
async def test_a_host_without_tls(conduct: Conduct, is_offered: bool, detail: str) -> None:
    async with one(conduct) as server:
        probe = await ask(server)
    assert (probe.state, probe.handshake) == (State.FINDING, None)
    assert probe.is_starttls_offered is is_offered
    assert detail in probe.detail


@pytest.mark.parametrize(
    ("conduct", "cause"),
    [
        (good(tls=TlsConduct(is_sni_refused=True)), FailureCause.ALERT_RECEIVED),
        (good(instead_of_tls=b"no TLS at all\r\n"), FailureCause.NOT_TLS),
        (good(instead_of_tls=Act.CLOSE), FailureCause.CLOSED),
        (good(injected=b"250 injected\r\n"), FailureCause.NOT_TLS),
        (
            good(tls=TlsConduct(client_ca=issue((HOST,)).certificate_pem)),
            FailureCause.ALERT_RECEIVED,
        ),
    ],
)
async def test_a_handshake_that_fails(conduct: Conduct, cause: FailureCause) -> None:
    """RFC 3207 §6, too: what comes behind the 220 in clear is no TLS."""
    async with one(conduct) as server:
        probe = await ask(server)
    assert probe.state is State.FINDING
    assert isinstance(probe.handshake, HandshakeFailed)
    assert probe.handshake.cause is cause


async def test_tls_of_any_age_is_seen_where_it_is_welcome() -> None:
    old = TlsConduct(
        versions=(ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1), ciphers="ALL:@SECLEVEL=0"
    )
    async with one(Conduct(issue((HOST,), "rsa"), tls=old)) as server:
        strict = await ask(server)
        seen = await ask(server, replace(OWN, is_old_welcome=True))
    assert isinstance(strict.handshake, HandshakeFailed)
    assert isinstance(seen.handshake, Handshake)
    assert seen.handshake.version == "TLSv1"


async def test_tls_that_breaks_right_behind_the_handshake_has_failed() -> None:
    async with one(good(under_tls={"EHLO": Act.CLOSE})) as server:
        probe = await ask(server)
    assert probe.state is State.FINDING
    assert isinstance(probe.handshake, HandshakeFailed)
    assert probe.handshake.chain[0] == issue((HOST,), "ec").der


async def test_a_host_that_puts_us_off_under_tls_has_blocked_us() -> None:
    async with one(good(under_tls={"EHLO": "421 4.3.2 going down"})) as server:
        probe = await ask(server)
    assert (probe.state, probe.detail[:11]) == (State.BLOCKED, "it said 421")
    assert isinstance(probe.handshake, Handshake)


@asynccontextmanager
async def talking(*lines: bytes) -> AsyncIterator[int]:
    """A server that says these, each after something was said to it, but for the first; no TLS."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(lines[0])
        for line in lines[1:]:
            await reader.readline()
            writer.write(line)
        while await reader.read(4096):
            pass

    async with accepting(talk) as port:
        yield port


@pytest.mark.parametrize(
    ("speech", "lines", "state", "detail"),
    [
        (Speech.IMAP, (b"* BYE busy\r\n",), State.BLOCKED, "it said * BYE busy"),
        (Speech.IMAP, (b"* OK hi\r\n", b"a1 BAD no\r\n"), State.FINDING, "refused: a1 BAD no"),
        (Speech.POP3, (b"+OK hi\r\n", b"-ERR no\r\n"), State.FINDING, "refused: -ERR no"),
        (Speech.POP3, (b"+OK hi\r\n", b"+OK\r\n", b"no TLS at all\r\n"), State.FINDING, "not TLS"),
        (Speech.IMAP, (b"* ",), State.BLOCKED, "timed out before TLS"),
        (Speech.TLS, (b"220 hello\r\n",), State.FINDING, "not TLS"),
    ],
)
async def test_a_service_that_speaks_something_else_first(
    speech: Speech, lines: tuple[bytes, ...], state: State, detail: str
) -> None:
    async with talking(*lines) as port:
        # Only who waits for nothing is not waited for long.
        seconds = 0.5 if "timed out" in detail else 60.0
        found = await visit(("127.0.0.1", port), speech, seconds=seconds)
    assert found.state is state, found.detail
    assert detail in found.detail


async def test_tls_at_once_and_a_host_that_is_not_there() -> None:
    async with one(good(is_implicit_tls=True)) as server:
        place = server.ip, server.port
        found = await visit(place, Speech.TLS)
        assert isinstance(found.handshake, Handshake)
    gone = await visit(("127.0.0.1", 1), Speech.IMAP)
    assert gone.state is State.UNREACHABLE


@pytest.mark.parametrize("speech", [Speech.SMTP, Speech.IMAP])
async def test_a_tarpit_does_not_keep_us_for_ever(
    speech: Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 5321 §4.5.3.2: each step has a limit; many steps, octet by octet, have one too."""
    monkeypatch.setattr(probes, "PROBE_STEPS", 0.001)
    has_ended = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.read()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        has_ended.set()

    async with accepting(say_nothing) as port:
        question = ProbeQuestion(AskedSni.OWN, "mx.example.org")
        place = ("127.0.0.1", port)
        found = await visit(place, speech, question, 300.0)
        # We have let it go.
        await has_ended.wait()
    assert (found.state, found.sni) == (State.BLOCKED, "mx.example.org")
    assert found.detail == "it kept us for 0.3 seconds, octet by octet"


STEPS = ["connect", "banner", "ehlo", "starttls", "handshake", "ehlo-under-tls"]


def steps(probe: Probe) -> list[str]:
    return [each.step.value for each in probe.times]


async def test_it_is_written_down_when_it_began_and_how_long_each_step_took() -> None:
    clock = FakeClock()
    async with one(good()) as server:
        place = server.ip, server.port
        terms = ProbeTerms("checker.example", clock)
        found = await probe_service(place, Speech.SMTP, OWN, terms)
        without = await probe_service(place, Speech.SMTP, ProbeQuestion(AskedSni.NONE, None), terms)
    assert found.begun == clock.now()
    assert steps(found) == STEPS
    assert {each.seconds for each in found.times} == {0.0}, "by another clock than ours"
    assert steps(without) == STEPS[:-1]


@pytest.mark.parametrize(
    ("conduct", "last", "said"),
    [
        (good(answers={"banner": "421 4.3.2 too many"}), "banner", "< 421 4.3.2 too many"),
        (good(answers={"banner": Act.CLOSE}), "banner", "! connection closed by peer"),
        (good(answers={"EHLO": "450 4.7.1 greylisted"}), "ehlo", "< 450 4.7.1 greylisted"),
        (good(answers={"STARTTLS": Act.CLOSE}), "starttls", "> STARTTLS"),
        (good(tls=TlsConduct(is_sni_refused=True)), "handshake", "> STARTTLS"),
    ],
)
async def test_a_probe_that_failed_says_where_and_what_was_said(
    conduct: Conduct, last: str, said: str
) -> None:
    async with one(conduct) as server:
        found = await ask(server)
    assert steps(found)[-1] == last
    assert said in found.transcript


def test_the_time_of_a_step_counts_to_where_it_failed() -> None:
    clock = FakeClock()
    record = ProbeRecord(clock)
    for _ in range(2):
        with suppress(OSError), record.timing(ProbeStep.BANNER):
            clock.move(timedelta(seconds=3))
            raise OSError
    found = record.add_to(Probe(AskedSni.OWN, State.BLOCKED))
    assert found.find_seconds(ProbeStep.BANNER) == 6.0
    assert found.find_seconds(ProbeStep.EHLO) is None


async def test_what_was_said_is_printable_and_bounded() -> None:
    many = "\r\n".join([f"250-{'x' * 200}"] * 99 + ["250 \x1b[2J"])
    async with one(good(answers={"EHLO": many})) as server:
        found = await ask(server)
    assert len(found.transcript) <= MAX_LINES + 1
    assert all(len(line) <= MAX_CHARACTERS and line.isprintable() for line in found.transcript)
    assert bound_transcript(["a"] * 100)[-2:] == ("a", "! and 40 lines more")


async def test_what_was_said_to_a_tarpit_is_there() -> None:
    """The connection as a whole took too long, and what was heard by then is told."""

    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx.example.org\r\n")
        with suppress(OSError):
            await reader.readline()
            writer.write(b"250-mx.exam")
            await reader.read()
        writer.close()

    class Early(ProbeRecord):
        """The whole connection's time is over when EHLO was said."""

        @contextmanager
        def timing(self, step: ProbeStep) -> Iterator[None]:
            if step is ProbeStep.EHLO:
                asyncio.get_running_loop().call_soon(over.set)
            with super().timing(step):
                yield

    over = asyncio.Event()

    async def bound(asking: Awaitable[Found], seconds: float) -> Found | Tarpit:
        task = asyncio.ensure_future(asking)
        await over.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        return Tarpit(f"it kept us for {seconds:g} seconds")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probes, "ProbeRecord", Early)
        patch.setattr(probes, "bound_whole", bound)
        async with accepting(drop) as port:
            found = await visit(("127.0.0.1", port), Speech.SMTP)
    assert (found.state, steps(found)) == (State.BLOCKED, ["connect", "banner", "ehlo"])
    assert found.transcript[:2] == ("< 220 mx.example.org", "> EHLO checker.example")


async def test_what_another_service_said_is_written_down_too() -> None:
    """RFC 9051 §6.2.1."""
    lines = (b"* OK hi\r\n", b"a1 BAD no\r\n")
    async with talking(*lines) as port:
        found = await visit(("127.0.0.1", port), Speech.IMAP)
    assert found.transcript == ("< * OK hi", "> a1 STARTTLS", "< a1 BAD no")
    assert steps(found) == ["connect", "banner", "starttls"]


async def test_starttls_that_is_not_offered_is_said_once_all_the_same() -> None:
    """RFC 3207 §4: something on the way may have taken the word out of the reply to EHLO."""
    hidden = good(answers={"EHLO": "250-mx.test\r\n250-XXXXXXXA\r\n250 8BITMIME"})
    async with one(hidden) as server:
        found = await ask(server)
        none = await ask(server, ProbeQuestion(AskedSni.NONE, None))
    assert (found.state, found.handshake) == (State.FINDING, None), "senders will not do it"
    assert not found.is_starttls_offered
    assert isinstance(found.unoffered, Handshake)
    assert found.hello is not None
    assert "XXXXXXXA" in found.hello.lines
    assert none.unoffered is None
    async with one(Conduct(has_starttls=False)) as server:
        assert (await ask(server)).unoffered is None
        assert server.seen.lines("STARTTLS") == ["STARTTLS"]
        assert server.seen.lines("QUIT") == ["QUIT"]


async def test_both_replies_to_ehlo_are_kept() -> None:
    """RFC 3207 §4.2: what was offered in clear counts no longer."""
    under_tls = {"EHLO": "250-mx.test\r\n250 STARTTLS"}
    async with one(good(under_tls=under_tls)) as server:
        found = await ask(server)
    assert found.hello is not None
    assert "STARTTLS" in found.hello.lines
    assert found.hello_under_tls is not None
    assert found.hello_under_tls.lines == ("mx.test", "STARTTLS")
