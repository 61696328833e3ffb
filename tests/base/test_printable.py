"""What strangers say is one printable line, whatever it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.printable import (
    MAX_LINE_CHARACTERS,
    describe_error,
    make_line,
    make_printable,
)

ANY_TEXT = st.text(st.characters())  # surrogates, too


@given(ANY_TEXT)
def test_any_text_can_be_shown_and_keeps_its_length(text: str) -> None:
    shown = make_printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    assert make_printable(shown) == shown


@given(ANY_TEXT, st.integers(1, 50))
def test_any_text_is_a_line_within_its_bound(text: str, most: int) -> None:
    line = make_line(text, most)
    assert line.isprintable()
    assert len(line) <= most
    assert line == line.lstrip()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        (" \r\n\t\u2028", ""),
        ("one\r\ntwo\tthree", "one two three"),
        ("\x1b[31mred", "?[31mred"),
        ("half \ud800", "half ?"),
        ("\u202ebackwards", "?backwards"),
        ("Bücher", "Bücher"),
        ("x" * 1000, "x" * MAX_LINE_CHARACTERS),
    ],
)
def test_white_space_is_a_blank_and_the_rest_a_question_mark(text: str, line: str) -> None:
    assert make_line(text) == line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("no\nlength"), "no length"),
        (ValueError(), "ValueError"),
        (ValueError("\n"), "ValueError"),
        (KeyError("\x00"), "'\\x00'"),
    ],
)
def test_an_error_without_words_is_named(error: Exception, said: str) -> None:
    assert describe_error(error) == said
