"""How a process ends: told to stop at once, told to drain when nothing is under way any more."""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from socket import socket
from typing import Any

import pytest

from letterlock.node import ending
from letterlock.node.ending import End


class FakeServer:
    """Says what it was told; empty when the test says so."""

    def __init__(self) -> None:
        self.is_accepting = True
        self.empty = asyncio.Event()

    async def run(self, listeners: Sequence[socket]) -> None:
        raise AssertionError("its end alone is looked at", listeners)

    def stop_accepting(self) -> None:
        self.is_accepting = False

    async def wait_empty(self) -> None:
        await self.empty.wait()


@asynccontextmanager
async def waited_for(
    end: End, *servers: FakeServer, work: tuple[asyncio.Future[None], ...] = ()
) -> AsyncIterator[asyncio.Task[None]]:
    """Give the wait, which must be over at the end."""
    waiting = asyncio.ensure_future(end.wait(servers, work))
    await asyncio.sleep(0)
    yield waiting
    async with asyncio.timeout(60):
        await waiting


async def turn() -> None:
    """Let everything happen that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_nothing_happens_before_it_is_told() -> None:
    end, server = End(), FakeServer()
    async with waited_for(end, server) as waiting:
        await turn()
        assert server.is_accepting
        assert not any((waiting.done(), end.told.is_set(), end.is_draining))
        end.stop()


async def test_who_drains_waits_for_all_that_was_begun() -> None:
    end, servers = End(), [FakeServer(), FakeServer()]
    work = asyncio.get_running_loop().create_future()
    async with waited_for(end, *servers, work=(work,)) as waiting:
        end.drain()
        assert end.is_draining
        for each in (servers[0].empty.set, servers[1].empty.set, lambda: work.set_result(None)):
            await turn()
            assert not waiting.done()
            each()
    assert not any(server.is_accepting for server in servers)


async def test_work_that_fails_is_over_too() -> None:
    end, work = End(), asyncio.get_running_loop().create_future()
    async with waited_for(end, work=(work,)):
        end.drain()
        work.set_exception(OSError("gone"))


@pytest.mark.parametrize("is_draining", [False, True])
async def test_who_is_stopped_waits_for_nothing(*, is_draining: bool) -> None:
    end, server = End(), FakeServer()
    async with waited_for(end, server):
        if is_draining:
            end.drain()
            await turn()
        end.stop()
    assert not end.is_draining


async def test_who_is_stopped_leaves_nothing_that_asyncio_complains_of() -> None:
    """It would say so on standard error, while the process ends."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    end = End()
    async with waited_for(end, FakeServer()):
        end.drain()
        await turn()
        end.stop()
    await turn()
    gc.collect()
    assert complaints == []


async def test_what_does_not_end_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ending, "DRAIN", ending.DRAIN * 0)
    end = End()
    async with waited_for(end, FakeServer()):
        end.drain()
