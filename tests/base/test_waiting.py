"""Waiting for an event in a task that is being cancelled."""

import asyncio

from letterlock.base.waiting import wait_for_event


async def test_an_event_that_comes_ends_the_wait() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)
    assert await wait_for_event(event, 20)


async def test_one_that_does_not_come_is_waited_for_only_so_long() -> None:
    assert not await wait_for_event(asyncio.Event(), 0.01)


async def test_a_task_that_was_cancelled_waits_as_well() -> None:
    """On Python 3.11.2 `asyncio.timeout` would raise CancelledError here."""
    begun, finished = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            assert not await wait_for_event(asyncio.Event(), 0.01)
            assert not await wait_for_event(asyncio.Event(), 0.01)
            finished.set()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work())
        await begun.wait()
        task.cancel()
    assert finished.is_set()
