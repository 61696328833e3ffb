"""RFC 2920 §3: groups of commands, and input that came when none could be."""

import pytest

from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.protocols.smtp.server_session import (
    Closed,
    Event,
    Hello,
    MailFrom,
    MessageAborted,
    MessageStart,
    ProtocolError,
    RcptTo,
    ServerSession,
)
from tests.protocols.smtp.dialogue import OK, SETTINGS, Dialogue, answering, last_lines

EHLO = b"EHLO client.example\r\n"
HELO = b"HELO client.example\r\n"
MAIL = b"MAIL FROM:<alice@example.com>\r\n"
RCPT = b"RCPT TO:<bob@example.org>\r\n"
TURNED_AWAY = "554 5.5.0 SMTP protocol synchronization error"


def test_replies_to_a_group_come_together_and_in_order() -> None:
    """RFC 2920 §3.2 (1), (2)."""
    dialogue = Dialogue(answer=answering(RcptTo, OK, reply(550, "5.1.1", "No")))
    dialogue.say(EHLO)
    dialogue.session.receive(MAIL + RCPT + RCPT + b"DATA\r\n")
    sent = dialogue.pump()
    assert [line[:3] for line in last_lines(sent)] == ["250", "250", "550", "354"]


def test_a_message_may_be_followed_by_the_next_group() -> None:
    """RFC 2920 §3.1: message content is the first "command" of a group."""
    dialogue = Dialogue()
    dialogue.say(EHLO, MAIL + RCPT + b"DATA\r\n")
    assert dialogue.codes(b"1\r\n.\r\n" + MAIL + RCPT + b"DATA\r\n") == [250, 250, 250, 354]
    assert dialogue.codes(b"2\r\n.\r\nQUIT\r\n") == [250, 221]
    assert [text for _, text in dialogue.messages] == [b"1\r\n", b"2\r\n"]


def test_a_whole_chunked_transaction_is_one_group() -> None:
    """RFC 3030 §4.2."""
    dialogue = Dialogue()
    dialogue.say(EHLO)
    group = MAIL + RCPT + b"BDAT 3\r\na\r\nBDAT 3 LAST\r\nb\r\nQUIT\r\n"
    assert dialogue.codes(group) == [250, 250, 250, 250, 221]
    assert [text for _, text in dialogue.messages] == [b"a\r\nb\r\n"]


def test_noop_and_vrfy_may_be_followed() -> None:
    """RFC 2920 §3.1 has them last in a group; nothing is at risk when they are not."""
    dialogue = Dialogue()
    assert dialogue.codes(EHLO, b"NOOP\r\nVRFY a\r\nRSET\r\nFOO\r\nNOOP\r\n") == [
        250,
        250,
        252,
        250,
        500,
        250,
    ]


def test_what_follows_quit_is_not_looked_at() -> None:
    dialogue = Dialogue()
    assert dialogue.codes(b"QUIT\r\nNOOP\r\n") == [221]
    assert dialogue.reason == "quit"


def test_a_client_that_speaks_before_the_banner_is_turned_away() -> None:
    """RFC 5321 §4.3.1 (rule 22)."""
    session = ServerSession(SETTINGS)
    session.receive(EHLO)
    assert session.next_event() is None
    session.greet()
    assert session.bytes_to_send() == f"{TURNED_AWAY}\r\n".encode()
    assert session.next_event() == Closed("input before the banner")
    assert session.next_event() is None


@pytest.mark.parametrize(
    ("said", "verb"),
    [
        ([EHLO + b"NOOP\r\n"], "EHLO"),
        ([EHLO + b"N"], "EHLO"),
        ([HELO + MAIL], "HELO"),
        ([b"EHLO\r\nNOOP\r\n"], "EHLO"),
        ([EHLO, EHLO + MAIL], "EHLO"),
        ([EHLO, b"DATA\r\n" + MAIL], "DATA"),
        ([EHLO, MAIL, RCPT, b"DATA\r\nSubject: x\r\n\r\n.\r\nQUIT\r\n"], "DATA"),
        ([EHLO, MAIL + RCPT + b"DATA\r\n.\r\n"], "DATA"),
        ([EHLO, b"STARTTLS\r\nNOOP\r\n"], "STARTTLS"),
        ([EHLO, b"STARTTLS x\r\nNOOP\r\n"], "STARTTLS"),
        ([b"NOOP\r\nNOOP\r\n"], "NOOP"),
        ([b"RSET\r\n" + EHLO], "RSET"),
        ([HELO, MAIL + RCPT], "MAIL"),
        ([HELO, MAIL, RCPT + b"DATA\r\n"], "RCPT"),
        ([HELO, b"FOO\r\nBAR\r\n"], "FOO"),
        ([b"GET / HTTP/1.1\r\nHost: mx.example.org\r\n\r\n"], "GET"),
        ([b"POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@b>\r\n"], "POST"),
    ],
)
def test_input_behind_what_ends_a_group_ends_the_session(said: list[bytes], verb: str) -> None:
    """RFC 2920 §3.1 (rule 22): behind EHLO, DATA, STARTTLS; anything without PIPELINING."""
    dialogue = Dialogue()
    dialogue.say(*said[:-1])
    dialogue.take_events()
    answers = dialogue.say(said[-1])
    assert answers[-1] == TURNED_AWAY
    assert dialogue.reason == f"improper command pipelining after {verb}"
    error = next(event for event in dialogue.events if isinstance(event, ProtocolError))
    assert (error.command, error.reply.text) == (verb, TURNED_AWAY)
    assert not any(isinstance(event, Hello | MessageStart) for event in dialogue.events)
    assert dialogue.messages == []


def test_after_tls_pipelining_is_to_be_offered_again() -> None:
    """RFC 3207 §4.2."""
    dialogue = Dialogue()
    dialogue.say(EHLO)
    dialogue.start_tls()
    assert dialogue.say(b"RSET\r\nRSET\r\n") == [TURNED_AWAY]


def test_after_helo_the_message_may_be_followed_by_quit() -> None:
    """Sloppy, common and harmless: Postfix takes it as well."""
    dialogue = Dialogue()
    dialogue.say(HELO, MAIL, RCPT, b"DATA\r\n")
    assert dialogue.codes(b"x\r\n.\r\nQUIT\r\n") == [250, 221]


@pytest.mark.parametrize("answer", [OK, reply(452, "4.3.1", "Full")])
def test_text_that_does_not_wait_for_354_is_never_taken_for_commands(answer: Reply) -> None:
    """RFC 2920 §3.1 (rule 22): not even when DATA is refused."""
    session = ServerSession(SETTINGS)
    session.greet()
    for said in (EHLO, MAIL, RCPT):
        session.receive(said)
        event: Event | None = session.next_event()
        if isinstance(event, MailFrom | RcptTo):
            session.answer(OK)
    session.bytes_to_send()
    session.receive(b"DATA\r\n")
    assert isinstance(session.next_event(), MessageStart)
    session.receive(b"MAIL FROM:<evil@example.net>\r\n")
    assert session.next_event() is None
    session.answer(answer)
    assert last_lines(session.bytes_to_send()) == [TURNED_AWAY]
    events = []
    while (event := session.next_event()) is not None:
        events.append(event)
    closed = Closed("improper command pipelining after DATA")
    assert events in ([MessageAborted(), closed], [closed])
