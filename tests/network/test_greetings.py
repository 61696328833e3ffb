"""What a port says first; nothing that is there holds us up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from letterlock.network.greetings import MAX_LINE_OCTETS, Greeting, fetch_greeting
from letterlock.network.wire import Lost

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[int]:
    """Serve one client; its connection is closed when this ends."""
    is_over = asyncio.Event()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        is_over.set()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await is_over.wait()


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (b"220 mx.example ESMTP\r\n", "220 mx.example ESMTP"),
        (b"220-mx.example\r\n220 more\r\n", "220-mx.example"),
        (b"no end", "no end"),
        (b"\xff\x00\n", "\xff\x00"),
        (b"x" * 5000, "x" * MAX_LINE_OCTETS),
        (b"", ""),
    ],
)
async def test_the_first_line_is_given(said: bytes, line: str) -> None:
    """RFC 5321 §4.2, §4.5.3.1.5"""

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()

    async with serving(serve) as port:
        assert await fetch_greeting("127.0.0.1", port, 60.0) == Greeting(line)


async def test_who_greets_hears_a_quit() -> None:
    """RFC 5321 §4.1.1.10"""
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx.example\r\n")
        heard.set_result(await reader.readline())
        writer.write(b"221 bye\r\n")

    async with serving(serve) as port:
        assert await fetch_greeting("127.0.0.1", port, 60.0) == Greeting("220 mx.example")
        assert await heard == b"QUIT\r\n"


async def test_who_is_silent_is_there_all_the_same() -> None:
    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        # Till it hangs up: it says nothing to who said nothing.
        assert await reader.read() == b""

    async with serving(serve) as port:
        assert await fetch_greeting("127.0.0.1", port, 3.0) == Greeting("")


async def test_nobody_there_is_said() -> None:
    # tcpmux: nobody has it.
    assert isinstance(await fetch_greeting("127.0.0.1", 1, 60.0), Lost)
