"""Delivery status notifications: who gets one, and the message itself.

RFC 3461 §4.1, §5.2, §6 (when and with what); RFC 3464 §2 (the machine's part, in `dsn_fields`);
RFC 6522 §3 (multipart/report); RFC 6533 §4 (UTF-8); RFC 3834 §5 (Auto-Submitted); RFC 5321 §4.5.5,
§6.1 (the null reverse-path); RFC 8689 §5 (what REQUIRETLS asks). What people read is in `dsn_text`;
what an operator may change of it, Subject included, in `dsn_templates`.
"""

import re
from binascii import b2a_qp
from dataclasses import dataclass

from letterlock.protocols.smtp.dsn_fields import format_status_fields
from letterlock.protocols.smtp.dsn_report import Action, DsnReport
from letterlock.protocols.smtp.dsn_templates import HEADER_NAMES, NoticeTexts, fill_names
from letterlock.protocols.smtp.dsn_text import format_explanation
from letterlock.protocols.smtp.envelope import (
    BodyType,
    Envelope,
    Notify,
    Recipient,
    Ret,
    TlsDemand,
)
from letterlock.protocols.smtp.header_fields import (
    format_date,
    format_encoded_words,
    format_field,
    format_message_id,
    make_safe,
)
from letterlock.protocols.smtp.submitted import format_author
from letterlock.protocols.smtp.trace import format_received_here

MAX_RETURNED_OCTETS = 50_000
"""A longer message comes back as its header section only; Postfix's bounce_size_limit."""

DOUBLE_BOUNCE = "double-bounce"
"""The envelope id of what is told to our postmaster because its sender can't be told."""

MAILER = "MAILER-DAEMON"
"""Who writes; its mail goes to our postmaster."""

_TOKEN = re.compile(r"[A-Za-z0-9]{8,60}\Z")
_NOTIFY = {
    Action.FAILED: Notify.FAILURE,
    Action.DELAYED: Notify.DELAY,
    Action.DELIVERED: Notify.SUCCESS,
    Action.RELAYED: Notify.SUCCESS,
    Action.EXPANDED: Notify.SUCCESS,
}
_OURS = NoticeTexts()


@dataclass(frozen=True, slots=True)
class DsnMessage:
    """A notification, ready for the queue."""

    envelope: Envelope
    content: bytes


@dataclass(frozen=True, slots=True)
class _Part:
    description: str
    media_type: str
    encoding: str
    body: bytes
    language: str | None = None


def is_dsn_wanted(sender: str, recipient: Recipient, action: Action) -> bool:
    """Say whether a sender is told what became of this recipient.

    RFC 3461 §4.1, §5.2: what NOTIFY says; without it, failures and delays. Never to the null
    sender (RFC 5321 §6.1).
    """
    if not sender or Notify.NEVER in recipient.notify:
        return False
    if not recipient.notify:
        return action in (Action.FAILED, Action.DELAYED)
    return _NOTIFY[action] in recipient.notify


def is_content_returned(
    action: Action, envelope: Envelope, size: int, most: int = MAX_RETURNED_OCTETS
) -> bool:
    """Say whether the whole message goes back, and not only its header section.

    RFC 3461 §4.3, §6.2: only with a failure, as RET says, and up to `most` octets. Binary content
    cannot be put into another message as it is. Of a message sent with REQUIRETLS never, whatever
    RET says (RFC 8689 §5).
    """
    return (
        action is Action.FAILED
        and envelope.ret is not Ret.HEADERS
        and envelope.tls_demand is not TlsDemand.REQUIRETLS
        and envelope.body_type is not BodyType.BINARY
        and size <= most
    )


def make_dsn(report: DsnReport, texts: NoticeTexts = _OURS) -> DsnMessage:
    """Make the notification for the sender of a message, or for the addressee of the report.

    The message goes back as a whole where the report has its content. Raises ValueError for a null
    sender without addressee, for no recipients, and for a token that is none.
    """
    if not _addressee(report):
        raise ValueError("a message from the null sender is never answered (RFC 5321 §6.1)")
    if not report.recipients:
        raise ValueError("a notification is about at least one recipient")
    if not _TOKEN.match(report.token):
        raise ValueError("the token must be 8 to 60 letters and digits")
    parts = (_explanation_part(report, texts), _status_part(report), _returned_part(report))
    boundary = _choose_boundary(report.token, parts)
    content = _format_header(report, texts, parts, boundary) + _format_parts(boundary, parts)
    return DsnMessage(_envelope(report, content), content)


def _addressee(report: DsnReport) -> str:
    return report.addressee or report.original.envelope.sender


def _envelope(report: DsnReport, content: bytes) -> Envelope:
    """RFC 3461 §6.1: from the null sender, without RET, and never to be answered in turn.

    It holds what the sender wrote, so it asks of TLS what the message did (RFC 8689 §5, §6). What
    goes to another than the sender is marked, so that its own failure makes no more of them.
    """
    addressee = _addressee(report)
    return Envelope(
        sender="",
        recipients=(Recipient(addressee, frozenset({Notify.NEVER})),),
        body_type=BodyType.SEVEN_BIT if content.isascii() else BodyType.EIGHT_BIT,
        smtputf8=not addressee.isascii(),
        envid=DOUBLE_BOUNCE if report.addressee else None,
        tls_demand=report.original.envelope.tls_demand,
    )


def _choose_boundary(token: str, parts: tuple[_Part, ...]) -> str:
    """RFC 2046 §5.1.1: no line of a part may begin with it. Nobody can guess a token, though."""
    boundary = f"=_{token}"
    while any(f"\n--{boundary}".encode() in b"\n" + part.body for part in parts):
        boundary += "_"
    return boundary


