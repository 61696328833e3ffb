"""Waiting at the end of a server, in a task that is being cancelled too.

`asyncio.timeout` can't be used there on every Python we run on: up to 3.11.3 a time-out that passes
in a task that was cancelled before ends in CancelledError, and what was to be finished is not.
"""

import asyncio
from collections.abc import Awaitable

_ARRIVAL_TURNS = 3
"""Of asyncio's event loop; uvloop takes one."""


async def let_arrive() -> None:
    """Let those connections be made that were accepted already: it is done in a later turn."""
    for _ in range(_ARRIVAL_TURNS):
        await asyncio.sleep(0)


async def wait_for_event(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set; False: the time was over before."""
    await finish_within(event.wait(), seconds)
    return event.is_set()


async def finish_within(work: Awaitable[object], seconds: float) -> bool:
    """Wait for the work; False: the time was over before, and it is given up.

    Raises what the work raises. Who cancels us always succeeds: before Python 3.12
    `asyncio.wait_for` goes on as if nothing had been said when the work ends in the same moment.
    """
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait([working], timeout=seconds)
    finally:
        is_done = not working.cancel()
    if is_done:
        working.result()
    return is_done
