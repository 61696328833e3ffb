"""virtual(5)."""

import pytest

from letterlock.protocols.tables.lines import Entry, WrongEntry
from letterlock.protocols.tables.targets import Address, SameUser
from letterlock.protocols.tables.virtual import is_alias_domain, parse_virtual


def test_an_address_has_addresses() -> None:
    table = parse_virtual(b"A@X.test b, c@y.test\n@z.test @x.test\nname n@x.test\n", "v")
    entry = table.find("a@x.test")
    assert isinstance(entry, Entry)
    assert entry.value == (Address("b", None), Address("c", "y.test"))
    assert entry.text == "b, c@y.test"
    catch_all = table.find("@z.test")
    assert isinstance(catch_all, Entry)
    assert catch_all.value == (SameUser("x.test"),)
    assert isinstance(table.find("name"), Entry)


def test_a_domain_alone_makes_it_ours() -> None:
    table = parse_virtual(b"x.test anything: at all\ny.test VIRTUAL\nname a\na@z.test b\n", "v")
    assert not list(table.all_faults)
    assert is_alias_domain(table, "x.test")
    assert is_alias_domain(table, "y.test")
    assert not is_alias_domain(table, "z.test")
    assert not is_alias_domain(table, "name")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (":include:/a", ":include: is for aliases only"),
        ("b, @x.test", "@domain may only stand first"),
        ("|cmd", "a command (|cmd) is not run"),
        ('""', "there is no address"),
    ],
)
def test_a_wrong_value_is_told(value: str, reason: str) -> None:
    entry = parse_virtual(f"a@x.test {value}\n".encode(), "v").find("a@x.test")
    assert isinstance(entry, WrongEntry)
    assert entry.where == "v:1"
    assert entry.reason.startswith(f"a@x.test: {reason}")
