"""RFC 5321 §3, §4.1 and §4.3: one session's commands, their order, and its end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.envelope import BodyType, Envelope, Notify, Recipient, Ret
from letterlock.protocols.smtp.paths import Mailbox
from letterlock.protocols.smtp.replies import reply
from letterlock.protocols.smtp.server_session import (
    BareNewline,
    Closed,
    Hello,
    MailFrom,
    MessageAborted,
    MessageEnd,
    MessageOctets,
    MessageStart,
    ProtocolError,
    Quit,
    RcptTo,
    Reset,
    ServerSession,
    SessionSettings,
    StartTls,
)
from tests.protocols.smtp.dialogue import OK, SETTINGS, Dialogue, answering, joined, last_lines

EHLO = b"EHLO client.example\r\n"
MAIL = b"MAIL FROM:<alice@example.com>\r\n"
RCPT = b"RCPT TO:<bob@example.org>\r\n"
ALICE = Mailbox("alice", "example.com")
BOB = Mailbox("bob", "example.org")


def test_a_message_comes_in() -> None:
    """RFC 5321 §3.3, as in its first scenario."""
    dialogue = Dialogue()
    assert dialogue.codes(EHLO, MAIL, RCPT, b"DATA\r\n", b"Subject: x\r\n\r\n..\r\n.\r\n") == [
        250,
        250,
        250,
        354,
        250,
    ]
    assert dialogue.codes(b"QUIT\r\n") == [221]
    envelope = Envelope("alice@example.com", (Recipient("bob@example.org"),))
    assert dialogue.messages == [(envelope, b"Subject: x\r\n\r\n.\r\n")]
    assert dialogue.events == [
        Hello("client.example", is_extended=True),
        MailFrom(ALICE),
        RcptTo(BOB),
        MessageStart(is_chunked=False, envelope=envelope),
        MessageOctets(b"Subject: x\r\n\r\n.\r\n"),
        MessageEnd(),
        Quit(),
        Closed("quit"),
    ]


def test_the_banner_comes_first() -> None:
    session = ServerSession(SETTINGS)
    session.greet()
    assert session.bytes_to_send() == b"220 mx.example.org ESMTP\r\n"
    assert session.bytes_to_send() == b""
    with pytest.raises(RuntimeError):
        session.greet()


def test_ehlo_lists_what_is_offered() -> None:
    """RFC 5321 §4.1.1.1; RFC 1870 §3; RFC 2034 §4: no status code here."""
    dialogue = Dialogue()
    dialogue.session.receive(EHLO)
    assert dialogue.pump() == (
        b"250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n"
        b"250-SMTPUTF8\r\n250-CHUNKING\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250 STARTTLS\r\n"
    )
    assert (dialogue.session.hello, dialogue.session.is_extended) == ("client.example", True)


def test_helo_is_answered_on_one_line() -> None:
    """RFC 5321 §4.1.1.1."""
    dialogue = Dialogue()
    assert dialogue.say(b"HELO client.example\r\n") == ["250 mx.example.org"]
    assert dialogue.events == [Hello("client.example", is_extended=False)]
    assert not dialogue.session.is_extended


@pytest.mark.parametrize(
    ("said", "replies"),
    [
        ([MAIL], ["503 5.5.1"]),
        ([RCPT], ["503 5.5.1"]),
        ([b"DATA\r\n"], ["503 5.5.1"]),
        ([EHLO, RCPT], ["503 5.5.1"]),
        ([EHLO, b"DATA\r\n"], ["503 5.5.1"]),
        ([EHLO, MAIL, MAIL], ["503 5.5.1"]),
        ([EHLO, MAIL, b"DATA\r\n"], ["503 5.5.1"]),
        ([b"NOOP\r\n"], ["250 2.0.0"]),
        ([b"RSET\r\n"], ["250 2.0.0"]),
        ([b"HELP\r\n"], ["214 2.0.0"]),
        ([b"VRFY bob\r\n"], ["252 2.0.0"]),
        ([b"EXPN bob\r\n"], ["502 5.5.1"]),
        ([b"AUTH PLAIN\r\n"], ["502 5.5.1"]),
        ([b"FOO\r\n"], ["500 5.5.2"]),
        ([b"\r\n"], ["500 5.5.2"]),
        ([b"EHLO\r\n"], ["501 Syntax"]),
        ([EHLO, b"MAIL FROM:alice\r\n"], ["501 5.5.4"]),
        ([EHLO, b"MAIL FROM:<a@b> X=1\r\n"], ["555 5.5.4"]),
        ([EHLO, MAIL, b"RCPT TO:<nobody>\r\n"], ["501 5.1.3"]),
        ([EHLO, MAIL, "RCPT TO:<ü@example.org>\r\n".encode()], ["553 5.6.7"]),
        ([EHLO, "MAIL FROM:<ü@example.org>\r\n".encode()], ["550 5.6.7"]),
        ([b"x" * 3000 + b"\r\n"], ["500 5.5.2"]),
        ([b"NOOP\rNOOP\r\n"], ["500 5.5.2"]),
        ([b"NOOP\n"], ["550 5.5.2"]),
        ([b"NOOP \0\r\n"], ["500 5.5.2"]),
    ],
)
def test_what_the_session_answers_itself(said: list[bytes], replies: list[str]) -> None:
    """RFC 5321 §4.1.4 (order), §4.3.2 (codes); rules 19, 20, 25."""
    dialogue = Dialogue()
    dialogue.say(*said[:-1])
    answers = dialogue.say(said[-1])
    assert [" ".join(line.replace(":", "").split()[:2]) for line in answers] == replies


def test_what_is_refused_is_told_for_the_log() -> None:
    dialogue = Dialogue()
    dialogue.say(b"MAIL FROM:<a@b>\r\n", b"foo\xc3\xbc\r\n", b"NOOP\n")
    errors = [event for event in dialogue.events if isinstance(event, ProtocolError)]
    assert [(error.command, error.reply.code) for error in errors] == [
        ("MAIL", 503),
        ("FOO?", 500),
        ("", 550),
    ]
    assert dialogue.session.errors == 3


def test_all_parameters_reach_the_envelope() -> None:
    """RFC 3461 §4, RFC 6152 §2, RFC 6531 §3.4, RFC 1870 §6."""
    dialogue = Dialogue()
    dialogue.say(
        EHLO,
        b"MAIL FROM:<alice@example.com> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=e\r\n",
        "RCPT TO:<ü@bücher.example> NOTIFY=DELAY ORCPT=utf-8;ü@bücher.example\r\n".encode(),
        b"BDAT 0 LAST\r\n",
    )
    unicode = Mailbox("ü", "xn--bcher-kva.example")
    orcpt = "utf-8;ü@bücher.example"
    envelope = Envelope(
        "alice@example.com",
        (Recipient("ü@xn--bcher-kva.example", frozenset({Notify.DELAY}), orcpt),),
        BodyType.EIGHT_BIT,
        smtputf8=True,
        ret=Ret.HEADERS,
        envid="e",
    )
    assert dialogue.events[1:] == [
        MailFrom(ALICE, 9, BodyType.EIGHT_BIT, smtputf8=True, ret=Ret.HEADERS, envid="e"),
        RcptTo(unicode, frozenset({Notify.DELAY}), orcpt),
        MessageStart(is_chunked=True, envelope=envelope),
        MessageEnd(),
    ]


def test_unicode_is_for_its_own_transaction_only() -> None:
    """RFC 6531 §3.4."""
    dialogue = Dialogue()
    unicode = "RCPT TO:<ü@example.org>\r\n".encode()
    dialogue.say(EHLO, b"MAIL FROM:<> SMTPUTF8\r\n")
    assert dialogue.codes(unicode, b"RSET\r\n", MAIL, unicode) == [250, 250, 250, 553]


def test_the_postmaster_needs_no_domain() -> None:
    """RFC 5321 §4.5.1."""
    dialogue = Dialogue()
    assert dialogue.codes(EHLO, b"MAIL FROM:<>\r\n", b"RCPT TO:<PostMaster>\r\n") == [250] * 3
    assert dialogue.events[-1] == RcptTo(
        Mailbox("postmaster", "mx.example.org"), is_postmaster=True
    )
    assert dialogue.session.sender == ""
    assert dialogue.session.recipients == (Recipient("postmaster@mx.example.org"),)


def test_recipient_named_twice_gets_the_message_once() -> None:
    """What was asked first holds; a local part's case is another's business (RFC 5321 §2.4)."""
    dialogue = Dialogue()
    dialogue.say(
        EHLO,
        b"MAIL FROM:<>\r\n",
        b"RCPT TO:<bob@example.org> NOTIFY=NEVER\r\n",
        b"RCPT TO:<BOB@example.org>\r\n",
        b"RCPT TO:<bob@EXAMPLE.org> NOTIFY=SUCCESS\r\n",
        b"DATA\r\n",
        b".\r\n",
    )
    ((envelope, _),) = dialogue.messages
    assert envelope.recipients == (
        Recipient("bob@example.org", frozenset({Notify.NEVER})),
        Recipient("BOB@example.org"),
    )


def test_refused_senders_and_recipients_are_not_in_the_envelope() -> None:
    """RFC 5321 §3.3."""
    no = reply(550, "5.7.1", "No")
    dialogue = Dialogue(answer=answering(MailFrom, no))
    assert dialogue.codes(EHLO, MAIL, RCPT, MAIL) == [250, 550, 503, 250]
    dialogue = Dialogue(answer=answering(RcptTo, no, OK, reply(450, "4.2.1", "Later")))
    dialogue.say(EHLO, MAIL)
    assert dialogue.codes(RCPT, b"RCPT TO:<c@d>\r\n", b"RCPT TO:<e@f>\r\n") == [550, 250, 450]
    assert dialogue.session.recipients == (Recipient("c@d"),)
    assert dialogue.session.errors == 2


@pytest.mark.parametrize("forget", [b"RSET\r\n", EHLO, b"HELO client.example\r\n"])
def test_rset_and_ehlo_forget_the_transaction(forget: bytes) -> None:
    """RFC 5321 §4.1.1.5, §4.1.4."""
    dialogue = Dialogue()
    assert dialogue.codes(EHLO, MAIL, RCPT, forget, b"DATA\r\n") == [250] * 4 + [503]
    assert dialogue.session.sender is None
    assert dialogue.session.recipients == ()
    assert (Reset() in dialogue.events) == (forget == b"RSET\r\n")


def test_a_refused_ehlo_changes_nothing() -> None:
    """RFC 5321 §4.1.4: "the SMTP server MUST stay in the same state"."""
    dialogue = Dialogue()
    assert dialogue.codes(EHLO, MAIL, RCPT, b"EHLO (x)\r\n", b"DATA\r\n") == [250] * 3 + [501, 354]


def test_a_declared_size_over_the_limit_is_refused() -> None:
    """RFC 1870 §6.1."""
    dialogue = Dialogue(SessionSettings("mx.example.org", max_message_bytes=100))
    dialogue.say(EHLO)
    assert dialogue.say(b"MAIL FROM:<a@b> SIZE=101\r\n")[0].startswith("552 5.3.4")
    assert dialogue.codes(b"MAIL FROM:<a@b> SIZE=100\r\n") == [250]


def test_recipients_over_the_limit_get_452_and_the_message_still_goes() -> None:
    """RFC 5321 §4.5.3.1.10."""
    settings = SessionSettings("mx.example.org", max_recipients=3, max_errors=2)
    dialogue = Dialogue(settings)
    dialogue.say(EHLO, MAIL)
    assert (
        dialogue.codes(*(b"RCPT TO:<user%d@example.org>\r\n" % number for number in range(6)))
        == [250] * 3 + [452] * 3
    )
    assert dialogue.session.errors == 0
    assert dialogue.codes(b"DATA\r\n", b".\r\n") == [354, 250]
    assert len(dialogue.messages[0][0].recipients) == 3


def test_a_client_that_never_stops_naming_recipients_makes_errors() -> None:
    settings = SessionSettings("mx.example.org", max_recipients=3, max_errors=2)
    dialogue = Dialogue(settings)
    dialogue.say(EHLO, MAIL)
    assert dialogue.codes(*[RCPT] * 8) == [250] * 3 + [452] * 5 + [421]
    assert dialogue.reason == "too many errors after RCPT"


def test_too_many_errors_end_the_session() -> None:
    dialogue = Dialogue(SessionSettings("mx.example.org", max_errors=3))
    answers = dialogue.say(b"A\r\n", b"B\r\n", b"C\r\n", b"NOOP\r\n")
    assert [line[:9] for line in answers] == ["500 5.5.2"] * 3 + ["421 4.7.0"]
    assert dialogue.reason == "too many errors after C"


def test_an_accepted_message_forgives_errors() -> None:
    dialogue = Dialogue(SessionSettings("mx.example.org", max_errors=3))
    for _ in range(3):
        dialogue.say(EHLO, b"A\r\n", b"B\r\n", MAIL, RCPT, b"DATA\r\n", b".\r\n")
    assert dialogue.session.errors == 0
    assert len(dialogue.messages) == 3


@pytest.mark.parametrize("junk", [b"NOOP\r\n", b"RSET\r\n", b"VRFY a\r\n", b"HELP\r\n", EHLO])
def test_commands_that_further_nothing_are_counted(junk: bytes) -> None:
    settings = SessionSettings("mx.example.org", max_commands=5, max_errors=2)
    dialogue = Dialogue(settings)
    positive = dialogue.codes(*[junk] * 7)
    assert len(positive) == 8
    assert positive[-1] == 421
    assert dialogue.reason == f"too many errors after {junk[:4].decode()}"


def test_endless_lines_end_the_session() -> None:
    dialogue = Dialogue()
    assert dialogue.codes(*[b"x" * 10000] * 7) == [500, 421]
    assert dialogue.reason == "endless line"


def test_a_refused_client_may_only_quit() -> None:
    """RFC 5321 §3.1."""
    dialogue = Dialogue(is_greeted=False)
    dialogue.session.refuse(reply(554, "5.7.1", "Access denied"))
    assert dialogue.pump() == b"554 5.7.1 Access denied\r\n"
    dialogue.say(EHLO)
    assert dialogue.codes(EHLO, b"NOOP\r\n", MAIL, b"QUIT\r\n") == [503, 503, 503, 221]
    assert not any(isinstance(event, Hello) for event in dialogue.events)


@pytest.mark.parametrize("code", [421, 521])
def test_refusing_with_421_closes(code: int) -> None:
    """RFC 5321 §3.8; RFC 7504 §2."""
    dialogue = Dialogue(is_greeted=False)
    dialogue.session.refuse(reply(code, None, "No service"))
    assert last_lines(dialogue.pump()) == [f"{code} No service"]
    assert dialogue.reason == "refused"


@pytest.mark.parametrize("kind", [MailFrom, RcptTo, MessageStart, MessageEnd])
def test_a_421_to_anything_closes(kind: type) -> None:
    """RFC 5321 §3.8."""
    dialogue = Dialogue(answer=answering(kind, reply(421, "4.3.2", "Bye")))
    dialogue.say(EHLO, MAIL, RCPT, b"DATA\r\n", b".\r\n")
    assert dialogue.reason == "answered 421"
    assert dialogue.messages == []


def test_a_timeout_says_421() -> None:
    """RFC 5321 §4.5.3.2.7 (rule 108)."""
    dialogue = Dialogue()
    dialogue.say(EHLO, MAIL)
    dialogue.session.time_out()
    assert last_lines(dialogue.pump()) == ["421 4.4.2 mx.example.org Timeout exceeded"]
    assert dialogue.reason == "timeout after MAIL"
    dialogue.session.time_out()
    assert dialogue.pump() == b""


def test_a_shutdown_says_421_and_discards_what_is_half_there() -> None:
    """RFC 5321 §3.8."""
    dialogue = Dialogue()
    dialogue.say(EHLO, MAIL, RCPT, b"DATA\r\n", b"half")
    dialogue.session.shut_down()
    assert last_lines(dialogue.pump()) == ["421 4.3.2 mx.example.org Service shutting down"]
    assert dialogue.events[-2:] == [MessageAborted(), Closed("shutting down")]


def test_a_shutdown_lets_the_reply_go_that_is_owed() -> None:
    """RFC 5321 §4.1.1.4: a message that is kept gets its 250."""
    dialogue = Dialogue()
    dialogue.say(EHLO, MAIL, RCPT, b"DATA\r\n")
    session = dialogue.session
    session.receive(b".\r\n")
    assert session.next_event() == MessageEnd()
    assert session.is_answer_owed
    session.shut_down()
    assert not session.is_closed
    assert session.next_event() is None
    session.answer(OK)
    assert [line[:3] for line in last_lines(session.bytes_to_send())] == ["250", "421"]
    assert session.next_event() == Closed("shutting down")


def test_an_answer_that_comes_too_late_is_dropped() -> None:
    session = ServerSession(SETTINGS)
    session.greet()
    session.receive(EHLO)
    session.next_event()
    session.receive(MAIL)
    assert session.next_event() == MailFrom(ALICE)
    session.time_out()
    session.bytes_to_send()
    session.answer(OK)
    session.receive(RCPT)
    assert session.bytes_to_send() == b""
    assert session.next_event() == Closed("timeout after MAIL")
    assert session.next_event() is None


def test_only_what_was_asked_is_answered() -> None:
    session = ServerSession(SETTINGS)
    session.greet()
    with pytest.raises(RuntimeError):
        session.answer(OK)
    with pytest.raises(RuntimeError):
        session.tls_started()


def test_nothing_is_read_before_the_greeting() -> None:
    session = ServerSession(SETTINGS)
    assert session.next_event() is None


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([], "lost connection after CONNECT"),
        ([EHLO], "lost connection after EHLO"),
        ([EHLO, MAIL, RCPT, b"DATA\r\n", b"half"], "lost connection after DATA"),
        ([EHLO, MAIL, RCPT, b"BDAT 9\r\nhalf"], "lost connection after BDAT"),
        ([b"NOOP"], "lost connection after CONNECT"),
        ([b"STARTTLS\r\n"], "lost connection after STARTTLS"),
    ],
)
def test_a_lost_connection_names_the_last_command(said: list[bytes], reason: str) -> None:
    dialogue = Dialogue()
    dialogue.say(*said)
    dialogue.session.receive_eof()
    assert dialogue.pump() == b""
    assert dialogue.reason == reason
    has_message = any(isinstance(event, MessageStart) for event in dialogue.events)
    assert (MessageAborted() in dialogue.events) == has_message
    assert dialogue.messages == []


def test_what_came_before_the_end_of_input_is_carried_out() -> None:
    """A client may close its sending half when it has said all."""
    dialogue = Dialogue()
    dialogue.say(EHLO, MAIL, RCPT, b"DATA\r\n")
    dialogue.session.receive(b"x\r\n.\r\nQUIT\r\n")
    dialogue.session.receive_eof()
    assert [line[:3] for line in last_lines(dialogue.pump())] == ["250", "221"]
    assert len(dialogue.messages) == 1
    assert dialogue.reason == "quit"


def test_normalizing_takes_commands_that_end_with_lf() -> None:
    """Rule 19: normalize departs from RFC 5321 §4.1.1.4."""
    dialogue = Dialogue(SessionSettings("mx.example.org", bare_newline=BareNewline.NORMALIZE))
    assert dialogue.codes(b"EHLO a\n", MAIL, b"RCPT TO:<b@c>\n", b"DATA\n") == [250] * 3 + [354]
    assert dialogue.codes(b"a\nb\n.\n.\r\n", b"c\r\n.\r\n") == [250]
    assert [text for _, text in dialogue.messages] == [b"a\r\nb\r\n\r\n\r\nc\r\n"]


# However it is cut, the same happens.

_TEXT = b"Subject: x\r\n\r\n..dot\r\nend\r\n.\r\n"
_SESSION = [
    EHLO,
    MAIL + RCPT + RCPT + b"DATA\r\n",
    _TEXT + b"MAIL FROM:<> SIZE=3\r\n" + RCPT + b"BDAT 7\r\nab\r\nc\r\nBDAT 3 LAST\r\nd\r\n",
    b"NOOP\r\nVRFY a\r\nFOO\r\nMAIL FROM:<a@b>\r\nRSET\r\nBDAT 4 LAST\r\nRSETSTARTTLS x\r\n",
    MAIL + RCPT + b"BDAT 4\r\na\nb\nBDAT 2\r\ncdRSET\r\nMAIL FROM:<>\r\n" + RCPT + b"DATA\r\n",
    b"bare\nnewline\r\n.\r\nNOOP\r\nNOOP\rx\r\nNOOP\nx\r\nQUIT\r\n",
]


def test_how_octets_are_split_does_not_matter() -> None:
    whole, octets = Dialogue(), Dialogue()
    sent_whole = [whole.say(group) for group in _SESSION]
    sent_octets = [
        octets.say(*[group[index : index + 1] for index in range(len(group))]) for group in _SESSION
    ]
    assert sent_octets == sent_whole
    assert joined(octets.events) == joined(whole.events)
    assert octets.messages == whole.messages
    assert whole.reason == "quit"
    assert len(whole.messages) == 2


_WORDS = st.sampled_from(
    [
        EHLO,
        b"HELO a\r\n",
        MAIL,
        RCPT,
        b"DATA\r\n",
        b"x\r\n",
        b".\r\n",
        b"BDAT 3\r\n",
        b"BDAT 3 LAST\r\n",
        b"BDAT x\r\n",
        b"abc",
        b"\n",
        b"\r",
        b"\0",
        b"\xff",
        b"RSET\r\n",
        b"STARTTLS\r\n",
        b"QUIT\r\n",
    ]
)


@given(st.lists(_WORDS | st.binary(max_size=9)), st.sampled_from(BareNewline), st.booleans())
def test_any_octets_give_events_and_an_orderly_end(
    words: list[bytes], mode: BareNewline, require_tls: bool
) -> None:
    settings = SessionSettings(
        "mx.example.org",
        max_message_bytes=20,
        max_errors=9,
        bare_newline=mode,
        require_tls=require_tls,
    )
    dialogue = Dialogue(settings)
    for word in words:
        if dialogue.events and isinstance(dialogue.events[-1], StartTls):
            dialogue.session.tls_started()
            dialogue.take_events()
        dialogue.say(word)
    dialogue.session.receive_eof()
    dialogue.pump()
    assert isinstance(dialogue.events[-1], Closed)
    assert sum(isinstance(event, Closed) for event in dialogue.events) == 1
    assert all(len(text) <= 20 for _, text in dialogue.messages)
    assert all(envelope.recipients for envelope, _ in dialogue.messages)
