"""RFC 5321 §4.1.1.4 and RFC 3030 §2: DATA, BDAT, sizes, and what follows a refusal."""

import pytest

from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.protocols.smtp.server_session import (
    BareNewline,
    Closed,
    MailFrom,
    MessageAborted,
    MessageEnd,
    MessageOctets,
    MessageStart,
    ProtocolError,
    RcptTo,
    Reset,
    SessionSettings,
)
from tests.protocols.smtp.dialogue import OK, Dialogue, answering, joined

EHLO = b"EHLO client.example\r\n"
MAIL = b"MAIL FROM:<alice@example.com>\r\n"
RCPT = b"RCPT TO:<bob@example.org>\r\n"
FULL = reply(452, "4.3.1", "Insufficient system storage")


def ready(dialogue: Dialogue | None = None) -> Dialogue:
    """Bring a dialogue to where a message can come."""
    dialogue = dialogue or Dialogue()
    assert dialogue.codes(EHLO, MAIL, RCPT) == [250] * 3
    dialogue.take_events()
    return dialogue


def small(max_message_bytes: int, mode: BareNewline = BareNewline.REJECT) -> Dialogue:
    settings = SessionSettings(
        "mx.example.org", max_message_bytes=max_message_bytes, bare_newline=mode
    )
    return ready(Dialogue(settings))


def texts(dialogue: Dialogue) -> list[bytes]:
    return [text for _, text in dialogue.messages]


def test_data_without_valid_recipients_is_refused() -> None:
    """RFC 5321 §3.3: 503 or 554; RFC 2920 §3.2 (3)."""
    dialogue = Dialogue(answer=answering(RcptTo, reply(550, "5.1.1", "No such user")))
    dialogue.say(EHLO, MAIL)
    assert dialogue.say(b"DATA\r\n")[0].startswith("503 5.5.1")
    dialogue.say(RCPT)
    assert dialogue.say(b"DATA\r\n")[0].startswith("554 5.5.1")


def test_a_refused_data_leaves_the_transaction() -> None:
    dialogue = ready(Dialogue(answer=answering(MessageStart, FULL)))
    assert dialogue.codes(b"DATA\r\n", b"DATA\r\n", b".\r\n") == [452, 354, 250]


def test_each_answer_to_the_end_is_passed_on() -> None:
    """RFC 5321 §4.1.1.4: the buffers are clear afterwards, whatever the answer."""
    for answer, code in ((OK, 250), (FULL, 452), (reply(554, "5.7.1", "Spam"), 554)):
        dialogue = ready(Dialogue(answer=answering(MessageEnd, answer)))
        assert dialogue.codes(b"DATA\r\n", b"x\r\n.\r\n", b"DATA\r\n", MAIL) == [
            354,
            code,
            503,
            250,
        ]
        assert len(dialogue.messages) == (code == 250)


def test_large_text_comes_in_large_pieces() -> None:
    dialogue = ready()
    dialogue.say(b"DATA\r\n", b"x" * 65536, b"y" * 65536, b"\r\n.\r\n")
    sizes = [len(event.data) for event in dialogue.events if isinstance(event, MessageOctets)]
    assert sizes == [65536, 65536, 2]


@pytest.mark.parametrize(
    ("octets", "code", "status"),
    [
        (b"a\nb\r\n", 550, "5.5.2"),
        (b"a\rb\r\n", 550, "5.5.2"),
        (b"a\0b\r\n", 550, "5.6.0"),
        (b"a" * 99 + b"\r\n", 552, "5.3.4"),
    ],
)
def test_a_violation_is_answered_after_the_end(octets: bytes, code: int, status: str) -> None:
    """RFC 5321 §2.3.8, §4.5.3.1.9; RFC 1870 §6.3; rules 19, 20."""
    for chunked in (False, True):
        dialogue = small(100)
        if chunked:
            said = [b"BDAT %d LAST\r\n" % len(octets), octets]
        else:
            said = [b"DATA\r\n", octets, b".\r\n"]
        answers = dialogue.say(*said)
        assert answers[-1].startswith(f"{code} {status}")
        assert len(answers) == len(said) - 1
        end = dialogue.events[-1]
        assert isinstance(end, MessageEnd)
        assert isinstance(end.violation, Reply)
        assert end.violation.code == code
        assert dialogue.messages == []
        assert dialogue.session.errors == 1
        assert dialogue.codes(MAIL) == [250]


