"""Relay domains, their recipients, and relay hosts by sender: postconf(5)."""

import pytest

from letterlock.protocols.smtp.paths import parse_mailbox
from letterlock.protocols.tables.lines import Entry, WrongEntry
from letterlock.protocols.tables.relay import (
    find_relay_domain,
    find_relay_recipient,
    parse_relay_domains,
    parse_relay_recipients,
    parse_sender_relays,
    sender_keys,
)


def check(text: str) -> None:
    if not text.startswith("["):
        raise ValueError(f"{text} is no next hop")


@pytest.mark.parametrize(
    ("domain", "key"),
    [
        ("x.test", "x.test"),
        ("a.b.x.test", "x.test"),
        ("sub.y.test", "sub.y.test"),
        ("y.test", None),
        ("notx.test", None),
        ("[192.0.2.1]", None),
    ],
)
def test_a_relay_domain_has_its_subdomains_with_it(domain: str, key: str | None) -> None:
    table = parse_relay_domains(b"X.test\nsub.y.test OK\n", "r")
    entry = find_relay_domain(table, domain)
    assert (entry.key if entry else None) == key


def test_a_name_with_a_dot_before_it_is_told() -> None:
    table = parse_relay_domains(b".x.test\n", "r")
    (fault,) = table.faults
    assert str(fault) == "r:1: .x.test matches nothing: x.test has its subdomains with it"


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("a@x.test", "a@x.test"),
        ("A+t@x.test", "a@x.test"),
        ("b+t@x.test", "b+t@x.test"),
        ("b@x.test", None),
        ("any@y.test", "@y.test"),
    ],
)
def test_recipients_of_relay_domains(address: str, key: str | None) -> None:
    table = parse_relay_recipients(b"a@x.test\nb+t@x.test x\n@y.test OK\n", "r")
    entry = find_relay_recipient(table, parse_mailbox(address), "+")
    assert (entry.key if entry else None) == key


def test_senders_have_relay_hosts() -> None:
    table = parse_sender_relays(
        b"a@x.test [mx.test]:587\n@y.test [y.test]\n<> [b.test]\nc@y.test dunno\n"
        b"d@x.test mx\nname [x]\n",
        "s",
        check,
    )
    entry = table.find("a@x.test")
    assert isinstance(entry, Entry)
    assert entry.value == "[mx.test]:587"
    nothing = table.find("c@y.test")
    assert isinstance(nothing, Entry)
    assert nothing.value is None
    assert isinstance(table.find("<>"), Entry)
    wrong = table.find("d@x.test")
    assert isinstance(wrong, WrongEntry)
    assert wrong.reason == "d@x.test: mx is no next hop"
    assert [str(fault) for fault in table.faults] == ["s:6: name is neither an address nor @domain"]


def test_a_sender_is_looked_up_by_address_then_by_domain() -> None:
    assert sender_keys(parse_mailbox("A+t@x.test"), "+") == ("a+t@x.test", "a@x.test", "@x.test")
    assert sender_keys(None, "+") == ("<>",)
