"""Where redirects of http-01 may lead, and where not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.validation.redirects import (
    BadRedirect,
    WebUrl,
    make_first_url,
    parse_location,
)

TOKEN = "A" * 22
FIRST = make_first_url(parse_identifier("a.example"), TOKEN)


def follow(*values: bytes, base: WebUrl = FIRST, own: str = "a.example") -> WebUrl | BadRedirect:
    return parse_location(base, values, own)


def test_the_first_request_is_by_http() -> None:
    """RFC 8555 §8.3: never by HTTPS; RFC 8738 §5 (an address in brackets). Rule 228"""
    assert str(FIRST) == f"http://a.example/.well-known/acme-challenge/{TOKEN}"
    assert FIRST.port == 80
    v6 = make_first_url(parse_identifier("2001:db8::1"), TOKEN)
    assert str(v6) == f"http://[2001:db8::1]/.well-known/acme-challenge/{TOKEN}"


@pytest.mark.parametrize(
    ("location", "url"),
    [
        (b"http://b.example/x", "http://b.example/x"),
        (b"https://b.example/x?y=1", "https://b.example/x?y=1"),
        (b"HTTPS://B.Example./X", "https://b.example/X"),
        (b"http://b.example", "http://b.example/"),
        (b"http://b.example?q", "http://b.example/?q"),
        (b"http://b.example:80/x", "http://b.example/x"),
        (b"https://b.example:443/x", "https://b.example/x"),
        (b"http://b.example:/x", "http://b.example/x"),
        (b"http://b.example/x#part", "http://b.example/x"),
        (b"//b.example/x", "http://b.example/x"),
        (b"/x", "http://a.example/x"),
        (b"/x/./y/../z", "http://a.example/x/z"),
        (b"/../../x", "http://a.example/x"),
        (b"/x/..", "http://a.example/"),
        (b"/x/.", "http://a.example/x/"),
        (b"x", "http://a.example/.well-known/acme-challenge/x"),
        (b"../x?y", "http://a.example/.well-known/x?y"),
        (b"?y", f"http://a.example/.well-known/acme-challenge/{TOKEN}?y"),
        (b"", f"http://a.example/.well-known/acme-challenge/{TOKEN}"),
        (b"#part", f"http://a.example/.well-known/acme-challenge/{TOKEN}"),
    ],
)
def test_a_location_is_resolved(location: bytes, url: str) -> None:
    """RFC 3986 §5.2; Baseline Requirements 3.2.2.4.19"""
    found = follow(location) if location else follow(b"#")
    assert str(found) == url


def test_a_reference_keeps_scheme_and_query_of_its_base() -> None:
    """RFC 3986 §5.2.2"""
    base = WebUrl("https", "b.example", "/x/y?z=1")
    assert str(follow(b"#part", base=base)) == "https://b.example/x/y?z=1"
    assert str(follow(b"//c.example", base=base)) == "https://c.example/"
    assert str(follow(b"w", base=base)) == "https://b.example/x/w"


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        (b"ftp://b.example/", "of another scheme"),
        (b"file:///etc/passwd", "of another scheme"),
        (b"gopher://b.example:80/", "of another scheme"),
        (b"javascript:alert(1)", "of another scheme"),
        (b"http:b.example", "names no host"),
        (b"http:///x", "names no host"),
        (b"http://b.example:8080/", "on another port"),
        (b"http://b.example:443/", "on another port"),
        (b"https://b.example:80/", "on another port"),
        (b"http://b.example:0/", "on another port"),
        (b"http://b.example:x/", "names no host"),
        (b"http://b.example:123456/", "names no host"),
        (b"http://user@b.example/", "names no host"),
        (b"http://a.example@b.example/", "names no host"),
        (b"http://127.0.0.1/", "at another address"),
        (b"http://127.1/", "at another address"),
        (b"http://2130706433/", "at another address"),
        (b"http://[::1]/", "at another address"),
        (b"http://192.0.2.1./", "at another address"),
        (b"http://a..example/", "names no host"),
        (b"http://a%2eexample/", "names no host"),
        (b"http://b.example/ x", "is no URL"),
        (b"http://b.example/\r\nX: y", "is no URL"),
        ("http://bücher.example/".encode(), "is no URL"),
        (b"http://b.example/" + b"x" * 2048, "longer than 2048 octets"),
    ],
)
def test_a_redirect_to_anywhere_else_is_not_followed(location: bytes, reason: str) -> None:
    """RFC 8555 §10.4; Baseline Requirements 3.2.2.4.19. Rule 229"""
    found = follow(location)
    assert isinstance(found, BadRedirect)
    assert reason in found.reason
    assert found.reason.isprintable()
    assert len(found.reason) < 250


def test_there_must_be_one_location() -> None:
    assert follow() == BadRedirect("it has no Location")
    assert follow(b"/a", b"/b") == BadRedirect("it has several Locations")


def test_an_address_that_is_being_validated_may_be_named() -> None:
    """RFC 8738 §4: from HTTP to HTTPS of the same."""
    for own in ("192.0.2.1", "2001:db8::1"):
        base = make_first_url(parse_identifier(own), TOKEN)
        text = f"[{own}]" if ":" in own else own
        found = follow(f"https://{text}/x".encode(), base=base, own=own)
        assert found == WebUrl("https", own, "/x")


@given(st.binary(max_size=60) | st.text("htp:/@[]?#.%a1\\ ", max_size=40).map(str.encode))
def test_whatever_a_location_is_it_leads_to_the_two_ports_or_nowhere(octets: bytes) -> None:
    """RFC 8555 §10.4"""
    found = follow(octets)
    if isinstance(found, BadRedirect):
        assert found.reason.isprintable()
        return
    assert (found.scheme, found.port) in (("http", 80), ("https", 443))
    assert found.target.startswith("/")
    assert found.target.isascii()
    assert " " not in found.target
    assert "@" not in found.host
    # What was made is what would be read again.
    assert follow(str(found).encode()) == found
