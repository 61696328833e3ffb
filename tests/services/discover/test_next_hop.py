"""What may be written as a next hop, and what it means."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.services.discover.next_hop import NextHop, NextHopError, parse_next_hop


@pytest.mark.parametrize(
    ("text", "key", "host", "port", "is_bracketed", "is_port_given"),
    [
        ("example.com", "example.com", "example.com", 25, False, False),
        ("Example.COM.", "example.com", "example.com", 25, False, False),
        ("example.com:2525", "example.com:2525", "example.com", 2525, False, True),
        ("[MX.example.com]", "[mx.example.com]", "mx.example.com", 25, True, False),
        ("[mx.example.com]:587", "[mx.example.com]:587", "mx.example.com", 587, True, True),
        ("[mx.example.com]:submission", "[mx.example.com]:submission", "mx.example.com", 587,
         True, True),
        ("bücher.example", "xn--bcher-kva.example", "xn--bcher-kva.example", 25, False, False),
    ],
)  # fmt: skip
def test_domains_and_hosts_are_parsed(
    text: str, key: str, host: str, port: int, is_bracketed: bool, is_port_given: bool
) -> None:
    """The key is the text as written: Postfix looks policies up by it."""
    next_hop = parse_next_hop(text)
    assert (next_hop.key, next_hop.domain, next_hop.address) == (key, host, None)
    assert (next_hop.port, next_hop.is_bracketed) == (port, is_bracketed)
    assert next_hop.is_port_given is is_port_given


@pytest.mark.parametrize(
    ("text", "key", "address", "port"),
    [
        ("[192.0.2.1]", "[192.0.2.1]", IPv4Address("192.0.2.1"), 25),
        ("[192.0.2.1]:2525", "[192.0.2.1]:2525", IPv4Address("192.0.2.1"), 2525),
        ("[IPv6:2001:DB8::1]", "[2001:db8::1]", IPv6Address("2001:db8::1"), 25),
        ("[2001:db8::1]:25", "[2001:db8::1]:25", IPv6Address("2001:db8::1"), 25),
    ],
)
def test_address_literals_are_parsed(
    text: str, key: str, address: IPv4Address | IPv6Address, port: int
) -> None:
    """RFC 5321 §4.1.3"""
    next_hop = parse_next_hop(text)
    assert (str(next_hop), next_hop.domain, next_hop.address) == (key, None, address)
    assert (next_hop.port, next_hop.is_bracketed) == (port, True)


def test_the_default_port_is_the_caller_s() -> None:
    assert parse_next_hop("example.com", 2525).port == 2525
    assert parse_next_hop("example.com:25", 2525).port == 25


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "neither a domain nor a host in brackets"),
        ("[]", "neither a domain nor a host in brackets"),
        ("[a]b", "neither a domain nor a host in brackets"),
        ("[a", "neither a domain nor a host in brackets"),
        ("2001:db8::1", "neither a domain nor a host in brackets"),
        ("example.com:", "neither a domain nor a host in brackets"),
        ("a" * 301, "neither a domain nor a host in brackets"),
        ("192.0.2.1", "an address must stand in brackets: [192.0.2.1]"),
        ("192.0.2.1.", "'192.0.2.1.' is an address that ends in a dot"),
        ("[192.0.2.1.]:25", "'192.0.2.1.' is an address that ends in a dot"),
        ("example.com:0", "'0' is not a port"),
        ("example.com:65536", "'65536' is not a port"),
        ("example.com:imap", "'imap' is not a port"),
        ("a..b", "is not a label"),
        ("[mail server]", "is not a label"),
    ],
)
def test_what_is_no_next_hop_is_named(text: str, reason: str) -> None:
    with pytest.raises(NextHopError) as caught:
        parse_next_hop(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "key", "port", "is_implicit"),
    [
        ("[mx.example.com]:465", "[mx.example.com]:465", 465, True),
        ("[mx.example.com]:smtps", "[mx.example.com]:smtps", 465, True),
        ("[mx.example.com]:submissions", "[mx.example.com]:submissions", 465, True),
        ("smtps:[mx.example.com]", "[mx.example.com]", 465, True),
        ("SMTPS:[mx.example.com]:8465", "[mx.example.com]:8465", 8465, True),
        ("smtps:example.com", "example.com", 465, True),
        ("smtps:587", "smtps:587", 587, False),
        ("smtps", "smtps", 25, False),
        ("[mx.example.com]:submission", "[mx.example.com]:submission", 587, False),
    ],
)
def test_where_tls_comes_first(text: str, key: str, port: int, is_implicit: bool) -> None:
    """RFC 8314 §3.3; the policy table is asked for what stands behind `smtps:`."""
    next_hop = parse_next_hop(text)
    assert (next_hop.key, next_hop.port, next_hop.is_implicit_tls) == (key, port, is_implicit)


@given(st.text(max_size=40) | st.from_regex(r"smtps:[a-z0-9:.\[\]]{1,20}", fullmatch=True))
def test_any_text_is_a_next_hop_or_an_error(text: str) -> None:
    try:
        next_hop = parse_next_hop(text)
    except NextHopError:
        return
    assert isinstance(next_hop, NextHop)
    assert (next_hop.domain is None) is not (next_hop.address is None)
    again = parse_next_hop(f"smtps:{next_hop.key}" if next_hop.is_implicit_tls else next_hop.key)
    assert again == replace(next_hop, is_port_given=again.is_port_given)
    assert again.port == next_hop.port
