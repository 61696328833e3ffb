"""Waiting for an event, for so long, in a task that is being cancelled too.

`asyncio.timeout` can't be used there on every Python we run on: up to 3.11.3 a time-out that passes
in a task that was cancelled before ends in CancelledError, and what was to be finished is not.
"""

import asyncio


async def wait_for_event(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set; False: the time was over before."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([waiting], timeout=seconds)
    finally:
        waiting.cancel()
    return event.is_set()
