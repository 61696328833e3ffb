"""The queue for people: the list as mailq prints it, and the story of one message.

Everything that came from outside is made printable.
"""

from collections.abc import Iterator, Sequence

from letterlock.base.clock import format_time
from letterlock.base.counts import format_count
from letterlock.base.domains import Domain, format_unicode
from letterlock.base.printable import make_printable
from letterlock.cli.story_text import (
    format_handshake,
    format_requirement,
    format_verdict,
    tell,
    wrap,
)
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.storage.queue import (
    AttemptRecord,
    MessageStory,
    QueuedMessage,
    QueuedRecipient,
    RecipientState,
)

LIST_HEAD = "-Queue ID------- --Size-- -----Arrival time---- -Sender/Recipients-------"
_INDENT = " " * 48
_DEMANDS = {
    TlsDemand.REQUIRETLS: "REQUIRETLS: never without TLS, and only to hosts that are proved",
    TlsDemand.TLS_REQUIRED_NO: "TLS-Required: No; it may go without TLS, whatever domains publish",
}


def format_listed(message: QueuedMessage) -> Iterator[str]:
    """Give a message's lines. Behind the id: `*` is being delivered, `!` is held."""
    waiting = [each for each in message.recipients if _is_waiting(each)]
    mark = " "
    if any(each.is_claimed for each in waiting):
        mark = "*"
    elif message.hold is not None or (
        waiting and all(each.state is RecipientState.HELD for each in waiting)
    ):
        mark = "!"
    time = format_time(message.received)
    yield f"{message.queue_id}{mark} {message.size:8} {time:21} {_address(message.sender)}"
    if message.hold is not None:
        yield from wrap(f"(held: {message.hold})", "    ")
    reason: str | None = None
    for each in waiting:
        if each.last_reply and each.last_reply != reason:
            yield from wrap(f"({each.last_reply})", "    ")
        reason = each.last_reply
        yield f"{_INDENT}{make_printable(each.address)}"


def format_total(messages: int, octets: int, recipients: int) -> str:
    """Give the line below the list."""
    if not messages:
        return "The queue is empty."
    kib = (octets + 1023) // 1024
    counts = f"{format_count(messages, 'message')}, {format_count(recipients, 'recipient')}"
    return f"-- {kib} KiB in {counts}."


def format_story(story: MessageStory) -> Iterator[str]:
    """Tell what happened to a message: every attempt, what held, what was found, what was said."""
    yield from _format_message(story.message)
    for recipient in story.message.recipients:
        yield from _format_recipient(recipient)
    for number, attempt in enumerate(story.attempts, 1):
        yield ""
        yield from _format_attempt(number, attempt, story.message.recipients)
    if not story.attempts:
        yield ""
        yield "No attempt so far."


def _format_message(message: QueuedMessage) -> Iterator[str]:
    sender = f"{_address(message.sender)}{_in_unicode(message.sender)}"
    yield f"{message.queue_id} from {sender}, {message.size} octets"
    yield from tell("received", format_time(message.received))
    if message.finished is not None:
        yield from tell("finished", format_time(message.finished))
    else:
        yield from tell("expires", format_time(message.expires))
    if message.hold is not None:
        yield from tell("held", message.hold)
    if message.origin:
        origin = ", ".join(f"{key} {value or 'none'}" for key, value in message.origin.items())
        yield from tell("came from", origin)
    if demand := _DEMANDS.get(message.tls_demand):
        yield from tell("asks for", demand)


def _format_recipient(recipient: QueuedRecipient) -> Iterator[str]:
    state = recipient.state.value
    if recipient.is_claimed:
        state = "being delivered"
    elif recipient.state is RecipientState.QUEUED and recipient.next_attempt is not None:
        state = f"queued, next attempt {format_time(recipient.next_attempt)}"
    yield from tell("to", f"{recipient.address}{_in_unicode(recipient.address)}: {state}")
    if recipient.last_reply:
        yield from tell("", recipient.last_reply)


def _format_attempt(
    number: int, attempt: AttemptRecord, recipients: Sequence[QueuedRecipient]
) -> Iterator[str]:
    took = f"{attempt.duration.total_seconds():.1f} s"
    relay = make_printable(attempt.relay)
    yield f"Attempt {number}, {format_time(attempt.started)}, {took}, to {relay}"
    if len(recipients) > 1 and attempt.recipients:
        named = [each.address for each in recipients if each.number in attempt.recipients]
        yield from tell("for", ", ".join(named))
    story = attempt.story
    yield from format_requirement(story.get("requirement"))
    yield from format_handshake(story.get("handshake"))
    yield from format_verdict(story.get("verdict"))
    yield from tell("outcome", str(story.get("outcome") or attempt.summary))
    for position, line in enumerate(story.get("dialogue") or ()):
        yield from tell("" if position else "dialogue", str(line))


def _is_waiting(recipient: QueuedRecipient) -> bool:
    return recipient.state in (RecipientState.QUEUED, RecipientState.HELD)


def _address(address: str) -> str:
    return make_printable(address) if address else "<> (a notification)"


def _in_unicode(address: str) -> str:
    """Give ` (info@bücher.example)` for an address in A-labels: lists and logs have only those."""
    local, at, domain = address.rpartition("@")
    shown = f"{local}{at}{format_unicode(Domain(domain))}"
    return "" if shown == address else f" ({make_printable(shown)})"
