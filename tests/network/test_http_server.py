"""RFC 9110, RFC 9112: our small HTTP server, by clients that are not ours, good and bad."""

import asyncio
import contextlib
import http.client
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import pytest

from letterlock.network import http_server as module
from letterlock.network.acceptor import USUAL_LIMITS, AcceptorLimits
from letterlock.network.http_server import (
    DISCARD_SECONDS,
    MAX_HEADER_OCTETS,
    MAX_REQUESTS,
    HttpAnswer,
    HttpAsked,
    HttpServer,
    find_asked,
)
from letterlock.protocols.http.conditions import make_etag
from tests.fakes import FakeClock
from tests.listening import listening
from tests.peers import program

BODY = b"version: 1\r\n"
HOST = "Host: www.example.org"
CLOSE = "Connection: close"
GET = f"GET /it HTTP/1.1\r\n{HOST}\r\n\r\n".encode()
LAST_GET = f"GET /it HTTP/1.1\r\n{HOST}\r\n{CLOSE}\r\n\r\n".encode()


async def find(asked: HttpAsked) -> HttpAnswer:
    if asked.path == "/it":
        return HttpAnswer(HTTPStatus.OK, BODY, "application/octet-stream")
    return HttpAnswer(HTTPStatus.NOT_FOUND)


@asynccontextmanager
async def serving(limits: AcceptorLimits = USUAL_LIMITS) -> AsyncIterator[int]:
    async with listening(HttpServer(find, FakeClock(), limits).run) as port:
        yield port


