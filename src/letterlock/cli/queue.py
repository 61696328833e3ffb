"""`letterlock queue`: list, explain and change what waits."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from letterlock.base.clock import SystemClock, format_time
from letterlock.base.counts import format_count
from letterlock.cli.failures import CommandFailed, ExitCode
from letterlock.cli.lazy import LazyCommand, LazyGroup
from letterlock.cli.options import (
    act_as_owner,
    config_option,
    json_option,
    load_config_or_fail,
    print_json,
)
from letterlock.cli.queue_actions import Action, Change, Changed, change_queue
from letterlock.cli.queue_text import LIST_HEAD, format_listed, format_story, format_total
from letterlock.cli.stored_queue import StoredQueue, is_waiting, open_stored_queue
from letterlock.network.control_client import NodeUnreachable
from letterlock.storage.ids import is_queue_id
from letterlock.storage.queue import (
    MessageStory,
    QueuedMessage,
    QueueId,
    RecipientState,
    StoreUnavailable,
)

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

COMMANDS = {
    "list": LazyCommand("queue:list_messages", "List what waits, as mailq does."),
    "show": LazyCommand("queue:show", "Tell the story of one message: every attempt, and why."),
    "retry": LazyCommand("queue:retry", "Try waiting messages now."),
    "hold": LazyCommand("queue:hold", "Keep messages back until they are released."),
    "release": LazyCommand("queue:release", "Let held messages go on, now."),
    "delete": LazyCommand("queue:delete", "Remove messages without telling their senders."),
    "bounce-text": LazyCommand("bounce_text:show", "Show what senders are told, with an example."),
}

MESSAGE_KEYS = {
    "id": "the queue id",
    "sender": 'the envelope sender; "" for a notification',
    "size": "octets",
    "received": "when it came",
    "expires": "when it will be returned",
    "finished": "when its last recipient was done; null while it waits",
    "hold": "why it is held; null when it is not",
    "origin": 'where it came from: client, helo, tls ("": in clear)',
    "tls_demand": "what it asks of TLS (RFC 8689): normal, requiretls or tls-required-no",
    "recipients[].address": "the recipient",
    "recipients[].destination": "the next hop",
    "recipients[].state": "queued, held, delivered, failed or deleted",
    "recipients[].is_claimed": "it is being delivered",
    "recipients[].attempts": "attempts so far",
    "recipients[].next_attempt": "when it is tried again, or null",
    "recipients[].last_status": "the last enhanced status code",
    "recipients[].last_reply": "the last reply, or the reason in words",
}
STORY_KEYS = {
    **MESSAGE_KEYS,
    "attempts[].started": "when the attempt began",
    "attempts[].seconds": "how long it took",
    "attempts[].relay": "`host[ip]:port`, or `none`",
    "attempts[].summary": "what came of it",
    "attempts[].recipients": "the recipients it was for, as numbers from the list",
    "attempts[].story.requirement": "what TLS had to hold: level, source, reason, sni, names ...",
    "attempts[].story.handshake": "version, cipher, group, sni, chain, errors, alert; or null",
    "attempts[].story.verdict": "outcome, result_type, reason_code, reason ...; or null",
    "attempts[].story.dialogue": "the SMTP dialogue, without the message",
    "attempts[].story.outcome": "what came of it, in words",
}
CHANGE_KEYS = {
    "changed": "how many messages changed",
    "unknown": "ids that are not in the queue",
    "failures": "parts of the queue that could not be reached",
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def queue() -> None:
    """List, explain and change what waits.

    Listing reads the queue beside the running node. Changes go through it; when none runs they are
    made directly.
    """


@click.command("list")
@config_option
@click.option("--finished", is_flag=True, help="Those that are done and whose story is kept.")
@json_option({f"messages[].{key}": text for key, text in MESSAGE_KEYS.items()})
def list_messages(config_path: Path | None, *, finished: bool, as_json: bool) -> None:
    """List what waits, as mailq does: `*` is being delivered, `!` is held."""
    with _open_queue(config_path) as stored:
        messages = stored.list_messages(is_finished=finished)
        if as_json:
            print_json({"messages": [describe_message(message) for message in messages]})
        else:
            _print_list(messages)
        _fail_for_what_is_missing(stored)


@click.command()
@click.argument("queue_id", metavar="ID")
@config_option
@json_option(STORY_KEYS)
def show(queue_id: str, config_path: Path | None, *, as_json: bool) -> None:
    """Tell the story of one message.

    For every attempt: the policy that held, what the handshake gave, the SMTP dialogue, and the
    reason in words.
    """
    (wanted,) = _parse_ids((queue_id,))
    with _open_queue(config_path) as stored:
        story = stored.find_story(wanted)
        if story is None:
            _fail_for_what_is_missing(stored)
    if story is None:
        raise CommandFailed(_not_there(wanted), ExitCode.BAD_NEWS)
    if as_json:
        print_json(describe_story(story))
    else:
        for line in format_story(story):
            click.echo(line)


def _change_options(command: Decorated) -> Decorated:
    for decorate in (
        json_option(CHANGE_KEYS),
        config_option,
        click.option("--all", "is_all", is_flag=True, help="All messages."),
        click.argument("ids", nargs=-1, metavar="[ID]..."),
    ):
        command = decorate(command)
    return command


@click.command()
@_change_options
def retry(ids: tuple[str, ...], config_path: Path | None, *, is_all: bool, as_json: bool) -> int:
    """Try waiting messages now; held ones stay."""
    return _change(Action.RETRY, ids, config_path, is_all=is_all, as_json=as_json)


@click.command()
@_change_options
@click.option("--reason", default="by the operator", show_default=True, help="Shown in the list.")
def hold(
    ids: tuple[str, ...], config_path: Path | None, *, is_all: bool, as_json: bool, reason: str
) -> int:
    """Keep messages back until they are released; they still expire."""
    return _change(
        Action.HOLD, ids, config_path, is_all=is_all, as_json=as_json, reason=reason[:200]
    )


@click.command()
@_change_options
def release(ids: tuple[str, ...], config_path: Path | None, *, is_all: bool, as_json: bool) -> int:
    """Let held messages go on, now."""
    return _change(Action.RELEASE, ids, config_path, is_all=is_all, as_json=as_json)


@click.command()
@_change_options
def delete(ids: tuple[str, ...], config_path: Path | None, *, is_all: bool, as_json: bool) -> int:
    """Remove messages; their senders are not told."""
    return _change(Action.DELETE, ids, config_path, is_all=is_all, as_json=as_json)


def describe_message(message: QueuedMessage) -> dict[str, object]:
    """Give a message as the JSON answers show it."""
    return {
        "id": message.queue_id,
        "sender": message.sender,
        "size": message.size,
        "received": format_time(message.received),
        "expires": format_time(message.expires),
        "finished": format_time(message.finished) if message.finished else None,
        "hold": message.hold,
        "origin": dict(message.origin),
        "tls_demand": message.tls_demand.value,
        "recipients": [
            {
                "number": each.number,
                "address": each.address,
                "destination": each.destination,
                "state": each.state.value,
                "is_claimed": each.is_claimed,
                "attempts": each.attempts,
                "next_attempt": format_time(each.next_attempt) if each.next_attempt else None,
                "last_status": each.last_status,
                "last_reply": each.last_reply,
            }
            for each in message.recipients
        ],
    }


def describe_story(story: MessageStory) -> dict[str, object]:
    """Give a story as the JSON answer shows it."""
    attempts = [
        {
            "started": format_time(each.started),
            "seconds": each.duration.total_seconds(),
            "relay": each.relay,
            "summary": each.summary,
            "recipients": list(each.recipients),
            "story": dict(each.story),
        }
        for each in story.attempts
    ]
    return {**describe_message(story.message), "attempts": attempts}


@contextmanager
def _open_queue(config_path: Path | None) -> Iterator[StoredQueue]:
    config = load_config_or_fail(config_path)
    act_as_owner(config.data_dir)
    try:
        with open_stored_queue(config) as stored:
            yield stored
    except StoreUnavailable as error:
        raise CommandFailed(f"the queue cannot be read: {error}") from None


def _fail_for_what_is_missing(stored: StoredQueue) -> None:
    """Say that what was shown is not all."""
    if stored.problems:
        raise CommandFailed(f"this is not the whole queue: {'; '.join(stored.problems)}")


def _print_list(messages: Iterable[QueuedMessage]) -> None:
    count = octets = recipients = 0
    for message in messages:
        if not count:
            click.echo(LIST_HEAD)
        count += 1
        octets += message.size
        recipients += sum(
            each.state in (RecipientState.QUEUED, RecipientState.HELD)
            for each in message.recipients
        )
        # Each call flushes.
        click.echo("\n".join(format_listed(message)))
    click.echo(format_total(count, octets, recipients))


def _change(
    action: Action,
    ids: tuple[str, ...],
    config_path: Path | None,
    *,
    is_all: bool,
    as_json: bool,
    reason: str = "",
) -> int:
    if bool(ids) == is_all:
        raise click.UsageError("give the IDs of messages, or --all")
    wanted = _parse_ids(ids)
    config = load_config_or_fail(config_path)
    act_as_owner(config.data_dir)
    try:
        with open_stored_queue(config) as stored:
            unknown = [each for each in wanted if not is_waiting(stored, each)]
        known = tuple(each for each in wanted if each not in unknown)
        changed = Changed(0)
        if known or is_all:
            change = Change(action, None if is_all else known, reason)
            changed = change_queue(config, change, SystemClock())
    except (StoreUnavailable, NodeUnreachable) as error:
        raise CommandFailed(f"nothing is known to have changed: {error}") from None
    return _report(changed, unknown, as_json=as_json)


def _report(changed: Changed, unknown: list[QueueId], *, as_json: bool) -> int:
    if as_json:
        document: Mapping[str, object] = {
            "changed": changed.count,
            "unknown": unknown,
            "failures": changed.failures,
        }
        print_json(document)
    else:
        click.echo(f"{format_count(changed.count, 'message')} changed")
    for line in _list_troubles(changed, unknown):
        click.echo(f"letterlock: {line}", err=True)
    if changed.failures:
        return ExitCode.UNDECIDED
    return ExitCode.BAD_NEWS if unknown else ExitCode.FINE


def _list_troubles(changed: Changed, unknown: list[QueueId]) -> Iterator[str]:
    yield from changed.failures
    for queue_id in unknown:
        yield _not_there(queue_id)


def _not_there(queue_id: QueueId) -> str:
    return f"{queue_id}: not in the queue; see letterlock queue list"


def _parse_ids(texts: tuple[str, ...]) -> tuple[QueueId, ...]:
    for text in texts:
        if not is_queue_id(text):
            raise click.UsageError(f"{text[:40]!r} is not a queue id")
    return tuple(QueueId(text) for text in dict.fromkeys(texts))
