"""`letterlock queue bounce-text`: what senders would be told, in the texts as they are now."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.options import (
    config_option,
    json_option,
    load_config_or_fail,
    print_json,
)

if TYPE_CHECKING:
    from letterlock.base.config.sections import Config
    from letterlock.protocols.smtp.dsn_report import DsnReport

KINDS = ("failed", "delayed", "delivered", "relayed", "expanded")


@click.command()
@click.argument("kind", type=click.Choice(KINDS), default="failed")
@click.option(
    "--cause",
    metavar="NAME",
    default="no-such-user",
    show_default=True,
    help="Why it was not delivered: a name of causes.txt.",
)
@config_option
@json_option(
    {
        "kind": "the kind of notification",
        "cause": "why it was not delivered, as in causes.txt",
        "subject": "the Subject field, decoded",
        "from": "the From field, decoded",
        "text": "what people read",
        "causes": "the names that causes.txt may have",
        "problems": "what is wrong with the files of bounce.templates",
    }
)
def show(kind: str, cause: str, config_path: Path | None, *, as_json: bool) -> int:
    """Show what a sender would be told, with an example.

    Exits with 1 when one of the files in `bounce.templates` has a mistake: it is not used then.
    """
    from letterlock.protocols.smtp.dsn import make_dsn  # noqa: PLC0415 - not loaded for -h
    from letterlock.protocols.smtp.dsn_causes import DEFAULT_SENTENCES  # noqa: PLC0415 - as above
    from letterlock.services.queue.notice_texts import load_notice_texts  # noqa: PLC0415 - as above

    config = load_config_or_fail(config_path)
    if cause not in DEFAULT_SENTENCES:
        known = ", ".join(DEFAULT_SENTENCES)
        raise CommandFailed(f"--cause {cause}: there is {known}", ExitCode.WRONG_USAGE)
    found = load_notice_texts(config.bounce.templates)
    subject, author, text = _read(make_dsn(_make_example(config, kind, cause), found.texts).content)
    if as_json:
        print_json(
            {
                "kind": kind,
                "cause": cause,
                "subject": subject,
                "from": author,
                "text": text,
                "causes": list(DEFAULT_SENTENCES),
                "problems": list(found.problems),
            }
        )
    else:
        click.echo(f"From: {author}\nSubject: {subject}\n\n{text}", nl=False)
        for problem in found.problems:
            click.echo(f"letterlock: {problem}", err=True)
    return ExitCode.BAD_NEWS if found.problems else ExitCode.FINE


def _read(content: bytes) -> tuple[str, str, str]:
    """Give Subject, From and text as a mail program shows them."""
    from email import message_from_bytes, policy  # noqa: PLC0415 - not loaded for -h

    message = message_from_bytes(content, policy=policy.default)
    part = next(part for part in message.walk() if part.get_content_type() == "text/plain")
    text = part.get_payload(decode=True)
    assert isinstance(text, bytes)
    return str(message["Subject"]), str(message["From"]), text.decode().replace("\r\n", "\n")


def _make_example(config: "Config", kind: str, cause: str) -> "DsnReport":
    from datetime import timedelta  # noqa: PLC0415 - not loaded for -h

    from letterlock.base.clock import SystemClock  # noqa: PLC0415 - as above
    from letterlock.protocols.smtp.dsn_report import (  # noqa: PLC0415 - as above
        Action,
        DsnReport,
        OriginalMessage,
        ReportedRecipient,
        Tried,
    )
    from letterlock.protocols.smtp.envelope import Envelope, Recipient  # noqa: PLC0415 - as above

    now = SystemClock().now()
    recipient, relay = Recipient("bob@example.com"), "mx.example.com[192.0.2.1]:25"
    said = "550 5.1.1 <bob@example.com>: Recipient address rejected"
    return DsnReport(
        action=Action(kind),
        original=OriginalMessage(
            Envelope(str(config.contact), (recipient,)), "4ExampleId", now, 4321, b"Subject: x\r\n"
        ),
        recipients=(
            ReportedRecipient(recipient, "5.1.1", said, relay.rpartition(":")[0], now, None, cause),
        ),
        reporting_mta=config.hostname,
        queue_id="5ExampleId",
        now=now,
        token="0" * 12,
        next_attempt=now + config.queue.retry_max,
        retry_until=now + config.queue.lifetime,
        tried=(Tried(relay, f"host {relay} said: {said}", now - timedelta(hours=5), now, 9),),
    )
