"""What a table says about a key, step by step."""

import pytest

from letterlock.protocols.tables.expansion import AddressTables
from letterlock.protocols.tables.lines import TableError
from letterlock.services.redirect.query import TableKind, find_keys
from letterlock.services.redirect.tables import Tables

TABLES = Tables(AddressTables("x.test", {"x.test"}.__contains__, delimiter="+"))


@pytest.mark.parametrize(
    ("kind", "text", "keys"),
    [
        ("aliases", "Root", ["root"]),
        ("aliases", "root+t", ["root+t", "root"]),
        ("aliases", "root+t@far.test", ["root+t", "root"]),
        ("aliases", "a b", ['"a b"']),
        ("aliases", '"a b"', ['"a b"']),
        ("virtual", "a+t@x.test", ["a+t@x.test", "a@x.test", "a+t", "a", "@x.test"]),
        ("virtual", "a@far.test", ["a@far.test", "@far.test"]),
        ("virtual", "@X.test", ["@x.test"]),
        ("virtual", "x.test", ["x.test"]),
        ("transport", "a@b.x.test", ["a@b.x.test", "b.x.test", ".x.test", ".test", "*"]),
        ("transport", "b.x.test", ["b.x.test", ".x.test", ".test", "*"]),
        ("transport", ".x.test", [".x.test"]),
        ("transport", "*", ["*"]),
        ("relay_domains", "a@b.x.test", ["b.x.test", "x.test", "test"]),
        ("relay_recipients", "a+t@x.test", ["a+t@x.test", "a@x.test", "@x.test"]),
        ("sender_relay", "a@x.test", ["a@x.test", "@x.test"]),
        ("sender_relay", "<>", ["<>"]),
    ],
)
def test_keys_are_those_that_a_lookup_tries(kind: str, text: str, keys: list[str]) -> None:
    assert list(find_keys(TableKind(kind), text, TABLES)) == keys


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("aliases", ""),
        ("aliases", "a\nb"),
        ("aliases", "a@b@"),
        ("virtual", "a@x_y"),
        ("transport", "a b"),
        ("relay_domains", "-"),
    ],
)
def test_what_can_be_no_key_is_refused(kind: str, text: str) -> None:
    with pytest.raises(TableError):
        find_keys(TableKind(kind), text, TABLES)
