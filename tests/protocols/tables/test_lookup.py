"""Which keys are looked up, in which order."""

import pytest

from letterlock.protocols.smtp.paths import parse_mailbox
from letterlock.protocols.tables.lines import TableError
from letterlock.protocols.tables.lookup import (
    address_keys,
    alias_keys,
    domain_keys,
    fold_address,
    normal_address_key,
    normal_domain,
    split_extension,
    transport_keys,
)


@pytest.mark.parametrize(
    ("local", "delimiter", "parts"),
    [
        ("user+tag", "+", ("user", "+tag")),
        ("user+a+b", "+", ("user", "+a+b")),
        ("user-a+b", "+-", ("user", "-a+b")),
        ("user", "+", ("user", "")),
        ("user+tag", "", ("user+tag", "")),
        ("+tag", "+", ("+tag", "")),
        ("user+", "+", ("user+", "")),
        ("user++", "+", ("user", "++")),
        ("Postmaster", "a", ("Postmaster", "")),
        ("MAILER-DAEMON", "-", ("MAILER-DAEMON", "")),
        ("double-bounce", "-", ("double-bounce", "")),
        ("owner-list", "-", ("owner-list", "")),
        ("list-request", "-", ("list-request", "")),
        ("-request", "-", ("-request", "")),
        ("owner+list", "+", ("owner", "+list")),
    ],
)
def test_an_extension_begins_at_the_first_delimiter(
    local: str, delimiter: str, parts: tuple[str, str]
) -> None:
    """split_addr(3): never an empty user, never postmaster, nor lists' own addresses at `-`."""
    assert split_extension(local, delimiter) == parts


@pytest.mark.parametrize(
    ("address", "is_local", "keys"),
    [
        ("a@x.test", False, ["a@x.test", "@x.test"]),
        ("A@x.test", True, ["a@x.test", "a", "@x.test"]),
        ("a+t@x.test", False, ["a+t@x.test", "a@x.test", "@x.test"]),
        ("a+t@x.test", True, ["a+t@x.test", "a@x.test", "a+t", "a", "@x.test"]),
    ],
)
def test_virtual_keys_are_looked_up_from_the_whole_to_the_domain(
    address: str, is_local: bool, keys: list[str]
) -> None:
    """virtual(5), TABLE SEARCH ORDER and ADDRESS EXTENSION."""
    found = address_keys(parse_mailbox(address), "+", is_local=is_local)
    assert [key.text for key in found] == keys
    assert [key.extension for key in found] == [
        "+t" if "+t" in address and key in ("a@x.test", "a") else "" for key in keys
    ]
    assert [key.is_domain for key in found] == [key == "@x.test" for key in keys]


def test_aliases_are_looked_up_with_and_without_the_extension() -> None:
    """local(8): first the full local part, then the bare user."""
    assert [key.text for key in alias_keys("A+t", "+")] == ["a+t", "a"]
    assert [key.text for key in alias_keys("a", "+")] == ["a"]


def test_transport_keys_go_from_the_address_over_the_domains_to_all() -> None:
    """transport(5), TABLE SEARCH ORDER."""
    assert transport_keys(parse_mailbox("A+t@mail.Sub.x.test"), "+") == (
        *("a+t@mail.sub.x.test", "a@mail.sub.x.test", "mail.sub.x.test"),
        *(".sub.x.test", ".x.test", ".test", "*"),
    )


def test_a_literal_has_no_domains_above_it() -> None:
    keys = transport_keys(parse_mailbox("a@[192.0.2.1]"), "")
    assert keys == ("a@[192.0.2.1]", "[192.0.2.1]", "*")


def test_relay_domains_have_their_subdomains_with_them() -> None:
    """postconf(5), `parent_domain_matches_subdomains`."""
    assert list(domain_keys("a.b.c", matches_subdomains=True)) == ["a.b.c", "b.c", "c"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("User@X.Test", "user@x.test"),
        ("@X.Test", "@x.test"),
        ("User", "user"),
        ("example.com", "example.com"),
        ('"user"@x.test', "user@x.test"),
        ('"A b"@x.test', '"a b"@x.test'),
        ('"a@b"@x.test', '"a@b"@x.test'),
        ('"a@b"', '"a@b"'),
        ("Ünal@bücher.example", "ünal@xn--bcher-kva.example"),
        ("@bücher.example", "@xn--bcher-kva.example"),
        ("x@[ipv6:2001:DB8::1]", "x@[IPv6:2001:db8::1]"),
        ("Straße@x.test", "strasse@x.test"),
    ],
)
def test_keys_have_one_form(text: str, key: str) -> None:
    assert normal_address_key(text) == key
    assert normal_address_key(key) == key


@pytest.mark.parametrize("text", ["a b", "@", "a@", "@-x", "a@b_c", "..", "", "a..b@x.test"])
def test_what_is_no_address_is_no_key(text: str) -> None:
    with pytest.raises(TableError):
        normal_address_key(text)


def test_a_mailbox_has_the_key_that_its_text_has() -> None:
    for text in ("A.B+c@x.test", '"a b"@x.test', '"A@\\"b"@x.test'):
        assert normal_address_key(text) == fold_address(parse_mailbox(text))


def test_a_domain_may_be_a_literal() -> None:
    assert normal_domain("[192.0.2.1]") == "[192.0.2.1]"
    with pytest.raises(TableError, match="is no domain"):
        normal_domain("[x]")
