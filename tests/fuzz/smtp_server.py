"""What a client sends: lines, commands, message text, and a whole session of them."""

import re
from ipaddress import ip_address

from letterlock.protocols.smtp.client_attributes import (
    MAX_VALUE_CHARACTERS,
    AttributesError,
    parse_xclient,
    parse_xforward,
)
from letterlock.protocols.smtp.commands import (
    Mail,
    Rcpt,
    Rejected,
    Xclient,
    Xforward,
    parse_command,
)
from letterlock.protocols.smtp.input_buffer import MAX_LINE_OCTETS, InputBuffer, LineFault
from letterlock.protocols.smtp.message_data import BareNewline, ChunkDecoder, TextDecoder
from letterlock.protocols.smtp.replies import MAX_REPLY_LINE_OCTETS, Reply, format_reply, reply
from letterlock.protocols.smtp.sending import DotStuffer, LineNormalizer
from letterlock.protocols.smtp.server_events import (
    ClientNamed,
    Closed,
    Event,
    MailFrom,
    MessageEnd,
    MessageOctets,
    MessageStart,
    ProtocolError,
    RcptTo,
    StartTls,
)
from letterlock.protocols.smtp.server_replies import OUT_OF_STEP
from letterlock.protocols.smtp.server_session import ServerSession
from letterlock.protocols.smtp.server_state import SessionSettings
from tests.fuzz.target import Target, split_ways, take_choices

_OK = reply(250, "2.0.0", "Ok")
_MODES = tuple(BareNewline)
# RFC 5321 §4.2; only ASCII, and never more than one line for a line.
_REPLY_LINE = re.compile(rb"[2-5][0-9]{2}(?:[ -][ -~]*)?\r\n")
_MAX_MESSAGE = 60

COMMAND_WORDS = (
    *(b"EHLO ", b"HELO ", b"MAIL FROM:<", b"RCPT TO:<", b"DATA", b"BDAT ", b"RSET", b"NOOP"),
    *(b"QUIT", b"VRFY ", b"HELP", b"STARTTLS", b"AUTH ", b"EXPN ", b" LAST", b"<>", b"@", b"\\"),
    *(b" SIZE=", b" BODY=8BITMIME", b" SMTPUTF8", b" RET=HDRS", b" ENVID=", b" NOTIFY=", b'"'),
    *(
        b"NEVER",
        b"SUCCESS,",
        b"FAILURE",
        b"DELAY",
        b" ORCPT=rfc822;",
        b" ORCPT=utf-8;",
        b"\xc3\xa9",
    ),
    *(b"XCLIENT ", b"XFORWARD ", b"ADDR=", b"NAME=", b"LOGIN=", b"IPV6:", b"[UNAVAILABLE]"),
    *(b"postmaster", b"[IPv6:2001:db8::1]", b"[192.0.2.1]", b"\\x{E9}", b"+41", b"@r.example:"),
    *(
        b"\r\n",
        b"\r\n.\r\n",
        b"\n.\n",
        b"\r.\r",
        b"\n",
        b"\r",
        b"\0",
        b"\r\n..",
        b">",
        b" REQUIRETLS",
    ),
)
COMMANDS = (
    b"EHLO mx.example.com",
    b"HELO [192.0.2.1]",
    b"MAIL FROM:<a@example.com>",
    b"MAIL FROM:<> SIZE=100 BODY=8BITMIME",
    b"MAIL FROM:<\xc3\xa9@b\xc3\xbccher.example> SMTPUTF8 RET=FULL ENVID=a+3Db",
    b'RCPT TO:<"a b\\""@[IPv6:2001:db8::1]> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+40b',
    b"RCPT TO:<@a.example,@b.example:c@d.example> ORCPT=utf-8;\\x{E9}@example.com",
    b"RCPT TO:<Postmaster> NOTIFY=NEVER",
    b"BDAT 10 LAST",
    b"DATA",
    b"STARTTLS",
    b"VRFY a",
    b"QUIT",
    b"XCLIENT ADDR=IPV6:2001:db8::7 NAME=[UNAVAILABLE] LOGIN=a+40b PORT=1 PROTO=ESMTP HELO=c",
    b"XFORWARD NAME=c.example ADDR=192.0.2.7 IDENT=4F SOURCE=REMOTE",
)
_SESSIONS = (
    b"\0\0EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@d.example>\r\nDATA\r\n",
    b"\1\x80EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<d@e>\r\nBDAT 4\r\nab\r\nBDAT 3 LAST\r\nc\r\nQUIT",
    b"\4\x10EHLO c\r\nSTARTTLS\r\nEHLO c\r\nMAIL FROM:<a@b> SMTPUTF8\r\nRCPT TO:<\xc3\xa9@d>\r\n",
    b"\x08\x30HELO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<x@d>\r\nDATA\r\n..a\r\n.\r\nRSET\r\nQUIT\r\n",
    b"\x40\x40EHLO c\r\nXFORWARD NAME=c IDENT=4F\r\nXCLIENT ADDR=192.0.2.7\r\nXCLIENT LOGIN=a\r\n",
    b"\x10\x40EHLO c\r\nNOOP\nNOOP\r\nMAIL FROM:<a@b>\r\nRCPT TO:<q@d>\r\nDATA\r\na\nb\r\n.\r\n",
)