def _format_header(
    report: DsnReport, texts: NoticeTexts, parts: tuple[_Part, ...], boundary: str
) -> bytes:
    text = texts.find_notice(report.action)
    author = _fill_header(report, text.author)
    status = parts[1].media_type.removeprefix("message/")
    host = report.reporting_mta
    fields = [
        ("Date", format_date(report.now)),
        # RFC 3464 §2: replies reach a human, our postmaster. With the null sender SPF knows our
        # hostname only, and where DKIM signs, it is for that or the domain above it: they agree.
        ("From", format_author(f"{MAILER}@{host}", author)),
        ("To", make_safe(_addressee(report), may_be_utf8=True)),
        ("Subject", _format_subject(report, text.subject)),
        ("Message-ID", format_message_id(report.token, host, report.now)),
        ("Auto-Submitted", "auto-replied"),
        ("MIME-Version", "1.0"),
        (
            "Content-Type",
            f'multipart/report; report-type={status}; boundary="{boundary}"',
        ),
        ("Content-Transfer-Encoding", _outer_encoding(parts)),
    ]
    if report.original.envelope.tls_demand is TlsDemand.TLS_REQUIRED_NO:
        fields.append(("TLS-Required", "No"))  # RFC 8689 §6
    header = "".join(format_field(name, value) for name, value in fields)
    return format_received_here(host, report.queue_id, report.now) + header.encode()


def _format_subject(report: DsnReport, template: str) -> str:
    copy = "Postmaster Copy: " if report.addressee else ""
    subject = make_safe(f"{copy}{_fill_header(report, template)}", may_be_utf8=True)
    return subject if subject.isascii() else format_encoded_words(subject)


def _fill_header(report: DsnReport, template: str) -> str:
    values = (report.reporting_mta, report.original.queue_id)
    return fill_names(template, dict(zip(HEADER_NAMES, values, strict=True)))


def _outer_encoding(parts: tuple[_Part, ...]) -> str:
    """RFC 2045 §6.4: a multipart has the largest encoding of its parts, and only 7bit or 8bit."""
    return "8bit" if any(part.encoding == "8bit" for part in parts) else "7bit"


def _format_parts(boundary: str, parts: tuple[_Part, ...]) -> bytes:
    pieces = [b"\r\nThis is a MIME-encapsulated message.\r\n"]
    for part in parts:
        language = f"Content-Language: {part.language}\r\n" if part.language else ""
        head = (
            f"\r\n--{boundary}\r\n"
            f"Content-Description: {part.description}\r\n"
            f"Content-Type: {part.media_type}\r\n"
            f"{language}"
            f"Content-Transfer-Encoding: {part.encoding}\r\n\r\n"
        )
        pieces += [head.encode(), part.body]
    pieces.append(f"\r\n--{boundary}--\r\n".encode())
    return b"".join(pieces)


def _explanation_part(report: DsnReport, texts: NoticeTexts) -> _Part:
    is_whole = report.original.content is not None and _may_return_content(report)
    body = format_explanation(report, texts, is_whole=is_whole).encode()
    charset = "us-ascii" if body.isascii() else "utf-8"
    encoding, body = _encode(report, body)
    language = texts.find_notice(report.action).language
    return _Part("Notification", f"text/plain; charset={charset}", encoding, body, language)


def _status_part(report: DsnReport) -> _Part:
    body = format_status_fields(report).encode()
    kind = "delivery-status" if body.isascii() else "global-delivery-status"
    encoding, body = _encode(report, body)
    return _Part("Delivery report", f"message/{kind}", encoding, body)


def _returned_part(report: DsnReport) -> _Part:
    original = report.original
    envelope = original.envelope
    if original.content is not None and _may_return_content(report):
        return _full_part(report, original.content)
    body = _cut(original.header)
    is_global = envelope.smtputf8 and not body.isascii()
    media_type = "message/global-headers" if is_global else "text/rfc822-headers"
    encoding, body = _encode(report, body)
    return _Part(_describe(report, "Message Headers"), media_type, encoding, body)


def _full_part(report: DsnReport, content: bytes) -> _Part:
    description = _describe(report, "Message")
    if report.original.envelope.smtputf8 and not content.isascii():
        encoding, body = _encode(report, content)
        return _Part(description, "message/global", encoding, body)
    # RFC 2046 §5.2.1: message/rfc822 is never encoded.
    encoding = "7bit" if content.isascii() else "8bit"
    return _Part(description, "message/rfc822", encoding, content)


def _may_return_content(report: DsnReport) -> bool:
    """Say whether the content may be there at all; its length is its reader's concern."""
    return is_content_returned(report.action, report.original.envelope, 0)


def _describe(report: DsnReport, what: str) -> str:
    return f"{'Undelivered' if report.action is Action.FAILED else 'Sent'} {what}"


def _encode(report: DsnReport, body: bytes) -> tuple[str, bytes]:
    """Choose a transfer encoding.

    RFC 6533 §4.5: 8bit only where the way back has SMTPUTF8. It must have it where the sender's
    address is not ASCII; else nobody knows, and quoted-printable gets through everywhere.
    """
    if body.isascii():
        return "7bit", body
    if not _addressee(report).isascii():
        return "8bit", body
    return "quoted-printable", b2a_qp(body, istext=True)


def _cut(header: bytes) -> bytes:
    """Keep whole lines of a header section, up to the bound."""
    if len(header) <= MAX_RETURNED_OCTETS:
        return header
    return header[: header.rfind(b"\n", 0, MAX_RETURNED_OCTETS) + 1]
