"""A connection's octets: every wait bounded, what was said before the end still read."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import pytest

from letterlock.network import wire as module
from letterlock.network.client_contexts import ClientContexts, ClientSettings
from letterlock.network.tls import TlsDriver
from letterlock.network.wire import MAX_BUFFERED_OCTETS, Lost, Wire, connect
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed
from tests.accepting import accepting
from tests.network.certificates import issue, make_chooser

LONG = 60.0
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(behave: Behaviour) -> AsyncIterator[tuple[str, int]]:
    """Run a server that does something with one connection, and then closes it."""
    async with accepting(behave) as port:
        yield "127.0.0.1", port


async def turn(times: int) -> None:
    """Let the loop do what is ready, such as closing sockets."""
    for _ in range(times):
        await asyncio.sleep(0)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        for _ in count():
            if is_so():
                return
            await asyncio.sleep(0)


@asynccontextmanager
async def connected(behave: Behaviour) -> AsyncIterator[Wire]:
    async with server(behave) as (ip, port):
        wire = await connect(ip, port, LONG)
        assert isinstance(wire, Wire)
        try:
            yield wire
        finally:
            wire.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while octets := await reader.read(65536):
        writer.write(octets)


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    del writer
    await reader.read()


async def test_octets_go_out_and_come_in() -> None:
    async with connected(echo) as wire:
        assert await wire.write(b"hello", LONG) is None
        assert await wire.read(LONG) == b"hello"
        assert wire.is_open
        assert not wire.has_unread()


async def test_a_read_waits_only_so_long() -> None:
    async with connected(say_nothing) as wire:
        assert await wire.read(0.01) == Lost("timed out", is_timeout=True)
        assert wire.is_open


async def test_a_read_is_late_by_its_own_time_and_not_by_that_of_one_before() -> None:
    async with connected(echo) as wire:
        assert await wire.write(b"one", LONG) is None
        assert await wire.read(0.5) in {b"one", Lost("timed out", is_timeout=True)}
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(wire.read(60.0))
            # The timer of the one before looks again later.
            await until(lambda: wire._timer is not None and wire._timer_at > wire._loop.time() + 5)
            assert await wire.write(b"two", LONG) is None
        assert waiting.result() in {b"one", b"two", b"onetwo"}


async def test_a_read_that_waits_less_than_one_before_is_late_sooner() -> None:
    async with connected(echo) as wire:
        assert await wire.write(b"one", LONG) is None
        assert await wire.read(3600.0) == b"one"
        assert await wire.read(0.01) == Lost("timed out", is_timeout=True)
        assert await wire.read(0.0) == Lost("timed out", is_timeout=True)


async def test_a_closed_connection_leaves_no_timer() -> None:
    async with connected(echo) as wire:
        assert await wire.write(b"one", LONG) is None
        assert await wire.read(3600.0) == b"one"
        wire.close()
        await until(lambda: wire._timer is None)


async def test_a_write_waits_only_so_long() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.transport.pause_reading()  # type: ignore[attr-defined] # it is a socket's
        await asyncio.Event().wait()

    async with connected(deaf) as wire:
        lost = None
        while lost is None:
            lost = await wire.write(b"x" * 1_000_000, 0.05)
        assert lost.is_timeout


async def test_a_peer_that_reads_nothing_does_not_keep_a_closed_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.01)
    ended = asyncio.Event()

    class Watched(Wire):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            ended.set()

    monkeypatch.setattr(module, "Wire", Watched)

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.transport.pause_reading()  # type: ignore[attr-defined] # it is a socket's
        await asyncio.Event().wait()

    async with connected(deaf) as wire:
        while await wire.write(b"x" * 1_000_000, 0.05) is None:
            pass
        wire.close()
        async with asyncio.timeout(LONG):
            await ended.wait()


async def test_what_came_before_the_end_is_read_first() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(b"421 bye\r\n")

    async with connected(speak) as wire:
        assert await wire.read(LONG) == b"421 bye\r\n"
        assert await wire.read(LONG) == Lost("connection closed by peer")
        assert not wire.is_open


async def test_what_comes_after_our_own_end_is_still_read() -> None:
    async def answer_at_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())

    async with connected(answer_at_the_end) as wire:
        assert await wire.write(b"abc", LONG) is None
        wire.finish_writing()
        assert await wire.read(LONG) == b"ABC"
        assert isinstance(await wire.read(LONG), Lost)
        wire.close()
        wire.finish_writing()  # after the end there is nothing to say


async def test_a_reset_is_named() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with connected(reset) as wire:
        # What is left unread makes the kernel answer the close with a reset.
        await wire.write(b"x" * 100_000, LONG)
        lost = await wire.read(LONG)
        assert isinstance(lost, Lost)
        assert lost.detail in ("connection reset by peer", "connection closed by peer")


async def test_nothing_is_written_after_the_end() -> None:
    async with connected(say_nothing) as wire:
        wire.close()
        wire.close()
        assert await wire.write(b"x", LONG) == Lost("connection closed")
        assert not wire.is_open


async def test_a_wire_without_a_connection_is_closed() -> None:
    wire = Wire()
    wire.close()
    assert not wire.is_open
    assert await wire.write(b"x", LONG) == Lost("connection closed")


async def test_no_more_is_held_than_was_looked_at() -> None:
    """A peer that says what nobody asked for fills its own buffers, not ours."""
    flooded = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(b"x" * 20_000_000)
        flooded.set()
        await writer.drain()

    async with connected(flood) as wire:
        await flooded.wait()
        await until(lambda: len(wire._received) > MAX_BUFFERED_OCTETS)
        await turn(100)
        assert len(wire._received) <= 2 * MAX_BUFFERED_OCTETS
        total = 0
        while total < 20_000_000:
            octets = await wire.read(LONG)
            assert isinstance(octets, bytes)
            total += len(octets)


async def test_a_refused_connection_says_so() -> None:
    async with server(echo) as (ip, port):
        pass
    assert await connect(ip, port, LONG) == Lost("Connection refused")


async def test_a_connection_that_takes_too_long_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ip, port = listener.getsockname()
        assert await connect(ip, port, 0) == Lost("Connection timed out", is_timeout=True)


async def test_an_address_that_is_not_ours_cannot_be_the_source() -> None:
    async with server(echo) as (ip, port):
        lost = await connect(ip, port, LONG, source="192.0.2.77")
        assert isinstance(lost, Lost)
        assert "assign requested address" in lost.detail


async def test_the_source_address_is_the_one_asked_for() -> None:
    sources: list[str] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        sources.append(writer.get_extra_info("peername")[0])

    async with server(note) as (ip, port):
        wire = await connect(ip, port, LONG, source="127.0.0.77")
        assert isinstance(wire, Wire)
        assert isinstance(await wire.read(LONG), Lost)
        wire.close()
    assert sources == ["127.0.0.77"]


# TLS


def client(name: str = "mx.example.org") -> TlsDriver:
    return TlsDriver.client(ClientContexts().find(ClientSettings()), name)


def tls_server(folder: Path, then: Callable[[TlsDriver], bytes], piece: int = 65536) -> Behaviour:
    """Shake hands, sending `piece` octets at a time; then send what `then` gives, and wait."""
    chooser = make_chooser(folder, issue(("mx.example.org",)))

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        driver = TlsDriver.server(chooser)
        while driver.do_handshake() is None:
            await send(writer, driver.bytes_to_send())
            driver.receive(await reader.read(65536))
        await send(writer, driver.bytes_to_send() + then(driver))
        await reader.read()

    async def send(writer: asyncio.StreamWriter, octets: bytes) -> None:
        for start in range(0, len(octets), piece):
            writer.write(octets[start : start + piece])
            await writer.drain()

    return behave


def saying(words: bytes) -> Callable[[TlsDriver], bytes]:
    def say(driver: TlsDriver) -> bytes:
        driver.write(words)
        return driver.bytes_to_send()

    return say


@pytest.mark.parametrize("piece", [1, 7, 65536])
async def test_tls_however_the_octets_are_split(piece: int, tmp_path: Path) -> None:
    async with connected(tls_server(tmp_path, saying(b"250 fine\r\n"), piece)) as wire:
        assert isinstance(await wire.start_tls(client(), LONG), Handshake)
        received = b""
        while not received.endswith(b"\n"):
            octets = await wire.read(LONG)
            assert isinstance(octets, bytes)
            received += octets
        assert received == b"250 fine\r\n"


async def test_what_comes_with_the_end_of_the_handshake_is_read(tmp_path: Path) -> None:
    """A client's first octets may be in the packet with its Finished: nothing comes after them."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        driver = client()
        while driver.do_handshake() is None:
            writer.write(driver.bytes_to_send())
            driver.receive(await reader.read(65536))
        driver.write(b"POST / HTTP/1.1")
        writer.write(driver.bytes_to_send())
        await reader.read()

    chooser = make_chooser(tmp_path, issue(("mx.example.org",)))
    async with connected(speak) as wire:
        assert isinstance(await wire.start_tls(TlsDriver.server(chooser), LONG), Handshake)
        assert await wire.read(LONG) == b"POST / HTTP/1.1"


