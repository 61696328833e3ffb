"""Packets between two processes: whole, in order, also where there is no room for a while."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from letterlock.network.packets import MAX_PACKET_OCTETS, PacketChannel, make_packet_sockets

SECONDS = 60.0


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ends = make_packet_sockets()
    with contextlib.ExitStack() as stack:
        for end in ends:
            stack.callback(end.close)
        yield ends


class Inbox:
    """What arrived, and the event of enough of it."""

    def __init__(self, count: int) -> None:
        self.packets: list[bytes] = []
        self.is_full = asyncio.Event()
        self._count = count

    def take(self, packet: bytes) -> None:
        self.packets.append(packet)
        if len(self.packets) == self._count:
            self.is_full.set()

    async def wait(self) -> list[bytes]:
        async with asyncio.timeout(SECONDS):
            await self.is_full.wait()
        return self.packets


async def test_packets_arrive_whole_and_in_order(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    sent = [b"a", b"x" * MAX_PACKET_OCTETS, b"\0\n", "ü".encode()]
    inbox = Inbox(len(sent))
    here, there = PacketChannel(ends[0], lambda _: None), PacketChannel(ends[1], inbox.take)
    for packet in sent:
        here.send(packet)
    assert await inbox.wait() == sent
    here.close()
    there.close()


async def test_what_finds_no_room_waits_and_loses_no_packet(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    sent = [b"%d " % number + b"x" * 10_000 for number in range(3000)]
    here = PacketChannel(ends[0], lambda _: None)
    for packet in sent:
        here.send(packet)
    inbox = Inbox(len(sent))
    there = PacketChannel(ends[1], inbox.take)
    assert await inbox.wait() == sent
    here.close()
    there.close()


async def test_what_was_sent_to_a_process_that_ended_is_read_by_the_next(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    PacketChannel(ends[1], lambda _: None).close()
    here = PacketChannel(ends[0], lambda _: None)
    here.send(b"for the next one")
    inbox = Inbox(1)
    there = PacketChannel(ends[1], inbox.take)
    assert await inbox.wait() == [b"for the next one"]
    here.close()
    there.close()


async def test_an_end_that_nobody_has_open_is_no_error(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    here = PacketChannel(ends[0], lambda _: None)
    ends[1].close()
    here.send(b"lost")
    # One turn of the loop in which the end of the other side is read.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    here.send(b"lost too")
    here.close()
