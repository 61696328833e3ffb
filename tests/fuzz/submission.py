"""Submission: base64 in lines, the mechanisms that a client talks, whose addresses are whose."""

from letterlock.protocols.sasl.channel_binding import TLS_EXPORTER
from letterlock.protocols.sasl.client_mechanisms import begin_exchange
from letterlock.protocols.sasl.client_steps import Credentials
from letterlock.protocols.sasl.dovecot import (
    Accepted,
    Denied,
    DovecotReader,
    Greeted,
    NotAnswered,
)
from letterlock.protocols.sasl.mechanisms import Mechanism, make_exchange
from letterlock.protocols.sasl.preparation import (
    MAX_NAME_OCTETS,
    MAX_PASSWORD_OCTETS,
    PreparationError,
    prepare_name,
    prepare_password,
)
from letterlock.protocols.sasl.responses import (
    MAX_RESPONSE_OCTETS,
    decode_initial_response,
    decode_response,
    encode_challenge,
)
from letterlock.protocols.sasl.scram import ScramExchange, make_decoy
from letterlock.protocols.sasl.steps import (
    Challenge,
    Failed,
    PasswordGiven,
    Proved,
    Step,
    VerifierNeeded,
)
from letterlock.protocols.smtp.authentication import Authentication, AuthStep, LoggedIn, Say
from letterlock.protocols.smtp.own_addresses import is_own_address, parse_own_address
from letterlock.protocols.smtp.paths import AddressError, parse_mailbox
from letterlock.protocols.smtp.replies import Reply, reply
from letterlock.protocols.smtp.reply_reader import ReplyReader
from letterlock.protocols.smtp.server_session import (
    Authenticate,
    MailFrom,
    MessageEnd,
    MessageStart,
    RcptTo,
    SessionSettings,
    StartTls,
)
from letterlock.protocols.smtp.submission_session import SubmissionSession
from letterlock.services.receive.submitted_header import (
    find_foreign_author,
    format_missing,
    read_submitted_header,
)
from tests.fakes import START
from tests.fuzz.smtp_server import COMMAND_WORDS
from tests.fuzz.target import Target, split_ways, take_choices

_SETTINGS = SessionSettings(
    "mx.example.org",
    max_message_bytes=60,
    max_errors=6,
    require_tls=True,
    auth_mechanisms=("PLAIN", "LOGIN"),
)
_OK = reply(250, "2.0.0", "Ok")
_LET_IN = reply(235, "2.7.0", "Authentication successful")
_NO = reply(535, "5.7.8", "Authentication credentials invalid")
_ASK = reply(334, None, "VXNlcm5hbWU6")
_MECHANISMS = tuple(Mechanism)
_WORDS = (
    *(b"\0", b"\xff", b"n,,", b"y,,", b"p=tls-exporter,,", b"n=", b",r=", b",c=biws", b"c=biws,r="),
    *(b",p=", b"=2C", b"=3D", b"a=", b",", b"=", b"user", b"\xc2\xad", b"\xd8\xa7", b"m=x,"),
)


def check_response(octets: bytes) -> None:
    """What is decoded has one way of writing, but for the bits that nobody sees."""
    decoded = decode_response(octets)
    assert decoded == decode_initial_response(octets) or octets == b"="
    if decoded is not None:
        assert len(decoded) <= MAX_RESPONSE_OCTETS
        again = encode_challenge(decoded).encode()
        assert len(again) == len(octets)
        assert decode_response(again) == decoded


def check_exchange(octets: bytes) -> None:
    """Whatever responses come, an exchange ends, and nobody is let in who proved nothing."""
    (flags,), rest = take_choices(octets, 1)
    mechanism = _MECHANISMS[flags % len(_MECHANISMS)]
    bindings = {TLS_EXPORTER: b"bound"}
    exchange = make_exchange(mechanism, "3rfcNHYJY1ZVvWVs7j", bindings, is_plus_offered=flags > 8)
    responses = rest.split(b"\xfe")
    step: Step = exchange.begin(responses.pop(0) if flags & 4 else None)
    _check_step(step)
    for response in (*responses, b"", b"", b""):
        if isinstance(step, VerifierNeeded):
            assert isinstance(exchange, ScramExchange)
            step = exchange.found(make_decoy(b"secret", step.name))
        elif not isinstance(step, Challenge):
            break
        step = exchange.receive(response)
        _check_step(step)
    assert not isinstance(step, Proved)


