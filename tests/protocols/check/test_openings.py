"""IMAP and POP3 up to TLS."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.check.openings import (
    MAX_OCTETS,
    Begin,
    OpeningReader,
    Refused,
    Say,
    Speech,
    Step,
)

IMAP_OK = b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hello\r\n"


def talk(speech: Speech, *pieces: bytes) -> list[Step | None]:
    reader = OpeningReader(speech)
    return [reader.receive(piece) for piece in pieces]


@pytest.mark.parametrize(
    ("speech", "pieces", "steps"),
    [
        (Speech.IMAP, (IMAP_OK, b"a1 ok begin\r\n"), [Say(b"a1 STARTTLS\r\n"), Begin()]),
        (
            Speech.IMAP,
            (IMAP_OK, b"* CAPABILITY x\r\n", b"a1 OK\r\n"),
            [Say(b"a1 STARTTLS\r\n"), None, Begin()],
        ),
        (Speech.POP3, (b"+OK hello\r\n", b"+OK go\r\n"), [Say(b"STLS\r\n"), Begin()]),
        (Speech.POP3, (b"+OK\n", b"+OK\n"), [Say(b"STLS\r\n"), Begin()]),
    ],
)
def test_tls_begins(speech: Speech, pieces: tuple[bytes, ...], steps: list[Step | None]) -> None:
    assert talk(speech, *pieces) == steps


def test_refusals_are_told_from_being_blocked() -> None:
    (blocked,) = talk(Speech.IMAP, b"* BYE too many connections\r\n")
    assert blocked == Refused("it said * BYE too many connections", is_blocked=True)
    _, refused = talk(Speech.IMAP, IMAP_OK, b"a1 BAD what?\r\n")
    assert refused == Refused("STARTTLS is refused: a1 BAD what?")
    _, refused = talk(Speech.POP3, b"+OK\r\n", b"-ERR no\r\n")
    assert refused == Refused("STARTTLS is refused: -ERR no")


def test_plain_text_behind_the_answer_is_an_attack() -> None:
    """RFC 9051 §11.1."""
    _, refused = talk(Speech.IMAP, IMAP_OK, b"a1 OK\r\n* OK injected\r\n")
    text = "plain text came between the answer and the handshake"
    assert refused == Refused(text, is_early=True)


def test_what_is_said_is_bounded() -> None:
    (refused,) = talk(Speech.POP3, b"x" * (MAX_OCTETS + 1))
    assert refused == Refused("it said too much before TLS")


def test_both_sides_are_written_down_and_bounded() -> None:
    reader = OpeningReader(Speech.POP3, b"CAPA\r\n")
    assert reader.receive(b"+OK \xff\r\n") == Say(b"STLS\r\nCAPA\r\n")
    assert reader.has_asked
    assert reader.said == ["< +OK \ufffd", "> STLS", "> CAPA"]
    imap = OpeningReader(Speech.IMAP)
    imap.receive(b"* BYE\r\n")
    assert not imap.has_asked
    imap = OpeningReader(Speech.IMAP)
    imap.receive(IMAP_OK)
    assert imap.receive(b"* x\r\n" * 100) is None
    assert len(imap.said) == 60


IMAP_WORDS = [IMAP_OK, b"* BYE\r\n", b"a1 OK\r\n", b"a1 NO\r\n", b"* x\r\n", b"\n"]
POP3_WORDS = [b"+OK\r\n", b"-ERR\r\n", b"x", b"\r\n"]


@given(
    st.lists(st.sampled_from(IMAP_WORDS), max_size=5).map(lambda words: (Speech.IMAP, words))
    | st.lists(st.sampled_from(POP3_WORDS), max_size=5).map(lambda words: (Speech.POP3, words))
)
def test_split_anywhere_it_is_the_same(said: tuple[Speech, list[bytes]]) -> None:
    """Line by line or octet by octet; what is behind the answer in one piece is told on purpose."""
    speech, words = said
    octets = b"".join(words)
    lines = [each + b"\n" for each in octets.split(b"\n")[:-1]]
    whole = [step for step in talk(speech, *lines) if step is not None]
    split = [step for step in talk(speech, *(bytes([each]) for each in octets)) if step is not None]
    assert split == whole
