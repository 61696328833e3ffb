"""Nothing forged in our name comes in, however a message comes: RFC 8601 §5."""

import re
from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.network.wire import Wire, connect
from letterlock.protocols.smtp.header_section import MAX_HEADER_OCTETS
from letterlock.protocols.smtp.own_results import make_own_names
from letterlock.services.receive.opening import Opening, ResultsGuard
from letterlock.services.receive.recipients import RelayClients
from tests.services.receive.test_receiving import Node, read_reply, receiving

OWN = make_own_names(["mx.example.org"])
GUARD = ResultsGuard(OWN)
CLIENT = "192.0.2.1"
FORGED = b"Authentication-Results: (us)\r\n MX.example.org; dkim=pass header.d=bank.example\r\n"
OTHER = b"Authentication-Results: other.example; dkim=pass\r\n"
FROM = b"From: bob@example.net\r\nDate: Sun, 01 Mar 2026 10:00:00 +0000\r\nMessage-ID: <1@a>\r\n"
CONTENT = FROM + FORGED + OTHER + b"\r\nbody\r\n" + FORGED
CLEANED = FROM + OTHER + b"\r\nbody\r\n" + FORGED


def open_whole(
    pieces: Iterable[bytes], guard: ResultsGuard | None = GUARD
) -> tuple[bytes, Opening]:
    opening = Opening(guard, CLIENT)
    done = b""
    for piece in pieces:
        done += opening.receive(piece) if opening.header is None else piece
    return done + opening.finish(), opening


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("content", "expected", "header"),
    [
        (CONTENT, CLEANED, FROM + OTHER),
        (FORGED + b"\r\n", b"\r\n", b""),
        # No empty line, and no line end.
        (FROM + FORGED, FROM, FROM),
        (FROM + b"Authentication-Results: mx.example.org; none", FROM, FROM),
        # No header section at all: what follows is body, and nobody's result.
        (b"\r\n" + FORGED, b"\r\n" + FORGED, b""),
        (b"\r\n", b"\r\n", b""),
        (b"", b"", b""),
        (b"text\r\n" + FORGED + b"\r\n", b"\r\ntext\r\n" + FORGED + b"\r\n", b""),
        (b"text", b"\r\ntext", b""),
        # Some read on behind a line that is no field.
        (FROM + b"text\r\n" + FORGED + b"\r\nx", FROM + b"text\r\n\r\nx", FROM + b"text\r\n"),
        (FROM + b"\r\n\r\n", FROM + b"\r\n\r\n", FROM),
    ],
)
def test_what_is_forged_is_taken_out_however_it_comes(
    content: bytes, expected: bytes, header: bytes, size: int
) -> None:
    """RFC 8601 §5."""
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    done, opening = open_whole(pieces)
    assert done == expected
    assert opening.header == header
    assert not opening.is_too_long


def test_without_a_guard_nothing_is_taken_out() -> None:
    assert open_whole([CONTENT], None)[0] == CONTENT


def test_our_other_servers_are_believed() -> None:
    """RFC 8601 §5: those that are told of."""
    trusting = ResultsGuard(OWN, RelayClients((ip_network("192.0.2.0/24"),)))
    done, opening = open_whole([CONTENT], trusting)
    assert (done, opening.dropped) == (CONTENT, 0)
    foreign = ResultsGuard(OWN, RelayClients((ip_network("198.51.100.0/24"),)))
    assert open_whole([CONTENT], foreign)[0] == CLEANED


@pytest.mark.parametrize("size", [999, 70_000, 10**9])
def test_a_header_that_is_longer_than_is_looked_at_does_not_come_in(size: int) -> None:
    filler = b"X: " + b"x" * 95 + b"\r\n"
    count = MAX_HEADER_OCTETS // len(filler)
    fits, long = filler * count, filler * (count + 1)
    done, opening = open_whole(_cut(fits + FORGED[:0] + b"\r\n" + FORGED, size))
    assert (done, opening.header) == (fits + b"\r\n" + FORGED, fits)
    for content in (long + FORGED + b"\r\nbody", long + FORGED):
        done, opening = open_whole(_cut(content, size))
        assert (done, opening.is_too_long, opening.header) == (b"", True, None)


