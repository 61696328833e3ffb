"""The queue for people: the list as mailq prints it, and the story of one message.

Everything that came from outside is made printable.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from letterlock.base.clock import format_time
from letterlock.base.log import make_printable
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.storage.queue import (
    AttemptRecord,
    MessageStory,
    QueuedMessage,
    QueuedRecipient,
    RecipientState,
)

WIDTH = 76
"""Room is left in 80 columns for who quotes it."""
LIST_HEAD = "-Queue ID------- --Size-- -----Arrival time---- -Sender/Recipients-------"
_INDENT = " " * 48
_LABEL_WIDTH = 11
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
        yield from _wrap(f"(held: {message.hold})", "    ")
    reason: str | None = None
    for each in waiting:
        if each.last_reply and each.last_reply != reason:
            yield from _wrap(f"({each.last_reply})", "    ")
        reason = each.last_reply
        yield f"{_INDENT}{make_printable(each.address)}"


def format_total(messages: int, octets: int, recipients: int) -> str:
    """Give the line below the list."""
    if not messages:
        return "The queue is empty."
    kib = (octets + 1023) // 1024
    return f"-- {kib} KiB in {_count(messages, 'message')}, {_count(recipients, 'recipient')}."


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
    yield f"{message.queue_id} from {_address(message.sender)}, {message.size} octets"
    yield from _label("received", format_time(message.received))
    if message.finished is not None:
        yield from _label("finished", format_time(message.finished))
    else:
        yield from _label("expires", format_time(message.expires))
    if message.hold is not None:
        yield from _label("held", message.hold)
    if message.origin:
        origin = ", ".join(f"{key} {value or 'none'}" for key, value in message.origin.items())
        yield from _label("came from", origin)
    if demand := _DEMANDS.get(message.tls_demand):
        yield from _label("asks for", demand)


def _format_recipient(recipient: QueuedRecipient) -> Iterator[str]:
    state = recipient.state.value
    if recipient.is_claimed:
        state = "being delivered"
    elif recipient.state is RecipientState.QUEUED and recipient.next_attempt is not None:
        state = f"queued, next attempt {format_time(recipient.next_attempt)}"
    yield from _label("to", f"{recipient.address}: {state}")
    if recipient.last_reply:
        yield from _label("", recipient.last_reply)


def _format_attempt(
    number: int, attempt: AttemptRecord, recipients: Sequence[QueuedRecipient]
) -> Iterator[str]:
    took = f"{attempt.duration.total_seconds():.1f} s"
    relay = make_printable(attempt.relay)
    yield f"Attempt {number}, {format_time(attempt.started)}, {took}, to {relay}"
    if len(recipients) > 1 and attempt.recipients:
        named = [each.address for each in recipients if each.number in attempt.recipients]
        yield from _label("for", ", ".join(named))
    story = attempt.story
    yield from _format_requirement(story.get("requirement"))
    yield from _format_handshake(story.get("handshake"))
    yield from _format_verdict(story.get("verdict"))
    yield from _label("outcome", str(story.get("outcome") or attempt.summary))
    for position, line in enumerate(story.get("dialogue") or ()):
        yield from _label("" if position else "dialogue", str(line))


def _format_requirement(requirement: Mapping[str, Any] | None) -> Iterator[str]:
    if not requirement:
        return
    level, source = requirement.get("level"), requirement.get("source")
    reason = requirement.get("reason")
    text = f"{level}" + (f" ({source})" if source else "") + (f": {reason}" if reason else "")
    yield from _label("required", text)
    for key, label in (("names", "names"), ("fingerprints", "fingerprints"), ("where", "entry")):
        if value := requirement.get(key):
            shown = value if isinstance(value, str) else ", ".join(map(str, value))
            yield from _label("", f"{label} {shown}")


def _format_handshake(handshake: Mapping[str, Any] | None) -> Iterator[str]:
    if not handshake:
        return
    version = handshake.get("version")
    shown = [f"{version} {handshake.get('cipher')}" if version else "did not complete"]
    if group := handshake.get("group"):
        shown.append(f"group {group}")
    shown.append(f"SNI {handshake.get('sni') or 'none'}")
    if alert := handshake.get("alert"):
        shown.append(f"alert {alert}")
    yield from _label("handshake", ", ".join(shown))
    for depth, certificate in enumerate(handshake.get("chain") or ()):
        yield from _label("" if depth else "chain", _describe_certificate(depth, certificate))
    for error in handshake.get("errors") or ():
        depth = error.get("depth")
        place = "" if depth is None else f" at {depth}"
        yield from _label("fault", f"{error.get('code')}{place}: {error.get('text')}")


def _describe_certificate(depth: int, certificate: Mapping[str, Any]) -> str:
    names = certificate.get("names") or ()
    shown = [f"{depth} {certificate.get('subject')}"]
    if names:
        shown.append(f"names {', '.join(map(str, names))}")
    shown.append(f"issued by {certificate.get('issuer')}")
    shown.append(f"until {certificate.get('not_after')}")
    return "; ".join(shown)


def _format_verdict(verdict: Mapping[str, Any] | None) -> Iterator[str]:
    if not verdict:
        return
    shown = f"{verdict.get('outcome')}"
    if result := verdict.get("result_type"):
        shown += f", {result} ({verdict.get('reason_code')})"
    if reason := verdict.get("reason"):
        shown += f": {reason}"
    yield from _label("verdict", shown)


def _label(label: str, text: str) -> Iterator[str]:
    head = f"  {label:{_LABEL_WIDTH}}"
    lines = _wrap(text, " " * len(head))
    first = next(lines, head.rstrip())
    yield (head + first.lstrip(" ")).rstrip()
    yield from lines


def _wrap(text: str, indent: str) -> Iterator[str]:
    return iter(
        textwrap.wrap(
            make_printable(text),
            WIDTH,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )
    )


def _is_waiting(recipient: QueuedRecipient) -> bool:
    return recipient.state in (RecipientState.QUEUED, RecipientState.HELD)


def _address(address: str) -> str:
    return make_printable(address) if address else "<> (a notification)"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
