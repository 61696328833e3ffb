"""A proxy on loopback that speaks SOCKS5 and CONNECT, as far as tests need it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

from letterlock.base.waiting import let_arrive


@dataclass(slots=True)
class Proxy:
    """`asked` is what it was asked to connect to; with `refusal` it says that, and closes."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    refusal: bytes = b""
    is_silent: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(1)
        if self.is_silent:
            await reader.read()
            return
        host, port, opened = await (
            self._read_socks(reader, writer) if first == b"\x05" else self._read_connect(reader)
        )
        self.asked.append(f"{host} {port}")
        if self.refusal:
            writer.write(self.refusal)
            return
        other_reader, other_writer = await asyncio.open_connection(host, port)
        writer.write(opened)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_pump(reader, other_writer))
            tasks.create_task(_pump(other_reader, writer))

    async def _read_socks(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[str, int, bytes]:
        assert await reader.readexactly(2) == b"\x01\x00"
        writer.write(b"\x05\x00")
        head = await reader.readexactly(4)
        packed = await reader.readexactly(4 if head[3] == 1 else 16)
        port = int.from_bytes(await reader.readexactly(2))
        return str(ip_address(packed)), port, b"\x05\x00\x00\x01" + bytes(6)

    async def _read_connect(self, reader: asyncio.StreamReader) -> tuple[str, int, bytes]:
        head = await reader.readuntil(b"\r\n\r\n")
        host, _, port = head.split()[1].decode().rpartition(":")
        return host.strip("[]"), int(port), b"HTTP/1.1 200 OK\r\n\r\n"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while octets := await reader.read(4096):
        writer.write(octets)
    writer.close()


@asynccontextmanager
async def proxying(proxy: Proxy) -> AsyncIterator[Proxy]:
    """Serve until the block ends; all of its connections have ended then."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await proxy.serve(reader, writer)
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve_one, "127.0.0.1", 0) as server:
        proxy.port = server.sockets[0].getsockname()[1]
        yield proxy
    await let_arrive()
    if tasks:
        await asyncio.wait(tasks)
