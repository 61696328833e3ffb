"""Edits of a header section: what milters mean by them, and that nothing else moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.field_edits import (
    AppendField,
    ChangeField,
    DeleteField,
    FieldEdit,
    InsertField,
)
from letterlock.protocols.smtp.header_edits import (
    MAX_EDITS,
    MAX_VALUE_OCTETS,
    EditError,
    cut_fields,
    edit_header,
    fold_field,
)
from letterlock.protocols.smtp.header_fields import MAX_LINE_OCTETS

A, B, C = b"A: 1\r\n", b"B: 2\r\n", b"C:3\r\n"
FOLDED = b"b: 4\r\n\tand more\r\n  of it\r\n"
JUNK = b"this is no field\r\n"
NEW = b"X-New: yes\r\n"


def insert(above: int) -> InsertField:
    return InsertField(above, "X-New", b" yes")


APPEND = AppendField("X-New", b" yes")


@pytest.mark.parametrize(
    ("header", "edits", "expected"),
    [
        # Where a new field goes.
        (A + B, [insert(0)], NEW + A + B),
        (A + B, [insert(1)], A + NEW + B),
        (A + FOLDED + C, [insert(2)], A + FOLDED + NEW + C),
        (A + B, [insert(2)], A + B + NEW),
        (A + B, [insert(99)], A + B + NEW),
        (A + B, [insert(-1)], NEW + A + B),
        (A + B, [APPEND], A + B + NEW),
        (b"", [APPEND], NEW),
        (b"", [insert(3)], NEW),
        (b"A: 1", [APPEND], A + NEW),
        (b"A: 1", [insert(0)], NEW + b"A: 1"),
        # Never below a line that many take for the body's first.
        (A + JUNK + B, [APPEND], A + NEW + JUNK + B),
        (A + JUNK + B, [insert(3)], A + NEW + JUNK + B),
        (JUNK + A, [APPEND], NEW + JUNK + A),
        (JUNK, [insert(0)], NEW + JUNK),
        # A line that goes on with nothing must not go on with ours.
        (b" x\r\n" + A, [insert(0)], b" x\r\n" + NEW + A),
        (b"\tx", [APPEND], b"\tx\r\n" + NEW),
        # Change: the nth of a name, in any case; the name stays.
        (A + B + FOLDED, [ChangeField("B", 1, b" x")], A + b"B: x\r\n" + FOLDED),
        (A + B + FOLDED, [ChangeField("B", 0, b" x")], A + b"B: x\r\n" + FOLDED),
        (A + B + FOLDED, [ChangeField("B", 2, b"x")], A + B + b"b:x\r\n"),
        (A + B + FOLDED, [ChangeField("b", 2, b"")], A + B + b"b:\r\n"),
        (A + B + FOLDED, [ChangeField("B", 3, b" x")], A + B + FOLDED + b"B: x\r\n"),
        (A, [ChangeField("X-New", 1, b" yes")], A + NEW),
        (b"B : 1\r\n" + A, [ChangeField("b", 1, b" 2")], b"B: 2\r\n" + A),
        (A + JUNK + B, [ChangeField("B", 1, b" x")], A + JUNK + b"B: x\r\n"),
        # Delete.
        (A + B + FOLDED + C, [DeleteField("b", 1)], A + FOLDED + C),
        (A + B + FOLDED + C, [DeleteField("b", 0)], A + FOLDED + C),
        (A + B + FOLDED + C, [DeleteField("B", 2)], A + B + C),
        (A + B + FOLDED + C, [DeleteField("B", -1)], A + B + C),
        (A + B + FOLDED + C, [DeleteField("B", -2)], A + FOLDED + C),
        (A + B + FOLDED + C, [DeleteField("B", -3)], A + B + FOLDED + C),
        (A + B + FOLDED + C, [DeleteField("B", 3)], A + B + FOLDED + C),
        (A + B + FOLDED + C, [DeleteField("B")], A + C),
        (A + B, [DeleteField("D")], A + B),
        (A, [DeleteField("A")], b""),
        (A + b"B\t: 2\r\n", [DeleteField("B")], A),
        (A + b"Bb: 2\r\n", [DeleteField("B")], A + b"Bb: 2\r\n"),
        (A + JUNK + B, [DeleteField("B")], A + JUNK),
        # In their order, each on what the one before left.
        (B + FOLDED + B, [DeleteField("B", 1), DeleteField("B", 1)], B),
        (B + FOLDED + B, [DeleteField("B", 1), ChangeField("B", 2, b" x")], FOLDED + b"B: x\r\n"),
        (A, [insert(0), ChangeField("x-new", 1, b" no")], b"X-New: no\r\n" + A),
        (A, [insert(0), InsertField(1, "Y", b" 2")], NEW + b"Y: 2\r\n" + A),
        (A, [DeleteField("A"), AppendField("A", b" 2")], b"A: 2\r\n"),
    ],
)
def test_an_edit_does_what_it_says_and_no_more(
    header: bytes, edits: list[FieldEdit], expected: bytes
) -> None:
    """RFC 5322 §2.2; names are the same in upper and lower case."""
    assert edit_header(header, edits) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b" a\r\n b", b"X: a\r\n b\r\n"),
        (b" a\n\tb", b"X: a\r\n\tb\r\n"),
        (b" a\rb", b"X: a\r\n\tb\r\n"),
        (b" a\r\nBcc: victim@example.org", b"X: a\r\n\tBcc: victim@example.org\r\n"),
        (b" a\r\n\r\nbody", b"X: a\r\n\tbody\r\n"),
        (b" a\n\nbody", b"X: a\r\n\tbody\r\n"),
        (b" a\r\n \t \r\nbody", b"X: a\r\n\tbody\r\n"),
        (b" a\r\n", b"X: a\r\n"),
        (b" a\0b", b"X: a b\r\n"),
        (b"", b"X:\r\n"),
        (b"\r\n a", b"X:\r\n a\r\n"),
        (b" \xc3\xa9", b"X: \xc3\xa9\r\n"),
        (b" " * 2000, b"X:" + b" " * 995 + b"\r\n"),
    ],
)
def test_a_value_begins_no_field_and_no_body(value: bytes, expected: bytes) -> None:
    """RFC 5322 §2.2.3."""
    assert fold_field("X", value) == expected


def test_a_line_that_is_too_long_is_folded_and_a_word_that_is_too_long_is_cut() -> None:
    """RFC 5322 §2.1.1."""
    words = fold_field("X", b" word" * 400)
    assert words.replace(b"\r\n", b"") == b"X:" + b" word" * 400
    word = fold_field("X", b" " + b"w" * 3000)
    assert word.count(b"w") == 3000
    for line in (words + word).split(b"\r\n")[:-1]:
        assert len(line) <= MAX_LINE_OCTETS
    assert words.count(b"\r\n") == 3
    assert word.count(b"\r\n") == 5


@pytest.mark.parametrize("name", ["", "A:", "A B", "A\r\nB", "\u00e9", "A\0", " A", "A" * 201])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    for edit in (InsertField(0, name, b""), AppendField(name, b""), ChangeField(name, 1, b"")):
        with pytest.raises(EditError, match="not the name of a header field"):
            edit_header(A, [edit])


def test_what_cannot_be_a_name_is_not_looked_for() -> None:
    """A line that is no field has the empty name, and nobody may delete it by that."""
    with pytest.raises(EditError):
        edit_header(A + JUNK, [DeleteField("")])


def test_edits_are_bounded() -> None:
    with pytest.raises(EditError, match="octets"):
        edit_header(A, [AppendField("X", b"x" * (MAX_VALUE_OCTETS + 1))])
    with pytest.raises(EditError, match="changes"):
        edit_header(A, [DeleteField("X")] * (MAX_EDITS + 1))


def test_fields_are_cut_into_name_and_value() -> None:
    fields = cut_fields(A + b"b \t:4\r\n\tand more\r\n" + JUNK + b" x\r\nC:")
    assert [(field.name, field.value) for field in fields] == [
        (b"A", b" 1"),
        (b"b", b"4\r\n\tand more"),
        (b"", b"this is no field\r\n x"),
        (b"C", b""),
    ]


LINES = st.sampled_from(
    (A, B, C, FOLDED, JUNK, b"B:\r\n", b"A : x\r\n \r\n", b":\r\n", b"\xe9: 1\r\n")
)
HEADERS = st.lists(LINES, max_size=8).map(b"".join) | st.binary(max_size=60)
VALUES = st.binary(max_size=40) | st.text("a \r\n\t", max_size=12).map(str.encode)
NAMES = st.sampled_from(("A", "b", "C", "X-New"))
EDITS = st.lists(
    st.builds(InsertField, st.integers(-1, 9), NAMES, VALUES)
    | st.builds(AppendField, NAMES, VALUES)
    | st.builds(ChangeField, NAMES, st.integers(0, 4), VALUES)
    | st.builds(DeleteField, NAMES, st.integers(-3, 4) | st.none()),
    max_size=6,
)


@given(HEADERS)
def test_no_edits_leave_every_octet(header: bytes) -> None:
    assert edit_header(header, []) == header
    assert edit_header(header, [DeleteField("X-Not-There")]) == header
    assert b"".join(field.octets for field in cut_fields(header)) == header


WHOLE_HEADERS = HEADERS.filter(
    lambda header: not header or (header.endswith(b"\r\n") and not header.startswith(b"\r\n"))
)


@given(WHOLE_HEADERS, EDITS)
def test_what_is_not_edited_stays_and_keeps_its_order(
    header: bytes, edits: list[FieldEdit]
) -> None:
    """Fields of names that no edit has, and lines that are no fields."""
    touched = {edit.name.lower().encode() for edit in edits}

    def untouched(octets: bytes) -> list[bytes]:
        fields = cut_fields(octets)
        return [field.octets for field in fields if field.name.lower() not in touched]

    assert untouched(edit_header(header, edits)) == untouched(header)


@given(WHOLE_HEADERS, EDITS)
def test_edits_make_as_many_fields_as_they_ask_for(header: bytes, edits: list[FieldEdit]) -> None:
    """No value makes a second field, and none ends the header section."""
    before = header
    for edit in edits:
        after = edit_header(before, [edit])
        more = len(cut_fields(after)) - len(cut_fields(before))
        match edit:
            case InsertField() | AppendField():
                assert more == 1
            case ChangeField():
                assert more in (0, 1)
            case DeleteField():
                assert more <= 0
        assert b"\r\n\r\n" not in after or b"\r\n\r\n" in before
        assert after.startswith(b"\r\n") <= before.startswith(b"\r\n")
        before = after
    assert edit_header(header, edits) == before
