"""A client that hands in a message: Python's own, so that another's code speaks to ours.

RFC 5321 §3.3, RFC 3207. smtplib asks for no proof of who the server is; this is not the hop that
the demo is about.
"""

import re
import smtplib
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from letterlock.base.config.values import ListenAddress
from letterlock.demo.setting import SENDER_DOMAIN, WRITER

PATIENCE_SECONDS = 10.0
_CLIENT_NAME = f"laptop.{SENDER_DOMAIN}"
_QUEUED_AS = re.compile(r"queued as ([0-9A-Za-z]+)")


class NotTaken(Exception):  # noqa: N818 - an answer, not a mistake
    """The server did not take the message; the text says at which command, and its reply."""


def submit(server: ListenAddress, recipient: str, subject: str, now: datetime) -> str:
    """Hand in a message over STARTTLS; gives the reply to it. Blocks. Raises NotTaken."""
    try:
        with smtplib.SMTP(server.host, server.port, _CLIENT_NAME, PATIENCE_SECONDS) as client:
            client.starttls()
            client.ehlo_or_helo_if_needed()
            _require(client.mail(WRITER), "MAIL")
            _require(client.rcpt(recipient), "RCPT")
            return _require(client.data(_compose(recipient, subject, now)), "the message")
    except (OSError, smtplib.SMTPException) as error:
        raise NotTaken(f"{server} did not take the message: {error}") from error


def find_queue_id(reply: str) -> str | None:
    """Find the queue id in the reply to a message; None when it has none."""
    found = _QUEUED_AS.search(reply)
    return found[1] if found else None


def _require(answer: tuple[int, bytes], command: str) -> str:
    code, text = answer
    reply = f"{code} {text.decode('utf-8', 'replace')}"
    if code != 250:
        raise smtplib.SMTPException(f"{command}: {reply}")
    return reply


def _compose(recipient: str, subject: str, now: datetime) -> bytes:
    message = EmailMessage()
    message["From"], message["To"] = WRITER, recipient
    message["Date"], message["Subject"] = format_datetime(now), subject
    message["Message-ID"] = f"<{subject.rsplit(maxsplit=1)[-1]}@{_CLIENT_NAME}>"
    message.set_content("Folded and sealed so that it was its own envelope.\n")
    return message.as_bytes(policy=SMTP)
