"""Submission over sockets: who is let in, what they may send, what is stored of it."""

import base64
import re
from pathlib import Path

import pytest

from letterlock.network.wire import Lost, Wire, connect
from letterlock.protocols.sasl.mechanisms import Mechanism
from letterlock.protocols.sasl.scram import ScramVerifier
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.services.receive.clients import ClientLimits
from letterlock.services.receive.guesses import GuessLimits
from letterlock.services.receive.logins import Account, SourceUnavailable
from letterlock.services.receive.quotas import QuotaLimits
from tests.protocols.sasl.scram_client import ScramClient
from tests.services.receive.submitting import (
    PASSWORD,
    Limits,
    Talk,
    add_user,
    plain,
    submitting,
)

MAIL = b"MAIL FROM:<alice@example.org>\r\n"
RCPT = b"RCPT TO:<dave@elsewhere.example>\r\n"
TEXT = b"From: Alice <Alice@example.org>\r\nSubject: hi\r\n\r\nhello\r\n.\r\n"


async def send(talk: Talk, text: bytes = TEXT, mail: bytes = MAIL, rcpt: bytes = RCPT) -> bytes:
    """Send a message; gives the last reply."""
    assert await talk.codes(mail, rcpt, b"DATA\r\n") == [250, 250, 354]
    return await talk.say(text)


@pytest.mark.parametrize("is_implicit", [True, False], ids=["465", "587"])
async def test_who_logs_in_sends_to_anybody(tmp_path: Path, is_implicit: bool) -> None:
    """RFC 6409 §4.3; RFC 8314 §3.3 (rule 99); RFC 3848 §1 (rule 111)."""
    async with submitting(tmp_path) as desk:
        async with desk.client(is_implicit=is_implicit) as talk:
            assert (await talk.log_in()).startswith(b"235 2.7.0 ")
            assert (await send(talk)).startswith(b"250 ")
            assert (await talk.say(b"QUIT\r\n")).startswith(b"221 ")
        body = await desk.body()
        (message,) = await desk.queue.list_messages()
    received, _, rest = body.partition(b"Date: ")
    assert b" with ESMTPSA id " in received
    assert b"for <dave@elsewhere.example>" in received
    assert b"127.0.0.1" not in received
    assert b"client.example" not in received
    assert rest.endswith(TEXT[:-3])
    assert f"{message.queue_id}@mx.example.org>".encode() in rest
    (line,) = [text for text in desk.log.texts if text.startswith("client=")]
    assert "client=unknown[127.0.0.1], sasl_method=PLAIN, sasl_username=alice, helo=" in line


async def test_the_clients_address_is_shown_where_it_is_wanted(tmp_path: Path) -> None:
    async with submitting(tmp_path, is_client_shown=True) as desk:
        async with desk.client() as talk:
            await talk.log_in()
            await send(talk)
        assert b"from client.example (unknown [127.0.0.1])" in await desk.body()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
async def test_every_mechanism_lets_in_and_keeps_out(tmp_path: Path, mechanism: str) -> None:
    """RFC 4616, RFC 7677."""
    async with submitting(tmp_path) as desk:
        for name, password, code in (
            ("Alice", PASSWORD, b"235 2.7.0"),
            ("alice", "mistaken", b"535 5.7.8"),
            ("bob", PASSWORD, b"535 5.7.8"),
            ("carol", PASSWORD, b"535 5.7.8"),
            ("nobody", PASSWORD, b"535 5.7.8"),
        ):
            async with desk.client() as talk:
                answer = await talk_by(talk, mechanism, name, password)
                assert answer.startswith(code), (name, answer)
                assert await talk.codes(MAIL) == [250 if code[0:1] == b"2" else 530]
    told = [text for text in desk.log.texts if "authentication failed" in text]
    assert len(told) == 4
    assert told[0].startswith(f"warning: unknown[127.0.0.1]: SASL {mechanism} authentication fail")
    assert told[3].endswith(", sasl_username=nobody")
    assert not any(PASSWORD in text or "mistaken" in text for text in told)


async def test_a_name_that_is_guessed_passes_for_no_other_value_of_the_log(tmp_path: Path) -> None:
    name = "x, client=unknown[192.0.2.1], sasl_username=root"
    async with submitting(tmp_path) as desk, desk.client() as talk:
        await talk.log_in(name, "mistaken")
    (told,) = [text for text in desk.log.texts if "authentication failed" in text]
    assert told.endswith(", sasl_username=x? client?unknown?192.0.2.1?? sasl_username?root")