LINES = st.sampled_from(
    (FROM, FORGED, OTHER, b"\r\n", b"text\r\n", b" more\r\n", b"From x y\r\n", b"A: 1\r\n")
)


@given(st.lists(LINES, max_size=8).map(b"".join), st.integers(1, 9))
def test_how_it_was_split_does_not_matter(content: bytes, size: int) -> None:
    whole, at_once = open_whole([content])
    cut, in_pieces = open_whole(_cut(content, size))
    assert (cut, in_pieces.header, in_pieces.dropped) == (whole, at_once.header, at_once.dropped)
    assert at_once.header is not None
    assert not re.search(rb"(?im)^authentication-results: \(us\)", at_once.header)


def _cut(octets: bytes, size: int) -> list[bytes]:
    return [octets[at : at + size] for at in range(0, len(octets), size)]


async def send(node: Node, content: bytes, *, is_chunked: bool, size: int) -> bytes:
    """Send content in pieces of a size; gives the last reply."""
    wire = await connect("127.0.0.1", node.port, 5)
    assert isinstance(wire, Wire)
    await read_reply(wire)
    for command in (
        b"EHLO client.example\r\n",
        b"MAIL FROM:<bob@example.net>\r\n",
        b"RCPT TO:<alice@example.org>\r\n",
    ):
        await wire.write(command, 5)
        await read_reply(wire)
    if is_chunked:
        for piece in _cut(content, size):
            await wire.write(b"BDAT %d\r\n%b" % (len(piece), piece), 5)
            await read_reply(wire)
        await wire.write(b"BDAT 0 LAST\r\n", 5)
    else:
        await wire.write(b"DATA\r\n", 5)
        await read_reply(wire)
        for piece in _cut(content + b".\r\n", size):
            await wire.write(piece, 5)
    answer = await read_reply(wire)
    wire.close()
    return answer


async def kept(node: Node) -> list[bytes]:
    """Give what is in the queue, without our Received field."""
    bodies = []
    for message in await node.store.list_messages():
        body = b"".join([piece async for piece in node.store.read_body(message.queue_id)])
        bodies.append(re.sub(rb"\AReceived:.*?\r\n(?![ \t])", b"", body, flags=re.DOTALL))
    return bodies


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("size", [1, 10**6])
async def test_a_session_stores_no_forged_field(
    size: int, *, is_chunked: bool, tmp_path: Path
) -> None:
    """RFC 8601 §5: from a client that may relay as from any other."""
    async with receiving(tmp_path, results=GUARD, relay_from="127.0.0.0/8") as node:
        answer = await send(node, CONTENT, is_chunked=is_chunked, size=size)
        assert answer.startswith(b"250 ")
        assert await kept(node) == [CLEANED]
        assert any(
            "1 Authentication-Results in our name removed" in each for each in node.log.texts
        )


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_session_refuses_a_header_that_is_too_long(
    *, is_chunked: bool, tmp_path: Path
) -> None:
    filler = b"X: " + b"x" * 995 + b"\r\n"
    content = filler * (MAX_HEADER_OCTETS // len(filler) + 1) + FORGED + b"\r\nbody\r\n"
    async with receiving(tmp_path, results=GUARD) as node:
        answer = await send(node, content, is_chunked=is_chunked, size=60_000)
        assert answer.startswith(b"552 5.3.4 ")
        assert await kept(node) == []
        assert sum("reject: END-OF-MESSAGE" in each for each in node.log.texts) == 1
        assert (await send(node, CONTENT, is_chunked=is_chunked, size=60_000)).startswith(b"250 ")


async def test_loops_are_seen_in_a_message_without_an_empty_line(tmp_path: Path) -> None:
    """RFC 5321 §6.3."""
    async with receiving(tmp_path, results=GUARD) as node:
        content = b"Received: from a by b; now\r\n" * 51
        answer = await send(node, content, is_chunked=False, size=10**6)
    assert answer.startswith(b"554 5.4.6 ")
