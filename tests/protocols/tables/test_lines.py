"""Lines, keys and values of Postfix's text tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.tables import lines
from letterlock.protocols.tables.lines import (
    Entry,
    Fault,
    Table,
    TableError,
    WrongEntry,
    gather_pairs,
    logical_lines,
    shorten,
    split_pair,
)


def read(key: str, text: str) -> str:
    if text == "bad":
        raise TableError(f"bad value of {key}")
    return text.upper()


def parse(content: bytes, *, may_be_bare: bool = False) -> Table[str]:
    return gather_pairs(content, "t", str.lower, read, may_be_bare=may_be_bare)


def test_continued_lines_are_joined_over_comments_and_empty_lines() -> None:
    text = "# head\na b\n# c\n\n , c\n\t#d\n\td\n\n \t \nx y"
    assert list(logical_lines(text)) == [(2, "a b , c\td"), (10, "x y")]


def test_no_lines_at_all() -> None:
    assert list(logical_lines("\n# x\n \n")) == []


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        ("a b", ("a", "b")),
        ("a\t b  c \t", ("a", "b  c")),
        ("alone", ("alone", "")),
        ('"first last"@x  q', ('"first last"@x', "q")),
        (r"lit\ eral z", (r"lit\ eral", "z")),
        ('"a\\" b" z', ('"a\\" b"', "z")),
        ("a\u00a0b c", ("a\u00a0b", "c")),
    ],
)
def test_a_key_ends_at_white_space_that_is_not_quoted(line: str, pair: tuple[str, str]) -> None:
    assert split_pair(line) == pair


@pytest.mark.parametrize("line", ['"unb al', "a\\"])
def test_quotes_must_be_closed(line: str) -> None:
    with pytest.raises(TableError, match="not closed"):
        split_pair(line)


def test_entries_and_faults_have_their_line() -> None:
    table = parse(b"A one\nb x\n\n  more\na two\nkey\n\xff x\nn\0 x\nal: x\n")
    assert table.find("a") == Entry("a", "ONE", "one", "t:1")
    assert table.find("b") == Entry("b", "X  MORE", "x  more", "t:2")
    assert list(map(str, table.faults)) == [
        "t:5: a stands in line 1 already; ignored",
        "t:6: there is no value behind key",
        "t:7: not UTF-8",
        "t:8: there is a NUL in it",
        "t:9: the key al: ends in a colon, as in a file of aliases",
    ]


def test_a_wrong_value_is_that_entrys_alone() -> None:
    table = parse(b"a bad\nb good\n")
    assert table.find("a") == WrongEntry("a", "a: bad value of a", "bad", "t:1")
    assert list(table.all_faults) == [Fault("t:1", "a: bad value of a")]
    assert isinstance(table.find("b"), Entry)
    assert table.find("c") is None


def test_a_first_line_that_begins_with_white_space_is_no_entry() -> None:
    table = parse(b"  lead x\n")
    assert not table.entries
    assert "white space" in table.faults[0].reason


def test_a_list_needs_no_values() -> None:
    assert parse(b"a\n", may_be_bare=True).find("a") == Entry("a", "", "", "t:1")


def test_a_key_may_be_refused() -> None:
    def refuse(key: str) -> str:
        raise TableError(f"{key} is no key")

    table = gather_pairs(b"a b\n", "t", refuse, read)
    assert table.faults == (Fault("t:1", "a is no key"),)


@pytest.mark.parametrize(
    ("text", "short"),
    [("plain", "plain"), ("x" * 100, "x" * 80 + "..."), ("a\x1bb", r"'a\x1bb'")],
)
def test_texts_from_files_are_shown_short_and_printable(text: str, short: str) -> None:
    assert shorten(text) == short


@given(content=st.binary(max_size=60), octets=st.integers(0, 9))
def test_where_a_file_is_cut_for_reading_does_not_matter(content: bytes, octets: int) -> None:
    whole = list(lines.decoded_lines(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_SLICE_OCTETS", octets)
        cut = list(lines.decoded_lines(content))
    assert [(number, str(line)) for number, line in cut] == [
        (number, str(line)) for number, line in whole
    ]