async def exchange(port: int, *pieces: bytes) -> bytes:
    """Send octets, each piece by itself, and read to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return await asyncio.wait_for(reader.read(), 60)
    finally:
        writer.close()


async def write_until_reset(writer: asyncio.StreamWriter, octets: bytes) -> None:
    """Write for as long as the server takes it."""
    async with asyncio.timeout(60):
        with suppress(ConnectionError):
            while True:
                writer.write(octets)
                await writer.drain()
                await asyncio.sleep(0.001)
    writer.close()


def statuses_of(octets: bytes) -> list[int]:
    return [int(piece[:3]) for piece in octets.split(b"HTTP/1.1 ")[1:]]


def request(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize(("method", "body"), [("GET", BODY), ("HEAD", b"")])
async def test_get_and_head_are_answered(method: str, body: bytes) -> None:
    """RFC 9110 §9.3.1, §9.3.2, §6.6.1 (Date); the media type is not guessed at."""

    def ask(port: int) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(method, "/it")
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response, content

    async with serving() as port:
        response, content = await asyncio.to_thread(ask, port)
    assert (response.status, content) == (200, body)
    assert dict(response.getheaders()) == {
        "Date": "Sun, 01 Mar 2026 12:00:00 GMT",
        "Content-Type": "application/octet-stream",
        "Content-Length": str(len(BODY)),
        "X-Content-Type-Options": "nosniff",
    }


MADE = datetime(2026, 3, 1, 11, tzinfo=UTC)
ETAG = make_etag(BODY)


@asynccontextmanager
async def serving_known() -> AsyncIterator[int]:
    """Serve what has an entity-tag and a date."""

    async def find_known(asked: HttpAsked) -> HttpAnswer:
        fields = (("Cache-Control", "public, max-age=60"),)
        status = HTTPStatus.OK if asked.path == "/it" else HTTPStatus.SERVICE_UNAVAILABLE
        etag, modified = (ETAG, MADE) if status is HTTPStatus.OK else ("", None)
        return HttpAnswer(status, BODY, "application/pkix-crl", fields, etag, modified)

    async with listening(HttpServer(find_known, FakeClock()).run) as port:
        yield port


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "condition",
    [f'If-None-Match: "other", {ETAG}', "If-Modified-Since: Sun, 01 Mar 2026 11:00:00 GMT"],
)
async def test_who_has_it_already_is_not_sent_it_again(method: str, condition: str) -> None:
    """RFC 9110 §13.1.2, §13.1.3, §15.4.5; the connection goes on."""
    first = request(f"{method} /it HTTP/1.1", HOST, condition)
    async with serving_known() as port:
        octets = await exchange(port, first + LAST_GET)
    told, sent = octets.split(b"HTTP/1.1 ")[1:]
    assert told.split(b"\r\n") == [
        b"304 Not Modified",
        b"Date: Sun, 01 Mar 2026 12:00:00 GMT",
        b"X-Content-Type-Options: nosniff",
        b"Cache-Control: public, max-age=60",
        b"ETag: " + ETAG.encode(),
        *(b"", b""),
    ]
    assert sent.startswith(b"200 OK\r\n")
    assert b"\r\nLast-Modified: Sun, 01 Mar 2026 11:00:00 GMT\r\n" in sent
    assert b"\r\nETag: " + ETAG.encode() in sent
    assert sent.endswith(b"\r\n\r\n" + BODY)


async def test_what_is_not_there_now_is_not_known_either() -> None:
    """RFC 9110 §13.2.1: a condition counts only where the answer would be 200."""
    asked = request("GET /away HTTP/1.1", HOST, "If-None-Match: *", CLOSE)
    async with serving_known() as port:
        assert statuses_of(await exchange(port, asked)) == [503]


@pytest.mark.peer("curl")
async def test_curl_fetches_it_once(tmp_path: Path) -> None:
    """By its tag, and by the date that it gave the file."""
    tag, copy = tmp_path / "tag", tmp_path / "copy"

    async def fetch(port: int, *options: str) -> str:
        told = ("--silent", "--show-error", "--write-out", "%{http_code} %{size_download}")
        process = await asyncio.create_subprocess_exec(
            program("curl"), *told, *options, f"http://127.0.0.1:{port}/it", stdout=PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        return out.decode()

    whole, known = f"200 {len(BODY)}", "304 0"
    async with serving_known() as port:
        save = ("--remote-time", "--etag-save", str(tag), "--output", str(copy))
        assert await fetch(port, *save) == whole
        assert await fetch(port, "--etag-compare", str(tag)) == known
        assert await fetch(port, "--time-cond", str(copy)) == known
        assert copy.read_bytes() == BODY
        tag.write_text('"other"\n')
        assert await fetch(port, "--etag-compare", str(tag), "--output", str(copy)) == whole


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("GET /it HTTP/1.1", HOST), 200),
        (("GET /it?x=y#z HTTP/1.1", HOST), 200),
        (("GET /it HTTP/1.0",), 200),
        (("GET /it HTTP/1.1", "Host:"), 200),
        (("GET /it HTTP/1.1", "Host: [2001:db8::1]:80"), 200),
        (("GET /it HTTP/1.1", HOST, "Expect: 100-continue"), 200),
        (("GET /it HTTP/1.1", HOST, "Upgrade: h2c", "Connection: Upgrade"), 200),
        # RFC 9112 §3.2.2: the absolute form must be taken.
        (("GET http://www.example.org/it HTTP/1.1", HOST), 200),
        (("GET HTTPS://WWW.example.org:443/it?a HTTP/1.1", HOST), 200),
        (("GET http://www.example.org?it HTTP/1.1", HOST), 404),
        (("GET http://www.example.org HTTP/1.1", HOST), 404),
        (("GET / HTTP/1.1", HOST), 404),
        # Nothing is decoded, joined or resolved: these are other paths.
        (("GET /a/../it HTTP/1.1", HOST), 404),
        (("GET /%69t HTTP/1.1", HOST), 404),
        (("GET //it HTTP/1.1", HOST), 404),
        (("GET /it/ HTTP/1.1", HOST), 404),
        (("GET /./it HTTP/1.1", HOST), 404),
        (("GET /it;x HTTP/1.1", HOST), 404),
        (("GET /it%00 HTTP/1.1", HOST), 404),
        (("GET /IT HTTP/1.1", HOST), 404),
        # RFC 9110 §15.5.6.
        (("POST /it HTTP/1.1", HOST, "Content-Length: 0"), 405),
        (("OPTIONS * HTTP/1.1", HOST), 405),
        (("CONNECT www.example.org:443 HTTP/1.1", HOST), 405),
        (("TRACE /it HTTP/1.1", HOST), 405),
        (("get /it HTTP/1.1", HOST), 405),
        # RFC 9112 §3.2: what must be 400.
        (("GET /it HTTP/1.1",), 400),
        (("GET /it HTTP/1.1", HOST, HOST), 400),
        (("GET /it HTTP/1.1", "Host: a b"), 400),
        (("GET /it HTTP/1.1", "Host: www.example.org/x"), 400),
        (("GET /it HTTP/1.1", "Host: user@www.example.org"), 400),
        (("GET /it HTTP/1.1", "Host: www.example.org:80x"), 400),
        (("GET /it HTTP/1.1", "Host: [::1"), 400),
        (("GET it HTTP/1.1", HOST), 400),
        (("GET * HTTP/1.1", HOST), 400),
        (("GET http:///it HTTP/1.1", HOST), 400),
        (("GET http://:80/it HTTP/1.1", HOST), 400),
        (("GET http://user@www.example.org/it HTTP/1.1", HOST), 400),
        (("GET ftp://www.example.org/it HTTP/1.1", HOST), 400),
        # RFC 9112 §2.2, §5.1, §6.3.
        (("GET /it HTTP/1.1", f" {HOST}"), 400),
        (("GET /it HTTP/1.1", "Host : www.example.org"), 400),
        (("GET /it HTTP/1.1", HOST, "Content-Length: x"), 400),
        (("GET /it HTTP/1.1", HOST, "Content-Length: 1", "Content-Length: 2"), 400),
        (("GET /i\tt HTTP/1.1", HOST), 400),
        (("GET /it",), 400),
        (("EHLO example.org",), 400),
        (("PRI * HTTP/2.0", HOST), 505),
    ],
)
async def test_what_is_asked_for_decides_the_answer(lines: Sequence[str], status: int) -> None:
    async with serving() as port:
        octets = await exchange(port, request(*lines[:1], CLOSE, *lines[1:]))
    assert statuses_of(octets) == [status]
    assert octets.endswith(BODY) is (status == 200)
    assert (b"\r\nAllow: GET, HEAD\r\n" in octets) is (status == 405)
    assert b"\r\nConnection: close\r\n" in octets


async def test_an_answer_says_nothing_again_that_was_asked() -> None:
    probe = "zq7<script>"
    asked = [
        (f"GET /{probe} HTTP/1.1", f"Host: {probe}.example"),
        (f"GET /{probe} HTTP/1.1", "Host: a.example", f"X: {probe}"),
        (f"{probe} / HTTP/1.1", "Host: a.example"),
        (f"{probe}",),
    ]
    async with serving() as port:
        for lines in asked:
            octets = await exchange(port, request(*lines, CLOSE))
            assert octets.startswith(b"HTTP/1.1 4")
            assert b"zq7" not in octets


@pytest.mark.parametrize("at", range(1, len(LAST_GET)))
async def test_a_request_may_come_in_two_pieces(server: int, at: int) -> None:
    octets = await exchange(server, LAST_GET[:at], LAST_GET[at:])
    assert statuses_of(octets) == [200]
    assert octets.endswith(BODY)


@pytest.fixture
async def server() -> AsyncIterator[int]:
    async with serving() as port:
        yield port


async def test_a_connection_has_several_requests(server: int) -> None:
    """RFC 9112 §9.3: also when they come without waiting (§9.3.2), in their order."""
    other = request("GET /other HTTP/1.1", HOST)
    head = request("HEAD /it HTTP/1.1", HOST)
    assert statuses_of(await exchange(server, GET + other + head + LAST_GET)) == [
        200,
        404,
        200,
        200,
    ]
    assert statuses_of(await exchange(server, GET, other, LAST_GET, GET)) == [200, 404, 200]


async def test_a_request_that_is_none_is_the_last(server: int) -> None:
    octets = await exchange(server, GET + b"\x16\x03\x01\r\n\r\n" + GET)
    assert statuses_of(octets) == [200, 400]
    bad_host = request("GET /it HTTP/1.1", "Host: a b")
    assert statuses_of(await exchange(server, bad_host + GET)) == [400]


async def test_a_connection_has_an_end(server: int) -> None:
    octets = await exchange(server, GET * (MAX_REQUESTS + 5))
    assert statuses_of(octets) == [200] * MAX_REQUESTS
    assert octets.count(b"Connection: close") == 1


@pytest.mark.parametrize("framing", ["Content-Length: 200000", "Transfer-Encoding: chunked"])
async def test_a_body_is_not_wanted_and_its_sender_reads_the_answer(
    server: int, framing: str
) -> None:
    """RFC 9112 §9.6: the connection is not reset under an answer that is on its way."""
    head = request("POST /it HTTP/1.1", HOST, framing)
    octets = await exchange(server, head, b"3\r\nabc\r\n" + b"x" * 100_000)
    assert statuses_of(octets) == [405]
    assert b"\r\nConnection: close\r\n" in octets


async def test_a_body_may_be_as_long_as_it_likes(
    server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only so much of it is read before the connection is closed for good."""
    monkeypatch.setattr(module, "MAX_DISCARDED_OCTETS", 1000)
    monkeypatch.setattr(module, "DISCARD_SECONDS", 3600.0)
    _, writer = await asyncio.open_connection("127.0.0.1", server)
    writer.write(request("POST /it HTTP/1.1", HOST, "Content-Length: 99999999"))
    await write_until_reset(writer, b"x" * 10_000)


