"""RFC 8555 §7.1.3, RFC 8738 §3: names and addresses."""

from ipaddress import ip_address

import pytest

from letterlock.protocols.acme.fields import Fields, ObjectError
from letterlock.protocols.acme.identifiers import (
    Identifier,
    find_usable,
    make_server_name,
    parse_identifier,
    read_identifier,
)


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("mx.example.org", Identifier("dns", "mx.example.org")),
        ("MX.Example.ORG.", Identifier("dns", "mx.example.org")),
        ("bücher.example", Identifier("dns", "xn--bcher-kva.example")),
        ("*.example.org", Identifier("dns", "*.example.org")),
        ("192.0.2.1", Identifier("ip", "192.0.2.1")),
        ("2001:DB8:0:0::1", Identifier("ip", "2001:db8::1")),
    ],
)
def test_an_identifier_has_its_canonical_text(text: str, identifier: Identifier) -> None:
    """RFC 8555 §7.1.4 (A-labels), RFC 8738 §3 (addresses as RFC 5952 §4 writes them)."""
    assert parse_identifier(text) == identifier


@pytest.mark.parametrize(
    "text",
    [
        *("", "*.", "a..b", "*.*.example.org", "a b"),
        *("::ffff:192.0.2.1", "fe80::1%eth0", "192.0.2.1.", "*.192.0.2.1"),
    ],
)
def test_what_can_have_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"label|empty|address"):
        parse_identifier(text)


def test_a_servers_identifier_is_read_in_any_case() -> None:
    def read(kind: str, value: str) -> Identifier:
        return read_identifier(Fields({"type": kind, "value": value}, "order"))

    assert read("dns", "MX.example.org") == parse_identifier("mx.example.org")
    assert read("ip", "2001:DB8::0:1") == parse_identifier("2001:db8::1")
    assert read("later", "X") == Identifier("later", "x")
    with pytest.raises(ObjectError, match="no address"):
        read("ip", "mx.example.org")


def test_each_identifier_has_its_challenges() -> None:
    """RFC 8738 §7: no dns-01 for addresses; wildcards by dns-01 only."""
    assert find_usable(parse_identifier("192.0.2.1")) == ("http-01", "tls-alpn-01")
    assert find_usable(parse_identifier("*.example.org")) == ("dns-01",)
    assert set(find_usable(parse_identifier("example.org"))) == {
        "http-01",
        "dns-01",
        "tls-alpn-01",
    }


def test_a_validator_asks_with_the_name_or_the_reverse_name() -> None:
    """RFC 8737 §3; RFC 8738 §6."""
    assert make_server_name(parse_identifier("mx.example.org")) == "mx.example.org"
    assert make_server_name(parse_identifier("192.0.2.1")) == "1.2.0.192.in-addr.arpa"
    assert make_server_name(parse_identifier("2001:db8::1")).endswith("8.b.d.0.1.0.0.2.ip6.arpa")


def test_an_identifier_shows_what_it_is() -> None:
    name = parse_identifier("*.example.org")
    assert (name.base, name.is_wildcard, name.address()) == ("example.org", True, None)
    assert str(Identifier("dns", "a\nb")) == "a b"
    assert parse_identifier("192.0.2.1").address() == ip_address("192.0.2.1")
    assert not parse_identifier("192.0.2.1").is_wildcard
