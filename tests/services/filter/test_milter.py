"""A milter along an SMTP session: what it is told, when, and what its answers come to."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from letterlock.base.config.filters import parse_milter_address
from letterlock.protocols.smtp.field_edits import (
    AppendField,
    ChangeField,
    DeleteField,
    InsertField,
)
from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.protocols.tls.handshake import Handshake
from letterlock.services.filter.contract import (
    Answer,
    Discarded,
    Failed,
    FilterClient,
    Filtering,
    Judgement,
    Passed,
    Refused,
)
from letterlock.services.filter.milter import MilterFilter, MilterFiltering, MilterTimeouts
from tests.milter_server import (
    ACCEPT,
    CONTINUE,
    DISCARD,
    REJECT,
    TEMPFAIL,
    Act,
    Conduct,
    MilterServer,
    running_milter,
)
from tests.services.filter.scripted import CLIENT, MAIL, MemoryBody, make_message

SHORT = timedelta(milliseconds=50)
PATIENT = MilterTimeouts()
REJECTED = Refused(reply(550, "5.7.1", "Command rejected"))
LATER = Refused(reply(451, "4.7.1", "Service unavailable - try again later"))
MESSAGE = make_message(b"From: <a@example.net>\r\nSubject:  two\r\n\tlines\r\n", b"text\r\n")
LEADING_SPACE = 0x100000
ALL_SILENT = 0x0FF080
NOTHING_TOLD = 0x00027F


@asynccontextmanager
async def filtering(
    conduct: Conduct | None = None,
    timeouts: MilterTimeouts = PATIENT,
    client: FilterClient = CLIENT,
) -> AsyncIterator[tuple[MilterServer, MilterFiltering]]:
    async with running_milter(conduct) as milter:
        found = MilterFilter(parse_milter_address(milter.address), timeouts, 1000)
        session = found.begin(client)
        try:
            yield milter, session
        finally:
            session.close()


def is_connected(session: MilterFiltering) -> bool:
    return session._connection is not None and session._connection.is_open


async def pass_all(session: Filtering) -> Judgement:
    """Send a message that is accepted at each step but its last."""
    assert await session.begin(MAIL) == Passed()
    assert await session.take_recipient("bob@example.org", ()) == Passed()
    return await session.judge(MESSAGE)


async def test_a_milter_is_told_all_in_order() -> None:
    async with filtering() as (milter, session):
        assert await pass_all(session) == Judgement()
        session.close()
        await milter.ended.wait()
    assert milter.told.packets == [
        (b"O", b"\0\0\0\x06\0\0\x01\xff\0\x1f\xf7\xff"),
        (b"C", b"client.example.net\x004\x12\x67192.0.2.7\0"),
        (b"H", b"client.example.net\0"),
        (b"M", b"<alice@example.net>\0"),
        (b"R", b"<bob@example.org>\0"),
        (b"T", b""),
        (b"L", b"From\0<a@example.net>\0"),
        (b"L", b"Subject\0 two\n\tlines\0"),
        (b"N", b""),
        (b"B", b"text\r\n"),
        (b"E", b""),
        (b"Q", b""),
    ]


async def test_macros_are_those_of_postfix() -> None:
    client = replace(
        CLIENT,
        tls=Handshake("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, None, None),
        login="alice",
        mechanism="PLAIN",
    )
    async with filtering(client=client) as (milter, session):
        await pass_all(session)
    macros = milter.told.macros
    assert macros.pop(b"C").pop("v").startswith("Letterlock ")
    assert macros == {
        b"H": {
            "{tls_version}": "TLSv1.3",
            "{cipher}": "TLS_AES_256_GCM_SHA384",
            "{cipher_bits}": "256",
        },
        b"M": {
            "i": "Q1",
            "{auth_type}": "PLAIN",
            "{auth_authen}": "alice",
            "{mail_addr}": "alice@example.net",
            "{mail_host}": "example.net",
            "{mail_mailer}": "smtp",
        },
        b"R": {
            "i": "Q1",
            "{rcpt_addr}": "bob@example.org",
            "{rcpt_host}": "example.org",
            "{rcpt_mailer}": "smtp",
        },
        b"T": {"i": "Q1"},
        b"N": {"i": "Q1"},
        b"E": {"i": "Q1"},
    }


async def test_the_client_s_macros() -> None:
    async with filtering(client=replace(CLIENT, name=None)) as (milter, session):
        await pass_all(session)
    told = milter.told.macros[b"C"]
    assert {name: text for name, text in told.items() if name != "v"} == {
        "j": "mx.example.org",
        "_": "unknown [192.0.2.7]",
        "{daemon_name}": "mx.example.org",
        "{client_addr}": "192.0.2.7",
        "{client_name}": "unknown",
        "{client_ptr}": "unknown",
        "{client_port}": "4711",
    }


async def test_a_milter_that_names_macros_gets_those_that_we_have() -> None:
    macros = b"\0\0\0\x02{mail_addr} {nothing} {client_addr}\0"
    async with filtering(Conduct(macros=macros)) as (milter, session):
        await pass_all(session)
    assert milter.told.macros[b"M"] == {
        "{mail_addr}": "alice@example.net",
        "{client_addr}": "192.0.2.7",
    }


@pytest.mark.parametrize(
    ("steps", "kinds"),
    [
        (0, "OCHMRTLLNBE"),
        (ALL_SILENT, "OCHMRTLLNBE"),
        (NOTHING_TOLD, "OE"),
        (0x10 | 0x20, "OCHMRTNE"),
        (0x01 | 0x02, "OMRTLLNBE"),
    ],
)
async def test_a_milter_is_told_what_it_wants_to_know(steps: int, kinds: str) -> None:
    async with filtering(Conduct(steps=steps)) as (milter, session):
        assert await pass_all(session) == Judgement()
        assert milter.told.kinds == kinds


async def test_leading_space_is_kept_for_who_asks_for_it() -> None:
    answers = {b"E": (b"hX\0  v\0", b"c")}
    conduct = Conduct(steps=LEADING_SPACE, answers=answers)
    async with filtering(conduct) as (milter, session):
        judgement = await pass_all(session)
    assert milter.told.contents(b"L")[1] == b"Subject\0  two\n\tlines\0"
    assert judgement.edits == (AppendField("X", b"  v"),)


async def test_a_body_comes_in_pieces_of_64_kib() -> None:
    body = b"x" * 150_000
    async with filtering() as (milter, session):
        await session.begin(MAIL)
        await session.judge(make_message(body=body))
    pieces = milter.told.contents(b"B")
    assert [len(piece) for piece in pieces] == [65_535, 65_535, 18_930]
    assert b"".join(pieces) == body


@pytest.mark.parametrize(("kind", "kinds"), [(b"B", "BE"), (b"L", "LNBBBE")])
async def test_skip_ends_what_is_told_of_a_kind(kind: bytes, kinds: str) -> None:
    async with filtering(Conduct(answers={kind: (b"s",)})) as (milter, session):
        await session.begin(MAIL)
        assert await session.judge(make_message(body=b"x" * 150_000)) == Judgement()
        assert milter.told.kinds.endswith(kinds)


async def test_what_a_milter_wants_changed() -> None:
    answers = {
        b"E": (
            *(b"hX-Last\0 one\0", b"i\0\0\0\0X-First\0one\n two\0"),
            # Our Received field, which it does not see, is counted as Sendmail's is.
            *(b"i\0\0\0\x01X-Below-Received\0x\0", b"i\0\0\0\x02X-Second\0x\0"),
            *(b"m\0\0\0\x01Subject\0new\0", b"m\0\0\0\x02Received\0\0"),
            *(b"+<carol@example.org>\0", b"2<dave@example.org>\0NOTIFY=NEVER\0"),
            *(b"-<bob@example.org>\0", b"e<>\0", b"qodd\0", b"bnew \0 body", b"b\r\nmore\r\n"),
            *(b"p", b"l\0\0\0\0i\0", b"a"),
        )
    }
    async with filtering(Conduct(answers=answers)) as (_, session):
        assert await pass_all(session) == Judgement(
            edits=(
                AppendField("X-Last", b"  one"),
                InsertField(0, "X-First", b" one\n two"),
                InsertField(0, "X-Below-Received", b" x"),
                InsertField(1, "X-Second", b" x"),
                ChangeField("Subject", 1, b" new"),
                DeleteField("Received", 2),
            ),
            quarantine="odd",
            sender="",
            added=("carol@example.org", "dave@example.org"),
            removed=("bob@example.org",),
            body=MemoryBody(b"new \0 body\r\nmore\r\n"),
        )


WORDS = [
    (REJECT, REJECTED),
    (TEMPFAIL, LATER),
    (DISCARD, Discarded("milter triggers DISCARD action")),
    ((b"f",), Refused(reply(421, "4.7.0", "Service unavailable - closing connection"))),
    ((b"y450-4.2.1 come\r\n450 4.2.1 later\0",), Refused(Reply(450, ("come", "later"), "4.2.1"))),
    ((b"y550 no\0",), Refused(Reply(550, ("no",), None))),
    ((b"s",), Passed()),
]


@pytest.mark.parametrize(("said", "answer"), WORDS)
@pytest.mark.parametrize("kind", ["C", "H", "M", "R", "T", "L", "N", "B", "E"])
async def test_what_is_said_against_it_at_any_step(
    kind: str, said: tuple[bytes, ...], answer: Answer
) -> None:
    async with filtering(Conduct(answers={kind.encode(): said})) as (_, session):
        begun = await session.begin(MAIL)
        assert begun == (answer if kind in "CHM" else Passed())
        taken = await session.take_recipient("bob@example.org", ())
        assert taken == (answer if kind == "R" else Passed())
        if kind not in "CHMR":
            assert (await session.judge(MESSAGE)).answer == answer


@pytest.mark.parametrize("kind", ["M", "R", "T", "L", "N", "B"])
async def test_accept_ends_what_is_told_of_a_message(kind: str) -> None:
    conduct = Conduct(answers={kind.encode(): ACCEPT})
    async with filtering(conduct) as (milter, session):
        assert await pass_all(session) == Judgement()
        assert milter.told.kinds.endswith(kind)
        # The next message is asked about again.
        conduct.answers = {}
        assert await pass_all(session) == Judgement()
        assert milter.told.kinds.endswith("MRTLLNBE")


@pytest.mark.parametrize("kind", ["C", "H"])
async def test_accept_of_a_client_is_for_all_its_mail(kind: str) -> None:
    async with filtering(Conduct(answers={kind.encode(): ACCEPT})) as (milter, session):
        for _ in range(2):
            assert await pass_all(session) == Judgement()
        assert milter.told.kinds.endswith(kind)


async def test_a_refused_recipient_is_one_of_several() -> None:
    conduct = Conduct(of_recipients={b"bob": REJECT})
    async with filtering(conduct) as (_, session):
        await session.begin(MAIL)
        assert await session.take_recipient("bob@example.org", ()) == REJECTED
        assert await session.take_recipient("carol@example.org", ()) == Passed()
        assert await session.judge(MESSAGE) == Judgement()


async def test_two_messages_go_over_one_connection() -> None:
    async with filtering() as (milter, session):
        await pass_all(session)
        await pass_all(session)
        assert milter.told.kinds == "OCH" + 2 * "MRTLLNBE"


@pytest.mark.parametrize("kind", [b"E", b"C"])
async def test_a_milter_that_hung_up_between_two_messages_is_called_again(kind: bytes) -> None:
    """Nobody's mail waits for that it ends connections that are idle."""
    answers = {b"C": ACCEPT} if kind == b"C" else {}
    conduct = Conduct(answers=answers, hangs_up_after=kind)
    async with filtering(conduct) as (milter, session):
        for count in (1, 2):
            milter.ended.clear()
            assert await pass_all(session) == Judgement()
            await milter.ended.wait()
            while is_connected(session):  # noqa: ASYNC110 - no event tells that we saw it too
                await asyncio.sleep(0)
            assert len(milter.connections) == count


