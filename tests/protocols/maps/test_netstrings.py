"""Netstrings (D. J. Bernstein, 1997)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.maps.messages import Violation
from letterlock.protocols.maps.netstrings import NetstringReader, format_netstring

MAX = 100


def read(*pieces: bytes) -> list[bytes | Violation]:
    reader = NetstringReader(MAX)
    return [found for piece in pieces for found in reader.receive(piece)]


@given(st.lists(st.binary(max_size=MAX), max_size=5), st.data())
def test_what_is_formatted_is_read_however_it_is_split(
    contents: list[bytes], data: st.DataObject
) -> None:
    octets = b"".join(map(format_netstring, contents))
    at = data.draw(st.integers(0, len(octets)))
    assert read(octets[:at], octets[at:]) == contents
    assert read(*(octets[i : i + 1] for i in range(len(octets)))) == contents


@pytest.mark.parametrize(
    "octets",
    [
        b"5;hello,",
        b"x",
        b":,",
        b"-1:a,",
        b"+1:a,",
        b"01:a,",
        b"1000",
        b"101:",
        b"1:ab",
        b"0:x",
        b" ",
    ],
)
@pytest.mark.parametrize("before", [b"", b"5:hello,"])
def test_what_is_no_netstring_ends_the_stream(before: bytes, octets: bytes) -> None:
    for pieces in ((before + octets,), tuple(bytes([o]) for o in before + octets)):
        *contents, last = read(*pieces, b"5:after,")
        assert contents == ([b"hello"] if before else [])
        assert isinstance(last, Violation)


@given(st.binary(max_size=300))
def test_any_octets_give_the_same_however_they_are_split(octets: bytes) -> None:
    assert read(*(octets[i : i + 1] for i in range(len(octets)))) == read(octets)


def test_what_is_not_whole_waits_and_is_bounded() -> None:
    assert read(b"", b"1", b"00:", b"x" * 99) == []
    assert read(b"100:" + b"x" * 100, b",") == [b"x" * 100]