def check_client_exchange(octets: bytes) -> None:
    """Whatever a server says, a login ends, and none is good that SCRAM's server did not prove."""
    (flags,), rest = take_choices(octets, 1)
    mechanism = _MECHANISMS[flags % len(_MECHANISMS)]
    credentials = Credentials("user", "pencil", "passwords:1")
    bindings = {TLS_EXPORTER: b"bound"}
    exchange = begin_exchange(mechanism, credentials, "3rfcNHYJ", bindings, may_bind=flags > 8)
    authentication = Authentication(mechanism, exchange)
    step: AuthStep = authentication.begin()
    for said in (*rest.split(b"\xfe"), b"334 ", b"334 ", b"334 ", b"235 "):
        if not isinstance(step, Say):
            break
        answer = next(iter(ReplyReader().receive(said + b"\r\n")), None)
        if isinstance(answer, Reply):
            step = authentication.receive(answer)
    assert not isinstance(step, Say)
    assert not isinstance(step, LoggedIn) or "SCRAM" not in mechanism


def _check_step(step: Step) -> None:
    match step:
        case Challenge(said):
            assert len(said) <= 2 * MAX_RESPONSE_OCTETS
        case PasswordGiven(name, password):
            assert 0 < len(name.encode()) <= MAX_NAME_OCTETS + 50
            assert 0 < len(password.encode()) <= MAX_PASSWORD_OCTETS
        case VerifierNeeded(name):
            assert name
        case Failed(_, reason):
            assert reason.isprintable()
        case Proved():
            pass


def check_preparation(octets: bytes) -> None:
    """A text is prepared, or refused without being told; a name that is prepared stays."""
    text = octets.decode("utf-8", "surrogateescape")
    for prepare in (prepare_name, prepare_password):
        try:
            prepared = prepare(text)
        except PreparationError as error:
            assert str(error).isascii()
            continue
        assert prepare(prepared) == prepared
        assert "\n" not in prepared


def check_dovecot(octets: bytes) -> None:
    """Whatever the service says, nobody is let in before its greeting; and it is bounded."""
    reader = DovecotReader()
    has_greeted = False
    for line in octets.split(b"\n"):
        match reader.receive(line):
            case Greeted():
                assert not has_greeted
                has_greeted = True
            case Accepted() | Denied():
                assert has_greeted
            case NotAnswered(reason):
                assert reason.isprintable()
            case None:
                pass


def check_header(octets: bytes) -> None:
    """A header section is fields or a refusal; what is added is read again, and complete then."""
    fields = read_submitted_header(octets)
    if isinstance(fields, Reply):
        assert fields.is_permanent
        return
    assert octets.startswith(b"".join(lines for _, lines in fields))
    assert [name for name, _ in fields].count("from") == 1
    refusal = find_foreign_author(fields, {"a@example.org", "@example.com"})
    assert refusal is None or refusal.is_permanent
    missing = format_missing(fields, "ABC", "mx.example.org", START)
    again = read_submitted_header(missing + octets)
    assert not isinstance(again, Reply)
    assert format_missing(again, "ABC", "mx.example.org", START) == b""


def check_session(octets: bytes) -> None:
    """Whatever comes, nobody who is not let in begins a message; how it came is all one."""
    (flags, choice), wire = take_choices(octets, 2)
    whole = _hold_session(flags, [wire])
    if b"synchronization" not in whole:
        for pieces in split_ways(wire, choice):
            assert _hold_session(flags, pieces) == whole


def _hold_session(flags: int, pieces: list[bytes]) -> bytes:
    """Hold a session; gives what the server said."""
    session = SubmissionSession(_SETTINGS, is_implicit_tls=bool(flags & 1))
    session.greet()
    _answer(session, flags)
    for piece in pieces:
        session.receive(piece)
        _answer(session, flags)
    session.receive_eof()
    _answer(session, flags)
    return session.bytes_to_send()


