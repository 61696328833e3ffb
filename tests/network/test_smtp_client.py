"""Dialling and talking: what is said before mail may go, and what a lost connection still told."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.network import wire
from letterlock.network.client_contexts import ClientContexts
from letterlock.network.smtp_client import (
    Connected,
    Dialer,
    Dialled,
    DialTimeouts,
    TlsFailed,
    Unusable,
)
from letterlock.network.smtp_speaker import (
    MAX_DIALOGUE_LINES,
    Dialogue,
    Refused,
    Target,
    Unreachable,
    _patience,
)
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.policy.requirement import Level, Requirement, Source
from letterlock.protocols.smtp.content import ContentFacts
from letterlock.protocols.smtp.envelope import Envelope, Recipient
from letterlock.protocols.smtp.plan import plan
from letterlock.protocols.smtp.timeouts import ClientTimeouts
from letterlock.protocols.smtp.transaction import Transaction
from letterlock.protocols.smtp.transaction_result import Stage, TransactionResult
from tests.fakes import FakeClock
from tests.misbehaving import Act, Conduct, Server, TlsConduct, serving
from tests.network.certificates import NOW, authority, issue
from tests.network.test_wire import Behaviour, server, until

HOST = "mx.example.org"
LONG = timedelta(seconds=60)
SOON = timedelta(seconds=0.2)


def requirement(level: Level = Level.MAY, sni: str | None = HOST) -> Requirement:
    return Requirement(level, Source.TABLE, "a test's", sni=sni, names=(HOST,))


def dialer(folder: Path, patience: timedelta = LONG, **others: timedelta) -> Dialer:
    """Wait so long at each step; `others` name those with a time of their own."""
    file = folder / "anchors.pem"
    file.write_bytes(authority().pem)
    steps = ClientTimeouts(**{**dict.fromkeys(ClientTimeouts.__slots__, patience), **others})
    return Dialer(ClientContexts(None, (file,)), DialTimeouts(LONG, LONG, steps), FakeClock(NOW))


async def dial(
    folder: Path,
    at: Server | tuple[str, int],
    needed: Requirement | None = None,
    patience: timedelta = LONG,
    **others: timedelta,
) -> Dialled:
    ip, port = (at.ip, at.port) if isinstance(at, Server) else at
    target = Target(HOST, ip, port, "out.example.org")
    return await dialer(folder, patience, **others).dial(
        target, needed or requirement(), TrustAnchors.from_pem(authority().pem)
    )


def good(**fields: object) -> Conduct:
    return Conduct(issue((HOST,)), **fields)  # type: ignore[arg-type] # its own fields


async def test_what_was_said_before_tls_is_forgotten(tmp_path: Path) -> None:
    """RFC 3207 §4.2: the extensions under TLS are those that count. Rules 9 and 15."""
    conduct = good(extensions=("SIZE 10", "DSN"), under_tls={"EHLO": "250-mx\r\n250 SIZE 99"})
    async with serving(conduct) as (at,):
        connection = await dial(tmp_path, at)
        assert isinstance(connection, Connected)
        assert (connection.capabilities.size, connection.capabilities.dsn) == (99, False)
        assert not connection.capabilities.starttls
        await connection.quit()
    assert at.seen.commands == [
        ("EHLO out.example.org", False),
        ("STARTTLS", False),
        ("EHLO out.example.org", True),
        ("QUIT", True),
    ]
    lines = connection.take_dialogue()
    assert lines[0] == "< 220 mx.test ESMTP"
    assert any(line.startswith("! TLS: TLSv1.3 ") for line in lines)
    assert connection.take_dialogue() == ()


async def test_a_server_under_tls_may_know_helo_only(tmp_path: Path) -> None:
    conduct = good(under_tls={"EHLO": "502 5.5.1 what"})
    async with serving(conduct) as (at,):
        connection = await dial(tmp_path, at, requirement(Level.VERIFY))
        assert isinstance(connection, Connected)
        connection.abort()
    assert at.seen.commands[-1] == ("HELO out.example.org", True)


@pytest.mark.parametrize(
    ("conduct", "stage"),
    [
        (Conduct(answers={"banner": Act.CLOSE}), "greeting"),
        (Conduct(answers={"banner": "\x01\x02"}), "greeting"),
        (Conduct(answers={"EHLO": Act.RESET}), "EHLO"),
        (Conduct(answers={"EHLO": "500 no", "HELO": Act.CLOSE}), "EHLO"),
        (Conduct(answers={"STARTTLS": Act.CLOSE}), "STARTTLS"),
        (Conduct(answers={"STARTTLS": "what?"}), "STARTTLS"),
    ],
)
async def test_a_session_that_does_not_begin_says_where_it_ended(
    conduct: Conduct, stage: str, tmp_path: Path
) -> None:
    async with serving(conduct) as (at,):
        lost = await dial(tmp_path, at)
    assert isinstance(lost, Unreachable)
    assert lost.stage == stage
    assert lost.detail.endswith(f"while waiting for {stage}")
    assert lost.dialogue[-1].startswith("! ")


async def test_a_host_that_refuses_is_told_goodbye(tmp_path: Path) -> None:
    """RFC 5321 §3.1: after 554 the client says QUIT."""
    async with serving(Conduct(answers={"banner": "554 5.7.1 no"})) as (at,):
        refused = await dial(tmp_path, at)
        assert isinstance(refused, Refused)
        assert refused.reply.text == "554 5.7.1 no"
    assert at.seen.lines("QUIT")


@pytest.mark.parametrize("level", [Level.MAY, Level.VERIFY])
async def test_a_host_that_wants_a_certificate_says_so_after_our_handshake(
    level: Level, tmp_path: Path
) -> None:
    """RFC 8446 §4.4.2.4: certificate_required comes when our side is done."""
    async with serving(good(tls=TlsConduct(client_ca=authority().pem))) as (at,):
        failed = await dial(tmp_path, at, requirement(level))
    assert isinstance(failed, TlsFailed)
    assert failed.verdict.reason_code == "tls-remote-alert-116-certificate-required"
    assert failed.handshake is not None


async def test_a_name_that_cannot_be_sent_as_sni_is_not_dialled(tmp_path: Path) -> None:
    async with serving(good()) as (at,):
        unusable = await dial(tmp_path, at, requirement(sni="192.0.2.1"))
        assert isinstance(unusable, Unusable)
        assert "is an address" in unusable.reason
    assert at.seen.connections == 0


async def test_a_dial_that_is_cancelled_leaves_no_connection(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def wait_for_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        begun.set()
        await reader.read()
        gone.set()

    begun = asyncio.Event()
    async with server(wait_for_the_end) as at, asyncio.timeout(LONG.total_seconds()):
        async with asyncio.TaskGroup() as tasks:
            dialling = tasks.create_task(dial(tmp_path, at))
            await begun.wait()
            dialling.cancel()
        await gone.wait()


def dripping(before: bytes) -> Behaviour:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(before)
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    return drip


async def test_a_reply_that_comes_in_drops_has_no_more_time_than_another(tmp_path: Path) -> None:
    """RFC 5321 §4.5.3.2: the time is for the reply, not for each of its octets."""
    async with server(dripping(b"220-")) as at, asyncio.timeout(LONG.total_seconds()):
        lost = await dial(tmp_path, at, patience=SOON)
    assert isinstance(lost, Unreachable)
    assert lost.detail == "timed out while waiting for greeting"


# Transactions


async def pieces(*content: bytes) -> AsyncIterator[bytes]:
    for piece in content:
        yield piece


async def send(connection: Dialled, *content: bytes) -> TransactionResult:
    return await send_all(connection, pieces(*content))


async def send_all(connection: Dialled, content: AsyncIterator[bytes]) -> TransactionResult:
    assert isinstance(connection, Connected)
    envelope = Envelope("alice@example.org", (Recipient("bob@example.com"),))
    planned = plan(envelope, ContentFacts(10), connection.capabilities)
    assert isinstance(planned, Transaction)
    return await connection.send(planned, content, is_smtputf8=False)


def refusing_content(refused: asyncio.Event, *, is_closing: bool) -> Behaviour:
    """Refuse the content before its end; then read nothing more, or close with a reset."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx\r\n")
        while not (line := await reader.readline()).startswith(b"DATA"):
            assert line
            writer.write(b"250 2.0.0 Ok\r\n")
        writer.write(b"354 go\r\n")
        await reader.readexactly(100_000)
        writer.write(b"552 5.3.4 too big\r\n")
        await writer.drain()
        refused.set()
        if not is_closing:
            writer.transport.pause_reading()  # type: ignore[attr-defined] # it is a socket's
            await asyncio.Event().wait()

    return behave


