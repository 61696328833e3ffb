"""A message's octets, and the fields and notifications that we write about it."""

import email
import quopri
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from letterlock.base.printable import make_printable
from letterlock.protocols.smtp.content import ContentFacts, ContentScan, cut_header
from letterlock.protocols.smtp.dsn import make_dsn
from letterlock.protocols.smtp.dsn_report import (
    Action,
    DsnReport,
    OriginalMessage,
    ReportedRecipient,
    Tried,
)
from letterlock.protocols.smtp.dsn_templates import (
    NoticeTexts,
    TextError,
    parse_notice_text,
    parse_sentences,
)
from letterlock.protocols.smtp.envelope import BodyType, Envelope, Recipient, TlsDemand
from letterlock.protocols.smtp.first_line import FirstLine
from letterlock.protocols.smtp.header_fields import MAX_LINE_OCTETS, format_field, make_safe
from letterlock.protocols.smtp.requiretls import find_tls_demand
from letterlock.protocols.smtp.trace import (
    Received,
    count_received,
    format_delivered_to,
    format_received,
    format_return_path,
)
from letterlock.protocols.tlsrpt.result_types import ResultType
from tests.fuzz.target import Target, join_texts, split_ways, take_choices, take_texts

_NOW = datetime(2026, 3, 1, tzinfo=UTC)
_TOKEN = "T0T1T2T3T4T5"
_ACTIONS = tuple(Action)
_WORDS = (
    *(b"Received:", b"received :", b"Subject: a\r\n b\r\n", b"From ", b">From a\n", b":", b"\t"),
    *(b"\r\n\r\n", b"\n\n", b"\r\n", b"\n", b"\r", b"\r\n.\r\n", b"--=_", b"\xff", b"\xc3\xa9"),
    *("\u2028".encode(), "\u0085".encode(), b"\0", b"\x1b[2J", b"(", b")", b"<", b";", b'"', b"\\"),
    *(b"Content-Type: multipart/mixed; boundary=x", b"rfc822;", b"utf-8;", b"+0D+0A", b" " * 80),
)
_CONTENTS = (
    b"\x80Received: by a\r\nSubject: b\r\n c\r\n\r\nbody\r\nReceived: x\r\n",
    b"\x40>From a\nreceived : x\n\nbody",
    b"\0\r\nbody",
    b"\x10no header\r\n",
)


def check_content(octets: bytes) -> None:
    """What is known of a content does not depend on how it came, up to the limits."""
    (choice,), content = take_choices(octets, 1)
    limit = choice + 2
    whole = _scan([content], limit)
    assert whole[0].size == len(content)
    assert len(whole[1]) <= limit
    assert content.startswith(whole[1])
    for pieces in split_ways(content, choice):
        assert _scan(pieces, limit) == whole
    header = cut_header(content)
    assert content.startswith(header)
    assert not re.search(rb"\n\r?\n", header)
    fields = header.replace(b"\r\n", b"\n").lower().split(b"\n")
    assert count_received(content) == sum(
        field[8:].lstrip(b" \t").startswith(b":") for field in fields if field[:8] == b"received"
    )


def _scan(pieces: list[bytes], limit: int) -> tuple[ContentFacts, bytes, bool]:
    scan = ContentScan(limit)
    for piece in pieces:
        scan.receive(piece)
    return scan.facts(), scan.header, scan.is_header_complete


def check_tls_demand(octets: bytes) -> None:
    """RFC 8689 §3: only one field that says No lowers TLS, and never what MAIL asked for."""
    found = find_tls_demand(TlsDemand.NORMAL, octets)
    assert find_tls_demand(TlsDemand.REQUIRETLS, octets) is TlsDemand.REQUIRETLS
    if found is TlsDemand.NORMAL:
        return
    assert found is TlsDemand.TLS_REQUIRED_NO
    header = cut_header(octets)
    (value,) = re.findall(rb"(?im)^tls-required[ \t]*:((?:.|\n[ \t])*)", header)
    assert value.strip().lower() == b"no"
    twice = b"TLS-Required: no\r\n" + octets
    assert find_tls_demand(TlsDemand.NORMAL, twice) is TlsDemand.NORMAL


def check_first_line(octets: bytes) -> None:
    """What is put above a content keeps a field of ours above it apart from its body."""
    (choice,), content = take_choices(octets, 1)
    whole = _put_above([content])
    assert whole.endswith(content.partition(b"\n")[2])
    assert whole.endswith(content) or content.lstrip(b">").startswith(b"From ")
    for pieces in split_ways(content, choice):
        assert _put_above(pieces) == whole
    below = email.message_from_bytes(b"X-Ours: 1\r\n" + whole)
    assert below["X-Ours"] == "1"


