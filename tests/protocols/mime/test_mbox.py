"""RFC 4155 §A: mailboxes."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.mime.mbox import is_mbox, split_mbox

SEPARATOR = b"From a@x.example Thu Apr  2 10:00:00 2026\n"


def split(octets: bytes, max_octets: int = 1000) -> list[bytes]:
    return list(split_mbox(io.BytesIO(octets), max_octets))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_with_from_behind_an_empty_one_begins_a_message(end: bytes) -> None:
    box = SEPARATOR + b"A: b\n\none\nFrom here on\n\n>From x\n\n" + SEPARATOR + b"C: d\n\ntwo\n"
    assert split(box.replace(b"\n", end)) == [
        b"A: b\n\none\nFrom here on\n\n>From x\n\n".replace(b"\n", end),
        b"C: d\n\ntwo\n".replace(b"\n", end),
    ]


def test_what_stands_before_the_first_one_is_passed_over() -> None:
    assert split(b"x\n\n" + SEPARATOR + b"y\n") == [b"y\n"]
    assert split(b"x\n") == []


def test_a_long_message_is_seen_to_be_too_long() -> None:
    box = SEPARATOR + b"x" * 50 + b"\n" + b"y\n" * 50 + b"\n" + SEPARATOR + b"z\n"
    assert [len(message) for message in split(box, 20)] == [21, 2]


@given(st.lists(st.lists(st.sampled_from([b"x\n", b"\n", b">From \n"]), max_size=5).map(b"".join)))
def test_messages_that_were_put_together_come_apart_again(messages: list[bytes]) -> None:
    box = b"".join(SEPARATOR + message + b"\n" for message in messages)
    assert split(box) == [message + b"\n" for message in messages]
    assert is_mbox(box) is bool(messages)
