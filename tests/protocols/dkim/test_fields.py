"""Header sections cut apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.dkim.fields import FieldStack, find_authors, split_fields


def test_fields_are_cut_where_no_white_space_follows() -> None:
    """RFC 5322 §2.2.3."""
    header = b"A: 1\r\n 2\r\n\t3\r\nB \t: x\r\nno field\r\nC:\r\n"
    assert split_fields(header) == [
        (b"a", b"A: 1\r\n 2\r\n\t3\r\n"),
        (b"b", b"B \t: x\r\n"),
        (b"", b"no field\r\n"),
        (b"c", b"C:\r\n"),
    ]


def test_a_last_line_may_lack_its_end() -> None:
    assert split_fields(b"A: 1\r\nB: 2") == [(b"a", b"A: 1\r\n"), (b"b", b"B: 2\r\n")]
    assert split_fields(b"") == []


@given(header=st.lists(st.sampled_from([b"\r\n", b" ", b"a", b":", b"\n"]), max_size=12))
def test_no_octet_is_lost(header: list[bytes]) -> None:
    octets = b"".join(header) + b"\r\n"
    assert b"".join(field for _, field in split_fields(octets)) == octets


def test_a_name_takes_its_fields_from_the_bottom_up() -> None:
    """RFC 6376 §5.4.2."""
    fields = split_fields(b"Received: A\r\nFrom: x\r\nreceived: B\r\nRECEIVED : C\r\n")
    stack = FieldStack(fields)
    taken = [stack.take(b"received") for _ in range(4)]
    assert taken == [b"RECEIVED : C\r\n", b"received: B\r\n", b"Received: A\r\n", b""]
    assert stack.take(b"subject") == b""


@pytest.mark.parametrize(
    ("header", "values"),
    [
        (b"", []),
        (b"From: a\r\n", [b" a"]),
        (b"From: a", [b" a"]),
        (b"X-From: a\r\nFROM \t:a\r\n b\r\n\tc\r\nTo: from:\r\n", [b"a\r\n b\r\n\tc"]),
        (b"From:\r\nfrom: b\r\n", [b"", b" b"]),
        (b"To: x\r\n from: y\r\n", []),
        (b"To: x\nfrom: y\r\n", []),
    ],
)
def test_authors_are_found(header: bytes, values: list[bytes]) -> None:
    """RFC 5322 §3.6.2"""
    assert find_authors(header) == values
    fields = [field for name, field in split_fields(header) if name == b"from"]
    assert [field.partition(b":")[2].removesuffix(b"\r\n") for field in fields] == values
