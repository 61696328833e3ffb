"""RFC 1035 §4.2.1: a question by UDP and the datagram that answers it, whatever else comes."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from letterlock.network.dns_exchange import MAX_STRAY_DATAGRAMS, exchange_udp

Address = tuple[str, int]


class Sender(asyncio.DatagramProtocol):
    """Sends these datagrams for each that comes."""

    def __init__(self, datagrams: list[bytes]) -> None:
        self._datagrams = datagrams
        self.asked = asyncio.Event()
        self.ports: list[int] = []

    def connection_made(
        self,
        transport: asyncio.DatagramTransport,  # type: ignore[override]  # it gets no other
    ) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        del data
        self.ports.append(addr[1])
        for each in self._datagrams:
            self._transport.sendto(each, addr)
        self.asked.set()


@asynccontextmanager
async def sending(*datagrams: bytes) -> AsyncIterator[tuple[Sender, Address]]:
    loop = asyncio.get_running_loop()
    transport, sender = await loop.create_datagram_endpoint(
        lambda: Sender(list(datagrams)), local_addr=("127.0.0.1", 0)
    )
    yield sender, transport.get_extra_info("sockname")
    transport.close()


def only(wanted: bytes) -> Callable[[bytes], bytes | None]:
    return lambda datagram: datagram if datagram == wanted else None


async def test_what_does_not_answer_is_passed_over() -> None:
    async with sending(b"other", b"", b"good", b"late") as (_, address):
        assert await exchange_udp(address, b"question", only(b"good")) == b"good"


async def test_too_many_that_do_not_answer_end_it() -> None:
    others = [b"other"] * MAX_STRAY_DATAGRAMS
    async with sending(*others, b"good") as (_, address):
        assert await exchange_udp(address, b"question", only(b"good")) is None
    async with sending(*others[1:], b"good") as (_, address):
        assert await exchange_udp(address, b"question", only(b"good")) == b"good"


async def test_each_question_has_a_port_of_its_own() -> None:
    """RFC 5452 §4.5: what is forged must guess it."""
    async with sending(b"good") as (sender, address):
        asked = [exchange_udp(address, b"question", only(b"good")) for _ in range(8)]
        assert await asyncio.gather(*asked) == [b"good"] * 8
        assert len(set(sender.ports)) == 8


async def test_the_time_is_over() -> None:
    """Also where it was over before."""
    async with sending(b"other") as (_, address):
        end = asyncio.get_running_loop().time() + 0.01
        for each in (end, end - 1):
            with pytest.raises(TimeoutError):
                await exchange_udp(address, b"question", only(b"good"), each)


async def test_nobody_is_there() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        # One that is connected elsewhere takes nothing of ours.
        taken.connect(("127.0.0.1", 9))
        with pytest.raises(ConnectionRefusedError):
            await exchange_udp(taken.getsockname(), b"question", only(b"good"))


async def test_what_cannot_be_read_is_told_to_who_asks() -> None:
    def fail(_: bytes) -> None:
        raise ArithmeticError

    async with sending(b"any") as (_, address):
        with pytest.raises(ArithmeticError):
            await exchange_udp(address, b"question", fail)


async def test_who_is_cancelled_leaves_nothing_behind() -> None:
    """A datagram that comes after it is nobody's."""
    async with sending(b"other") as (sender, address):
        asking = asyncio.ensure_future(exchange_udp(address, b"question", only(b"good")))
        await sender.asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        sender.asked.clear()
        end = asyncio.get_running_loop().time() + 0.01
        with pytest.raises(TimeoutError):
            await exchange_udp(address, b"again", only(b"good"), end)
