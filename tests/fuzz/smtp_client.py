"""What a server answers, and what we then send: replies, capabilities, a whole transaction."""

from letterlock.protocols.smtp.capabilities import Capabilities, parse_capabilities
from letterlock.protocols.smtp.commands import Mail, Rcpt, parse_command
from letterlock.protocols.smtp.content import ContentFacts
from letterlock.protocols.smtp.envelope import BodyType, Envelope, Recipient
from letterlock.protocols.smtp.plan import Refusal, TransactionSettings, plan, split_recipients
from letterlock.protocols.smtp.replies import Reply, format_reply
from letterlock.protocols.smtp.reply_reader import ReplyReader, ReplyViolation
from letterlock.protocols.smtp.status_codes import is_status, status_of
from letterlock.protocols.smtp.transaction import RecipientCommand, Script, Transaction
from tests.fuzz.smtp_server import COMMAND_WORDS, COMMANDS
from tests.fuzz.target import Target, split_ways, take_choices

_REPLY_WORDS = (
    *(b"250 ", b"250-", b"354 ", b"421 ", b"451 ", b"550 ", b"552 ", b"220 ", b"2.0.0 ", b"5.1.1 "),
    *(b"4.5.3", b"\r\n", b"\n", b"\r", b"PIPELINING", b"SIZE ", b"LIMITS RCPTMAX=", b"CHUNKING"),
    *(b"8BITMIME", b"SMTPUTF8", b"DSN", b"STARTTLS", b"AUTH=", b"\t", b"\xc3\xa9", b"\xff", b"\0"),
)
_REPLIES = (
    b"\0\0220 mx.example.com\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 go on\r\n250 2.0.0 Ok\r\n",
    b"\1\x50250-mx.example.com\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 AUTH=PLAIN LOGIN\r\n",
    b"\0\x90250-2.0.0 a\r\n250-2.0.0 b\r\n250 2.0.0\r\n421\r\n",
    b"\1\xa0550-5.1.1 no such\r\n550 5.1.1 user \xc3\xa9\r\n552 5.5.3 too many\r\n999 x\r\n",
    b"\2\x20250 ok\n250-x\n250 y\n",
)
_ALL = Capabilities(
    pipelining=True, eightbitmime=True, smtputf8=True, chunking=True, binarymime=True, dsn=True
)
_CONTENT = ContentFacts(100)


def check_replies(octets: bytes) -> None:
    """Any octets give replies or one violation, however they came; a reply can be sent again."""
    (flags, choice), wire = take_choices(octets, 2)
    is_smtputf8 = bool(flags & 1)
    whole = _read(is_smtputf8, [wire])
    events, _ = whole
    assert not any(isinstance(event, ReplyViolation) for event in events[:-1])
    for event in events:
        if isinstance(event, ReplyViolation):
            assert event.excerpt.isprintable()
        else:
            _check_reply(event, is_smtputf8=is_smtputf8)
    for pieces in split_ways(wire, choice):
        assert _read(is_smtputf8, pieces) == whole


def _read(is_smtputf8: bool, pieces: list[bytes]) -> tuple[list[Reply | ReplyViolation], bool]:
    reader = ReplyReader(is_smtputf8=is_smtputf8)
    events = [event for piece in pieces for event in reader.receive(piece)]
    return events, reader.has_leftover


def _check_reply(reply: Reply, *, is_smtputf8: bool) -> None:
    assert reply.text.isprintable()
    assert is_status(status_of(reply))
    assert is_smtputf8 or reply.text.isascii()
    if all(len(line.encode()) < 480 for line in reply.lines):
        again = ReplyReader(is_smtputf8=is_smtputf8)
        assert again.receive(format_reply(reply)) == [reply]
        assert not again.has_leftover


def check_capabilities(octets: bytes) -> None:
    """Any reply to EHLO is a set of capabilities; case does not count; limits are in bounds."""
    lines = tuple(octets.decode("latin-1").split("\n"))
    found = parse_capabilities(Reply(250, lines))
    assert found.size is None or 0 < found.size < 10**20
    limits = found.limits
    for limit in (limits.mail_max, limits.rcpt_max, limits.rcpt_domain_max):
        assert limit is None or 0 < limit < 10**6
    assert found.chunking or not found.binarymime
    if octets.isascii():
        again = parse_capabilities(Reply(250, (lines[0], *(line.swapcase() for line in lines[1:]))))
        assert again == found
    recipients = [Recipient(f"u@d{number}.example") for number in range(5)]
    groups = split_recipients(recipients, found, 3)
    assert [each for group in groups for each in group] == recipients
    assert all(0 < len(group) <= 3 for group in groups)