def _put_above(pieces: list[bytes]) -> bytes:
    first, done = FirstLine(), b""
    for piece in pieces:
        done += piece if first.is_decided else first.receive(piece)
    return done + (b"" if first.is_decided else first.finish())


def check_field(octets: bytes) -> None:
    """Text from outside stays inside its field, on lines of a legal length, and in the log."""
    (flags,), rest = take_choices(octets, 1)
    (text,) = take_texts(rest, 1)
    safe = make_safe(text, may_be_utf8=bool(flags & 1))
    assert safe.isprintable()
    assert flags & 1 or safe.isascii()
    assert len(safe) <= 1000
    field = format_field("X-Text", safe)
    _check_lines(field.encode())
    assert all(line[:1] == " " for line in field.split("\r\n")[1:-1])
    if all(len(word) < 200 for word in re.findall(r" *[^ ]+", safe)):
        assert field.replace("\r\n", "") == f"X-Text: {safe}".rstrip()
    for written in (format_return_path(text), format_delivered_to(text)):
        _check_lines(written)
        assert len(email.message_from_bytes(written).keys()) == 1
    assert make_printable(text).isprintable()
    assert len(make_printable(text)) == len(text)


def _check_lines(wire: bytes) -> None:
    assert wire.endswith(b"\r\n")
    lines = wire[:-2].split(b"\r\n")
    assert all(len(line) <= MAX_LINE_OCTETS for line in lines)
    assert not any(octet in line for line in lines for octet in b"\r\n\0")
    assert all(line.strip() for line in lines)


@dataclass(frozen=True, slots=True)
class _Tls:
    version: str
    cipher: str
    cipher_bits: int
    group: str | None


def check_received(octets: bytes) -> None:
    """Whatever a client called itself, there is one Received field, and it is ours."""
    (flags,), rest = take_choices(octets, 1)
    helo, name, recipient, cipher, group = take_texts(rest, 5)
    received = Received(
        helo=helo,
        client_ip="192.0.2.1",
        by="mx.example.org",
        queue_id="Q1",
        moment=_NOW,
        client_name=name or None,
        smtputf8=bool(flags & 1),
        tls=_Tls("TLSv1.3", cipher, 256, group) if flags & 2 else None,
        recipient=recipient or None,
    )
    field = format_received(received)
    assert count_received(field + b"\r\n") == 1
    assert len(email.message_from_bytes(field).keys()) == 1
    assert flags & 1 or field.isascii()
    assert field.count(b"\r\n\tby mx.example.org (Letterlock) with ") == 1
    assert field.decode().rpartition(";")[2].strip() == "Sun, 01 Mar 2026 00:00:00 +0000"
    assert not any(octet in field.replace(b"\r\n", b"") for octet in b"\r\n\0")


def check_notice_text(octets: bytes) -> None:
    """What an operator writes for notifications gives one, or its mistakes with their lines."""
    (flags,), rest = take_choices(octets, 1)
    action = _ACTIONS[flags % len(_ACTIONS)]
    try:
        texts = NoticeTexts({action: parse_notice_text(rest)}, {})
    except TextError as error:
        assert all(0 <= fault.line <= rest.count(b"\n") + 1 for fault in error.faults)
        texts = NoticeTexts()
    try:
        texts = NoticeTexts(texts.notices, parse_sentences(rest))
    except TextError as error:
        assert error.faults
    recipient = ReportedRecipient(Recipient("b@example.com"), "5.1.1", "{reasons} {{ {x}")
    envelope = Envelope("a@example.com", (recipient.recipient,))
    report = DsnReport(
        action=action,
        original=OriginalMessage(envelope, "Q1", _NOW, 1, b"Subject: x\r\n"),
        recipients=(recipient, recipient),
        reporting_mta="mx.example.org",
        queue_id="Q2",
        now=_NOW,
        token=_TOKEN,
        tried=(Tried("none", "{tried}", _NOW, _NOW, 2),),
    )
    _check_notification(make_dsn(report, texts).content)


