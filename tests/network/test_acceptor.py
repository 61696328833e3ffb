"""Short connections: room for the new at the cost of the oldest, and an end for each."""

import asyncio
from collections.abc import Sequence
from socket import AF_INET, socket

import pytest

from letterlock.network.acceptor import Acceptor, AcceptorLimits, left_until
from letterlock.network.wire import Lost, Wire
from tests.listening import listening

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(wire: Wire, end: float) -> None:
    """Send back what comes, until the end."""
    while not isinstance(octets := await wire.read(left_until(end)), Lost):
        await wire.write(octets, left_until(end))


async def connect(port: int, source: str = "127.0.0.1") -> Client:
    """Connect, and wait until it is served."""
    host = "::1" if source == "::1" else "127.0.0.1"
    reader, writer = await asyncio.open_connection(host, port, local_addr=(source, 0))
    assert await say(reader, writer)
    return reader, writer


async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Say something; False when nobody is there to send it back."""
    writer.write(b"x")
    return bool(await asyncio.wait_for(reader.read(1), 60))


async def find_open(clients: Sequence[Client]) -> list[bool]:
    """Give which of them are still served, once those that are not have seen it."""
    return [await say(*client) for client in clients]


async def test_room_is_made_by_the_oldest() -> None:
    limits = AcceptorLimits(connections=3, connections_per_client=3)
    async with listening(Acceptor(echo, limits).run) as port:
        clients = [await connect(port, f"127.0.0.{number}") for number in range(1, 6)]
        assert await find_open(clients) == [False, False, True, True, True]
        for _, writer in clients:
            writer.close()


async def test_a_client_makes_room_by_its_own() -> None:
    limits = AcceptorLimits(connections=10, connections_per_client=2)
    async with listening(Acceptor(echo, limits).run) as port:
        other = await connect(port, "127.0.0.9")
        clients = [await connect(port) for _ in range(4)]
        assert await find_open(clients) == [False, False, True, True]
        assert await say(*other)
        for _, writer in (*clients, other):
            writer.close()


async def test_clients_of_ipv6_are_counted_too() -> None:
    limits = AcceptorLimits(connections_per_client=1)
    async with listening(Acceptor(echo, limits).run, "::1") as port:
        clients = [await connect(port, "::1") for _ in range(2)]
        assert await find_open(clients) == [False, True]
        for _, writer in clients:
            writer.close()


async def test_room_that_is_free_again_is_given_again() -> None:
    limits = AcceptorLimits(connections=2)
    async with listening(Acceptor(echo, limits).run) as port:
        first = await connect(port)
        for _ in range(5):
            _, writer = await connect(port)
            writer.close()
            await writer.wait_closed()
            # Its end is seen before the next one comes.
            assert await say(*first)
        first[1].close()


async def test_a_connection_ends_in_time() -> None:
    limits = AcceptorLimits(seconds=0.2)
    async with listening(Acceptor(echo, limits).run) as port:
        reader, writer = await connect(port)
        assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()


async def test_the_end_cuts_off_who_is_still_there() -> None:
    async with listening(Acceptor(echo).run) as port:
        reader, writer = await connect(port)
    assert await asyncio.wait_for(reader.read(), 60) == b""
    writer.close()


async def test_one_that_accepts_no_more_serves_who_is_there() -> None:
    """One that was accepted just now, and one that speaks later."""
    acceptor = Acceptor(echo)
    async with listening(acceptor.run) as port:
        early = await connect(port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        acceptor.stop_accepting()
        emptied = asyncio.ensure_future(acceptor.wait_empty())
        assert await find_open([early, (reader, writer), early]) == [True, True, True]
        assert not emptied.done()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        for each in (early[1], writer):
            each.close()
        async with asyncio.timeout(60):
            await emptied


async def test_one_that_was_stopped_before_it_began_leaves_clients_to_another() -> None:
    """A process may be told to drain while it starts; its successor has the same socket."""
    late = Acceptor(echo)
    late.stop_accepting()
    with socket(AF_INET) as listener, socket(AF_INET) as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with listener.dup() as shared:
            running = asyncio.ensure_future(late.run([shared]))
            client.connect(listener.getsockname())
            await late.wait_empty()
            running.cancel()
            await asyncio.wait([running])
        accepted, _ = listener.accept()
        accepted.close()