async def talk_by(talk: Talk, mechanism: str, name: str, password: str) -> bytes:
    """Log in; gives the last reply."""
    if mechanism == "PLAIN":
        return await talk.log_in(name, password)
    if mechanism == "LOGIN":
        assert await talk.say(b"AUTH LOGIN\r\n") == b"334 VXNlcm5hbWU6\r\n"
        assert await talk.say(line(name.encode())) == b"334 UGFzc3dvcmQ6\r\n"
        return await talk.say(line(password.encode()))
    client = ScramClient(name, password)
    if mechanism.endswith("-PLUS"):
        client.header, client.bound = "p=tls-exporter,,", talk.exporter()
    return await scram(talk, client, mechanism)


async def scram(talk: Talk, client: ScramClient, mechanism: str) -> bytes:
    first = await talk.say(f"AUTH {mechanism} ".encode() + line(client.first()))
    if not first.startswith(b"334"):
        return first
    final = await talk.say(line(client.final(base64.b64decode(first[4:]))))
    if not final.startswith(b"334"):
        return final
    assert client.is_server(base64.b64decode(final[4:]))
    return await talk.say(b"\r\n")


async def test_a_login_from_another_connection_is_worth_nothing(tmp_path: Path) -> None:
    """RFC 5802 §6: whoever passes on a login that a client made to it is found out."""
    async with submitting(tmp_path) as desk, desk.client() as one, desk.client() as other:
        client = ScramClient("alice", PASSWORD)
        client.header, client.bound = "p=tls-exporter,,", one.exporter()
        assert one.exporter() != other.exporter()
        assert (await scram(other, client, "SCRAM-SHA-256-PLUS")).startswith(b"535")
        assert (await scram(one, client, "SCRAM-SHA-256-PLUS")).startswith(b"235")


async def test_a_client_that_was_not_shown_plus_is_warned_of(tmp_path: Path) -> None:
    """RFC 5802 §6: it says `y`; where -PLUS is off, that is nothing wrong."""
    client = ScramClient("alice", PASSWORD)
    client.header = "y,,"
    async with submitting(tmp_path) as desk, desk.client() as talk:
        assert (await scram(talk, client, "SCRAM-SHA-256")).startswith(b"535")
        assert any("somebody changed our list" in text for text in desk.log.texts)
    (tmp_path / "off").mkdir()
    async with (
        submitting(tmp_path / "off", is_binding_offered=False) as desk,
        desk.client() as talk,
    ):
        assert (await scram(talk, client, "SCRAM-SHA-256")).startswith(b"235")


def line(octets: bytes) -> bytes:
    return base64.b64encode(octets) + b"\r\n"


async def test_scram_says_the_same_of_any_account_that_is_not_there(tmp_path: Path) -> None:
    """RFC 5802 §9: a salt that changes would tell."""
    async with submitting(tmp_path) as desk:
        told = []
        for name in ("nobody", "nobody", "somebody", "carol"):
            async with desk.client() as talk:
                client = ScramClient(name, PASSWORD)
                first = await talk.say(b"AUTH SCRAM-SHA-256 " + line(client.first()))
                text = base64.b64decode(first[4:]).decode()
                told.append(text.partition(",")[2])
        assert told[0] == told[1]
        assert len(set(told)) == 3
        assert all(re.fullmatch(r"s=[A-Za-z0-9+/]{22}==,i=100000", text) for text in told)


@pytest.mark.parametrize(
    ("sender", "code"),
    [
        (b"alice@example.org", 250),
        (b"ALICE@Example.org", 250),
        (b"", 250),
        (b"bob@example.org", 550),
        (b"alice@elsewhere.example", 550),
        (b"@example.org:bob@elsewhere.example", 550),
    ],
)
async def test_an_account_sends_as_itself_only(tmp_path: Path, sender: bytes, code: int) -> None:
    """RFC 6409 §6.1."""
    async with submitting(tmp_path) as desk, desk.client() as talk:
        await talk.log_in()
        answer = await talk.say(b"MAIL FROM:<" + sender + b">\r\n")
        assert int(answer[:3]) == code
    if code == 550:
        (told,) = [text for text in desk.log.texts if "NOQUEUE" in text]
        assert "Sender address rejected: not owned by user alice; from=<" in told
        assert any(" starttls=1 auth=1 mail=0/1 " in text for text in desk.log.texts)


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        (b"From: alice@example.org\r\n", b"250 "),
        (b"From: bob@example.org\r\n", b"550 5.7.1 "),
        (b"From: alice@example.org, bob@example.org\r\n", b"550 5.7.1 "),
        (b"From: alice@example.org\r\nSender: bob@example.org\r\n", b"550 5.7.1 "),
        (b"From: alice@example.org\r\nFrom: bob@example.org\r\n", b"554 5.6.0 "),
        (b"From: alice@example.org\r\nno field\r\nFrom: bob@example.org\r\n", b"554 5.6.0 "),
        (b"Subject: hi\r\n", b"554 5.6.0 "),
        (b"From: \r\n", b"554 5.6.0 "),
        (b"From: <alice\r\n", b"554 5.6.0 "),
        (b"", b"554 5.6.0 "),
        (b"X: " + b"a" * 70_000 + b"\r\n", b"554 5.6.0 "),
        (b"From: alice@example.org\r\n" + b"X: a\r\n" * 60_000, b"552 5.3.4 "),
    ],
)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["DATA", "BDAT"])
async def test_the_message_says_who_it_is_from(
    tmp_path: Path, header: bytes, answer: bytes, is_chunked: bool
) -> None:
    """RFC 6409 §6.1, RFC 5322 §3.6.2."""
    text = header + b"\r\nhello\r\n"
    async with submitting(tmp_path) as desk:
        async with desk.client() as talk:
            await talk.log_in()
            if is_chunked:
                assert await talk.codes(MAIL, RCPT) == [250, 250]
                said = await talk.say(b"BDAT %d LAST\r\n" % len(text) + text)
            else:
                said = await send(talk, text + b".\r\n")
            assert said.startswith(answer), said
            assert await talk.codes(b"RSET\r\n", MAIL) == [250, 250], "the session goes on"
        stored = await desk.queue.list_messages()
    assert len(stored) == (answer == b"250 ")