@pytest.mark.parametrize("mode", BareNewline)
def test_a_message_of_exactly_the_limit_is_taken(mode: BareNewline) -> None:
    """RFC 1870 §5: the limit counts CRLF, and neither the dots nor the final one."""
    text = b"." * 98 + b"\r\n"
    dialogue = small(100, mode)
    assert dialogue.codes(b"DATA\r\n", b"." + text + b".\r\n") == [354, 250]
    dialogue.say(MAIL, RCPT)
    assert dialogue.codes(b"BDAT 100 LAST\r\n" + text) == [250]
    assert texts(dialogue) == [text, text]
    dialogue.say(MAIL, RCPT)
    assert dialogue.codes(b"DATA\r\n", b"." + text + b"\r\n.\r\n") == [354, 552]


def test_of_what_is_too_big_no_more_than_the_limit_is_given_out() -> None:
    dialogue = small(100)
    dialogue.say(b"DATA\r\n", b"a" * 60, b"b" * 60, b"c" * 60)
    given = joined(dialogue.events)[-1]
    assert given == MessageOctets(b"a" * 60 + b"b" * 40)


def test_far_too_much_ends_the_session() -> None:
    """RFC 5321 §3.8: reading to the end must itself have an end."""
    for start in (b"DATA\r\n", b"BDAT 900 LAST\r\n"):
        dialogue = small(100)
        dialogue.say(start)
        dialogue.take_events()
        assert dialogue.codes(b"x" * 200) == []
        assert dialogue.codes(b"x") == [421]
        assert dialogue.events[-2:] == [
            MessageAborted(),
            Closed("message far over the limit"),
        ]


def test_chunks_make_a_message() -> None:
    """RFC 3030 §2 (rule 23): exact lengths, 250 for each, no dot handling."""
    dialogue = ready()
    assert dialogue.say(b"BDAT 7\r\n..\r\n.\r\nBDAT 0\r\nBDAT 6 LAST\r\nQUIT\r\n") == [
        "250 2.0.0 7 octets received",
        "250 2.0.0 0 octets received",
        "250 2.0.0 Ok",
    ]
    assert texts(dialogue) == [b"..\r\n.\r\nQUIT\r\n"]
    kinds = [type(event) for event in joined(dialogue.events)]
    assert kinds == [MessageStart, MessageOctets, MessageEnd]


@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        ([b"BDAT 0 LAST\r\n"], b""),
        ([b"BDAT 1\r\na", b"BDAT 0 LAST\r\n"], b"a\r\n"),
        ([b"BDAT 2\r\na\r", b"BDAT 1 LAST\r\n\n"], b"a\r\n"),
        ([b"BDAT 3 LAST\r\n", b"a", b"\r", b"\n"], b"a\r\n"),
    ],
)
def test_the_last_line_ends(chunks: list[bytes], text: bytes) -> None:
    """Rule 24; a message goes on by DATA as well, where it must (RFC 5321 §4.1.1.4)."""
    dialogue = ready()
    dialogue.say(*chunks)
    assert texts(dialogue) == [text]


def test_data_and_chunks_do_not_mix() -> None:
    """RFC 3030 §2 (rule 23): DATA after BDAT gets 503, and so does BDAT after LAST."""
    dialogue = ready()
    assert dialogue.codes(b"BDAT 1\r\na", b"DATA\r\n", RCPT, MAIL) == [250, 503, 503, 503]
    assert dialogue.codes(b"BDAT 0 LAST\r\n") == [250]
    assert dialogue.codes(b"BDAT 4 LAST\r\nQUIT", b"NOOP\r\n") == [503, 250]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ([], 503),
        ([EHLO], 503),
        ([EHLO, MAIL], 503),
        ([b"HELO a\r\n"], 503),
    ],
)
def test_a_refused_chunk_is_read_to_its_end(said: list[bytes], code: int) -> None:
    """RFC 3030 §2 (rule 23): what is in it is never a command."""
    dialogue = Dialogue()
    dialogue.say(*said)
    chunk = b"QUIT\r\nRSET\r\n"
    assert dialogue.codes(b"BDAT %d\r\n" % len(chunk), chunk[:5]) == []
    assert dialogue.codes(chunk[5:]) == [code]
    assert dialogue.codes(b"NOOP\r\n") == [250]
    assert Reset() not in dialogue.events


def test_a_chunk_without_valid_recipients_gets_554() -> None:
    """RFC 5321 §3.3; pipelined, the chunk is there already (RFC 3030 §4.2)."""
    dialogue = Dialogue(answer=answering(RcptTo, reply(550, "5.1.1", "No such user")))
    dialogue.say(EHLO)
    assert dialogue.codes(MAIL + RCPT + b"BDAT 3 LAST\r\na\r\n") == [250, 550, 554]


