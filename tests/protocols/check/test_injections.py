"""What IMAP and POP3 servers say under TLS when they were told nothing but good-bye."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.check.deep import Injection
from letterlock.protocols.check.injections import FAREWELLS, INJECTED, FarewellReader
from letterlock.protocols.check.openings import MAX_OCTETS, Speech


@pytest.mark.parametrize(
    ("speech", "said", "expected", "is_over"),
    [
        (Speech.IMAP, b"* BYE\r\na3 OK bye\r\n", (Injection.DISCARDED, "a3 OK bye"), True),
        (Speech.IMAP, b"a2 OK\r\n* BYE\r\nA3 OK\r\n", (Injection.EXECUTED, "a2 OK"), True),
        (Speech.IMAP, b"a2 BAD\r\n", (Injection.EXECUTED, "a2 BAD"), False),
        (Speech.IMAP, b"* BYE\r\n", (Injection.REFUSED, "it said nothing under TLS"), False),
        (Speech.POP3, b"+OK bye\r\n", (Injection.DISCARDED, "+OK bye"), False),
        (Speech.POP3, b"-ERR what\r\n+OK bye\n", (Injection.EXECUTED, "-ERR what"), True),
        (Speech.POP3, b"+OK", (Injection.REFUSED, "it said nothing under TLS"), False),
    ],
)
def test_one_answer_too_many_tells_it(
    speech: Speech, said: bytes, expected: tuple[Injection, str], *, is_over: bool
) -> None:
    """RFC 9051 §6.2.1, RFC 2595 §4."""
    reader = FarewellReader(speech)
    assert reader.receive(said) == is_over
    assert reader.conclude() == expected


@pytest.mark.parametrize("speech", [Speech.IMAP, Speech.POP3])
def test_nobody_is_listened_to_for_ever(speech: Speech) -> None:
    assert FarewellReader(speech).receive(b"x" * (MAX_OCTETS + 1))
    assert len(INJECTED[speech].splitlines()) == len(FAREWELLS[speech].splitlines()) == 1


WORDS = [b"* BYE\r\n", b"a2 OK\r\n", b"a3 OK\r\n", b"+OK\r\n", b"-ERR\r\n", b"x", b"\n"]


@given(st.sampled_from([Speech.IMAP, Speech.POP3]), st.lists(st.sampled_from(WORDS), max_size=6))
def test_split_anywhere_it_is_the_same(speech: Speech, words: list[bytes]) -> None:
    octets = b"".join(words)
    whole, split = FarewellReader(speech), FarewellReader(speech)
    is_over = whole.receive(octets)
    steps = [split.receive(bytes([each])) for each in octets]
    assert any(steps) == is_over
    assert whole.conclude() == split.conclude()