def check_session(octets: bytes) -> None:
    """Any octets give events, replies that are replies, and an end; how they came is all one.

    All one unless the client spoke out of step, which only one who sent it in one piece did.
    """
    (flags, choice), wire = take_choices(octets, 2)
    events, sent = _hold_session(flags, [wire])
    _check_replies(sent)
    assert len(sent) <= 1000 + 200 * len(wire)
    assert len(events) <= 20 + 3 * len(wire)
    assert isinstance(events[-1], Closed)
    assert sum(isinstance(event, Closed) for event in events) == 1
    for event in events:
        if isinstance(event, MessageStart):
            assert event.envelope.recipients
        elif isinstance(event, MessageOctets):
            assert len(event.data) <= _MAX_MESSAGE
            _check_text(event.data)
    is_in_step = not any(
        isinstance(event, ProtocolError) and event.reply == OUT_OF_STEP for event in events
    )
    for pieces in split_ways(wire, choice) if is_in_step else ():
        assert _hold_session(flags, pieces) == (events, sent)


def _hold_session(flags: int, pieces: list[bytes]) -> tuple[list[Event], bytes]:
    settings = SessionSettings(
        "mx.example.org",
        max_message_bytes=_MAX_MESSAGE,
        max_errors=6,
        max_commands=8,
        max_recipients=3,
        bare_newline=_MODES[flags & 1],
        require_tls=bool(flags & 2),
        offer_starttls=not flags & 4,
        may_name_clients=bool(flags & 64),
        may_tell_origins=bool(flags & 64),
    )
    session = ServerSession(settings)
    session.greet()
    events: list[Event] = []
    for piece in pieces:
        session.receive(piece)
        _take_events(session, events, flags >> 3)
    session.receive_eof()
    _take_events(session, events, flags >> 3)
    return events, session.bytes_to_send()


def _take_events(session: ServerSession, events: list[Event], answers: int) -> None:
    """Take events and answer those that ask; a message's pieces become one."""
    while (event := session.next_event()) is not None:
        last = events[-1] if events else None
        if isinstance(event, MessageOctets) and isinstance(last, MessageOctets):
            events[-1] = MessageOctets(last.data + event.data)
            continue
        events.append(event)
        if isinstance(event, StartTls):
            session.tls_started()
        elif isinstance(
            event, ClientNamed | MailFrom | RcptTo | MessageStart | MessageEnd
        ) and not (isinstance(event, MessageEnd) and event.violation is not None):
            session.answer(_answer(event, answers))


def _answer(event: Event, answers: int) -> Reply:
    if isinstance(event, RcptTo) and event.mailbox.local == "q":
        return reply(550, "5.1.1", "No such mailbox")
    if isinstance(event, MessageStart) and answers & 1:
        return reply(452, "4.3.1", "Full")
    if isinstance(event, MessageEnd) and answers & 2:
        return reply(451, "4.3.0", "Try again")
    if isinstance(event, ClientNamed):
        return reply(550, "5.7.0", "Not that one")
    if isinstance(event, MailFrom) and answers & 4 and event.sender is None:
        return reply(421, "4.3.2", "Closing")
    return _OK


def _check_replies(sent: bytes) -> None:
    lines = sent.splitlines(keepends=True)
    assert all(_REPLY_LINE.fullmatch(line) for line in lines)
    assert all(len(line) <= MAX_REPLY_LINE_OCTETS for line in lines)


def _check_text(text: bytes) -> None:
    # A message's last CR may be in the next piece; pieces were joined, so here it is not.
    rest = text.replace(b"\r\n", b"")
    assert b"\n" not in rest
    assert b"\0" not in rest
    assert b"\r" not in rest.removesuffix(b"\r")


def check_lines(octets: bytes) -> None:
    """How a client's lines came makes no difference, very long ones included.

    An octet 0x01 stands for 300 letters, so that the limits are within reach.
    """
    (flags, choice), wire = take_choices(octets, 2)
    mode = _MODES[flags & 1]
    wire = wire[:600].replace(b"\1", b"a" * 300)
    whole = _read_lines(mode, [wire])
    for line in whole:
        if isinstance(line, bytes):
            assert b"\r" not in line
            assert b"\n" not in line
            assert len(line) <= MAX_LINE_OCTETS
    size = choice * 3 + 1
    assert _read_lines(mode, [wire[at : at + size] for at in range(0, len(wire), size)]) == whole
    cut = len(wire) * choice // 255
    assert _read_lines(mode, [wire[:cut], wire[cut:]]) == whole


def _read_lines(mode: BareNewline, pieces: list[bytes]) -> list[bytes | LineFault]:
    buffer = InputBuffer(mode)
    found: list[bytes | LineFault] = []
    for piece in pieces:
        buffer.octets += piece
        while (line := buffer.take_line()) is not None:
            found.append(line)
            if line is LineFault.ENDLESS:
                return found
    return found


