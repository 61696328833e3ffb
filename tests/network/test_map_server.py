"""The server that Postfix asks: both protocols on one socket, answers in order, limits."""

import asyncio
import contextlib
import math
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.network import map_server
from letterlock.network.control import bind_unix_socket
from letterlock.network.map_server import (
    MAX_PIPELINED,
    MAX_REMEMBERED_OCTETS,
    Known,
    MapLimits,
    MapServer,
)
from letterlock.protocols.maps.messages import NOT_FOUND, Reply, Status
from letterlock.protocols.maps.netstrings import format_netstring
from tests.fakes import FakeClock

SECONDS = 60.0
LIMITS = MapLimits()


class Told:
    """Answers: what is in `known` at once, the rest when it is told."""

    def __init__(self) -> None:
        self.known: dict[bytes, Reply] = {b"a": Reply(Status.OK, "dane"), b".a": NOT_FOUND}
        self.until = math.inf
        self.looked = 0
        self.given: list[Known] = []
        self.waiting: dict[bytes, asyncio.Future[Reply]] = {}
        self.is_asked = asyncio.Event()
        self.swept = asyncio.Event()

    def find(self, key: bytes) -> Known | None:
        self.looked += 1
        if key not in self.known:
            return None
        self.given.append(Known(self.known[key], self.until))
        return self.given[-1]

    def wait(self, key: bytes) -> "asyncio.Future[Reply]":
        self.is_asked.set()
        if key not in self.waiting:
            self.waiting[key] = asyncio.get_running_loop().create_future()
        return self.waiting[key]

    def sweep(self) -> None:
        self.swept.set()


@dataclass
class Serving:
    """A server that runs, and its parts."""

    server: MapServer
    answers: Told
    clock: FakeClock
    address: tuple[str, int]

    @asynccontextmanager
    async def client(self) -> AsyncIterator["Client"]:
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()


