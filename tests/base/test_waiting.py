"""Waiting in a task that is being cancelled."""

import asyncio

import pytest

from letterlock.base.waiting import finish_within, wait_for_event


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


async def test_work_is_waited_for_and_what_it_raises_is_raised() -> None:
    async def fail() -> None:
        raise OSError("gone")

    assert await finish_within(asyncio.sleep(0), 20)
    with pytest.raises(OSError, match="gone"):
        await finish_within(fail(), 20)


async def test_work_that_takes_too_long_is_given_up() -> None:
    work = asyncio.ensure_future(asyncio.Event().wait())
    assert not await finish_within(work, 0.01)
    with pytest.raises(asyncio.CancelledError):
        await work


@pytest.mark.parametrize("turns", range(6))
async def test_a_cancellation_is_heeded_in_whichever_turn_it_comes(turns: int) -> None:
    """A worker whose task overheard it as a connection closed never came to its end."""
    ended = asyncio.Event()
    task = asyncio.ensure_future(finish_within(ended.wait(), 20))
    await asyncio.sleep(0.01)
    ended.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    if task.cancel():
        await asyncio.wait([task])
        assert task.cancelled()
    else:
        assert turns > 1
        assert await task