async def test_a_session_ticket_is_no_answer(tmp_path: Path) -> None:
    """RFC 8446 §4.6.1: it comes after the handshake, unasked."""
    async with connected(tls_server(tmp_path, lambda _driver: b"")) as wire:
        await wire.start_tls(client(), LONG)
        assert isinstance(await wire.read(0.05), Lost)
        assert not wire.has_unread()
        assert wire.is_open


async def test_what_was_said_under_tls_and_not_read_is_noticed(tmp_path: Path) -> None:
    async with connected(tls_server(tmp_path, saying(b"421 bye\r\n"))) as wire:
        await wire.start_tls(client(), LONG)
        await until(wire.has_unread)
        assert await wire.read(LONG) == b"421 bye\r\n"


async def test_close_notify_ends_it_though_the_connection_stands(tmp_path: Path) -> None:
    """RFC 8446 §6.1."""

    def say_goodbye(driver: TlsDriver) -> bytes:
        driver.close()
        return driver.bytes_to_send()

    async with connected(tls_server(tmp_path, say_goodbye)) as wire:
        await wire.start_tls(client(), LONG)
        assert await wire.read(LONG) == Lost("connection closed by peer")
        assert not wire.is_open


async def test_damaged_records_are_a_tls_failure(tmp_path: Path) -> None:
    async with connected(
        tls_server(tmp_path, lambda _driver: b"\x17\x03\x03\x00\x05abcde")
    ) as wire:
        await wire.start_tls(client(), LONG)
        lost = await wire.read(LONG)
        assert isinstance(lost, Lost)
        assert lost.detail.startswith("TLS: ")
        assert wire.tls_failure is not None


async def test_a_handshake_waits_only_so_long() -> None:
    async with connected(say_nothing) as wire:
        assert wire.tls_failure is None
        failed = await wire.start_tls(client(), 0.05)
        assert isinstance(failed, HandshakeFailed)
        assert failed.cause is FailureCause.TIMED_OUT


async def test_a_name_without_an_address_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    async def find_nothing(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", find_nothing)
    lost = await connect("rspamd.invalid", 11333, 5)
    assert lost == Lost("Name or service not known")
