"""Asking rspamd over HTTP: the message is sent as it is read, and every wait has an end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from letterlock.base.config.filters import RspamdPlace
from letterlock.network.http_exchange import BodyStream, HttpFailed, HttpFault, HttpResponse
from letterlock.network.rspamd_client import RspamdClient
from tests.accepting import accepting

PIECES = (b"Subject: a\r\n\r\n", b"b" * 100_000, b"\r\n")
MESSAGE = b"".join(PIECES)
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"action":"no action"}'


async def read() -> AsyncIterator[bytes]:
    for piece in PIECES:
        yield piece


def stream() -> BodyStream:
    return BodyStream(len(MESSAGE), read())


@asynccontextmanager
async def serving(
    answer: bytes, seen: list[bytes], path: Path | None = None, *, reads: bool = True
) -> AsyncIterator[RspamdPlace]:
    """Answer each request, after it was read, or at once; b"" is no answer."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            if reads:
                seen.append(await reader.readexactly(len(MESSAGE)))
            writer.write(answer)
            if answer:
                writer.write_eof()
            await reader.read()
        except OSError:
            pass  # it went away, with our answer unread
        finally:
            writer.close()
            ended.set()

    async with accepting(serve, path=path) as port:
        if path is None:
            yield RspamdPlace(host="127.0.0.1", port=port)
        else:
            yield RspamdPlace(path=str(path))
        await ended.wait()


@pytest.mark.parametrize("is_unix", [False, True])
async def test_a_message_is_sent_and_the_answer_read(*, is_unix: bool, tmp_path: Path) -> None:
    """RFC 9112 §6.2: its length is told; over TCP and over a unix socket."""
    seen: list[bytes] = []
    async with serving(ANSWER, seen, tmp_path / "socket" if is_unix else None) as place:
        client = RspamdClient(place, 30, 1000)
        response = await client.check((("From", "<a@b>"), ("Rcpt", "<c@d>")), stream())
    assert isinstance(response, HttpResponse)
    assert (response.status, response.body) == (200, b'{"action":"no action"}')
    lines = seen[0].split(b"\r\n")
    assert lines[0] == b"POST /checkv2 HTTP/1.1"
    assert {b"From: <a@b>", b"Rcpt: <c@d>", b"Content-Length: %d" % len(MESSAGE)} <= set(lines)
    assert seen[1] == MESSAGE


async def test_one_that_is_not_there_is_told(tmp_path: Path) -> None:
    for place, words in (
        (RspamdPlace(path=str(tmp_path / "nothing")), "No such file"),
        (RspamdPlace(host="127.0.0.1", port=1), "Connection refused"),
    ):
        failed = await RspamdClient(place, 30, 1000).check((), stream())
        assert isinstance(failed, HttpFailed)
        assert failed.fault is HttpFault.UNREACHABLE
        assert failed.reason.startswith(f"{place}: ")
        assert words in failed.reason


async def test_one_that_says_nothing_is_not_waited_for() -> None:
    async with serving(b"", []) as place:
        failed = await RspamdClient(place, 0.2, 1000).check((), stream())
    assert isinstance(failed, HttpFailed)
    assert failed.fault is HttpFault.TIMED_OUT
    assert failed.reason == f"{place}: no response within 0.2 seconds"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", HttpFault.TOO_LONG),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001, HttpFault.TOO_LONG),
        (b"SMTP?\r\n\r\n", HttpFault.NO_RESPONSE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", HttpFault.NO_RESPONSE),
    ],
)
async def test_what_is_no_response_is_told(answer: bytes, fault: HttpFault) -> None:
    async with serving(answer, []) as place:
        failed = await RspamdClient(place, 30, 1000).check((), stream())
    assert isinstance(failed, HttpFailed)
    assert failed.fault is fault


async def test_what_breaks_while_the_message_is_read_rises() -> None:
    """A full disk is our fault, and not rspamd's."""

    async def break_down() -> AsyncIterator[bytes]:
        yield b"x"
        raise RuntimeError("the disk")

    async with serving(ANSWER, [], reads=False) as place:
        with pytest.raises(RuntimeError, match="the disk"):
            await RspamdClient(place, 30, 1000).check((), BodyStream(100, break_down()))


async def test_a_message_without_octets_is_sent_too() -> None:
    async def nothing() -> AsyncIterator[bytes]:
        for _ in range(0):
            yield b""

    seen: list[bytes] = []
    async with serving(ANSWER, seen, reads=False) as place:
        response = await RspamdClient(place, 30, 1000).check((), BodyStream(0, nothing()))
    assert isinstance(response, HttpResponse)
    assert b"\r\nContent-Length: 0\r\n" in seen[0]


async def test_one_that_goes_away_in_the_midst_is_told() -> None:
    async def leave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def much() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 65536
            await asyncio.sleep(0)

    async with accepting(leave) as port:
        place = RspamdPlace(host="127.0.0.1", port=port)
        body = BodyStream(200 * 65536, much())
        failed = await RspamdClient(place, 30, 1000).check((), body)
    assert isinstance(failed, HttpFailed)
    assert failed.fault is HttpFault.NO_RESPONSE
