"""RFC 8446 §5.1: where records end, however their octets are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.tls.records import RecordCounter

RECORDS = st.lists(
    st.builds(
        lambda kind, size: bytes((kind, 3, 3, size >> 8, size & 255)) + b"\x16" * size,
        st.integers(20, 24),
        st.sampled_from([0, 1, 2, 5, 255, 256, 1000, 16_640]),
    ),
    max_size=5,
)


def count(pieces: list[bytes]) -> list[int]:
    counter = RecordCounter()
    counts = [counter.receive(piece) for piece in pieces]
    assert not counter.is_strange
    return counts


@given(RECORDS, st.data())
def test_each_record_is_counted_with_its_last_octet(
    records: list[bytes], data: st.DataObject
) -> None:
    octets = b"".join(records)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=8)))
    bounds = [0, *cuts, len(octets)]
    ends = [sum(map(len, records[: at + 1])) for at in range(len(records))]
    pieces = [octets[start:end] for start, end in pairwise(bounds)]
    expected = [sum(start < end <= stop for end in ends) for start, stop in pairwise(bounds)]
    assert count(pieces) == expected


def test_split_at_every_octet_gives_the_same() -> None:
    octets = b"\x16\x03\x01\x00\x02ab\x17\x03\x03\x00\x00\x17\x03\x03\x00\x01c"
    one_by_one = count([octets[at : at + 1] for at in range(len(octets))])
    assert [at for at, whole in enumerate(one_by_one) if whole] == [6, 11, 17]
    for at in range(len(octets)):
        assert sum(count([octets[:at], octets[at:]])) == 3


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x80\x2e\x01\x03\x01",
        b"\x17\x03\x03\x48\x01",
        b"\x19\x03\x03\x00\x00",
    ],
    ids=["in clear", "SSL 2", "too long", "unknown type"],
)
def test_what_begins_no_record_is_strange_and_so_is_what_follows(octets: bytes) -> None:
    counter = RecordCounter()
    assert counter.receive(b"\x15\x03\x03\x00\x02\x02\x28" + octets) == 1
    assert counter.is_strange
    assert counter.receive(b"\x15\x03\x03\x00\x02\x02\x28") == 0