def _answer(session: SubmissionSession, flags: int) -> None:
    while (event := session.next_event()) is not None:
        match event:
            case StartTls():
                session.tls_started()
            case Authenticate(mechanism, response):
                assert session.is_tls
                assert not session.is_authenticated
                assert mechanism is not None or response is not None
                is_right = response == b"right" and flags & 2
                session.answer(_LET_IN if is_right else _ASK if mechanism else _NO)
            case MailFrom() | RcptTo() | MessageStart() | MessageEnd(violation=None):
                assert session.is_authenticated
                session.answer(_OK)
            case _:
                pass


def check_own_address(octets: bytes) -> None:
    """What an account may send as has one form, and is its own; nobody else's is."""
    try:
        own = parse_own_address(octets.decode("utf-8", "replace"))
    except AddressError:
        return
    assert parse_own_address(own) == own
    mailbox = parse_mailbox(own if own[0] != "@" else f"anyone{own}")
    assert is_own_address(mailbox, (own,))
    assert not is_own_address(parse_mailbox("x@other.invalid"), (own,)) or "other" in own


TARGETS = (
    Target("sasl-response", check_response, (b"AGEAYg==", b"=", b"YQ==", b"AAAA"), (b"=", b"==")),
    Target(
        "sasl-exchange",
        check_exchange,
        (
            b"\5n,,n=user,r=abc\xfec=biws,r=abc3rfcNHYJY1ZVvWVs7j,p=AAAA",
            b"\4p=tls-exporter,,n=user,r=abc\xfec=biws,r=abc3rfcNHYJY1ZVvWVs7j,p=AAAA",
            b"\2\0tim\0secret",
            b"\6\0tim\0secret",
            b"\3tim\xfesecret",
            b"\0y,a=user,n=user,r=abc\xfe",
        ),
        _WORDS,
    ),
    Target(
        "sasl-client",
        check_client_exchange,
        (
            b"\1334 cj0zcmZjTkhZSngscz1BQUFBLGk9NDA5Ng==\xfe334 dj1BQUFB\xfe235 ok",
            b"\2235 2.7.0 welcome",
            b"\3334 VXNlcm5hbWU6\xfe334 UGFzc3dvcmQ6\xfe235 ok",
            b"\0535 5.7.8 no",
        ),
        (b"334 ", b"235 ", b"535 ", b"\xfe", b"cj0zcmZjTkhZSng", b"=="),
    ),
    Target(
        "sasl-preparation",
        check_preparation,
        (b"user", "I\u00adX".encode(), "\u2168\u0627".encode()),
        _WORDS,
    ),
    Target(
        "own-address",
        check_own_address,
        (b"Alice@example.org", b"@example.com", b'"a b"@[192.0.2.1]', "é@bücher.example".encode()),
        (b"@", b".", b'"', b"[", b"]", b"\\", b"IPv6:", b"xn--"),
    ),
    Target(
        "dovecot-auth",
        check_dovecot,
        (b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nDONE\nOK\t1\tuser=alice\n",),
        (b"\t", b"\n", b"FAIL\t1", b"CONT\t1\t", b"user=", b"temp", b"\x01t", b"\x01", b"\xff"),
    ),
    Target(
        "submitted-header",
        check_header,
        (
            b"From: a@example.org\r\nSubject: hi\r\n\r\nhello\r\n",
            b"From: A <a@example.org>,\r\n b@example.com\r\nSender: a@example.org\r\n\r\n",
        ),
        (
            *(b"From:", b"Sender:", b"Date:", b"Message-ID:", b"\r\n", b"\r\n\r\n", b"\n", b"\r"),
            *(b" ", b"\t", b"<", b">", b",", b";", b":", b"(", b")", b'"', b"\\", b"@", b"\xff"),
        ),
    ),
    Target(
        "submission-session",
        check_session,
        (
            b"\3\x40EHLO a\r\nAUTH PLAIN cmlnaHQ=\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
            b"\2\x40EHLO a\r\nSTARTTLS\r\nEHLO a\r\nAUTH LOGIN\r\ncmlnaHQ=\r\nMAIL FROM:<>\r\n",
            b"\1\x10EHLO a\r\nAUTH PLAIN\r\n*\r\nMAIL FROM:<a@b> AUTH=<>\r\nQUIT\r\n",
        ),
        (*COMMAND_WORDS, b"AUTH PLAIN ", b"AUTH LOGIN\r\n", b"cmlnaHQ=", b"*\r\n", b" AUTH=<>"),
    ),
)