def test_a_message_refused_at_its_start_is_read_and_stays_refused() -> None:
    """RFC 3030 §2: the reply comes after the chunk; only RSET helps (rule 112)."""
    dialogue = ready(Dialogue(answer=answering(MessageStart, FULL)))
    assert dialogue.codes(b"BDAT 4\r\nQUI") == []
    assert dialogue.codes(b"T") == [452]
    assert dialogue.codes(b"BDAT 4 LAST\r\nQUIT", b"DATA\r\n", MAIL) == [503, 503, 503]
    assert dialogue.codes(b"RSET\r\n", MAIL, RCPT, b"BDAT 0 LAST\r\n") == [250] * 4
    assert len(dialogue.messages) == 1


def test_a_violation_in_a_chunk_fails_the_transaction() -> None:
    """RFC 3030 §2 (rules 19, 23): 550 after the chunk."""
    dialogue = ready()
    assert dialogue.codes(b"BDAT 4\r\na\nb\n", b"BDAT 2 LAST\r\nab") == [550, 503]
    assert dialogue.messages == []
    assert MessageAborted() in dialogue.events
    assert dialogue.session.errors == 2
    assert dialogue.codes(b"RSET\r\n", MAIL) == [250, 250]


def test_a_violation_found_at_the_end_of_chunks() -> None:
    dialogue = ready()
    assert dialogue.codes(b"BDAT 1\r\n\r", b"BDAT 0 LAST\r\n") == [250, 550]
    dialogue = small(3)
    assert dialogue.codes(b"BDAT 3 LAST\r\nabc") == [552]


@pytest.mark.parametrize(
    ("command", "event"),
    [(b"RSET\r\n", Reset()), (b"QUIT\r\n", None), (EHLO, None), (b"STARTTLS\r\n", None)],
)
def test_what_forgets_the_transaction_aborts_its_message(
    command: bytes, event: Reset | None
) -> None:
    """RFC 3030 §2: RSET after the first BDAT clears all chunks."""
    dialogue = ready()
    dialogue.say(b"BDAT 3\r\na\r\n")
    dialogue.take_events()
    dialogue.say(command)
    events = dialogue.take_events()
    assert events[0] == MessageAborted()
    assert event is None or events[1] == event


def test_a_chunk_without_a_length_ends_the_session() -> None:
    """What follows could be anything: it must not be taken for commands."""
    dialogue = ready()
    assert dialogue.codes(b"BDAT many\r\nQUIT\r\n") == [501]
    assert dialogue.events[-1] == Closed("BDAT without a length")
    settings = SessionSettings("mx.example.org", max_errors=1)
    dialogue = Dialogue(settings)
    assert dialogue.codes(b"BDAT many\r\nQUIT\r\n") == [501, 421]
    assert dialogue.reason == "too many errors after BDAT"


def test_empty_chunks_are_no_way_to_stay_for_ever() -> None:
    settings = SessionSettings("mx.example.org", max_commands=5, max_errors=2)
    dialogue = ready(Dialogue(settings))
    # EHLO was the first of five.
    assert dialogue.codes(*[b"BDAT 0\r\n"] * 6) == [250] * 5 + [421]


def test_refused_chunks_are_no_way_to_send_for_ever() -> None:
    settings = SessionSettings("mx.example.org", max_message_bytes=100)
    dialogue = Dialogue(settings)
    assert dialogue.codes(EHLO, b"BDAT 150\r\n" + b"x" * 150, b"BDAT 900\r\n") == [250, 503]
    assert dialogue.codes(b"x" * 50) == []
    assert dialogue.codes(b"x") == [421]
    assert dialogue.reason == "message far over the limit"


def test_what_was_refused_is_told_for_the_log() -> None:
    dialogue = Dialogue()
    dialogue.say(EHLO, b"BDAT 1\r\na")
    errors = [event for event in dialogue.events if isinstance(event, ProtocolError)]
    assert [(error.command, error.reply.code) for error in errors] == [("BDAT", 503)]


def test_no_binary_without_binarymime() -> None:
    """RFC 3030 §3, RFC 5321 §4.1.1.11 (rule 112): it is not offered."""
    dialogue = Dialogue()
    dialogue.say(EHLO)
    assert dialogue.codes(b"MAIL FROM:<a@b> BODY=BINARYMIME\r\n") == [555]
    assert not any(isinstance(event, MailFrom) for event in dialogue.events)