def check_notification(octets: bytes) -> None:
    """Nothing from outside breaks out of a notification: three parts, one group a recipient."""
    (flags,), rest = take_choices(octets, 1)
    sender, address, orcpt, envid, diagnostic, host, content = take_texts(rest, 7)
    text = _make_content(content)
    envelope = Envelope(
        sender=make_safe(sender, may_be_utf8=True) or "a@example.com",
        recipients=(Recipient("b@example.com"),),
        body_type=BodyType.EIGHT_BIT,
        smtputf8=bool(flags & 4),
        envid=envid or None,
    )
    reported = ReportedRecipient(
        recipient=Recipient(address, orcpt=orcpt or None),
        status=diagnostic[:5],
        diagnostic=diagnostic,
        remote_mta=host or None,
        last_attempt=_NOW,
        tls_result=ResultType.CERTIFICATE_EXPIRED if flags & 8 else None,
    )
    report = DsnReport(
        action=_ACTIONS[flags % len(_ACTIONS)],
        original=OriginalMessage(envelope, "Q1", _NOW, len(text), cut_header(text), text),
        recipients=(reported, reported),
        reporting_mta="mx.example.org",
        queue_id="Q2",
        now=_NOW,
        token=_TOKEN,
        retry_until=_NOW,
    )
    _check_notification(make_dsn(report).content)


def _make_content(text: str) -> bytes:
    """What is in the queue has CRLF lines only; and nobody can guess the token."""
    lines = text.replace(_TOKEN, "").replace("\0", "").replace("\r", "").split("\n")
    return b"".join(line.encode() + b"\r\n" for line in lines)


def _check_notification(content: bytes) -> None:
    assert b"\r" not in content.replace(b"\r\n", b"")
    assert b"\n" not in content.replace(b"\r\n", b"")
    # Postfix's limit and ours for what is handed on; lines of the original are its own.
    head = content.partition(b"\r\n\r\n")[0]
    assert all(len(line) <= MAX_LINE_OCTETS for line in head.split(b"\r\n"))
    message = email.message_from_bytes(content)
    assert message.get_content_type() == "multipart/report"
    assert message.keys().count("To") == 1
    parts = message.get_payload()
    assert isinstance(parts, list)
    assert len(parts) == 3
    # As it stands on the wire: the library would fold it anew.
    head, _, status = content.split(b"\r\n--=_" + _TOKEN.encode())[2].partition(b"\r\n\r\n")
    if b"quoted-printable" in head:
        status = quopri.decodestring(status)
    groups = [group for group in _unix(status).split(b"\n\n") if group.strip()]
    assert len(groups) == 3
    assert groups[0].startswith(b"Reporting-MTA: dns; mx.example.org")
    for group in groups[1:]:
        names = [line.partition(b":")[0] for line in group.strip().split(b"\n") if line[:1] != b" "]
        assert names.count(b"Final-Recipient") == names.count(b"Action") == 1
        assert len(names) == len(set(names))


def _unix(octets: bytes) -> bytes:
    return octets.replace(b"\r\n", b"\n")


_NOTIFIED = join_texts(
    "a@example.com",
    "é@example.com",
    "rfc822;b+40c",
    "id+2B",
    "550 5.1.1 <b> no such user",
    "mx.example.com[192.0.2.1]",
    "Subject: a\n\nbody\n",
)
TARGETS = (
    Target("message-content", check_content, _CONTENTS, _WORDS, 1024, runs=750),
    Target(
        "tls-required-field",
        check_tls_demand,
        (b"TLS-Required: No\r\n\r\n", b"A: b\r\ntls-required:\r\n no\r\nB: c\r\n\r\n"),
        (*_WORDS, b"TLS-Required:", b"tls-required :", b"No", b"yes", b"\r\n ", b"\v"),
        1024,
    ),
    Target("message-first-line", check_first_line, _CONTENTS, _WORDS, 2048, runs=750),
    Target("header-field", check_field, (b"\0a b  c", b"\1\xc3\xa9" + b"x" * 500), _WORDS, 3000),
    Target(
        "received-field",
        check_received,
        (
            b"\0" + join_texts("mx.example.com", "mx.example.com", "a@example.org"),
            b"\3" + join_texts("[192.0.2.1]", "", "é@b", "TLS_AES_256_GCM_SHA384", "X25519"),
        ),
        (*_WORDS, b"ECDHE-RSA-AES128-GCM-SHA256", b"prime256v1"),
        1024,
    ),
    Target(
        "notice-text",
        check_notice_text,
        (
            b"\0Subject: \xc3\xa9 {hostname}\nFrom: x\n\n{recipients}\n\n{reasons}\n\n{tried}\n",
            b"\1no-such-user: {domain} {words}\n  more\n# x\nloop: y\n",
        ),
        (*_WORDS, b"{sender}", b"{returned}", b"{{", b"}", b"Subject:", b"--=_" + _TOKEN.encode()),
        runs=500,
    ),
    Target(
        "notification",
        check_notification,
        tuple(bytes((flags,)) + _NOTIFIED for flags in (0, 1, 6, 12)),
        _WORDS,
        1500,
        runs=250,
    ),
)
