"""One child of the supervisor: its event loop, the signals it heeds, and what becomes of errors."""

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol

import uvloop

from letterlock.base.errors import LocalError
from letterlock.base.log import LineLog, Service
from letterlock.network.control import ControlInUse
from letterlock.node.supervisor import LOOK_AROUND
from letterlock.storage.queue import StoreUnavailable

GARBAGE_OBJECTS = 20_000
"""Objects between two looks for cycles; Python's 700 are a few messages, a tenth of our time."""


class Part(Protocol):
    """What the process is."""

    def stop(self) -> None:
        """End soon."""

    def drain(self) -> None:
        """Take nothing new, finish what was begun, and end."""

    def look_around(self) -> None:
        """Another process of the node has ended."""


Start = Callable[[], tuple[Part, Coroutine[Any, Any, None]]]
"""Makes the part, within its loop, and what it does until it ends."""


def run_process(name: str, log: LineLog, start: Start, supervisor_gone: int) -> int:
    """Be it until it ends; gives the exit code. The descriptor reads as closed when we are alone.

    `name` is for the log.
    """
    spare_what_stays()
    code = 0
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(start, log, supervisor_gone))
    except* (LocalError, StoreUnavailable, ControlInUse, OSError) as group:
        for error in _find_errors(group):
            log.write(Service.NODE, f"error: {name}: {error}")
        code = 1
    return code


def spare_what_stays() -> None:
    """Let the collector pass over what was made until now: it stays, and looking takes long."""
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, 10, 10)


async def _run(start: Start, log: LineLog, supervisor_gone: int) -> None:
    part, work = start()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, part.stop)
    loop.add_signal_handler(signal.SIGINT, part.stop)
    loop.add_signal_handler(signal.SIGHUP, part.drain)
    loop.add_signal_handler(LOOK_AROUND, part.look_around)

    def stop_alone() -> None:
        # It stays readable: once is enough.
        loop.remove_reader(supervisor_gone)
        part.stop()

    loop.add_reader(supervisor_gone, stop_alone)
    with log.gathered(loop.call_soon, loop.call_later):
        await work


def _find_errors(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Give what task groups, each within another, raised."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _find_errors(error)
        else:
            yield error
