"""Servers of tests leave nothing open, whenever a client comes."""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from tests.accepting import accepting


@pytest.mark.parametrize("turns", range(6))
async def test_a_client_of_the_last_moment_is_hung_up_on(tmp_path: Path, turns: int) -> None:
    """However many turns of the event loop before the end it comes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await reader.read()

    with socket.socket(socket.AF_UNIX) as client:
        async with accepting(serve, path=tmp_path / "socket"):
            client.connect(str(tmp_path / "socket"))
            for _ in range(turns):
                await asyncio.sleep(0)
        client.setblocking(False)  # noqa: FBT003 - the standard library's way
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
