"""Waiting at the end of a server, in a task that is being cancelled too.

`asyncio.timeout` can't be used there on every Python we run on: up to 3.11.3 a time-out that passes
in a task that was cancelled before ends in CancelledError, and what was to be finished is not.
"""

import asyncio

_ARRIVAL_TURNS = 3
"""Of asyncio's event loop; uvloop takes one."""


async def let_arrive() -> None:
    """Let those connections be made that were accepted already: it is done in a later turn."""
    for _ in range(_ARRIVAL_TURNS):
        await asyncio.sleep(0)


async def wait_for_event(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set; False: the time was over before."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([waiting], timeout=seconds)
    finally:
        waiting.cancel()
    return event.is_set()
