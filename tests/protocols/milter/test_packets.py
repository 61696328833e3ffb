"""Packets of the milter protocol."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.milter.packets import (
    Packet,
    PacketReader,
    Violation,
    format_packet,
    join_strings,
    split_strings,
)

PACKETS = st.lists(st.tuples(st.binary(min_size=1, max_size=1), st.binary(max_size=40)), max_size=5)


@given(PACKETS, st.data())
def test_how_octets_were_split_does_not_matter(
    packets: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    wire = b"".join(format_packet(*each) for each in packets)
    cut = data.draw(st.integers(0, len(wire)))
    reader, whole, single = PacketReader(), PacketReader(), PacketReader()
    expected = [Packet(*each) for each in packets]
    assert reader.receive(wire[:cut]) + reader.receive(wire[cut:]) == expected
    assert whole.receive(wire) == expected
    assert [found for octet in wire for found in single.receive(bytes([octet]))] == expected


@pytest.mark.parametrize("length", [0, 101, 2**32 - 1])
def test_a_packet_of_no_proper_length_ends_the_reading(length: int) -> None:
    reader = PacketReader(100)
    found = reader.receive(format_packet(b"c") + length.to_bytes(4, "big") + b"c")
    assert found == [Packet(b"c", b""), Violation(f"a packet of {length} octets")]
    assert reader.receive(format_packet(b"c")) == []


def test_the_longest_packet_is_taken() -> None:
    assert PacketReader(100).receive(format_packet(b"b", b"x" * 99)) == [Packet(b"b", b"x" * 99)]


@given(st.lists(st.binary(max_size=10)))
def test_no_text_can_begin_another(texts: list[bytes]) -> None:
    found = split_strings(join_strings(*texts))
    assert found == [text.replace(b"\0", b" ") for text in texts]


def test_a_text_without_its_end_is_none() -> None:
    assert split_strings(b"a\0b") is None
