"""RFC 3207, RFC 8314 §4: STARTTLS as the server sees it, and commands injected before it."""

from collections.abc import Callable

import pytest

from letterlock.protocols.smtp.replies import reply
from letterlock.protocols.smtp.server_session import (
    Closed,
    Hello,
    MailFrom,
    MessageAborted,
    RcptTo,
    ServerSession,
    SessionSettings,
    StartTls,
)
from tests.protocols.smtp.dialogue import SETTINGS, Dialogue, last_lines

EHLO = b"EHLO client.example\r\n"
MAIL = b"MAIL FROM:<alice@example.com>\r\n"
RCPT = b"RCPT TO:<bob@example.org>\r\n"
STRICT = SessionSettings("mx.example.org", require_tls=True)


def test_starttls_takes_no_arguments() -> None:
    """RFC 3207 §4 (rule 1)."""
    assert Dialogue().codes(EHLO, b"STARTTLS x\r\n") == [250, 501]


def test_tls_is_not_required_unless_configured() -> None:
    """RFC 3207 §4 (rule 2): a host that an MX names MUST NOT require it."""
    assert not SETTINGS.require_tls
    assert Dialogue().codes(EHLO, MAIL, RCPT) == [250] * 3


@pytest.mark.parametrize(
    "command",
    [
        b"HELO client.example\r\n",
        b"RSET\r\n",
        b"AUTH PLAIN\r\n",
        b"VRFY a\r\n",
        b"EXPN a\r\n",
        b"HELP\r\n",
        MAIL,
        RCPT,
        b"DATA\r\n",
        b"BDAT 0 LAST\r\n",
        b"BDAT 4\r\nQUIT",
        b"FOO\r\n",
        b"MAIL FROM:nonsense\r\n",
    ],
)
def test_where_tls_is_required_most_commands_get_530(command: bytes) -> None:
    """RFC 3207 §4 (rules 3, 120)."""
    dialogue = Dialogue(STRICT)
    answers = dialogue.say(EHLO, command)
    assert answers[1:] == ["530 5.7.0 Must issue a STARTTLS command first"]
    assert dialogue.codes(b"NOOP\r\n") == [250]


def test_where_tls_is_required_four_commands_are_taken() -> None:
    """RFC 3207 §4 (rule 3)."""
    dialogue = Dialogue(STRICT)
    assert dialogue.codes(b"NOOP\r\n", EHLO, b"STARTTLS\r\n") == [250, 250, 220]
    dialogue.session.tls_started()
    assert dialogue.codes(EHLO, MAIL, RCPT, b"QUIT\r\n") == [250, 250, 250, 221]
    assert Dialogue(STRICT).codes(b"QUIT\r\n") == [221]


def test_a_chunk_without_a_length_ends_the_session_here_as_well() -> None:
    dialogue = Dialogue(STRICT)
    assert dialogue.codes(EHLO, b"BDAT x\r\nQUIT\r\n") == [250, 530]
    assert dialogue.reason == "BDAT without a length"


def test_the_driver_is_told_to_do_the_handshake() -> None:
    """RFC 3207 §4."""
    dialogue = Dialogue()
    assert dialogue.say(EHLO, b"STARTTLS\r\n")[-1] == "220 2.0.0 Ready to start TLS"
    assert dialogue.events[-1] == StartTls()
    assert not dialogue.session.is_tls
    assert dialogue.session.next_event() is None


def test_after_tls_everything_is_forgotten() -> None:
    """RFC 3207 §4.2 (rule 8): no second 220, no name, no transaction."""
    dialogue = Dialogue()
    dialogue.say(EHLO, MAIL, RCPT)
    dialogue.start_tls()
    session = dialogue.session
    assert session.bytes_to_send() == b""
    assert (session.hello, session.sender, session.recipients) == (None, None, ())
    assert session.is_tls
    assert not session.is_extended
    assert dialogue.codes(MAIL, RCPT, b"DATA\r\n") == [503] * 3
    assert dialogue.codes(EHLO, RCPT, MAIL) == [250, 503, 250]


def test_a_message_begun_before_tls_is_discarded() -> None:
    """RFC 3207 §4.2 (rule 8)."""
    dialogue = Dialogue()
    dialogue.say(EHLO, MAIL, RCPT, b"BDAT 3\r\na\r\n")
    dialogue.start_tls()
    assert dialogue.events[-2:] == [MessageAborted(), StartTls()]
    assert dialogue.codes(EHLO, b"BDAT 3 LAST\r\nb\r\n") == [250, 503]


