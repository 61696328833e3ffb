"""Postfix's tcp_table(5)."""

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.maps.messages import (
    NOT_FOUND,
    BadQuery,
    Event,
    Reply,
    Status,
    Violation,
)
from letterlock.protocols.maps.tcp_table import (
    MAX_LINE_OCTETS,
    TcpTableReader,
    format_tcp_reply,
)


def read(*pieces: bytes) -> list[Event]:
    reader = TcpTableReader()
    return [event for piece in pieces for event in reader.receive(piece)]


def test_a_query_is_get_and_a_key_whose_escapes_are_undone() -> None:
    assert read(b"get example.com\nget a%20b%25%0a\r\n") == [
        b"example.com",
        b"a b%\n",
    ]


@pytest.mark.parametrize(
    "line", [b"put a b", b"get", b"GET a", b"", b"get %", b"get %2", b"get %zz"]
)
def test_what_is_no_query_is_refused_and_the_next_one_is_read(line: bytes) -> None:
    bad, good = read(line + b"\nget a\n")
    assert isinstance(bad, BadQuery)
    assert good == b"a"


@given(st.binary(max_size=200))
def test_any_octets_give_the_same_however_they_are_split(octets: bytes) -> None:
    assert read(*(octets[i : i + 1] for i in range(len(octets)))) == read(octets)


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_that_is_too_long_ends_the_stream(end: bytes) -> None:
    octets = b"get a\nget " + b"x" * MAX_LINE_OCTETS + end
    for pieces in ((octets,), tuple(octets[i : i + 1] for i in range(len(octets)))):
        first, last = read(*pieces, b"get b\n")
        assert first == b"a"
        assert isinstance(last, Violation)


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (Reply(Status.OK, "secure match=a:b"), b"200 secure%20match=a:b\n"),
        (NOT_FOUND, b"500 NOTFOUND\n"),
        (Reply(Status.TEMP, "wait\n100%"), b"400 wait%0A100%25\n"),
        (Reply(Status.PERM, ""), b"400 PERM\n"),
    ],
)
def test_replies(reply: Reply, line: bytes) -> None:
    assert format_tcp_reply(reply) == line


@given(st.text(min_size=1, max_size=500))
def test_the_text_of_a_reply_comes_back(text: str) -> None:
    line = format_tcp_reply(Reply(Status.OK, text))
    assert unquote_to_bytes(line.removesuffix(b"\n").partition(b" ")[2]).decode() == text


def test_a_reply_longer_than_a_line_may_be_is_a_failure() -> None:
    longest = "x" * (MAX_LINE_OCTETS - len("200 \n"))
    assert format_tcp_reply(Reply(Status.OK, longest)).startswith(b"200 ")
    assert format_tcp_reply(Reply(Status.OK, longest + "x")).startswith(b"400 ")


def test_a_reader_is_between_queries_when_it_holds_no_part_of_one() -> None:
    reader = TcpTableReader()

    def is_between_after(octets: bytes) -> bool:
        reader.receive(octets)
        return reader.is_between

    pieces = (b"", b"get a\nget", b" b\n", b"x" * MAX_LINE_OCTETS)
    assert [is_between_after(piece) for piece in pieces] == [True, False, True, False]
