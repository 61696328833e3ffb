"""Where a message on standard input ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.send.input_text import InputText


def _feed(pieces: list[bytes]) -> tuple[bytes, bool]:
    text = InputText()
    found = b"".join(text.receive(piece) for piece in pieces)
    has_ended = text.has_ended
    return found + text.finish(), has_ended


@pytest.mark.parametrize(
    ("text", "expected", "has_ended"),
    [
        (b"", b"", False),
        (b"a\n", b"a\n", False),
        (b"a", b"a", False),
        (b".\n", b"", True),
        (b".\r\n", b"", True),
        (b".", b"", False),
        (b".\r", b"", False),
        (b"a\n.\nb\n", b"a\n", True),
        (b"a\r\n.\r\nb\r\n", b"a\r\n", True),
        (b"a\n.", b"a\n", False),
        (b"a\n..\nb", b"a\n..\nb", False),
        (b"a\n.b\n.\n", b"a\n.b\n", True),
        (b"a\n.\rb", b"a\n.\rb", False),
        (b"a.\nb", b"a.\nb", False),
        (b"\n.\n", b"\n", True),
    ],
)
def test_a_line_with_a_dot_alone_ends_it(text: bytes, expected: bytes, has_ended: bool) -> None:
    """sendmail(1), -i: without it."""
    assert _feed([text]) == (expected, has_ended)
    assert _feed([bytes([octet]) for octet in text]) == (expected, has_ended)


@given(st.lists(st.text(alphabet=".\r\na", max_size=5).map(str.encode), max_size=6))
def test_how_it_is_split_does_not_matter(pieces: list[bytes]) -> None:
    assert _feed(pieces) == _feed([b"".join(pieces)])