async def test_a_transaction_without_a_message_is_aborted() -> None:
    async with filtering() as (milter, session):
        await session.begin(MAIL)
        session.abort()
        session.abort()
        await pass_all(session)
        session.abort()
        assert milter.told.kinds == "OCHMAMRTLLNBE"


async def test_nothing_is_begun_before_there_is_a_sender() -> None:
    async with filtering() as (milter, session):
        session.abort()
        session.close()
        assert milter.connections == []


FAULTS = [
    (Act.CLOSE, "connection closed by peer"),
    ((b"!\0\0\0\0",), "a packet of 0 octets"),
    ((b"!\x7f\xff\xff\xff",), "a packet of 2147483647 octets"),
    ((b"!220 smtp ready\r\n",), "a packet of"),
    ((b"?",), "no known kind"),
]


@pytest.mark.parametrize(("said", "reason"), FAULTS)
@pytest.mark.parametrize("kind", ["C", "H", "M", "R", "T", "L", "N", "B", "E"])
async def test_a_milter_that_breaks_is_a_failure_at_any_step(
    kind: str, said: tuple[bytes, ...] | Act, reason: str
) -> None:
    async with filtering(Conduct(answers={kind.encode(): said})) as (_, session):
        answers: list[Answer] = [await session.begin(MAIL)]
        if answers[-1] == Passed():
            answers.append(await session.take_recipient("bob@example.org", ()))
        if answers[-1] == Passed():
            answers.append((await session.judge(MESSAGE)).answer)
    failed = answers[-1]
    assert isinstance(failed, Failed)
    assert reason in failed.reason


