"""Rules are listed once, and those that are called done are named by a test, in one way."""

import pytest

from tools.rfc_index import parse_standards
from tools.rules import (
    Naming,
    check,
    find_misspellings,
    find_namings,
    format_index,
    main,
    parse_rules,
)

# Spelled in pieces: this file is read by the tool that it tests.
R, RULE = "RF" + "C", "ru" + "le"
STANDARDS = parse_standards(f"| {R} 1 | One | yes | |\n")
TABLE = f"""
| # | where | rule | state | not done |
| --- | --- | --- | --- | --- |
| 1 | {R} 1 §2 | Be short. | yes | |
| 2 | {R} 1 §3 | Be kind. | partly | to friends only |
| 3 | {R} 1 §4 | Be late. | no | planned |
"""
DONE = [Naming(1, "tests/a.py", 3), Naming(2, "tests/a.py", 9)]


def faults(table: str, namings: list[Naming]) -> list[str]:
    return list(check(parse_rules(table), STANDARDS, namings))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        (f"({RULE} 7)", [7]),
        (f"{RULE.capitalize()} 7.", [7]),
        (f"{RULE}s 7 and 8", [7, 8]),
        (f"{RULE}s 7, 8 and 91: all", [7, 8, 91]),
        (f"{RULE}s 7,\n    8, and 9", [7, 8, 9]),
        (f"{RULE} of 7", []),
        (f"over{RULE} 7", []),
    ],
)
def test_rules_are_named_one_or_several_at_a_time(text: str, numbers: list[int]) -> None:
    assert [naming.number for naming in find_namings("tests/a.py", text)] == numbers
    assert list(find_misspellings("tests/a.py", text)) == []


@pytest.mark.parametrize(
    "text", [f"{RULE}s 7", f"{RULE} 7 and 8", "check" + "list 7", "ite" + "m 7", "ite" + "ms 7, 8"]
)
def test_another_way_is_a_fault(text: str) -> None:
    (fault,) = find_misspellings("tests/a.py", f"\n{text}")
    assert fault.startswith("tests/a.py:2: write ")


def test_a_naming_knows_its_line() -> None:
    assert list(find_namings("tests/a.py", f"\n\n{RULE} 1")) == [Naming(1, "tests/a.py", 3)]


def test_what_is_done_is_named_and_what_is_named_is_listed() -> None:
    assert faults(TABLE, DONE) == []
    (unnamed,) = faults(TABLE, DONE[:1])
    assert unnamed.endswith("2 is 'partly', and no test names it")
    (unlisted,) = faults(TABLE, [*DONE, Naming(4, "tests/a.py", 5)])
    assert unlisted == f"tests/a.py:5: {RULE} 4 is not in docs/rules.md"


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (f"| 4 | {R} 1 | Be. | no | |", "does not say what is not done"),
        (f"| 4 | {R} 1 | Be. | yes | later |", "says what is not done"),
        (f"| 4 | {R} 2 | Be. | no | later |", f"{R} 2 is not in docs/standards.md"),
        ("| 4 | a book | Be. | no | later |", "not where from"),
        (f"| 4 | {R} 1 | | no | later |", "says not what it is"),
        (f"| 5 | {R} 1 | Be. | no | later |", "4 is missing"),
    ],
)
def test_a_row_is_whole(row: str, fault: str) -> None:
    (found,) = faults(f"{TABLE}{row}\n", [*DONE, Naming(4, "tests/a.py", 1)][: 2 + ("yes" in row)])
    assert fault in found


@pytest.mark.parametrize("row", [f"| 1 | {R} 1 | Be. | yes | |", f"| 4 | {R} 1 | Be. | done | |"])
def test_a_row_listed_twice_or_with_another_state_is_refused(row: str) -> None:
    with pytest.raises(ValueError, match=RULE):
        parse_rules(f"{TABLE}{row}\n")


def test_the_index_says_which_tests_name_a_rule() -> None:
    assert format_index(parse_rules(TABLE), DONE).splitlines() == [
        f"1 (yes) {R} 1 §2: Be short.",
        "    tests/a.py:3",
        f"2 (partly) {R} 1 §3: Be kind.",
        "    tests/a.py:9",
        f"3 (no) {R} 1 §4: Be late.",
    ]


def test_the_projects_own_list_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0, capsys.readouterr().err
    assert main(["--show"]) == 0
    assert "\n41 (yes) " in capsys.readouterr().out
