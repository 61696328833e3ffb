"""Submission as the server sees it: AUTH, and what is refused without it."""

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.protocols.smtp.server_session import (
    Authenticate,
    Closed,
    MailFrom,
    ProtocolError,
    SessionSettings,
    StartTls,
)
from letterlock.protocols.smtp.submission_session import SubmissionSession
from tests.protocols.smtp.dialogue import OK, Asking, Dialogue

SETTINGS = SessionSettings(
    "mx.example.org", require_tls=True, auth_mechanisms=("SCRAM-SHA-256", "PLAIN", "LOGIN")
)
EHLO = b"EHLO client.example\r\n"
MAIL = b"MAIL FROM:<alice@example.org>\r\n"
RCPT = b"RCPT TO:<bob@example.com>\r\n"
AUTH = b"AUTH PLAIN AGEAYg==\r\n"
LET_IN = reply(235, "2.7.0", "Authentication Succeeded")
NO = reply(535, "5.7.8", "Authentication credentials invalid")
ASK = reply(334, None, "")

Answer = Callable[[Asking], Reply]


def answering(*replies: Reply) -> Answer:
    """Answer each step of an exchange in turn, and whatever else with 250."""
    left = list(replies)
    return lambda event: left.pop(0) if isinstance(event, Authenticate) else OK


def submission(
    *replies: Reply, settings: SessionSettings = SETTINGS, is_tls: bool = True
) -> Dialogue:
    """Begin a session; under TLS after EHLO and STARTTLS, with EHLO said again."""
    dialogue = Dialogue(settings, answering(*replies), make=SubmissionSession)
    dialogue.say(EHLO)
    if is_tls:
        dialogue.start_tls()
        dialogue.say(EHLO)
    dialogue.take_events()
    return dialogue


def test_auth_is_offered_under_tls_only() -> None:
    """RFC 4954 §3, §4 (rule 113)."""
    session = SubmissionSession(SETTINGS)
    session.greet()
    lists = []
    for _ in range(2):
        session.bytes_to_send()
        session.receive(EHLO)
        assert session.next_event() is not None
        lists.append(session.bytes_to_send())
        session.receive(b"STARTTLS\r\n")
        session.next_event()
        if not session.is_tls:
            session.tls_started()
    assert b"AUTH" not in lists[0]
    assert b"250 AUTH SCRAM-SHA-256 PLAIN LOGIN\r\n" in lists[1]


@pytest.mark.parametrize(
    "command", [AUTH, b"AUTH LOGIN\r\n", b"AUTH SCRAM-SHA-256\r\n", b"AUTH CRAM-MD5\r\n"]
)
def test_without_tls_no_password_is_looked_at(command: bytes) -> None:
    """RFC 4954 §4, RFC 8314 §4.1 (rules 113 and 128): right and wrong ones get the same."""
    dialogue = submission(is_tls=False)
    assert dialogue.say(command) == ["504 5.5.4 No AUTH without TLS: STARTTLS first"]
    assert not any(isinstance(event, Authenticate) for event in dialogue.events)


@pytest.mark.parametrize("command", [MAIL, RCPT, b"DATA\r\n", b"VRFY a\r\n", b"HELP\r\n"])
def test_nothing_is_sent_without_authentication(command: bytes) -> None:
    """RFC 6409 §4.3, RFC 4954 §6."""
    assert submission(is_tls=False).codes(command) == [530]
    dialogue = submission()
    assert dialogue.say(command) == ["530 5.7.0 Authentication required"]
    assert not any(isinstance(event, MailFrom) for event in dialogue.events)


@pytest.mark.parametrize("octets", [b"BDAT 4 LAST\r\nabc\n", b"BDAT 0 LAST\r\n"])
def test_a_chunk_without_authentication_is_read_and_dropped(octets: bytes) -> None:
    """RFC 3030 §2."""
    dialogue = submission()
    assert dialogue.codes(octets, b"NOOP\r\n") == [530, 250]


@pytest.mark.parametrize("command", [b"NOOP\r\n", b"RSET\r\n", b"HELO a\r\n", EHLO])
def test_what_sends_nothing_needs_no_authentication(command: bytes) -> None:
    """RFC 4954 §6."""
    assert submission().codes(command) == [250]


def test_who_is_let_in_sends_mail() -> None:
    """RFC 4954 §4."""
    dialogue = submission(LET_IN)
    assert dialogue.codes(AUTH, MAIL, RCPT, b"DATA\r\n", b"hello\r\n.\r\n") == [
        *(235, 250, 250, 354, 250)
    ]
    assert dialogue.take_events()[0] == Authenticate("PLAIN", b"\0a\0b")
    assert [text for _, text in dialogue.messages] == [b"hello\r\n"]