def check_command(octets: bytes) -> None:
    """A line is a command or one reply that refuses it; an address in it can be written again."""
    (flags,), line = take_choices(octets, 1)
    line = line.replace(b"\r", b"").replace(b"\n", b"")
    command = parse_command(line, may_be_unicode=bool(flags & 1))
    match command:
        case Rejected(verb, answer):
            assert answer.code in range(500, 600)
            _check_replies(format_reply(answer))
            assert verb.isascii()
            assert len(verb) <= 20
        case Mail(sender, _) if sender is not None:
            again = parse_command(f"MAIL FROM:<{sender.format()}> SMTPUTF8".encode())
            assert isinstance(again, Mail)
            assert again.sender == sender
        case Rcpt(mailbox, _) if mailbox is not None:
            again = parse_command(f"RCPT TO:<{mailbox.format()}>".encode(), may_be_unicode=True)
            assert again == Rcpt(mailbox, again.parameters) if isinstance(again, Rcpt) else False
        case Xclient(arguments) | Xforward(arguments):
            _check_attributes(arguments)
        case _:
            pass
    # Case counts in local parts, which stand behind the verb only.
    word, space, rest = line.partition(b" ")
    assert parse_command(word.swapcase() + space + rest, may_be_unicode=bool(flags & 1)) == command


def _check_attributes(arguments: str) -> None:
    """What is told of clients is printable and short, and addresses are addresses."""
    for parse in (parse_xclient, parse_xforward):
        try:
            told = parse(arguments)
        except AttributesError as error:
            assert error.reply.code == 501
            _check_replies(format_reply(error.reply))
            continue
        assert all(len(value) <= MAX_VALUE_CHARACTERS for value in told.values())
        assert all(value.isprintable() for value in told.values())
        if told.get("ADDR"):
            assert str(ip_address(told["ADDR"])) == told["ADDR"]


def check_text(octets: bytes) -> None:
    """DATA ends at one place and gives one text however it came, and no fault gets through."""
    (flags, choice), wire = take_choices(octets, 2)
    mode = _MODES[flags & 1]
    whole = _decode_text(mode, [wire])
    text, used, is_ended, fault = whole
    assert used <= len(wire)
    assert is_ended == (b"\r\n.\r\n" in b"\r\n" + wire)
    if is_ended:
        assert used == (b"\r\n" + wire).index(b"\r\n.\r\n") + 3
        _check_text(text)
        assert text.endswith(b"\r\n") or not text or (mode is BareNewline.REJECT and fault)
    for pieces in split_ways(wire, choice):
        assert _decode_text(mode, pieces) == whole


def _decode_text(mode: BareNewline, pieces: list[bytes]) -> tuple[bytes, int, bool, str | None]:
    decoder = TextDecoder(mode)
    text, used, is_ended = b"", 0, False
    for piece in pieces:
        if not is_ended:
            more, count, is_ended = decoder.feed(piece)
            text, used = text + more, used + count
    return text, used, is_ended, decoder.fault


def check_stuffing(octets: bytes) -> None:
    """What we send as a client, by DATA or in chunks, is what we take as a server."""
    (choice,), content = take_choices(octets, 1)
    normal = LineNormalizer()
    expected = normal.encode(content) + normal.finish()
    for pieces in split_ways(content, choice):
        normal, stuffed = LineNormalizer(), DotStuffer()
        chunks = b"".join(map(normal.encode, pieces)) + normal.finish()
        wire = b"".join(map(stuffed.encode, pieces)) + stuffed.finish()
        assert chunks == expected
        fault = "NUL" if b"\0" in content else None
        text, used, is_ended, found = _decode_text(BareNewline.NORMALIZE, [wire])
        assert (used, is_ended, found) == (len(wire), True, fault)
        assert text == chunks.replace(b"\0", b" ")
        decoder = ChunkDecoder(BareNewline.NORMALIZE)
        assert decoder.feed(chunks) + decoder.finish() == text


_TEXTS = (
    b"\0\0a\r\n..b\r\n.\r\nQUIT\r\n",
    b"\1\x80a\nb\r\n.\n.\r\n.\r\n",
    b"\0\x40.\r\n",
    b"\1\x20a\rb\0c\r\n\r\n.\r\n",
)
TARGETS = (
    Target("smtp-session", check_session, _SESSIONS, COMMAND_WORDS, runs=750),
    Target("smtp-lines", check_lines, _SESSIONS, (*COMMAND_WORDS, b"\1" * 8, b"\1" * 220), 1024),
    Target(
        "smtp-command",
        check_command,
        tuple(bytes((at % 2,)) + command for at, command in enumerate(COMMANDS)),
        COMMAND_WORDS,
        2100,
        runs=2500,
    ),
    Target("smtp-text", check_text, _TEXTS, COMMAND_WORDS, 1024, runs=500),
    Target("smtp-stuffing", check_stuffing, _TEXTS, COMMAND_WORDS, 1024, runs=500),
)
