"""RFC 5321 §4.1.2, §4.1.3 and §4.1.1.3; RFC 6531 §3.3: mailboxes and paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.smtp.paths import (
    MAX_PATH_OCTETS,
    AddressError,
    Mailbox,
    parse_forward_path,
    parse_mailbox,
    parse_reverse_path,
)


@pytest.mark.parametrize(
    ("text", "local", "domain"),
    [
        ("alice@example.org", "alice", "example.org"),
        ("Alice.B+tag@EXAMPLE.org", "Alice.B+tag", "example.org"),
        ("!#$%&'*+/=?^_`{|}~-@a", "!#$%&'*+/=?^_`{|}~-", "a"),
        ("user%other.example@example.org", "user%other.example", "example.org"),
        ("other.example!user@example.org", "other.example!user", "example.org"),
        ('"a b"@example.org', "a b", "example.org"),
        ('"user@other.example"@example.org', "user@other.example", "example.org"),
        (r'"Joe\,Smith"@example.org', "Joe,Smith", "example.org"),
        (r'"a\"\\b"@example.org', 'a"\\b', "example.org"),
        ('"alice"@example.org', "alice", "example.org"),
        ('""@example.org', "", "example.org"),
        ("a@[192.0.2.1]", "a", "[192.0.2.1]"),
        ("a@[IPv6:2001:DB8:0:0::1]", "a", "[IPv6:2001:db8::1]"),
        ("a@[ipv6:::ffff:192.0.2.1]", "a", "[IPv6:::ffff:192.0.2.1]"),
        ("a@" + "b" * 63 + ".org", "a", "b" * 63 + ".org"),
        ("用户@例え.テスト", "用户", "xn--r8jz45g.xn--zckzah"),
        ('"用 户"@example.org', "用 户", "example.org"),
        ("a@bücher.example", "a", "xn--bcher-kva.example"),
    ],
)
def test_a_mailbox_has_one_form(text: str, local: str, domain: str) -> None:
    """RFC 5321 §4.1.2: quoted forms are equivalent; RFC 6531 §3.2: domains become A-labels."""
    assert parse_mailbox(text) == Mailbox(local, domain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "alice",
        "alice@",
        "@example.org",
        ".a@example.org",
        "a.@example.org",
        "a..b@example.org",
        "a b@example.org",
        "a@b@example.org",
        'a"b@example.org',
        '"a"b"@example.org',
        '"a\\"@example.org',
        '"a\x07"@example.org',
        '"\\\x07"@example.org',
        "a\x00@example.org",
        "a\r@example.org",
        "a\n@example.org",
        "a\x7f@example.org",
        "a\x85@example.org",
        "a\u2028@example.org",
        '"\u2029"@example.org',
        "(comment)a@example.org",
        "a@exa mple.org",
        "a@example.org.",
        "a@.example.org",
        "a@example..org",
        "a@-example.org",
        "a@example-.org",
        "a@under_score.example",
        "a@example.org\n",
        "a@" + "b" * 64 + ".org",
        "a@ü_.example",
        "a@\u2024.example",
        "a@" + "ü" * 60 + ".example",
        "a@[192.0.2.1",
        "a@[192.0.2]",
        "a@[192.0.2.256]",
        "a@[01.2.3.4]",
        "a@[IPv6:2001:db8::1%eth0]",
        "a@[2001:db8::1]",
        "a@[IPv6:]",
        "a@[x400:c=us]",
        "a" * 243 + "@example.org",
        "ü" * 122 + "@example.org",
        "a@" + ".".join(["b" * 60] * 5),
    ],
)
def test_what_breaks_a_rule_is_no_mailbox(text: str) -> None:
    """RFC 5321 §4.1.2, §4.5.3.1.3."""
    with pytest.raises(AddressError):
        parse_mailbox(text)


def test_a_local_part_is_bounded_by_its_path_only() -> None:
    """RFC 5321 §4.5.3.1: longer than 64 octets is allowed, and bounce addresses are."""
    longest = "a" * (MAX_PATH_OCTETS - 2 - len("@example.org")) + "@example.org"
    assert str(parse_mailbox(longest)) == longest


@pytest.mark.parametrize("text", ["用户@example.org", "a@bücher.example"])
def test_unicode_needs_smtputf8(text: str) -> None:
    """RFC 6531 §3.5: an address whose only fault is that has a reply code of its own."""
    with pytest.raises(AddressError) as caught:
        parse_mailbox(text, may_be_unicode=False)
    assert caught.value.is_unicode


def test_a_bad_address_in_unicode_is_bad_first() -> None:
    with pytest.raises(AddressError) as caught:
        parse_mailbox("用 户@example.org", may_be_unicode=False)
    assert not caught.value.is_unicode


@pytest.mark.parametrize(
    ("mailbox", "text"),
    [
        (Mailbox("alice", "example.org"), "alice@example.org"),
        (Mailbox("a b", "example.org"), '"a b"@example.org'),
        (Mailbox('a"\\', "example.org"), r'"a\"\\"@example.org'),
        (Mailbox("", "example.org"), '""@example.org'),
        (Mailbox("a..b", "example.org"), '"a..b"@example.org'),
        (Mailbox("a@b", "[192.0.2.1]"), '"a@b"@[192.0.2.1]'),
    ],
)
def test_as_little_is_quoted_as_can_be(mailbox: Mailbox, text: str) -> None:
    """RFC 5321 §4.1.2: "the form that uses the minimum quoting possible"."""
    assert mailbox.format() == str(mailbox) == text


def test_a_literal_is_told_from_a_domain() -> None:
    assert parse_mailbox("a@[192.0.2.1]").is_literal
    assert not parse_mailbox("a@example.org").is_literal


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("<a@example.org>", "a@example.org"),
        ("<@relay.example:a@example.org>", "a@example.org"),
        ("<@one.example,@two.example:a@example.org>", "a@example.org"),
        ("<@[192.0.2.1]:a@example.org>", "a@example.org"),
    ],
)
def test_source_routes_are_dropped(path: str, text: str) -> None:
    """RFC 5321 §4.1.1.3: recognised, stripped, and the mailbox used as if there were none."""
    assert str(parse_forward_path(path)) == text
    assert str(parse_reverse_path(path)) == text


def test_a_source_route_outside_ascii_needs_smtputf8_too() -> None:
    """RFC 6531 §3.3: it is part of the path, though it leads nowhere."""
    path = "<@rélais.example:a@example.org>"
    assert str(parse_forward_path(path)) == "a@example.org"
    with pytest.raises(AddressError) as caught:
        parse_forward_path(path, may_be_unicode=False)
    assert caught.value.is_unicode


@pytest.mark.parametrize(
    "path",
    [
        "a@example.org",
        "<a@example.org",
        "a@example.org>",
        "<<a@example.org>>",
        "<@one.example:>",
        "<@one.example a@example.org>",
        "<@one.example,two.example:a@example.org>",
        "<@:a@example.org>",
        "<@" + "o" * 250 + ":a@example.org>",
        "",
        "<",
    ],
)
def test_a_path_stands_between_angle_brackets(path: str) -> None:
    """RFC 5321 §4.1.2 (Path)."""
    with pytest.raises(AddressError):
        parse_forward_path(path)
    with pytest.raises(AddressError):
        parse_reverse_path(path)


def test_only_senders_may_be_null() -> None:
    """RFC 5321 §4.1.1.2 and §4.1.1.3."""
    assert parse_reverse_path("<>") is None
    with pytest.raises(AddressError):
        parse_forward_path("<>")


@pytest.mark.parametrize("path", ["<postmaster>", "<Postmaster>", "<POSTMASTER>"])
def test_only_the_postmaster_needs_no_domain(path: str) -> None:
    """RFC 5321 §4.1.1.3 and §4.5.1."""
    assert parse_forward_path(path) is None
    with pytest.raises(AddressError):
        parse_reverse_path(path)


_LOCAL = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]),
    max_size=40,
)
_DOMAIN = st.sampled_from(["example.org", "xn--bcher-kva.example", "[192.0.2.1]", "[IPv6:::1]"])


@given(_LOCAL, _DOMAIN)
def test_parsing_inverts_formatting(local: str, domain: str) -> None:
    mailbox = Mailbox(local, domain)
    assert parse_mailbox(mailbox.format()) == mailbox


def _parse(text: str) -> Mailbox | None:
    try:
        return parse_mailbox(text)
    except AddressError:
        return None


@given(
    st.from_regex(r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]{1,20}", fullmatch=True),
    st.from_regex(r"[a-zA-Z0-9._-]{1,70}", fullmatch=True) | _DOMAIN,
)
def test_usual_addresses_are_read_as_unusual_ones(local: str, domain: str) -> None:
    """One expression reads most; one with quotes takes the long way, and is the same address."""
    plain, quoted = _parse(f"{local}@{domain}"), _parse(f'"{local}"@{domain}')
    if local.strip(".") == local and ".." not in local:
        assert plain == quoted
    else:
        assert plain is None  # RFC 5321 §4.1.2: Dot-string


@given(st.text(max_size=60))
def test_any_text_is_a_mailbox_or_an_address_error(text: str) -> None:
    for candidate in (text, f"{text}@example.org", f"a@{text}", f'"{text}"@b', f"a@[{text}]"):
        try:
            mailbox = parse_mailbox(candidate)
        except AddressError:
            continue
        assert parse_mailbox(mailbox.format()) == mailbox
        assert len(mailbox.format().splitlines()) == 1