@pytest.mark.parametrize("before", [[], [MAIL], [MAIL, RCPT], [b"RSET\r\n"], [EHLO]])
def test_a_second_authentication_is_refused(before: list[bytes]) -> None:
    """RFC 4954 §4 (rule 113): also within a transaction."""
    dialogue = submission(LET_IN)
    assert dialogue.codes(AUTH, *before, AUTH)[-1] == 503


def test_auth_needs_ehlo() -> None:
    dialogue = Dialogue(SETTINGS, make=SubmissionSession)
    dialogue.say(EHLO)
    dialogue.start_tls()
    assert dialogue.codes(AUTH, b"HELO a\r\n", AUTH) == [503, 250, 503]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"AUTH CRAM-MD5\r\n", "504 5.5.4 This mechanism is not offered"),
        (b"AUTH PLAIN AAA=BBBB\r\n", "501 5.5.2 The response is not base64"),
        (b"AUTH PLAIN A\r\n", "501 5.5.2 The response is not base64"),
        (b"AUTH PLAIN ****\r\n", "501 5.5.4 Syntax: AUTH mechanism [initial-response]"),
        (b"AUTH\r\n", "501 5.5.4 Syntax: AUTH mechanism [initial-response]"),
    ],
)
def test_an_auth_that_cannot_be_is_refused(command: bytes, answer: str) -> None:
    """RFC 4954 §4."""
    dialogue = submission(LET_IN)
    assert dialogue.say(command) == [answer]
    assert dialogue.codes(AUTH) == [235], "another may follow"


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (b"auth plain\r\n", Authenticate("PLAIN", None)),
        (b"AUTH PLAIN =\r\n", Authenticate("PLAIN", b"")),
        (b"AUTH LOGIN YQ==\r\n", Authenticate("LOGIN", b"a")),
        (b"AUTH SCRAM-SHA-256\r\n", Authenticate("SCRAM-SHA-256", None)),
    ],
)
def test_auth_begins_an_exchange(command: bytes, event: Authenticate) -> None:
    """RFC 4954 §4."""
    dialogue = submission(NO)
    assert dialogue.codes(command) == [535]
    assert dialogue.take_events() == [event]


def test_a_challenge_without_octets_ends_with_a_space() -> None:
    """RFC 4954 §4."""
    dialogue = submission(ASK)
    dialogue.session.receive(b"AUTH PLAIN\r\n")
    assert dialogue.pump() == b"334 \r\n"


def test_a_challenge_may_be_longer_than_a_reply() -> None:
    """RFC 4954 §4: 12288 octets are enough for all."""
    text = base64.b64encode(bytes(1500)).decode()
    dialogue = submission(reply(334, None, text))
    dialogue.session.receive(b"AUTH SCRAM-SHA-256\r\n")
    assert dialogue.pump() == f"334 {text}\r\n".encode()


def test_a_response_is_given_to_the_exchange() -> None:
    dialogue = submission(ASK, ASK, LET_IN)
    assert dialogue.codes(b"AUTH LOGIN\r\n", b"YQ==\r\n", b"\r\n", MAIL) == [334, 334, 235, 250]
    assert dialogue.take_events()[:3] == [
        Authenticate("LOGIN", None),
        Authenticate(None, b"a"),
        Authenticate(None, b""),
    ]


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"*\r\n", "501 5.7.0 Authentication cancelled"),
        (b"=\r\n", "501 5.5.2 The response is not base64"),
        (b"MAIL FROM:<>\r\n", "501 5.5.2 The response is not base64"),
        (b"RSET 1\r\n", "501 5.5.2 The response is not base64"),
        (b"A" * 2047 + b"\r\n", "500 5.5.6 Authentication Exchange line is too long"),
        (b"YQ==\n\r\n", "550 5.5.2 Command refused: bare <LF> received"),
        (b"Y\rQ==\r\n", "500 5.5.2 Command refused: bare <CR> received"),
    ],
)
def test_an_exchange_that_breaks_off_is_over(line: bytes, answer: str) -> None:
    """RFC 4954 §4, §6; what comes next is a command again."""
    dialogue = submission(ASK, LET_IN)
    assert dialogue.say(b"AUTH PLAIN\r\n", line)[:2] == ["334 ", answer]
    assert dialogue.say(b"\r\n" + AUTH)[-1][:3] == "235"
    events = dialogue.take_events()
    refusals = [event.reply.text for event in events if isinstance(event, ProtocolError)]
    assert refusals[0] == answer


def test_a_response_that_never_ends_ends_the_session() -> None:
    dialogue = submission(ASK)
    assert dialogue.codes(b"AUTH PLAIN\r\n", b"A" * 70_000)[-1] == 421
    assert dialogue.reason == "endless line"


