"""Where reports go: the URIs of records, as addresses and servers, or one named error."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.tlsrpt.destinations import (
    MAX_URI_CHARACTERS,
    DestinationError,
    HttpsDestination,
    MailDestination,
    parse_destination,
)

GOOD = {
    "mailto:reports@example.com": MailDestination("reports@example.com"),
    "MAILTO:tls%2Brpt@Example.COM?subject=x": MailDestination("tls+rpt@example.com"),
    "mailto:a%21b@b%C3%BCcher.example": MailDestination("a!b@xn--bcher-kva.example"),
    "mailto:a!b@example.com": MailDestination("a!b@example.com"),
    "https://r.example.net/v1/tlsrpt": HttpsDestination("r.example.net", 443, "/v1/tlsrpt"),
    "HTTPS://R.example.net": HttpsDestination("r.example.net", 443, "/"),
    "https://r.example.net:8443?a=b%2Cc=d#x": HttpsDestination(
        "r.example.net", 8443, "/?a=b%2Cc=d"
    ),
    "https://r.example.net:/a": HttpsDestination("r.example.net", 443, "/a"),
    "https://[2001:DB8::1]:444/a": HttpsDestination("2001:db8::1", 444, "/a"),
    "https://192.0.2.1/": HttpsDestination("192.0.2.1", 443, "/"),
}
BAD = {
    "ftp://x.example/": "neither mailto nor https",
    "reports@example.com": "neither",
    "mailto:": "not one mail address",
    "mailto:a@x.example,b@x.example": "not",
    "mailto:a%0d%0aBcc:b@x.example": "not one mail address",
    "mailto:a%20b@x.example": "not one mail address",
    "mailto:%22a%22@x.example": "not one mail address",
    "mailto:%FF@x.example": "not one mail address",
    "mailto:.a@x.example": "not one mail address",
    f"mailto:{'a' * 65}@x.example": "not one mail address",
    "mailto:a@x..example": "not a mail address",
    "mailto:a@caf%E9.example": "not a mail address",
    "https:x.example": "no server",
    "https:///a": "no server",
    "https://x.example/a b": "no server",
    "https://x.example/\r\nX: y": "no server",
    "https://user:pw@x.example/": "a user",
    "https://x.example:0/": "no port",
    "https://x.example:65536/": "no port",
    "https://x..example/": "no host",
    "https://[::g]/": "no server",
    "https://[:::]/": "no host",
    f"https://x.example/{'a' * MAX_URI_CHARACTERS}": "longer",
}


@pytest.mark.parametrize("uri", GOOD)
def test_a_uri_is_an_address_or_a_server(uri: str) -> None:
    """RFC 8460 §3, RFC 6068 §2, RFC 3986 §3.1; rule 183."""
    assert parse_destination(uri) == GOOD[uri]


@pytest.mark.parametrize("uri", BAD)
def test_what_is_neither_has_one_named_error(uri: str) -> None:
    """RFC 8460 §7: nothing of it gets into a header or a request."""
    with pytest.raises(DestinationError, match=BAD[uri]):
        parse_destination(uri)


def test_the_domain_of_an_address() -> None:
    assert MailDestination("a@b.example").domain == "b.example"


@given(st.one_of(st.text(), st.text().map("mailto:{}@x.example".format)), st.booleans())
def test_any_text_gives_a_destination_or_the_error(text: str, is_https: bool) -> None:
    """What is found can stand in a header, a command and a request's first line."""
    uri = f"https://{text}" if is_https else text
    with contextlib.suppress(DestinationError):
        match parse_destination(uri):
            case MailDestination(address):
                assert address.isascii()
                assert address.isprintable()
                assert " " not in address
            case HttpsDestination(host, port, target):
                assert host.isascii()
                assert 1 <= port <= 0xFFFF
                assert target.startswith("/")
                assert target.isascii()
                assert target.isprintable()
                assert " " not in target