def test_under_tls_starttls_is_not_offered_and_refused() -> None:
    """RFC 3207 §4.2 (rules 10, 16): the list is made anew."""
    dialogue = Dialogue()
    dialogue.session.receive(EHLO)
    assert b"STARTTLS" in dialogue.pump()
    dialogue.start_tls()
    dialogue.session.receive(EHLO)
    assert b"STARTTLS" not in dialogue.pump()
    assert dialogue.codes(b"STARTTLS\r\n", b"NOOP\r\n") == [503, 250]


def test_without_a_certificate_starttls_is_not_offered() -> None:
    """RFC 8314 §4, RFC 3207 §4 (rule 104)."""
    dialogue = Dialogue(SessionSettings("mx.example.org", offer_starttls=False))
    dialogue.session.receive(EHLO)
    assert b"STARTTLS" not in dialogue.pump()
    assert dialogue.say(b"STARTTLS\r\n")[0].startswith("454 4.7.0")
    assert dialogue.codes(MAIL) == [250]


def test_insufficient_tls_refuses_everything_but_quit() -> None:
    """RFC 3207 §4.1 (rule 7)."""
    dialogue = Dialogue()
    dialogue.start_tls()
    dialogue.session.refuse(reply(554, "5.7.0", "Command refused due to lack of security"))
    assert dialogue.session.bytes_to_send() == b""
    assert dialogue.codes(EHLO, b"NOOP\r\n", MAIL, b"QUIT\r\n") == [554, 554, 554, 221]
    assert not any(isinstance(event, Hello) for event in dialogue.events)


@pytest.mark.parametrize(
    "injected",
    [
        b"RSET\r\n",
        b"EHLO evil.example\r\n" + MAIL + RCPT,
        b"N",
        b"\r\n",
        b"\x16\x03\x01",
    ],
)
def test_octets_behind_starttls_are_never_carried_out(injected: bytes) -> None:
    """RFC 3207 §4.2 and §6, CVE-2011-0411 (rule 13): the connection is dropped."""
    dialogue = Dialogue()
    dialogue.say(EHLO)
    dialogue.take_events()
    assert dialogue.say(b"STARTTLS\r\n" + injected) == [
        "554 5.5.0 SMTP protocol synchronization error"
    ]
    assert dialogue.reason == "improper command pipelining after STARTTLS"
    dialogue.session.tls_started()
    assert not dialogue.session.is_tls
    assert dialogue.codes(EHLO, MAIL) == []
    assert not any(isinstance(event, Hello | MailFrom | RcptTo) for event in dialogue.events)


def test_octets_that_come_before_the_handshake_are_never_carried_out() -> None:
    """RFC 3207 §4.2 (rule 13): in a later segment as well."""
    dialogue = Dialogue()
    dialogue.say(EHLO, b"STARTTLS\r\n")
    dialogue.take_events()
    assert dialogue.say(MAIL) == []
    assert dialogue.events == [Closed("input between STARTTLS and the handshake")]
    dialogue.session.tls_started()
    assert dialogue.codes(EHLO) == []


def test_commands_before_starttls_in_its_group_are_answered_in_clear() -> None:
    """RFC 2920 §3.1: STARTTLS may be the last of a group (rule 5)."""
    dialogue = Dialogue()
    dialogue.say(EHLO)
    assert dialogue.codes(b"RSET\r\nSTARTTLS\r\n") == [250, 220]
    assert dialogue.session.bytes_to_send() == b""


@pytest.mark.parametrize("end", [ServerSession.time_out, ServerSession.shut_down])
def test_nothing_is_said_in_clear_during_the_handshake(
    end: Callable[[ServerSession], None],
) -> None:
    dialogue = Dialogue()
    dialogue.say(b"STARTTLS\r\n")
    end(dialogue.session)
    assert dialogue.pump() == b""
    assert dialogue.session.is_closed


def test_the_last_replies_in_clear_are_taken_before_the_handshake() -> None:
    dialogue = Dialogue()
    dialogue.session.receive(EHLO)
    assert isinstance(dialogue.session.next_event(), Hello)
    dialogue.session.receive(b"STARTTLS\r\n")
    assert dialogue.session.next_event() == StartTls()
    assert [line[:3] for line in last_lines(dialogue.session.bytes_to_send())] == ["250", "220"]
