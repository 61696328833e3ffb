"""What a client may take in time, over real sockets with a clock that is moved."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from letterlock.network.wire import Wire, connect
from tests.fakes import FakeClock
from tests.services.receive.test_receiving import Node, read_reply, receiving

TO_DATA = (
    b"EHLO client.example\r\n",
    b"MAIL FROM:<bob@example.net>\r\n",
    b"RCPT TO:<alice@example.org>\r\n",
    b"DATA\r\n",
)


async def begin(node: Node, *steps: bytes) -> Wire:
    wire = await connect("127.0.0.1", node.port, 5)
    assert isinstance(wire, Wire)
    assert (await read_reply(wire)).startswith(b"220 ")
    for step in steps:
        await wire.write(step, 5)
        await read_reply(wire)
    return wire


def stop_time(node: Node) -> FakeClock:
    """Give the clock that the server's connections have from now on."""
    clock = FakeClock()
    node.server.now = clock.monotonic
    return clock


def pass_time(node: Node, clock: FakeClock, seconds: float) -> None:
    clock.move(timedelta(seconds=seconds))
    node.server.sweep()


async def wait_taken(node: Node, octets: int) -> None:
    """Wait until the server has so much of messages in hands."""
    while sum(each._message_octets for each in node.server._connections) < octets:
        # The server's turn: it is in the same loop.
        await asyncio.wait_for(asyncio.to_thread(int), 60)


async def test_a_slow_sender_is_sent_away_and_a_quick_one_is_not(tmp_path: Path) -> None:
    """A message that comes at less than 100 octets a second holds no place for ever."""
    async with receiving(tmp_path) as node:
        clock = stop_time(node)
        slow, quick = await begin(node, *TO_DATA), await begin(node, *TO_DATA)
        await slow.write(b"x" * 70 + b"\r\n", 5)
        await quick.write((b"x" * 70 + b"\r\n") * 200, 5)
        await wait_taken(node, 14000)
        pass_time(node, clock, 29)
        pass_time(node, clock, 31)
        assert (await read_reply(slow)).startswith(b"421 4.4.2 ")
        await quick.write(b"\r\n.\r\n", 5)
        assert (await read_reply(quick)).startswith(b"250 ")
        assert len(await node.store.list_messages()) == 1
        assert any("message came too slowly" in text for text in node.log.texts), node.log.texts
        slow.close()
        quick.close()


@pytest.mark.parametrize("steps", [(), TO_DATA[:1], TO_DATA[:3]])
async def test_an_idle_client_is_sent_away_after_five_minutes(
    tmp_path: Path, steps: tuple[bytes, ...]
) -> None:
    """RFC 5321 §4.5.3.2.7."""
    async with receiving(tmp_path) as node:
        clock = stop_time(node)
        idle = await begin(node, *steps)
        for _ in range(3):
            pass_time(node, clock, 299)
            await idle.write(b"NOOP\r\n", 5)
            assert (await read_reply(idle)).startswith(b"250 ")
        pass_time(node, clock, 301)
        assert (await read_reply(idle)).startswith(b"421 4.4.2 ")
        idle.close()


async def test_a_session_ends_after_an_hour_however_busy(tmp_path: Path) -> None:
    async with receiving(tmp_path) as node:
        clock = stop_time(node)
        busy = await begin(node)
        for _ in range(15):
            pass_time(node, clock, 239)
            await busy.write(b"NOOP\r\n", 5)
            answer = await read_reply(busy)
            assert answer.startswith(b"250 "), answer
        pass_time(node, clock, 60)
        assert (await read_reply(busy)).startswith(b"421 4.4.2 ")
        assert any("session took too long" in text for text in node.log.texts)
        busy.close()


async def test_a_message_that_comes_fast_enough_is_taken_whatever_the_hour(tmp_path: Path) -> None:
    """RFC 5321 §4.5.3.2: cut off, it would come again, and be cut off again until it bounces."""
    async with receiving(tmp_path) as node:
        clock = stop_time(node)
        slow = await begin(node, *TO_DATA)
        piece = (b"x" * 78 + b"\r\n") * 300
        for number in range(1, 17):
            await slow.write(piece, 5)
            await wait_taken(node, number * len(piece) - 2)
            pass_time(node, clock, 230)
            assert not any("session took too long" in text for text in node.log.texts)
        await slow.write(b".\r\n", 5)
        assert (await read_reply(slow)).startswith(b"250 ")
        pass_time(node, clock, 1)
        assert (await read_reply(slow)).startswith(b"421 4.4.2 ")
        slow.close()