def _is_gone(connection: Dialled) -> bool:
    assert isinstance(connection, Connected)
    transport = connection._speaker.wire._transport
    return transport is not None and not transport.get_write_buffer_size()


@pytest.mark.parametrize("is_closing", [True, False])
async def test_a_refusal_before_the_contents_end_is_heard(
    is_closing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the connection breaks over the rest of it, or nobody reads that."""
    monkeypatch.setattr(wire, "LINGER_SECONDS", 0.0)
    content, refused = [b"x" * 998 + b"\r\n"] * 30_000, asyncio.Event()

    async def wait_for_the_refusal() -> AsyncIterator[bytes]:
        for number, piece in enumerate(content):
            yield piece
            if number == 200:
                await refused.wait()

    async with server(refusing_content(refused, is_closing=is_closing)) as at:
        connection = await dial(tmp_path, at, requirement(Level.NONE), data_block=SOON)
        result = await send_all(connection, wait_for_the_refusal())
        await until(lambda: _is_gone(connection))
    (outcome,) = result.outcomes
    assert outcome.reply.text == "552 5.3.4 too big"
    assert not outcome.is_ours
    assert result.must_close


@pytest.mark.parametrize("answer", ["what?", "250 2.0.0 Ok\r\nwhat?"])
async def test_an_answer_that_is_none_ends_the_session(answer: str, tmp_path: Path) -> None:
    async with serving(Conduct(has_starttls=False, answers={".": answer})) as (at,):
        result = await send(await dial(tmp_path, at), b"hello\r\n")
    assert result.must_close
    assert result.outcomes[0].is_accepted == answer.startswith("250")


async def test_a_421_said_before_the_connection_broke_is_the_reason(tmp_path: Path) -> None:
    """RFC 5321 §3.8."""
    async with serving(Conduct(has_starttls=False, answers={"RSET": "421 4.3.2 bye"})) as (at,):
        connection = await dial(tmp_path, at)
        assert isinstance(connection, Connected)
        assert not await connection.reset()
        await at.seen.has_ended.wait()
        assert not await connection.reset()
        assert not connection.is_open
        connection.abort()
    assert "< 421 4.3.2 bye" in connection.take_dialogue()


async def test_words_before_a_reset_are_heard_though_we_could_not_write(tmp_path: Path) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx\r\n")
        await reader.readline()
        writer.write(b"250 mx\r\n")
        await writer.drain()
        writer.write(b"421 4.3.2 bye\r\n")

    async with server(hang_up) as at:
        connection = await dial(tmp_path, at, requirement(Level.NONE))
        assert isinstance(connection, Connected)
        await until(lambda: not connection.is_open)
        connection.abort()
        assert not await connection.reset()
    assert connection.take_dialogue()[-1] == "< 421 4.3.2 bye"


def test_the_dialogue_is_bounded() -> None:
    dialogue = Dialogue()
    for number in range(MAX_DIALOGUE_LINES + 10):
        dialogue.add("<", str(number))
    dialogue.extend(["more", "and more"])
    assert len(dialogue.take()) == MAX_DIALOGUE_LINES


@pytest.mark.parametrize(
    ("stage", "minutes"),
    [
        (Stage.NONE, 5),
        (Stage.MAIL, 5),
        (Stage.RCPT, 5),
        (Stage.DATA, 2),
        (Stage.BDAT, 3),
        (Stage.END, 10),
    ],
)
def test_each_reply_has_its_time(stage: Stage, minutes: int) -> None:
    """RFC 5321 §4.5.3.2; rule 108."""
    assert _patience(stage, ClientTimeouts()) == timedelta(minutes=minutes)