@pytest.mark.parametrize("kind", ["C", "M", "E"])
async def test_a_milter_that_says_nothing_fails_in_time(kind: str) -> None:
    conduct = Conduct(answers={kind.encode(): Act.SILENCE})
    # What is answered has time to be, also where the machine is busy.
    timeouts = MilterTimeouts(**{"content" if kind == "E" else "command": SHORT})
    async with filtering(conduct, timeouts) as (_, session):
        answer = await session.begin(MAIL)
        if kind == "E":
            answer = (await session.judge(MESSAGE)).answer
    assert answer == Failed("no answer in 0.05 s")


@pytest.mark.parametrize(
    ("negotiation", "reason"),
    [
        (Act.CLOSE, "connection closed by peer"),
        # Where the machine is busy, the time may be over before there is a connection.
        (Act.SILENCE, r"^(no answer in 0\.5 s|cannot connect: Connection timed out)$"),
        (REJECT, "it refuses to negotiate"),
        ((b"O\0\0\0\x06",), "too short"),
        ((b"!\0\0\0\0",), "a packet of 0 octets"),
        ((b"O" + b"\0\0\0\x06" + bytes(8), b"c"), "it refuses to negotiate"),
    ],
)
async def test_a_milter_that_does_not_negotiate(
    negotiation: tuple[bytes, ...] | Act, reason: str
) -> None:
    conduct = Conduct(negotiation=negotiation)
    short = MilterTimeouts(connect=timedelta(milliseconds=500))
    timeouts = short if negotiation is Act.SILENCE else PATIENT
    async with filtering(conduct, timeouts) as (_, session):
        failed = await session.begin(MAIL)
    assert isinstance(failed, Failed)
    assert re.search(reason, failed.reason)


