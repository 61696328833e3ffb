"""The socket that tells users of their own mail."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from letterlock.network.queue_client import NotTheNodes, fetch_queue
from letterlock.network.queue_server import MAX_CONNECTIONS, MODE, QueueServer


async def tell(user: int) -> bytes:
    return f"you are {user}\n".encode()


def is_there(path: Path) -> bool:
    return path.is_socket()


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[None]:
    task = asyncio.ensure_future(QueueServer(path, tell).run())
    while not is_there(path):
        assert not task.done()
        await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ask(path: Path) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_each_user_is_answered_as_who_he_is(tmp_path: Path) -> None:
    path = tmp_path / "queue"
    async with serving(path):
        answers = await asyncio.gather(*(ask(path) for _ in range(3)))
        assert answers == [f"you are {os.geteuid()}\n".encode()] * 3
        assert path.stat().st_mode & 0o777 == MODE
    assert not is_there(path)


async def test_a_user_hears_the_node_and_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "queue"
    async with serving(path):

        def ask_as_program(owner: int) -> bytes:
            return b"".join(fetch_queue(str(path), owner))

        told = await asyncio.to_thread(ask_as_program, os.geteuid())
        assert told == f"you are {os.geteuid()}\n".encode()
        with pytest.raises(NotTheNodes):
            await asyncio.to_thread(ask_as_program, os.geteuid() + 1)
    with pytest.raises(FileNotFoundError):
        next(fetch_queue(str(path), 0))


async def test_a_place_that_cannot_be_used_is_left_as_it_was(tmp_path: Path) -> None:
    """Also the name beside it."""
    path = tmp_path / "queue"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        await QueueServer(path, tell).run()
    assert names(tmp_path) == ["queue"]


async def test_who_goes_away_harms_nobody(tmp_path: Path) -> None:
    path = tmp_path / "queue"
    async with serving(path):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(str(path))
        assert await ask(path)


def names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


async def test_what_lies_in_the_place_is_replaced(tmp_path: Path) -> None:
    """A file of somebody's, or the socket of a worker that is gone or goes."""
    path = tmp_path / "queue"
    path.write_text("not a socket")
    async with serving(path):
        async with asyncio.timeout(60):
            old = path.lstat().st_ino
            task = asyncio.ensure_future(QueueServer(path, tell).run())
            while path.lstat().st_ino == old:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0)
            assert await ask(path)
    # The first is gone, and left the socket of the second where it is.
    assert await ask(path)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not path.exists()


async def test_no_more_are_heard_than_there_is_room_for(tmp_path: Path) -> None:
    path, may_end = tmp_path / "queue", asyncio.Event()

    async def wait(user: int) -> bytes:
        await may_end.wait()
        return await tell(user)

    task = asyncio.ensure_future(QueueServer(path, wait).run())
    while not is_there(path):  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0)
    asked = [asyncio.ensure_future(ask(path)) for _ in range(MAX_CONNECTIONS + 2)]
    async with asyncio.timeout(60):
        while sum(each.done() for each in asked) < 2:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0)
    may_end.set()
    answers = await asyncio.gather(*asked)
    assert answers.count(b"") == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_the_end_leaves_asyncio_nothing_to_complain_of(tmp_path: Path) -> None:
    """Somebody asks when the process ends; it would say so on standard error."""
    complaints: list[dict[str, object]] = []
    path, asked = tmp_path / "queue", asyncio.Event()

    async def wait(user: int) -> bytes:
        asked.set()
        await asyncio.Event().wait()
        return await tell(user)

    async def ask_and_end() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
        task = asyncio.ensure_future(QueueServer(path, wait).run())
        while not is_there(path):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0)
        _, writer = await asyncio.open_unix_connection(path)
        await asked.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        writer.transport.abort()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ask_and_end())
    assert complaints == []