async def test_who_may_send_for_others_is_not_asked_who_it_is_from(tmp_path: Path) -> None:
    async with submitting(tmp_path, is_author_checked=False) as desk, desk.client() as talk:
        await talk.log_in()
        assert (await send(talk, b"From: bob@example.net\r\n\r\nhi\r\n.\r\n")).startswith(b"250")


async def test_a_header_that_comes_octet_by_octet_is_the_same(tmp_path: Path) -> None:
    async with submitting(tmp_path) as desk:
        async with desk.client() as talk:
            await talk.log_in()
            assert await talk.codes(MAIL, RCPT, b"DATA\r\n") == [250, 250, 354]
            for at in range(len(TEXT) - 1):
                await talk._wire.write(TEXT[at : at + 1], 5)
            assert (await talk.say(TEXT[-1:])).startswith(b"250 ")
        assert (await desk.body()).endswith(TEXT[:-3])


async def test_a_message_that_is_all_header_is_taken(tmp_path: Path) -> None:
    async with submitting(tmp_path) as desk:
        async with desk.client() as talk:
            await talk.log_in()
            assert (await send(talk, b"From: alice@example.org\r\n.\r\n")).startswith(b"250 ")
        assert (await desk.body()).endswith(b"\r\nFrom: alice@example.org\r\n")


async def test_date_and_message_id_that_are_there_stay(tmp_path: Path) -> None:
    """RFC 6409 §8.2, §8.3."""
    given = b"Message-ID: <1@client.example>\r\nDate: Mon, 02 Mar 2026 10:00:00 +0100\r\n"
    async with submitting(tmp_path) as desk:
        async with desk.client() as talk:
            await talk.log_in()
            await send(talk, given + TEXT)
        body = await desk.body()
    assert body.endswith(b"+0000\r\n" + given + TEXT[:-3])
    assert body.count(b"Message-ID:") == body.count(b"\r\nDate:") == 1


@pytest.mark.parametrize(
    ("recipient", "code"),
    [
        (b"dave@elsewhere.example", 250),
        (b"alice@example.org", 250),
        (b"nobody@example.org", 550),
        (b"dave@localhost", 550),
        (b"dave@[192.0.2.1]", 250),
        (b"postmaster", 250),
    ],
)
async def test_recipients_are_anybody_who_can_be(
    tmp_path: Path, recipient: bytes, code: int
) -> None:
    """RFC 6409 §4.2: domains are fully qualified."""
    async with submitting(tmp_path) as desk, desk.client() as talk:
        await talk.log_in()
        assert await talk.codes(MAIL, b"RCPT TO:<" + recipient + b">\r\n") == [250, code]


async def test_an_account_sends_only_so_much_in_an_hour(tmp_path: Path) -> None:
    async with submitting(tmp_path, Limits(quotas=QuotaLimits(messages=2, recipients=0))) as desk:
        await add_user(desk.users, "dave", password=PASSWORD, max_messages=1)
        await add_user(desk.users, "eve", password=PASSWORD, max_messages=0)
        for name, most in (("alice", 2), ("dave", 1), ("eve", 3)):
            text = TEXT.replace(b"Alice@", f"{name}@".encode())
            mail = f"MAIL FROM:<{name}@example.org>\r\n".encode()
            async with desk.client() as talk:
                await talk.log_in(name)
                for _ in range(most):
                    assert (await send(talk, text, mail)).startswith(b"250 ")
                expected = 250 if name == "eve" else 450
                assert await talk.codes(mail) == [expected]