async def test_a_milter_that_is_not_there(tmp_path: Path) -> None:
    found = MilterFilter(parse_milter_address(f"unix:{tmp_path}/none"), PATIENT, 1000)
    assert found.name == f"unix:{tmp_path}/none"
    session = found.begin(CLIENT)
    assert await session.begin(MAIL) == Failed("cannot connect: No such file or directory")
    session.close()


async def test_an_answer_that_nobody_asked_for_is_a_failure() -> None:
    async with filtering(Conduct(answers={b"M": (*CONTINUE, *CONTINUE)})) as (_, session):
        assert await session.begin(MAIL) == Passed()
        assert await session.take_recipient("bob@example.org", ()) == Failed(
            "it answers what it was not asked"
        )


async def test_a_change_before_the_end_is_a_failure() -> None:
    async with filtering(Conduct(answers={b"M": (b"hX\0v\0",)})) as (_, session):
        assert await session.begin(MAIL) == Failed("it changes a message whose end it has not seen")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((b"hX\0v\0",) * 1001, "more than 1000 changes"),
        ((b"hX\0" + b"v" * 60_000 + b"\0",) * 18, "or too large ones"),
        ((b"b" + b"x" * 600,) * 2, "its new body is too large"),
        ((b"p",) * 100, "it is at work for too long"),
    ],
)
async def test_what_a_milter_may_say_has_its_bounds(answer: tuple[bytes, ...], reason: str) -> None:
    async with filtering(Conduct(answers={b"E": (*answer, b"c")})) as (_, session):
        failed = (await pass_all(session)).answer
    assert isinstance(failed, Failed)
    assert re.search(reason, failed.reason)