@dataclass
class Client:
    """One connection to it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, octets: bytes, expected: bytes) -> None:
        self.writer.write(octets)
        await self.hear(expected)

    async def hear(self, expected: bytes) -> None:
        async with asyncio.timeout(SECONDS):
            assert await self.reader.readexactly(len(expected)) == expected

    async def hear_end(self) -> None:
        async with asyncio.timeout(SECONDS):
            with contextlib.suppress(ConnectionResetError):
                assert await self.reader.read(1) == b""


@asynccontextmanager
async def serving(limits: MapLimits = LIMITS) -> AsyncIterator[Serving]:
    answers, clock = Told(), FakeClock()
    server = MapServer(answers, limits, clock)
    listener = socket.create_server(("127.0.0.1", 0))
    await server.open([listener])
    running = asyncio.ensure_future(server.run())
    try:
        yield Serving(server, answers, clock, listener.getsockname())
    finally:
        running.cancel()
        await asyncio.wait([running])


def query(*keys: bytes) -> bytes:
    return b"".join(format_netstring(b"postfix " + key) for key in keys)


DANE, NONE = b"7:OK dane,", b"9:NOTFOUND ,"


async def test_both_protocols_are_spoken_on_one_socket() -> None:
    """socketmap_table(5), tcp_table(5)"""
    async with serving() as it, it.client() as first, it.client() as second:
        await first.ask(query(b"a"), DANE)
        await second.ask(b"get a\nget .a\n", b"200 dane\n500 NOTFOUND\n")
        await first.ask(query(b"a", b".a", b"a"), DANE + NONE + DANE)


@given(st.lists(st.sampled_from([b"a", b".a"]), min_size=1, max_size=5), st.integers(1, 60))
async def test_answers_do_not_depend_on_how_queries_are_split(keys: list[bytes], at: int) -> None:
    octets = query(*keys)
    expected = b"".join(DANE if key == b"a" else NONE for key in keys)
    async with serving() as it, it.client() as client:
        for piece in (octets[:at], octets[at:]):
            client.writer.write(piece)
            await client.writer.drain()
        await client.hear(expected)


async def remember(it: Serving, octets: bytes, answer: bytes) -> int:
    """Have a query remembered; gives how often was looked until then."""
    async with it.client() as client:
        for _ in range(3):
            await client.ask(octets, answer)
        looked = it.answers.looked
        await client.ask(octets, answer)
        assert it.answers.looked == looked
    return looked


@pytest.mark.parametrize(("octets", "answer"), [(query(b"a"), DANE), (b"get a\n", b"200 dane\n")])
async def test_a_query_that_is_remembered_is_not_looked_up_while_its_answer_holds(
    octets: bytes, answer: bytes
) -> None:
    async with serving() as it:
        it.answers.until = 10
        looked = await remember(it, octets, answer)
        it.clock.move(timedelta(seconds=10))
        async with it.client() as client:
            await client.ask(octets, answer)
            assert it.answers.looked > looked


async def test_an_answer_that_is_taken_back_is_not_given_again() -> None:
    async with serving() as it:
        await remember(it, query(b"a"), DANE)
        it.answers.known[b"a"] = NOT_FOUND
        for known in it.answers.given:
            known.until = -math.inf
        async with it.client() as client:
            await client.ask(query(b"a") * 2, NONE * 2)
            await client.ask(query(b"a"), NONE)


async def test_octets_that_look_like_a_query_within_another_one_are_none() -> None:
    async with serving() as it:
        await remember(it, query(b"a"), DANE)
        await remember(it, b"get a\n", b"200 dane\n")
        key = query(b"a") + b"get a\n"
        it.answers.known[key] = NOT_FOUND
        async with it.client() as client, it.client() as other:
            await client.ask(query(b"a"), DANE)
            for piece in (b"%d:postfix " % (8 + len(key)), query(b"a"), b"get a\n"):
                client.writer.write(piece)
                async with asyncio.timeout(SECONDS):
                    # Until it was read: otherwise pieces may come as one.
                    await other.ask(b"get a\n", b"200 dane\n")
            await client.ask(b",", NONE)
            # The other protocol: no end of a line, so the query goes on.
            await other.ask(query(b"a") + b"\n", b"400 a%20query%20is%20")


async def test_what_is_waited_for_keeps_its_place_before_what_is_remembered() -> None:
    async with serving() as it:
        await remember(it, query(b"a"), DANE)
        async with it.client() as client:
            await client.ask(query(b"a"), DANE)
            client.writer.write(query(b"cold"))
            async with asyncio.timeout(SECONDS):
                await it.answers.is_asked.wait()
            client.writer.write(query(b"a"))
            async with it.client() as other:
                await other.ask(query(b"a"), DANE)
            it.answers.waiting[b"cold"].set_result(NOT_FOUND)
            await client.hear(NONE + DANE)
            await client.ask(query(b"a"), DANE)


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_server, "MAX_REMEMBERED", 2)
    async with serving() as it, it.client() as client:
        it.answers.known[b"long"] = Reply(Status.OK, "x" * MAX_REMEMBERED_OCTETS)
        answer = format_netstring(b"OK " + b"x" * MAX_REMEMBERED_OCTETS)
        for name in (b"0 a", b"1 a", b"2 a", b"0 long", b"3 long"):
            octets = format_netstring(name)
            for _ in range(3):
                await client.ask(octets, DANE if name.endswith(b"a") else answer)
            assert len(it.server.socketmap.remembered) <= 2
        assert list(it.server.socketmap.remembered) == [b"3:2 a,"]


async def test_one_who_waits_holds_up_nobody_and_answers_keep_their_order() -> None:
    async with serving() as it, it.client() as slow, it.client() as quick:
        slow.writer.write(query(b"a", b"cold", b".a"))
        await slow.hear(DANE)
        async with asyncio.timeout(SECONDS):
            await it.answers.is_asked.wait()
        await quick.ask(query(b"a"), DANE)
        it.answers.waiting[b"cold"].set_result(Reply(Status.OK, "secure"))
        await slow.hear(b"9:OK secure," + NONE)


async def test_an_answer_that_is_there_when_it_is_waited_for_is_given() -> None:
    async with serving() as it, it.client() as client:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        future.set_result(Reply(Status.TEMP, "crowded"))
        it.answers.waiting[b"cold"] = future
        await client.ask(query(b"cold", b"a"), b"12:TEMP crowded," + DANE)


async def test_a_client_that_leaves_while_it_waits_is_forgotten() -> None:
    async with serving() as it:
        async with it.client() as client:
            client.writer.write(query(b"cold"))
            async with asyncio.timeout(SECONDS):
                await it.answers.is_asked.wait()
            client.writer.transport.abort()
        async with it.client() as other:
            await other.ask(query(b"a"), DANE)
            it.answers.waiting[b"cold"].set_result(NOT_FOUND)
            await other.ask(query(b"a"), DANE)


async def test_a_client_that_says_all_and_closes_its_side_hears_the_answer() -> None:
    async with serving() as it, it.client() as client:
        client.writer.write(query(b"cold"))
        client.writer.write_eof()
        async with asyncio.timeout(SECONDS):
            await it.answers.is_asked.wait()
        it.answers.waiting[b"cold"].set_result(NOT_FOUND)
        await client.hear(NONE)
        await client.hear_end()


@pytest.mark.parametrize(
    ("octets", "answer"),
    [
        (query(b"a") + b"x", DANE),
        (b"99999999:", b""),
        (b"get a\n" + b"x" * 5000, b"200 dane\n"),
        (b"x" * 5000, b""),
    ],
)
async def test_a_violation_ends_the_connection_behind_the_answers_before(
    octets: bytes, answer: bytes
) -> None:
    async with serving() as it, it.client() as client:
        await client.ask(octets, answer)
        await client.hear_end()


async def test_what_is_no_query_is_refused_and_the_connection_goes_on() -> None:
    async with serving() as it, it.client() as client:
        await client.ask(
            b"1:x," + query(b"a"), b"47:PERM a query is a map's name, a space and a key," + DANE
        )


async def test_idle_connections_end_and_waiting_ones_do_not() -> None:
    limits = MapLimits(idle_seconds=10)
    async with serving(limits) as it, it.client() as idle, it.client() as waiting:
        await idle.ask(query(b"a"), DANE)
        waiting.writer.write(query(b"cold"))
        async with asyncio.timeout(SECONDS):
            await it.answers.is_asked.wait()
        it.clock.move(timedelta(seconds=11))
        it.server.sweep()
        await idle.hear_end()
        it.answers.waiting[b"cold"].set_result(NOT_FOUND)
        await waiting.hear(NONE)


async def test_one_connection_too_many_ends_the_one_that_is_idle_for_longest() -> None:
    limits = MapLimits(connections=2)
    async with serving(limits) as it, it.client() as first, it.client() as second:
        await first.ask(query(b"a"), DANE)
        it.clock.move(timedelta(seconds=1))
        await second.ask(query(b"a"), DANE)
        async with it.client() as third:
            await third.ask(query(b"a"), DANE)
            await first.hear_end()
            await second.ask(query(b"a"), DANE)


async def test_a_client_that_asks_without_end_is_not_read_until_it_is_answered() -> None:
    async with serving() as it, it.client() as client:
        client.writer.write(query(b"cold"))
        async with asyncio.timeout(SECONDS):
            await it.answers.is_asked.wait()
        flood = 200 * MAX_PIPELINED
        client.writer.write(query(*[b"a"] * flood))
        async with it.client() as other:
            # Meanwhile what fits was read.
            for _ in range(10):
                await other.ask(query(b"a"), DANE)
        held = max(len(connection._events) for connection in it.server._connections)
        assert MAX_PIPELINED < held < flood
        it.answers.waiting[b"cold"].set_result(NOT_FOUND)
        await client.hear(NONE + DANE * flood)


async def test_a_client_that_takes_no_answers_is_not_read_and_ends_when_it_is_idle() -> None:
    limits = MapLimits(idle_seconds=10)
    async with serving(limits) as it, it.client() as client:
        it.answers.known[b"a"] = Reply(Status.OK, "x" * 50_000)
        client.writer.write(query(*[b"a"] * 400))
        await client.reader.readexactly(1)
        (connection,) = it.server._connections
        assert connection._is_stuck
        it.clock.move(timedelta(seconds=11))
        it.server.sweep()
        async with asyncio.timeout(SECONDS):
            while it.server._connections:
                with contextlib.suppress(ConnectionResetError):
                    await client.reader.read(65536)


async def test_a_client_that_takes_its_answers_late_gets_them_all() -> None:
    async with serving() as it, it.client() as client:
        it.answers.known[b"a"] = Reply(Status.OK, "x" * 50_000)
        client.writer.write(query(*[b"a"] * 400))
        answer = format_netstring(b"OK " + b"x" * 50_000)
        await client.hear(answer * 400)
        await client.ask(query(b".a"), NONE)


async def test_at_the_end_what_is_waited_for_is_answered_and_nothing_new_is_taken() -> None:
    async with serving() as it, it.client() as idle, it.client() as waiting:
        await idle.ask(query(b"a"), DANE)
        waiting.writer.write(query(b"cold"))
        async with asyncio.timeout(SECONDS):
            await it.answers.is_asked.wait()
        ending = asyncio.ensure_future(it.server._end_all())
        await idle.hear_end()
        it.answers.waiting[b"cold"].set_result(NOT_FOUND)
        await waiting.hear(NONE)
        await waiting.hear_end()
        await ending
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection(*it.address)


async def test_the_end_waits_only_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_server, "END_SECONDS", 0.01)
    async with serving() as it, it.client() as client:
        client.writer.write(query(b"never"))
        async with asyncio.timeout(SECONDS):
            await it.answers.is_asked.wait()
        await it.server._end_all()
        await client.hear_end()


async def test_answers_are_swept_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_server, "SWEEP_SECONDS", 0.001)
    async with serving() as it, asyncio.timeout(SECONDS):
        await it.answers.swept.wait()


async def test_a_unix_socket_is_served_too(tmp_path: Path) -> None:
    server = MapServer(Told(), MapLimits(), FakeClock())
    path = tmp_path / "policy"
    await server.open([bind_unix_socket(path, 0o666)])
    assert path.stat().st_mode & 0o777 == 0o666
    running = asyncio.ensure_future(server.run())
    reader, writer = await asyncio.open_unix_connection(path)
    await Client(reader, writer).ask(query(b"a"), DANE)
    writer.close()
    running.cancel()
    await asyncio.wait([running])
    # Other workers serve it as well, and who made it takes it away.
    assert path.is_socket()