def check_transaction(octets: bytes) -> None:
    """Any replies lead to an end, and only a good reply to the whole content delivers."""
    (flags, choice), wire = take_choices(octets, 2)
    count = flags % 4 + 1
    commands = tuple(
        RecipientCommand(Recipient(f"u{number}@x"), f"RCPT TO:<u{number}@x>")
        for number in range(count)
    )
    transaction = Transaction(
        Script(
            "MAIL FROM:<a@x>",
            commands,
            is_pipelined=bool(flags & 4),
            chunk_octets=5 if flags & 8 else 0,
            is_lmtp=bool(flags & 16),
        )
    )
    events = iter(ReplyReader().receive(wire))
    pieces = [b"ab\r\n"] * (choice % 4)
    has_sent_all = False
    positive_since = 0
    for _ in range(200):
        if transaction.is_done:
            break
        sent = transaction.commands_to_send()
        assert not sent or sent.endswith(b"\r\n")
        if sent:
            continue
        if transaction.may_send_body and pieces:
            transaction.encode_body(pieces.pop())
        elif transaction.may_send_body:
            transaction.finish_body()
            has_sent_all = True
        else:
            event = next(events, None)
            if isinstance(event, Reply):
                positive_since += has_sent_all and event.is_positive
                transaction.receive(event)
            else:
                transaction.lost("no reply")
    result = transaction.result()
    assert len(result.outcomes) == count
    accepted = sum(outcome.is_accepted for outcome in result.outcomes)
    assert not accepted or (has_sent_all and positive_since > 0)
    assert not flags & 16 or accepted <= positive_since


def check_relayed_envelope(octets: bytes) -> None:
    """An envelope that we took as a server is sent on as it came, or its address is refused.

    The octets are MAIL and RCPT lines; what else is among them counts for nothing.
    """
    sender, recipients = _read_envelope(octets)
    if sender is None or not recipients:
        return
    asked = sender.parameters
    envelope = Envelope(
        "" if sender.sender is None else sender.sender.format(),
        tuple(recipients),
        asked.body_type,
        asked.smtputf8,
        asked.ret,
        asked.envid,
    )
    planned = plan(envelope, _CONTENT, _ALL, TransactionSettings())
    addresses = [envelope.sender, *(recipient.address for recipient in recipients)]
    if isinstance(planned, Refusal):
        assert not all(map(str.isprintable, addresses))
        return
    lines = planned.commands_to_send().removesuffix(b"\r\n").split(b"\r\n")
    assert len(lines) <= len(recipients) + 2
    mail = parse_command(lines[0])
    assert isinstance(mail, Mail)
    assert mail.sender == sender.sender
    given = mail.parameters
    assert (given.body_type, given.envid) == (asked.body_type, asked.envid)
    assert given.ret == (asked.ret if envelope.sender else None)
    sendable = [recipient for recipient in recipients if recipient.address.isprintable()]
    for line, recipient in zip(lines[1:-1], sendable, strict=True):
        again = parse_command(line, may_be_unicode=given.smtputf8)
        assert isinstance(again, Rcpt)
        assert again.mailbox is not None
        assert again.mailbox.format() == recipient.address
        assert again.parameters.notify == recipient.notify
        assert again.parameters.orcpt in (recipient.orcpt, None)


def _read_envelope(octets: bytes) -> tuple[Mail | None, list[Recipient]]:
    sender: Mail | None = None
    recipients: list[Recipient] = []
    for line in octets.replace(b"\r", b"").split(b"\n")[:6]:
        may_be_unicode = sender is not None and sender.parameters.smtputf8
        match parse_command(line, may_be_unicode=may_be_unicode):
            case Mail() as mail if sender is None and mail.parameters.body_type in BodyType:
                sender = mail
            case Rcpt(mailbox, asked) if mailbox is not None and sender is not None:
                recipients.append(Recipient(mailbox.format(), asked.notify, asked.orcpt))
            case _:
                pass
    return sender, recipients


_ENVELOPES = (
    b"\n".join(COMMANDS[2:7]),
    b"\n".join((COMMANDS[3], COMMANDS[5])),
    b"\n".join((COMMANDS[4], COMMANDS[6], b"RCPT TO:<\xc3\xa9@example.com> NOTIFY=DELAY")),
)
TARGETS = (
    Target("smtp-replies", check_replies, _REPLIES, _REPLY_WORDS, 1024),
    Target(
        "smtp-capabilities",
        check_capabilities,
        (
            b"mx.example.com\nPIPELINING\nSIZE 1000\nLIMITS RCPTMAX=2 RCPTDOMAINMAX=1 MAILMAX=0",
            b"mx\nAUTH=PLAIN LOGIN\nAUTH CRAM-MD5\nchunking\nBINARYMIME\nSIZE\nsize 0\nDSN",
        ),
        (*_REPLY_WORDS, b"MAILMAX=", b"RCPTDOMAINMAX=", b"BINARYMIME", b"REQUIRETLS"),
        1024,
        runs=2000,
    ),
    Target("smtp-transaction", check_transaction, _REPLIES, _REPLY_WORDS, 1024, runs=2000),
    Target("smtp-relayed-envelope", check_relayed_envelope, _ENVELOPES, COMMAND_WORDS, 1024),
)
