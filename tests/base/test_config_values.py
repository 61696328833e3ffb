"""The values of settings: durations, sizes, addresses, networks, next hops, mailboxes."""

from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.config.values import (
    ListenAddress,
    NextHop,
    ResolverAddress,
    format_duration,
    format_size,
    parse_address,
    parse_certificate_name,
    parse_duration,
    parse_https_url,
    parse_ip_address,
    parse_listen_address,
    parse_mailbox,
    parse_network,
    parse_next_hop,
    parse_resolver_address,
    parse_size,
)

GOOD: list[tuple[Callable[[str], Any], str, Any]] = [
    (parse_duration, "90s", timedelta(seconds=90)),
    (parse_duration, "1h30m", timedelta(minutes=90)),
    (parse_duration, "2w", timedelta(days=14)),
    (parse_size, "50MiB", 50 * 1024 * 1024),
    (parse_size, "10 KiB", 10240),
    (parse_size, "1B", 1),
    (parse_listen_address, "192.0.2.1:25", ListenAddress("192.0.2.1", 25)),
    (parse_listen_address, "[2001:DB8::1]:0", ListenAddress("2001:db8::1", 0)),
    (parse_resolver_address, "127.0.0.1", ResolverAddress("127.0.0.1", 53)),
    (parse_resolver_address, "::1", ResolverAddress("::1", 53)),
    (parse_resolver_address, "[::1]:5353", ResolverAddress("::1", 5353)),
    (parse_resolver_address, "127.0.0.1:5353", ResolverAddress("127.0.0.1", 5353)),
    (parse_next_hop, "Example.COM", NextHop("example.com")),
    (parse_next_hop, "example.com:587", NextHop("example.com", 587)),
    (parse_next_hop, "[mx.example.com]:2525", NextHop("mx.example.com", 2525, is_bracketed=True)),
    (
        parse_next_hop,
        "smtps:[mx.a.b]",
        NextHop("mx.a.b", None, is_bracketed=True, is_implicit_tls=True),
    ),
    (parse_next_hop, "SMTPS:a.b", NextHop("a.b", None, is_implicit_tls=True)),
    (parse_next_hop, "smtps:587", NextHop("smtps", 587)),
    (parse_next_hop, "[192.0.2.1]", NextHop("192.0.2.1", None, is_bracketed=True)),
    (parse_next_hop, "[2001:db8::1]:25", NextHop("2001:db8::1", 25, is_bracketed=True)),
    (parse_next_hop, "[IPv6:2001:db8::1]", NextHop("2001:db8::1", None, is_bracketed=True)),
    (parse_address, "Postmaster@Bücher.example", "Postmaster@xn--bcher-kva.example"),
    (parse_ip_address, "192.0.2.1", ip_address("192.0.2.1")),
    (parse_ip_address, "[2001:DB8::1]", ip_address("2001:db8::1")),
    (parse_mailbox, "Alice", "alice"),
    (parse_mailbox, "bob.b@Example.org", "bob.b@example.org"),
    (parse_certificate_name, "MX1.Example.org", "mx1.example.org"),
    (parse_certificate_name, "*.bücher.example", "*.xn--bcher-kva.example"),
    (parse_certificate_name, "2001:DB8::1", "2001:db8::1"),
    (parse_https_url, "https://acme.example:14000/dir?x=1", "https://acme.example:14000/dir?x=1"),
]

BAD: list[tuple[Callable[[str], Any], str]] = [
    *[
        (parse_duration, text)
        for text in ("", "5", "5 m", "5min", "1m1h", "999999999w", "1m1m", "-5m", "٣s")
    ],
    *[(parse_size, text) for text in ("", "50", "50MB", "1.5MiB", "-1KiB", "٣B")],
    *[
        (parse_listen_address, text)
        for text in ("25", "0.0.0.0", "::25", "[::]", "[::]25", "mx:25", "1.2.3.4:65536", "[::1:25")
    ],
    *[(parse_listen_address, text) for text in ("1.2.3.4:٣", "1.2.3.4:", "1.2.3.4:-1")],
    *[(parse_resolver_address, text) for text in ("dns.example", "1.1.1.1:0", "", "[::1]:x")],
    *[(parse_network, text) for text in ("", "10.0.0.1/8", "10.0.0.0/33", "example.com", "10.0/8")],
    *[(parse_next_hop, text) for text in ("", "[]", "[mx", "a b", "mx:0", "[mx]x", "a..b", ":25")],
    *[(parse_resolver_address, text) for text in ("fe80::1%]1", "[fe80::1%a b]:53", "fe80::1%")],
    *[(parse_network, text) for text in ("fe80::1%a b", "fe80::%\r\n/64")],
    *[(parse_next_hop, text) for text in ("192.0.2.1.", "[192.0.2.1.]:25", "192。0。2。1")],
    *[(parse_next_hop, text) for text in ("smtps:587.", "smtps:0.", "smtps:0")],
    *[(parse_address, text) for text in ("", "a", "@b.example", "a@", "a b@c.example", "a@b..c")],
    *[(parse_address, "a@b.example\n"), (parse_address, "l" * 65 + "@b.example")],
    *[
        (parse_mailbox, text)
        for text in ("", ".", "..", "../x", "a/b", ".a", "a.", "a\0", "a@", "a\n")
    ],
    *[
        (parse_certificate_name, text)
        for text in (
            "",
            "*",
            "*.",
            "*.*.example.org",
            "mx1",
            "a..b",
            "../x.y",
            "[::1]",
            "fe80::1%lo",
        )
    ],
    *[
        (parse_https_url, text)
        for text in (
            "",
            "acme.example",
            "http://acme.example/",
            "https://",
            "https://a b/",
            "https://a\n",
        )
    ],
]


@pytest.mark.parametrize(("parse", "text", "value"), GOOD, ids=[case[1] for case in GOOD])
def test_value_is_read(parse: Callable[[str], Any], text: str, value: Any) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(("parse", "text"), BAD, ids=[f"{p.__name__}-{t[:20]!r}" for p, t in BAD])
def test_what_is_no_value_is_refused(parse: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse(text)


def test_network_with_bits_beyond_its_prefix_names_the_network() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/8"):
        parse_network("10.0.0.1/8")


@given(st.integers(0, 10**8).map(lambda seconds: timedelta(seconds=seconds)))
def test_formatted_duration_is_read_back(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.integers(0, 10**11))
def test_formatted_size_is_read_back(octets: int) -> None:
    assert parse_size(format_size(octets)) == octets


@pytest.mark.parametrize("text", ["192.0.2.1:25", "[2001:db8::1]:25"])
def test_formatted_listen_address_is_read_back(text: str) -> None:
    assert str(parse_listen_address(text)) == text
    assert str(parse_resolver_address(text)) == text


@pytest.mark.parametrize(
    "text", ["example.com", "example.com:26", "[mx.example.com]", "[192.0.2.1]:25"]
)
def test_formatted_next_hop_is_read_back(text: str) -> None:
    assert str(parse_next_hop(text)) == text


@given(st.text(max_size=30))
def test_mailbox_is_never_a_way_out_of_its_folder(text: str) -> None:
    try:
        mailbox = parse_mailbox(text)
    except ValueError:
        return
    local = mailbox.partition("@")[0]
    assert "/" not in local
    assert "\0" not in local
    assert not local.startswith(".")
