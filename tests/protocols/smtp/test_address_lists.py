"""Addresses in lists: RFC 5322 §3.4, §4.4."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.address_lists import (
    MAX_LIST_CHARACTERS,
    AddressListError,
    find_addresses,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("bob@example.org", ["bob@example.org"]),
        ("root", ["root"]),
        (" a@b , c@d ", ["a@b", "c@d"]),
        (",, a@b ,,", ["a@b"]),
        ("Bob <bob@example.org>", ["bob@example.org"]),
        ('"Doe, Jo" <jo@example.org>, al', ["jo@example.org", "al"]),
        ('"a b"@example.org', ['"a b"@example.org']),
        ('"a\\"b"@example.org', ['"a\\"b"@example.org']),
        ("bob (the (second) one, really)@example.org", ["bob@example.org"]),
        ("bob (a \\) b) @ example . org", ["bob@example.org"]),
        ("root (Cron Daemon)", ["root"]),
        ("team: a@b, Cee <c@d>;, e@f", ["a@b", "c@d", "e@f"]),
        ("undisclosed-recipients:;", []),
        ("a: x;b: y;", ["x", "y"]),
        ("<@relay.example,@other.example:bob@example.org>", ["bob@example.org"]),
        ("bob@[192.0.2.1]", ["bob@[192.0.2.1]"]),
        ("bob@[IPv6:2001:db8::1]", ["bob@[IPv6:2001:db8::1]"]),
        ("jürgen@bücher.example", ["jürgen@bücher.example"]),
        ("a@b,\r\n\tc@d", ["a@b", "c@d"]),
        ("Dr. J. Doe <jo@x>", ["jo@x"]),
    ],
)
def test_a_list_gives_its_addresses(text: str, expected: list[str]) -> None:
    """RFC 5322 §3.4, §3.2.2, §4.4."""
    assert [address for address, _ in find_addresses(text)] == expected


@pytest.mark.parametrize(
    "text",
    [
        "Bob Miller",
        "a@b c@d",
        "<a@b",
        "a@b>",
        "<>",
        "Bob <a@b> <c@d>",
        "<a@b> c",
        '"a',
        "[a",
        "a (b",
        "a)",
        "a;",
        "a: b: c;",
        "<a,b>",
        "<a;b>",
        "<a<b>",
        "a" * (MAX_LIST_CHARACTERS + 1),
    ],
)
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(AddressListError):
        find_addresses(text)


@given(st.text(alphabet=st.sampled_from(' ab@."<>()[]:;,\\\r\n\té\0'), max_size=40))
def test_any_text_is_a_list_or_an_error(text: str) -> None:
    try:
        found = find_addresses(text)
    except AddressListError:
        return
    places = [end for _, end in found]
    assert places == sorted(set(places))
    assert all(address and text[end - 1] == address[-1] for address, end in found)
    # What was found is a list that gives the same.
    assert [again for again, _ in find_addresses(", ".join(a for a, _ in found))] == [
        address for address, _ in found
    ]
