"""The socket that tells users of their own mail."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from letterlock.network.queue_server import MAX_CONNECTIONS, MODE, QueueServer


async def tell(user: int) -> bytes:
    return f"you are {user}\n".encode()


def is_there(path: Path) -> bool:
    return path.is_socket()


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[None]:
    task = asyncio.ensure_future(QueueServer(path, tell).run())
    while not is_there(path):  # noqa: ASYNC110 - no event tells
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


async def test_what_lies_in_the_place_is_replaced(tmp_path: Path) -> None:
    """A file of somebody's, or the socket of a worker that is gone or goes."""
    path = tmp_path / "queue"
    path.write_text("not a socket")
    async with serving(path):
        async with asyncio.timeout(10):
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
    async with asyncio.timeout(10):
        while sum(each.done() for each in asked) < 2:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    may_end.set()
    answers = await asyncio.gather(*asked)
    assert answers.count(b"") == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
