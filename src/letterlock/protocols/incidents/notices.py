"""The mail by which those who have affected certificates are told: what, until when, what to do.

RFC 5322 §3.6 (fields), RFC 3834 §5 (Auto-Submitted). One mail for an account, whatever it has: the
list of certificates is bounded. All lines are of bounded length, in quoted-printable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from textwrap import fill

MAX_LISTED = 100
MAX_NAMES = 5
_MAX_SUBJECT = 68
"""So that no line is folded."""
_WIDTH = 72
_WHAT_COMES = (
    "What is left then is revoked, and clients refuse it. What you renew before is revoked a while "
    "after."
)
_WHAT_TO_DO = (
    "Most ACME clients ask the authority when to renew (RFC 9773), and do so by themselves: then "
    "there is nothing to do but to see that your servers use the new certificate. Others have a "
    "command for it, as `certbot renew --force-renewal`."
)


@dataclass(frozen=True, slots=True)
class NoticedCertificate:
    """One that is affected. `serial` is in hexadecimal."""

    serial: str
    names: tuple[str, ...]
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told. `count` is of all; `certificates` are the first of them.

    `authority` is its name, `account` the URL of the account, `page` where more stands.
    """

    authority: str
    account: str
    why: str
    page: str
    renew_by: datetime
    count: int
    certificates: Sequence[NoticedCertificate]


@dataclass(frozen=True, slots=True)
class Fields:
    """Of the mail's header. `message_id` is in its angle brackets."""

    sender: str
    recipients: tuple[str, ...]
    date: datetime
    message_id: str


def format_notice(notice: Notice, fields: Fields) -> bytes:
    """Make the mail. Raises ValueError for addresses that cannot stand in a header."""
    return format_mail(format_subject(notice), format_text(notice), fields)


def format_mail(subject: str, text: str, fields: Fields) -> bytes:
    """Make a mail of a program. Raises ValueError for addresses that cannot stand in a header."""
    message = EmailMessage(policy=SMTP)
    message["From"] = fields.sender
    message["To"] = ", ".join(fields.recipients)
    message["Subject"] = subject
    message["Date"] = format_datetime(fields.date)
    message["Message-ID"] = fields.message_id
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text, cte="quoted-printable")
    return message.as_bytes()


def format_subject(notice: Notice) -> str:
    """One line: how many, until when, of which name where there is room."""
    what = "1 certificate" if notice.count == 1 else f"{notice.count} certificates"
    subject = f"Renew {what} by {format_moment(notice.renew_by)}"
    name = next((name for each in notice.certificates for name in each.names), "")
    longer = f"{subject}: {name}"
    return longer if name and len(longer) <= _MAX_SUBJECT else subject


def format_text(notice: Notice) -> str:
    """Write what people read."""
    what = "this certificate" if notice.count == 1 else f"these {notice.count} certificates"
    paragraphs = (
        f"{notice.authority} has to revoke {what} of yours: {notice.why}",
        f"Renew by {format_moment(notice.renew_by)}. {_WHAT_COMES}",
        _WHAT_TO_DO,
    )
    shown = notice.certificates[:MAX_LISTED]
    lines = [_format_certificate(each) for each in shown]
    if notice.count > len(shown):
        lines.append(f"  and {notice.count - len(shown)} more")
    return "\n".join(
        (
            *("\n\n".join(fill(each, _WIDTH) for each in paragraphs), ""),
            *lines,
            *("", f"Account: {notice.account}", f"More: {notice.page}", ""),
        )
    )


def format_moment(moment: datetime) -> str:
    """Write a moment as people read it everywhere."""
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment:%Y, %H:%M} UTC"


_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def _format_certificate(certificate: NoticedCertificate) -> str:
    names = ", ".join(certificate.names[:MAX_NAMES])
    left = len(certificate.names) - MAX_NAMES
    more = f" and {left} more" if left > 0 else ""
    return f"  {certificate.serial}  {names}{more}"
