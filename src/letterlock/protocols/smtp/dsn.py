"""Delivery status notifications: who gets one, and the message itself.

RFC 3461 §4.1, §5.2, §6 (when and with what); RFC 3464 §2 (the machine's part, in `dsn_fields`);
RFC 6522 §3 (multipart/report); RFC 6533 §4 (UTF-8); RFC 3834 §5 (Auto-Submitted); RFC 5321 §4.5.5,
§6.1 (the null reverse-path); RFC 8689 §5 (what REQUIRETLS asks). What people read is in `dsn_text`.
Subjects are Postfix's: mail readers and scripts know them.
"""

import re
from binascii import b2a_qp
from dataclasses import dataclass

from letterlock.protocols.smtp.dsn_fields import format_status_fields
from letterlock.protocols.smtp.dsn_report import Action, DsnReport
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
    format_field,
    format_message_id,
    make_safe,
)
from letterlock.protocols.smtp.trace import format_received_here

MAX_RETURNED_OCTETS = 50_000
"""A longer message comes back as its header section only; Postfix's bounce_size_limit."""

_TOKEN = re.compile(r"[A-Za-z0-9]{8,60}\Z")
_NOTIFY = {
    Action.FAILED: Notify.FAILURE,
    Action.DELAYED: Notify.DELAY,
    Action.DELIVERED: Notify.SUCCESS,
    Action.RELAYED: Notify.SUCCESS,
}
_SUBJECTS = {
    Action.FAILED: "Undelivered Mail Returned to Sender",
    Action.DELAYED: "Delayed Mail (still being retried)",
    Action.DELIVERED: "Successful Mail Delivery Report",
    Action.RELAYED: "Successful Mail Delivery Report",
}


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


def is_content_returned(action: Action, envelope: Envelope, size: int) -> bool:
    """Say whether the whole message goes back, and not only its header section.

    RFC 3461 §4.3, §6.2: only with a failure, as RET says, and up to a length of ours. Binary
    content cannot be put into another message as it is. Of a message sent with REQUIRETLS never,
    whatever RET says (RFC 8689 §5).
    """
    return (
        action is Action.FAILED
        and envelope.ret is not Ret.HEADERS
        and envelope.tls_demand is not TlsDemand.REQUIRETLS
        and envelope.body_type is not BodyType.BINARY
        and size <= MAX_RETURNED_OCTETS
    )


def make_dsn(report: DsnReport) -> DsnMessage:
    """Make the notification for the sender of a message.

    Raises ValueError for a null sender, for no recipients, and for a token that is none.
    """
    sender = report.original.envelope.sender
    if not sender:
        raise ValueError("a message from the null sender is never answered (RFC 5321 §6.1)")
    if not report.recipients:
        raise ValueError("a notification is about at least one recipient")
    if not _TOKEN.match(report.token):
        raise ValueError("the token must be 8 to 60 letters and digits")
    parts = (_explanation_part(report), _status_part(report), _returned_part(report))
    content = _format_header(report, parts) + _format_parts(f"=_{report.token}", parts)
    return DsnMessage(_envelope(report.original.envelope, content), content)


def _envelope(original: Envelope, content: bytes) -> Envelope:
    """RFC 3461 §6.1: from the null sender, without RET, and never to be answered in turn.

    It holds what the sender wrote, so it asks of TLS what the message did (RFC 8689 §5, §6).
    """
    sender = original.sender
    return Envelope(
        sender="",
        recipients=(Recipient(sender, frozenset({Notify.NEVER})),),
        body_type=BodyType.SEVEN_BIT if content.isascii() else BodyType.EIGHT_BIT,
        smtputf8=not sender.isascii(),
        tls_demand=original.tls_demand,
    )


def _format_header(report: DsnReport, parts: tuple[_Part, ...]) -> bytes:
    status = parts[1].media_type.removeprefix("message/")
    host = report.reporting_mta
    fields = [
        ("Date", format_date(report.now)),
        ("From", f"Mail Delivery System <MAILER-DAEMON@{host}>"),
        ("To", make_safe(report.original.envelope.sender, may_be_utf8=True)),
        ("Subject", _SUBJECTS[report.action]),
        ("Message-ID", format_message_id(report.token, host, report.now)),
        ("Auto-Submitted", "auto-replied"),
        ("MIME-Version", "1.0"),
        (
            "Content-Type",
            f'multipart/report; report-type={status}; boundary="=_{report.token}"',
        ),
        ("Content-Transfer-Encoding", _outer_encoding(parts)),
    ]
    if report.original.envelope.tls_demand is TlsDemand.TLS_REQUIRED_NO:
        fields.append(("TLS-Required", "No"))  # RFC 8689 §6
    header = "".join(format_field(name, value) for name, value in fields)
    return format_received_here(host, report.queue_id, report.now) + header.encode()


def _outer_encoding(parts: tuple[_Part, ...]) -> str:
    """RFC 2045 §6.4: a multipart has the largest encoding of its parts, and only 7bit or 8bit."""
    return "8bit" if any(part.encoding == "8bit" for part in parts) else "7bit"


def _format_parts(boundary: str, parts: tuple[_Part, ...]) -> bytes:
    pieces = [b"\r\nThis is a MIME-encapsulated message.\r\n"]
    for part in parts:
        head = (
            f"\r\n--{boundary}\r\n"
            f"Content-Description: {part.description}\r\n"
            f"Content-Type: {part.media_type}\r\n"
            f"Content-Transfer-Encoding: {part.encoding}\r\n\r\n"
        )
        pieces += [head.encode(), part.body]
    pieces.append(f"\r\n--{boundary}--\r\n".encode())
    return b"".join(pieces)


def _explanation_part(report: DsnReport) -> _Part:
    body = format_explanation(report).encode()
    charset = "us-ascii" if body.isascii() else "utf-8"
    encoding, body = _encode(report, body)
    return _Part("Notification", f"text/plain; charset={charset}", encoding, body)


def _status_part(report: DsnReport) -> _Part:
    body = format_status_fields(report).encode()
    kind = "delivery-status" if body.isascii() else "global-delivery-status"
    encoding, body = _encode(report, body)
    return _Part("Delivery report", f"message/{kind}", encoding, body)


def _returned_part(report: DsnReport) -> _Part:
    original = report.original
    envelope = original.envelope
    is_full = is_content_returned(report.action, envelope, original.size)
    if original.content is not None and is_full:
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


def _describe(report: DsnReport, what: str) -> str:
    return f"{'Undelivered' if report.action is Action.FAILED else 'Sent'} {what}"


def _encode(report: DsnReport, body: bytes) -> tuple[str, bytes]:
    """Choose a transfer encoding.

    RFC 6533 §4.5: 8bit only where the way back has SMTPUTF8. It must have it where the sender's
    address is not ASCII; else nobody knows, and quoted-printable gets through everywhere.
    """
    if body.isascii():
        return "7bit", body
    if not report.original.envelope.sender.isascii():
        return "8bit", body
    return "quoted-printable", b2a_qp(body, istext=True)


def _cut(header: bytes) -> bytes:
    """Keep whole lines of a header section, up to the bound."""
    if len(header) <= MAX_RETURNED_OCTETS:
        return header
    return header[: header.rfind(b"\n", 0, MAX_RETURNED_OCTETS) + 1]
