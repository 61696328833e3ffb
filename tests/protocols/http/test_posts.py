"""RFC 9112: requests that POST something, whole, in pieces, and malformed."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.http.posts import (
    MAX_CHUNK_LINE_OCTETS,
    MAX_CHUNKS,
    MAX_HEAD_OCTETS,
    MAX_TRAILER_OCTETS,
    Event,
    PostFault,
    PostHead,
    PostReader,
)

MOST = 1000
LINE = "POST /a HTTP/1.1"
HOST = "Host: mx.example.org"
CHUNKED = "Transfer-Encoding: chunked"


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def read(*pieces: bytes) -> list[Event]:
    """Give what comes of octets, up to the first fault."""
    reader = PostReader(MOST)
    events: list[Event] = []
    for piece in pieces:
        reader.receive(piece)
        while (event := reader.next_event()) is not None:
            events.append(event)
            if isinstance(event, PostFault):
                return events
    return events


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    whole = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in chunks)
    return head(LINE, HOST, CHUNKED) + whole + end


def test_a_request_is_read() -> None:
    fields = (
        "content-TYPE:  Application/tlsrpt+GZIP; charset=x \t",
        "Content-Encoding: Identity",
        "Expect: 100-Continue",
        "Content-Length: 5",
    )
    (first, body) = read(head("POST /a?b HTTP/1.1", HOST, *fields) + b"12345")
    assert first == PostHead(
        target="/a?b",
        host="mx.example.org",
        media_type="application/tlsrpt+gzip",
        content_encoding="identity",
        length=5,
        has_expectation=True,
        is_last=False,
    )
    assert body == b"12345"


@pytest.mark.parametrize(
    ("line", "fields", "is_last"),
    [
        (LINE, (HOST,), False),
        (LINE, (HOST, "Connection: keep-alive"), False),
        (LINE, (HOST, "Connection: te, Close"), True),
        (LINE, (HOST, "Connection: te", "Connection: close"), True),
        ("POST /a HTTP/1.0", (), True),
    ],
)
def test_whether_another_request_may_come(
    line: str, fields: tuple[str, ...], *, is_last: bool
) -> None:
    """RFC 9112 §9.3."""
    (first, _) = read(head(line, *fields, "Content-Length: 0"))
    assert isinstance(first, PostHead)
    assert (first.is_last, first.has_expectation) == (is_last, False)


def test_requests_come_one_behind_the_other() -> None:
    """RFC 9112 §9.3.2."""
    wire = head(LINE, HOST, "Content-Length: 2") + b"ab" + chunked(b"c", b"de")
    events = read(wire + head(LINE, HOST, "Content-Length: 0"))
    assert [each for each in events if isinstance(each, bytes)] == [b"ab", b"cde", b""]


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("GET /a HTTP/1.1", HOST, "Content-Length: 0"), 400),
        (("POST  /a HTTP/1.1", HOST, "Content-Length: 0"), 400),
        (("POST /a b HTTP/1.1", HOST, "Content-Length: 0"), 400),
        (("POST /\u00e4 HTTP/1.1", HOST, "Content-Length: 0"), 400),
        (("POST /a HTTP/2.0", HOST, "Content-Length: 0"), 400),
        (("POST /a HTTP/1.1 ", HOST, "Content-Length: 0"), 400),
        (("POST /a", HOST, "Content-Length: 0"), 400),
        ((LINE, "Content-Length: 0"), 400),
        ((LINE, HOST, HOST, "Content-Length: 0"), 400),
        ((LINE, HOST, "Host : x", "Content-Length: 0"), 400),
        ((LINE, HOST, " folded", "Content-Length: 0"), 400),
        ((LINE, HOST, "no colon", "Content-Length: 0"), 400),
        ((LINE, HOST, ": no name", "Content-Length: 0"), 400),
        ((LINE, HOST, "X: a\nY: b", "Content-Length: 0"), 400),
        ((LINE, HOST, "X: a\rb", "Content-Length: 0"), 400),
        ((LINE, HOST, "X: \0", "Content-Length: 0"), 400),
        # RFC 9112 §6.3: two readers could take these differently.
        ((LINE, HOST, "Content-Length: 0", "Content-Length: 0"), 400),
        ((LINE, HOST, "Content-Length: 0, 0"), 400),
        ((LINE, HOST, "Content-Length: +1"), 400),
        ((LINE, HOST, "Content-Length: 1_0"), 400),
        ((LINE, HOST, "Content-Length:"), 400),
        ((LINE, HOST, "Content-Length: -1"), 400),
        ((LINE, HOST, "Content-Length: 9999999999999"), 400),
        ((LINE, HOST, "Content-Length: 5", CHUNKED), 400),
        ((LINE, HOST, CHUNKED, CHUNKED), 400),
        (("POST /a HTTP/1.0", HOST, CHUNKED), 400),
        ((LINE, HOST, "Transfer-Encoding: gzip, chunked"), 501),
        ((LINE, HOST, "Transfer-Encoding: identity"), 501),
        ((LINE, HOST), 411),
        ((LINE, HOST, "Content-Length: 1001"), 413),
        ((LINE, HOST, "Content-Length: 1", "Expect: 200-ok"), 417),
    ],
)
def test_what_is_malformed_has_its_status(lines: tuple[str, ...], status: int) -> None:
    (fault,) = read(head(*lines))
    assert isinstance(fault, PostFault)
    assert fault.status == status


def test_lines_end_in_cr_and_lf() -> None:
    """RFC 9112 §2.2 lets a reader take LF alone: it need not, and nobody writes that."""
    assert read(b"POST /a HTTP/1.1\nHost: x\nContent-Length: 0\n\n") == []


def test_nothing_is_read_after_a_fault() -> None:
    reader = PostReader(MOST)
    reader.receive(head("POST"))
    fault = reader.next_event()
    reader.receive(head(LINE, HOST, "Content-Length: 0"))
    assert reader.next_event() is fault


def test_a_head_has_a_bound() -> None:
    short = len(head(LINE, HOST, "Content-Length: 0", "X: "))
    wire = head(LINE, HOST, "Content-Length: 0", "X: " + "x" * (MAX_HEAD_OCTETS - short))
    assert len(wire) == MAX_HEAD_OCTETS
    assert isinstance(read(wire)[0], PostHead)
    (fault,) = read(wire.replace(b"X: ", b"X: x"))
    assert isinstance(fault, PostFault)
    assert fault.status == 431
    assert read(b"x" * (MAX_HEAD_OCTETS - 1)) == []


def test_chunks_are_read() -> None:
    """RFC 9112 §7.1: sizes in hex of any case, extensions and trailer fields passed over."""
    wire = head(LINE, HOST, "transfer-encoding: Chunked")
    wire += b'A;name="value"\r\n0123456789\r\n001 \r\nx\r\n0;last\r\nTrailer: x\r\n\r\n'
    (_, body) = read(wire)
    assert body == b"0123456789x"


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"x\r\n", 400),
        (b"-1\r\n", 400),
        (b"\r\n", 400),
        (b"0x1\r\na\r\n", 400),
        (b"123456789\r\n", 400),
        (b"1\r\nab\r\n", 400),
        (b"1;\x01\r\na\r\n", 400),
        (b"1" * MAX_CHUNK_LINE_OCTETS, 400),
        (b"3e9\r\n", 413),
        (b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\n", 413),
        (b"0\r\n" + b"x" * (MAX_TRAILER_OCTETS + 1), 431),
        (b"0\r\n" + b"x: y\r\n" * (MAX_TRAILER_OCTETS // 6 + 1), 431),
    ],
)
def test_chunks_that_are_malformed_or_too_long(wire: bytes, status: int) -> None:
    (_, fault) = read(head(LINE, HOST, CHUNKED) + wire)
    assert isinstance(fault, PostFault)
    assert fault.status == status


def test_chunks_have_a_number() -> None:
    reader = PostReader(2 * MAX_CHUNKS)
    reader.receive(head(LINE, HOST, CHUNKED) + b"1\r\nx\r\n" * (MAX_CHUNKS + 1))
    assert isinstance(reader.next_event(), PostHead)
    assert isinstance(reader.next_event(), PostFault)
    # The next request may have as many again.
    reader = PostReader(2 * MAX_CHUNKS)
    for _ in range(2):
        reader.receive(head(LINE, HOST, CHUNKED) + b"1\r\nx\r\n" * (MAX_CHUNKS - 1) + b"0\r\n\r\n")
        assert isinstance(reader.next_event(), PostHead)
        assert reader.next_event() == b"x" * (MAX_CHUNKS - 1)


def test_what_is_held_is_known() -> None:
    reader = PostReader(MOST)
    reader.receive(head(LINE, HOST, CHUNKED) + b"3\r\nabc\r\n2\r\nx")
    assert isinstance(reader.next_event(), PostHead)
    assert reader.next_event() is None
    assert reader.held_octets == 3 + len(b"2\r\nx")


WIRES = (
    head(LINE, HOST, "Content-Length: 3") + b"abc" + chunked(b"d", b"ef", end=b"0\r\nA: b\r\n\r\n"),
    chunked(b"abc", end=b"zz\r\n"),
    chunked(b"ab", end=b"0\r\n" + b"x: y\r\n" * (MAX_TRAILER_OCTETS // 6 + 1)),
    head(LINE, HOST, "Content-Length: 1") + b"a" + head(LINE) + b"x",
)


@pytest.mark.parametrize("wire", WIRES)
def test_each_cut_gives_the_same(wire: bytes) -> None:
    whole = read(wire)
    assert whole
    for at in range(min(len(wire), 300)):
        assert read(wire[:at], wire[at:]) == whole
    assert read(*(wire[at : at + 1] for at in range(len(wire)))) == whole


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.integers(1, 20))
def test_bodies_come_as_they_were_sent(chunks: list[bytes], size: int) -> None:
    """As h11 writes them, in any pieces."""
    connection = h11.Connection(h11.CLIENT)
    headers = [("Host", "x"), ("Transfer-Encoding", "chunked")]
    wire = connection.send(h11.Request(method="POST", target="/", headers=headers)) or b""
    for each in chunks:
        wire += connection.send(h11.Data(data=each)) or b""
    wire += connection.send(h11.EndOfMessage()) or b""
    events = read(*(wire[at : at + size] for at in range(0, len(wire), size)))
    assert events[1:] == [b"".join(chunks)]
