"""What filters did, as the log tells of it: in Postfix's words, which fail2ban reads.

`milter-reject`, `milter-discard` and `milter-hold`, whatever kind of filter it is.
"""

from typing import NamedTuple

from letterlock.protocols.smtp.server_events import Hello, MailFrom
from letterlock.services.receive.session_log import WriteLine


class Filtered(NamedTuple):
    """What a filter did: `what` as `milter-reject: RCPT`, why, and which filter it was."""

    what: str
    text: str
    by: str
    queue_id: str | None = None


class FilteredLine(NamedTuple):
    """Whom it was done to."""

    client: str
    hello: Hello
    mail: MailFrom | None
    recipient: str | None


def log_filtered(write: WriteLine, did: Filtered, line: FilteredLine) -> None:
    """Write it; without a queue id the line says NOQUEUE."""
    sender = None if line.mail is None else f"{line.mail.sender or ''}"
    facts = {
        "from": None if sender is None else f"<{sender}>",
        "to": None if line.recipient is None else f"<{line.recipient}>",
        "proto": "ESMTP" if line.hello.is_extended else "SMTP",
        "helo": f"<{line.hello.name}>" if line.hello.name else None,
        "filter": did.by,
    }
    known = " ".join(f"{key}={value}" for key, value in facts.items() if value is not None)
    fields = {"sender": sender, "to": line.recipient, "helo": line.hello.name, "filter": did.by}
    start = "NOQUEUE: " if did.queue_id is None else ""
    if did.queue_id is not None:
        fields["queue_id"] = did.queue_id
    write(f"{start}{did.what} from {line.client}: {did.text}; {known}", **fields)