async def test_an_account_sends_to_only_so_many_in_an_hour(tmp_path: Path) -> None:
    limits = Limits(quotas=QuotaLimits(messages=0, recipients=3))
    async with submitting(tmp_path, limits) as desk, desk.client() as talk:
        await talk.log_in()
        assert (await send(talk)).startswith(b"250 ")
        rcpts = [f"RCPT TO:<d{n}@elsewhere.example>\r\n".encode() for n in range(3)]
        assert await talk.codes(MAIL, *rcpts) == [250, 250, 250, 450]
        assert await talk.codes(b"RSET\r\n", MAIL, rcpts[0]) == [250, 250, 250]


async def test_a_message_has_only_so_many_recipients(tmp_path: Path) -> None:
    """RFC 5321 §4.5.3.1.10."""
    async with submitting(tmp_path) as desk, desk.client() as talk:
        await talk.log_in()
        rcpts = [f"RCPT TO:<d{n}@elsewhere.example>\r\n".encode() for n in range(6)]
        assert await talk.codes(MAIL, *rcpts) == [250] * 6 + [452]


async def test_guesses_are_throttled_over_connections(tmp_path: Path) -> None:
    """RFC 4954 §9. Over the limit a right password gets the same reply."""
    async with submitting(tmp_path, Limits(guesses=GuessLimits(per_client=3))) as desk:
        answers = []
        for password in ("1", "2", "3", "4", PASSWORD):
            async with desk.client() as talk:
                answers.append(await talk.log_in(password=password))
        assert [answer[:9] for answer in answers] == [b"535 5.7.8"] * 3 + [b"454 4.7.0"] * 2
        assert answers[3] == answers[4]
        async with desk.client() as talk:
            assert (await talk.say(b"AUTH LOGIN\r\n")).startswith(b"454 4.7.0 ")


class Away:
    """A source that can't answer."""

    mechanisms = tuple(Mechanism)

    async def check_password(self, name: str, password: str, ip: str) -> str | None:
        del name, password, ip
        raise SourceUnavailable("the database is away")

    async def find_verifier(self, name: str) -> ScramVerifier:
        raise SourceUnavailable(name)

    async def find_account(self, name: str) -> Account | None:
        raise SourceUnavailable(name)


async def test_a_source_that_is_away_is_no_wrong_password(tmp_path: Path) -> None:
    """RFC 4954 §6: 454, and the client does not ask for another password."""
    async with submitting(tmp_path, source=Away()) as desk, desk.client() as talk:
        assert (await talk.log_in()).startswith(b"454 4.7.0 ")
        scram = b"AUTH SCRAM-SHA-256 " + line(ScramClient("alice", PASSWORD).first())
        assert (await talk.say(scram)).startswith(b"454 4.7.0 ")
    words = "failed: Connection lost to authentication server: the database is away"
    assert any(words in text for text in desk.log.texts)


async def test_a_client_that_is_too_many_hears_nothing_in_clear(tmp_path: Path) -> None:
    """RFC 8314 §3.3."""
    limits = Limits(clients=ClientLimits(connections_per_client=1))
    async with submitting(tmp_path, limits) as desk, desk.client():
        wire = await connect("127.0.0.1", desk.implicit_port, 5)
        assert isinstance(wire, Wire)
        assert isinstance(await wire.read(5), Lost)
        wire.close()


async def test_commands_may_follow_plain_at_once(tmp_path: Path) -> None:
    """RFC 4954 §4."""
    async with submitting(tmp_path) as desk, desk.client() as talk:
        said = await talk.say(plain("alice") + MAIL + RCPT)
        while said.count(b"\r\n") < 3:
            said += await talk.read()
        assert [answer[:3] for answer in said.splitlines()] == [b"235", b"250", b"250"]


@pytest.mark.parametrize(
    ("parameter", "field", "demand"),
    [
        (b"", b"", TlsDemand.NORMAL),
        (b" REQUIRETLS", b"", TlsDemand.REQUIRETLS),
        (b"", b"TLS-Required: No\r\n", TlsDemand.TLS_REQUIRED_NO),
        (b" REQUIRETLS", b"TLS-Required: No\r\n", TlsDemand.REQUIRETLS),
    ],
)
async def test_who_submits_says_what_tls_the_message_needs(
    tmp_path: Path, parameter: bytes, field: bytes, demand: TlsDemand
) -> None:
    """RFC 8689 §4.3 (rules 86 and 155)."""
    async with submitting(tmp_path) as desk:
        async with desk.client() as talk:
            await talk.log_in()
            mail = MAIL.replace(b"\r\n", parameter + b"\r\n")
            assert (await send(talk, field + TEXT, mail)).startswith(b"250 ")
        (message,) = await desk.queue.list_messages()
    assert message.tls_demand is demand
