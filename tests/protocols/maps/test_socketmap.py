"""Postfix's socketmap_table(5)."""

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
from letterlock.protocols.maps.netstrings import format_netstring
from letterlock.protocols.maps.socketmap import (
    MAX_QUERY_OCTETS,
    MAX_REPLY_OCTETS,
    SocketmapReader,
    format_socketmap_reply,
)


def read(*pieces: bytes) -> list[Event]:
    reader = SocketmapReader()
    return [event for piece in pieces for event in reader.receive(piece)]


@given(st.lists(st.binary(max_size=50), max_size=4), st.integers(0, 300))
def test_several_queries_on_one_connection_are_read_however_they_are_split(
    keys: list[bytes], at: int
) -> None:
    octets = b"".join(format_netstring(b"postfix " + key) for key in keys)
    assert read(octets[:at], octets[at:]) == keys


def test_a_query_without_a_map_is_refused_and_the_next_one_is_read() -> None:
    first, second = read(b"11:example.org,8:m exampl,")
    assert isinstance(first, BadQuery)
    assert second == b"exampl"


def test_a_query_longer_than_those_of_postfix_ends_the_connection() -> None:
    (event,) = read(b"%d:" % (MAX_QUERY_OCTETS + 1))
    assert isinstance(event, Violation)


@pytest.mark.parametrize(
    ("reply", "octets"),
    [
        (Reply(Status.OK, "dane-only"), b"12:OK dane-only,"),
        (NOT_FOUND, b"9:NOTFOUND ,"),
        (Reply(Status.TEMP, "wait"), b"9:TEMP wait,"),
        (Reply(Status.TIMEOUT, "late"), b"12:TIMEOUT late,"),
        (Reply(Status.PERM, "no"), b"7:PERM no,"),
        (Reply(Status.OK, "ü"), b"5:OK \xc3\xbc,"),
    ],
)
def test_replies(reply: Reply, octets: bytes) -> None:
    assert format_socketmap_reply(reply) == octets


def test_a_reply_that_postfix_would_not_take_is_a_failure() -> None:
    longest = "x" * (MAX_REPLY_OCTETS - len("OK "))
    assert format_socketmap_reply(Reply(Status.OK, longest)).endswith(b"x,")
    assert b":PERM " in format_socketmap_reply(Reply(Status.OK, longest + "x"))


def test_a_reader_is_between_queries_when_it_holds_no_part_of_one() -> None:
    reader = SocketmapReader()

    def is_between_after(octets: bytes) -> bool:
        reader.receive(octets)
        return reader.is_between

    pieces = (b"", b"5", b":m ke", b"y", b",", b"x")
    assert [is_between_after(piece) for piece in pieces] == [True, False, False, False, True, False]
