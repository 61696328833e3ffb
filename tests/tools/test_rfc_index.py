"""Citations of RFCs are spelled one way, and are listed."""

import pytest

from tools.rfc_index import (
    Citation,
    check,
    find_citations,
    find_misspellings,
    format_index,
    parse_standards,
)

# Spelled in pieces: this file is checked by the tool that it tests.
R = "RF" + "C"
TABLE = f"""
| RFC | title | state | not done |
| --- | --- | --- | --- |
| {R} 1 | One | yes | |
| {R} 2 | Two | no | all of it |
"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{R} 5321 §4.1.1.2", [(5321, ""), (5321, "4.1.1.2")]),
        (f"{R} 5321 §4.2 and §4.3", [(5321, ""), (5321, "4.2"), (5321, "4.3")]),
        (f"{R} 5280 §A.1", [(5280, ""), (5280, "A.1")]),
        (f"as {R}\n    # 5321 §2 says", [(5321, ""), (5321, "2")]),
        (f"{R} 5321.\n\nX.690 §8.1", [(5321, "")]),
        ("X.690 §8.1", []),
    ],
)
def test_a_section_belongs_to_the_last_rfc_of_its_paragraph(
    text: str, found: list[tuple[int, str]]
) -> None:
    citations = find_citations("src/a.py", text)
    assert [(citation.rfc, citation.section) for citation in citations] == found


def test_a_citation_knows_its_line() -> None:
    assert list(find_citations("src/a.py", f"\n\n{R} 1")) == [Citation(1, "", "src/a.py", 3)]


@pytest.mark.parametrize(
    "text",
    [
        f"{R}5321",
        f"{R}-5321",
        "rf" + "c 5321",
        "Rf" + "c 5321",
        f"{R}  5321",
        f"{R} 5321 section 4.1",
        f"{R} 5321, Section 4.1",
        f"{R} 5280 appendix A",
        f"{R} 0821",
    ],
)
def test_another_spelling_is_found(text: str) -> None:
    assert len(list(find_misspellings("src/a.py", text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        f"{R} 5321",
        f"{R} 5321 §4.1",
        f"{R}\n    5321",
        f"{R}\n# 5321",
        "message/rfc822",
        "RF" + "C822; alice@example.org",
        "rfc4514_string()",
    ],
)
def test_the_right_spelling_is_left_alone(text: str) -> None:
    assert list(find_misspellings("src/a.py", text)) == []


def test_what_is_cited_is_listed_and_what_is_listed_as_done_is_cited() -> None:
    standards = parse_standards(TABLE)
    source, test = Citation(1, "", "src/a.py", 7), Citation(1, "", "tests/a.py", 7)
    assert list(check(standards, [source, test])) == []
    assert [fault[:16] for fault in check(standards, [source])] == ["docs/standards.m"]
    assert len(list(check(standards, []))) == 2
    unlisted = Citation(9, "", "src/a.py", 7)
    assert list(check(standards, [source, test, unlisted])) == [
        f"src/a.py:7: {R} 9 is not in docs/standards.md"
    ]


@pytest.mark.parametrize("row", [f"| {R} 1 | One | yes | |", f"| {R} 3 | Three | done | |"])
def test_a_row_listed_twice_or_with_another_state_is_refused(row: str) -> None:
    with pytest.raises(ValueError, match=R):
        parse_standards(f"{TABLE}{row}\n")


def test_the_index_says_where_a_section_is_done_and_tested() -> None:
    citations = [Citation(1, "10", "src/b.py", 2), Citation(1, "9", "tests/b.py", 3)]
    assert format_index(parse_standards(TABLE), citations).splitlines() == [
        f"{R} 1 One (yes)",
        "  §9",
        "    tested tests/b.py:3",
        "  §10",
        "    done   src/b.py:2",
    ]
