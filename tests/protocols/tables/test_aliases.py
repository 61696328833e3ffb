"""aliases(5)."""

import pytest

from letterlock.protocols.tables import aliases
from letterlock.protocols.tables.aliases import (
    AliasTable,
    find_includes,
    parse_aliases,
    parse_include,
)
from letterlock.protocols.tables.lines import Entry, WrongEntry
from letterlock.protocols.tables.targets import Address, Include

FILE = rb"""# comment
Postmaster: root
root: alice, "Bob B" <bob@x.test>,
  carol
list: :include:/etc/list
"A b": c
q\,x: c
pipe: "|/bin/cat arg", d
dup: a
dup: b
noval:
nocolon x
at@x: y
a, b: c
empty: ""
sp : v
"q:c": v
catch: @x.test
"""


@pytest.fixture(scope="module")
def table() -> AliasTable:
    return parse_aliases(FILE, "al")


def names(table: AliasTable, key: str) -> list[str]:
    entry = table.find(key)
    assert isinstance(entry, Entry)
    return [str(getattr(each, "local", each)) for each in entry.value]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("postmaster", ["root"]),
        ("root", ["alice", "bob", "carol"]),
        ('"a b"', ["c"]),
        ('"q,x"', ["c"]),
        ("dup", ["a"]),
        ("sp", ["v"]),
        ('"q:c"', ["v"]),
    ],
)
def test_names_are_of_ours_and_without_case(
    table: AliasTable, key: str, expected: list[str]
) -> None:
    assert names(table, key) == expected


def test_a_file_is_included_by_its_path(table: AliasTable) -> None:
    entry = table.find("list")
    assert isinstance(entry, Entry)
    assert find_includes(entry.value) == ("/etc/list",)
    assert find_includes((Address("a", None), Include("/b"))) == ("/b",)


def test_what_is_wrong_is_told_with_its_line(table: AliasTable) -> None:
    assert list(map(str, table.faults)) == [
        "al:10: dup stands in line 9 already; ignored",
        "al:11: noval: is not `name: value`",
        "al:12: nocolon x is not `name: value`",
        "al:13: at@x is not one local name; quote what has signs in it",
        "al:14: a, b is not one local name; quote what has signs in it",
    ]


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("pipe", "pipe: a command (|/bin/cat arg) is not run: have the program take mail by LMTP"),
        ("empty", "empty: there is no address; a transport table can `discard:` mail"),
        ("catch", "catch: @x.test stands for no address here"),
    ],
)
def test_an_alias_that_cannot_be_used_is_known_as_such(
    table: AliasTable, key: str, reason: str
) -> None:
    entry = table.find(key)
    assert isinstance(entry, WrongEntry)
    assert entry.reason.startswith(reason)


def test_lines_that_are_none_are_told() -> None:
    table = parse_aliases(b"\xff: a\n\x01: b\n", "al")
    assert [fault.where for fault in table.faults] == ["al:1", "al:2"]


def test_an_included_file_has_addresses_line_by_line() -> None:
    content = b"# members\r\n\r\na, b@x.test\n  # indented\n\xff\n|cmd\nBob <c@x.test>\n"
    found, faults = parse_include(content, "list")
    assert found == (Address("a", None), Address("b", "x.test"), Address("c", "x.test"))
    assert faults[0] == "list:5: not UTF-8"
    assert faults[1].startswith("list:6: a command (|cmd) is not run")
    assert len(faults) == 2


def test_an_included_file_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aliases, "MAX_TARGETS", 2)
    found, faults = parse_include(b"a\nb\nc\nd\n", "list")
    assert len(found) == 2
    assert faults == ("list:3: there are more than 2 addresses",)