@pytest.mark.parametrize(
    "head",
    [
        request("GET /it HTTP/1.1", HOST, f"X: {'x' * MAX_HEADER_OCTETS}"),
        f"GET /{'x' * MAX_HEADER_OCTETS}".encode(),
        b"GET /it HTTP/1.1\r\n" + b"A: b\r\n" * MAX_HEADER_OCTETS,
    ],
)
@pytest.mark.parametrize("size", [100, 10_000_000])
async def test_headers_have_a_size(server: int, head: bytes, size: int) -> None:
    """However they are cut into pieces."""
    pieces = [head[at : at + size] for at in range(0, len(head), size)]
    assert statuses_of(await exchange(server, *pieces)) == [431]


@pytest.mark.parametrize("octets", [b"", b"GET /it HTT", LAST_GET[:-1]])
async def test_a_slow_client_is_hung_up_on(octets: bytes) -> None:
    async with serving(AcceptorLimits(seconds=0.3)) as port:
        assert await exchange(port, octets) == b""


async def test_a_client_that_sends_an_octet_now_and_then_is_slow_too() -> None:
    async with serving(AcceptorLimits(seconds=0.3)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        reading = asyncio.ensure_future(reader.read())
        while not reading.done():
            writer.write(b"x")
            await asyncio.wait([reading], timeout=0.02)
        # An octet that arrives after the server has closed is answered with a reset.
        with contextlib.suppress(ConnectionResetError):
            assert reading.result() == b""
        writer.close()


async def test_a_connection_is_not_kept_for_nothing(
    server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9112 §9.5: it is idle between two requests for so long."""
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.2)
    assert statuses_of(await exchange(server, GET)) == [200]


async def test_a_client_that_does_not_go_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has read all of its answer, and keeps the connection open."""
    assert USUAL_LIMITS.seconds > DISCARD_SECONDS
    monkeypatch.setattr(module, "DISCARD_SECONDS", 0.1)
    limits = AcceptorLimits(seconds=3600)
    async with serving(limits) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LAST_GET)
        assert statuses_of(await asyncio.wait_for(reader.read(), 60)) == [200]
        await write_until_reset(writer, b"x")


async def test_a_client_that_goes_away_stops_nobody(server: int) -> None:
    for octets in (b"", b"GET", GET, GET * 3):
        _, writer = await asyncio.open_connection("127.0.0.1", server)
        writer.write(octets)
        writer.transport.abort()
    assert statuses_of(await exchange(server, LAST_GET)) == [200]


@pytest.mark.parametrize(
    ("target", "host", "asked"),
    [
        (b"/a?b", b"WWW.Example.ORG:8080", HttpAsked("www.example.org", "/a")),
        (b"/", b"[2001:DB8::1]:80", HttpAsked("2001:db8::1", "/")),
        (b"/", b"192.0.2.1", HttpAsked("192.0.2.1", "/")),
        (b"/", b"", HttpAsked("", "/")),
        # RFC 9112 §3.2.2: then Host does not count.
        (b"http://a.example/b", b"www.example.org", HttpAsked("a.example", "/b")),
        (b"http://a.example?b", b"/", HttpAsked("a.example", "/")),
        (b"/", b"caf\xe9.example", None),
        (b"", b"a.example", None),
    ],
)
def test_target_and_host_say_what_is_asked(
    target: bytes, host: bytes, asked: HttpAsked | None
) -> None:
    """RFC 9112 §3.2, §3.3."""
    assert find_asked(target.decode("latin-1"), host.decode("latin-1")) == asked
