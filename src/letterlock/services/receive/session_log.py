"""The lines of a session that Postfix's readers count and judge: pflogsumm, fail2ban.

Each line's client and addresses are its fields too: see `base.log`.
"""

from typing import Protocol

from letterlock.base.log import Log, Service, make_value
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.smtp.server_events import Hello, MailFrom
from letterlock.protocols.tls.handshake import Handshake
from letterlock.services.receive.tls_words import describe_tls
from letterlock.storage.queue import NewMessage


class WriteLine(Protocol):
    """Writes a line about a session, with its client among the fields."""

    def __call__(self, text: str, **fields: str | None) -> None: ...


def log_stored(log: Log, client: str, login: str, helo: str, message: NewMessage) -> None:
    """Write that a message came in, and then its size; `login` tells who is logged in."""
    sender, size = message.envelope.sender, message.body.size
    count = len(message.envelope.recipients)
    account = message.origin.get("account")
    log.write(
        Service.SMTPD,
        f"client={client}{login}, helo=<{helo}>, from=<{sender}>",
        queue_id=message.queue_id,
        client=client,
        helo=helo,
        sender=sender,
        sasl_username=None if account is None else make_value(account),
    )
    log.write(
        Service.QUEUE,
        f"from=<{sender}>, size={size}, nrcpt={count} (queue active)",
        queue_id=message.queue_id,
        sender=sender,
        size=size,
        nrcpt=count,
    )


def log_handshake(write: WriteLine, client: str, handshake: Handshake) -> None:
    """Write by what TLS a client comes."""
    sni = f"sni {handshake.sni}" if handshake.sni is not None else "sni none"
    write(
        f"Anonymous TLS connection established from {client}: {describe_tls(handshake)}, {sni}",
        version=handshake.version,
        cipher=handshake.cipher,
        group=handshake.group,
        sni=handshake.sni,
    )


def log_refusal(
    write: WriteLine,
    what: str,
    refusal: Reply,
    hello: Hello,
    mail: MailFrom | None,
    recipient: str | None,
) -> None:
    """Write what was refused; `what` is the command and from whom it came."""
    sender = None if mail is None else f"{mail.sender or ''}"
    facts = {
        "from": None if sender is None else f"<{sender}>",
        "to": None if recipient is None else f"<{recipient}>",
        "proto": "ESMTP" if hello.is_extended else "SMTP",
        "helo": f"<{hello.name}>" if hello.name else None,
    }
    known = " ".join(f"{key}={value}" for key, value in facts.items() if value is not None)
    write(
        f"NOQUEUE: reject: {what}: {refusal.text}; {known}",
        sender=sender,
        to=recipient,
        helo=hello.name,
        reply=refusal.text,
    )