def test_guesses_end_the_session() -> None:
    """RFC 4954 §9: so that guessing takes long."""
    settings = SessionSettings(
        "mx.example.org", require_tls=True, max_errors=3, auth_mechanisms=("PLAIN",)
    )
    dialogue = submission(*[NO] * 5, settings=settings)
    assert dialogue.codes(*[AUTH] * 3) == [535, 535, 535, 421]


def test_commands_may_follow_an_auth_that_one_response_is_enough_for() -> None:
    """RFC 4954 §4: the exception for pipelining."""
    dialogue = submission(LET_IN)
    assert dialogue.codes(AUTH + MAIL + RCPT) == [235, 250, 250]


def implicit() -> SubmissionSession:
    return SubmissionSession(SETTINGS, is_implicit_tls=True)


def test_under_implicit_tls_the_greeting_comes_after_the_handshake() -> None:
    """RFC 8314 §3.3."""
    session = implicit()
    session.greet()
    assert session.next_event() == StartTls()
    assert session.bytes_to_send() == b""
    session.tls_started()
    assert session.bytes_to_send().startswith(b"220 ")
    session.receive(EHLO)
    assert session.next_event() is not None
    assert b"AUTH" in (said := session.bytes_to_send())
    assert b"STARTTLS" not in said
    session.receive(b"STARTTLS\r\n")
    session.next_event()
    assert session.bytes_to_send().startswith(b"503 ")


def test_under_implicit_tls_nothing_is_said_in_clear() -> None:
    """RFC 8314 §3.3: not to a client that is refused either."""
    refused, early = implicit(), implicit()
    refused.refuse(reply(421, "4.3.2", "Too many connections"))
    early.receive(b"\x16")
    early.greet()
    for session in (refused, early):
        assert isinstance(session.next_event(), Closed)
        assert session.bytes_to_send() == b""


def test_a_session_that_ended_during_the_handshake_is_not_greeted() -> None:
    session = implicit()
    session.greet()
    session.time_out()
    session.tls_started()
    assert session.bytes_to_send() == b""


def test_a_session_that_is_refused_says_so_to_auth_too() -> None:
    session = implicit()
    session.greet()
    session.next_event()
    session.tls_started()
    session.refuse(reply(554, "5.3.2", "No service"))
    session.receive(EHLO)
    session.next_event()
    session.receive(AUTH)
    session.next_event()
    assert session.bytes_to_send().count(b"554 5.3.2 No service\r\n") == 2


@pytest.mark.parametrize(
    ("mechanisms", "require_tls"), [((), True), (("PLAIN",), False), ((), False)]
)
def test_there_is_no_submission_without_tls_and_auth(
    mechanisms: tuple[str, ...], require_tls: bool
) -> None:
    settings = SessionSettings("mx", auth_mechanisms=mechanisms, require_tls=require_tls)
    with pytest.raises(ValueError, match="submission"):
        SubmissionSession(settings)


def test_port_25_has_no_auth() -> None:
    dialogue = Dialogue()
    mail = b"MAIL FROM:<a@example.com> AUTH=<>\r\n"
    assert dialogue.say(EHLO, AUTH, mail)[1:] == [
        "502 5.5.1 AUTH is not offered",
        "555 5.5.4 Parameter AUTH is not known here",
    ]


def test_mail_may_say_who_submitted_it() -> None:
    """RFC 4954 §5: who advertises AUTH must take it."""
    dialogue = submission(LET_IN)
    assert dialogue.codes(AUTH, b"MAIL FROM:<alice@example.org> AUTH=<>\r\n") == [235, 250]


@given(
    st.lists(
        st.sampled_from(
            [EHLO, AUTH, MAIL, b"AUTH LOGIN\r\n", b"YQ==\r\n", b"*\r\n", b"RSET\r\n", b"NOOP\r\n"]
        )
        | st.binary(max_size=20),
        max_size=12,
    ),
    st.lists(st.sampled_from([ASK, NO, reply(454, "4.7.0", "Later")]), max_size=40),
    st.integers(1, 9),
)
def test_who_is_not_let_in_sends_nothing_whatever_comes(
    pieces: list[bytes], replies: list[Reply], size: int
) -> None:
    """RFC 6409 §4.3; and how the octets came makes no difference."""
    wire = b"".join(pieces)
    told = []
    for cut in (len(wire) or 1, size, 1):
        dialogue = Dialogue(SETTINGS, answering(*replies, *[NO] * 40), make=SubmissionSession)
        dialogue.say(EHLO)
        dialogue.start_tls()
        said = [
            line for at in range(0, len(wire), cut) for line in dialogue.say(wire[at : at + cut])
        ]
        told.append(said)
        assert not any(isinstance(event, MailFrom) for event in dialogue.events)
        session = dialogue.session
        assert isinstance(session, SubmissionSession)
        assert not session.is_authenticated
    if not any("synchronization" in line for said in told for line in said):
        assert told[0] == told[1] == told[2]
