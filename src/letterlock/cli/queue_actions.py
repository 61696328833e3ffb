"""The queue as the commands change it: through the running node.

A change goes to the workers of the
running node, each of which changes the shards it owns; a shard that nobody owns is opened here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from letterlock.base.clock import Clock
from letterlock.base.config.choices import QueueEngine
from letterlock.base.config.sections import Config
from letterlock.cli.stored_queue import open_postgres_beside
from letterlock.network.control_client import NodeNotRunning, ask_all
from letterlock.storage.queue import (
    QueueId,
    QueueStore,
    StoreUnavailable,
)
from letterlock.storage.sqlite.owner import OwnedElsewhereError
from letterlock.storage.sqlite.shard_files import find_shards

PAGE = 500
"""Messages read at once."""
CONTROL_SECONDS = 60.0
ALL_SECONDS = 3600.0
"""A change of all takes minutes for a million messages: in small steps, mail flows meanwhile."""
IDS_AT_ONCE = 1000
"""Ids in one request to a node; a request is one line of bounded length."""


class Action(StrEnum):
    """What can be done to messages; `queue.` before it is the node's command."""

    RETRY = "retry"
    HOLD = "hold"
    RELEASE = "release"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Change:
    """What to do to which messages; None: to all. `reason` is for `hold`."""

    action: Action
    queue_ids: tuple[QueueId, ...] | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """How many messages changed, and which part of the queue could not be reached."""

    count: int
    failures: tuple[str, ...] = ()


def change_queue(config: Config, change: Change, clock: Clock) -> Changed:
    """Change messages wherever they are: through the running node, and in shards it doesn't own."""
    import asyncio  # noqa: PLC0415 - listing starts without it

    if config.queue.engine is not QueueEngine.SQLITE:
        count = asyncio.run(_change_store(open_postgres_beside(config), change, clock))
        return Changed(count, _wake_nodes(config))
    count, failures = _change_through_node(config, change)
    try:
        paths = find_shards(config.queue_dir)
    except StoreUnavailable as error:
        return Changed(count, (*failures, str(error)))
    for path in paths:
        try:
            count += asyncio.run(_change_store(_open_shard(path, clock), change, clock))
        except OwnedElsewhereError:
            continue  # its owner was asked
        except StoreUnavailable as error:
            failures += (f"{path}: {error}",)
    return Changed(count, failures)


def _change_through_node(config: Config, change: Change) -> tuple[int, tuple[str, ...]]:
    count = 0
    failures: tuple[str, ...] = ()
    for ids in _split_ids(change.queue_ids):
        arguments = {"ids": ids, "reason": change.reason}
        command = f"queue.{change.action}"
        try:
            patience = ALL_SECONDS if ids is None else CONTROL_SECONDS
            found = ask_all(config.node.control_socket, command, arguments, patience)
        except NodeNotRunning:
            break
        count += sum(int(answer.get("changed", 0)) for answer in found.answers)
        failures += found.failures
    return count, failures


def _split_ids(queue_ids: Sequence[QueueId] | None) -> Iterator[Sequence[QueueId] | None]:
    if queue_ids is None:
        yield None
        return
    for start in range(0, len(queue_ids), IDS_AT_ONCE):
        yield queue_ids[start : start + IDS_AT_ONCE]


def _wake_nodes(config: Config) -> tuple[str, ...]:
    """Have the workers of this host look again now; those of others do within a minute."""
    try:
        return ask_all(config.node.control_socket, "queue.wake", {}, CONTROL_SECONDS).failures
    except NodeNotRunning:
        return ()


def _open_shard(path: Path, clock: Clock) -> QueueStore:
    from letterlock.storage.sqlite.queue import SqliteQueue  # noqa: PLC0415 - not to read only

    return SqliteQueue(path, clock)


async def _change_store(store: QueueStore, change: Change, clock: Clock) -> int:
    await store.open()
    try:
        return await apply_change(store, change, clock)
    finally:
        await store.close()


async def apply_change(store: QueueStore, change: Change, clock: Clock) -> int:
    """Do it to one store; gives how many messages changed."""
    match change.action:
        case Action.RETRY:
            return await store.retry(change.queue_ids, clock.now())
        case Action.HOLD:
            return await store.hold(change.queue_ids, change.reason)
        case Action.RELEASE:
            return await store.release(change.queue_ids, clock.now())
        case Action.DELETE:
            return await store.delete(change.queue_ids, clock.now())
