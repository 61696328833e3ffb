"""RFC 3986 §3.2.2: hosts and ports as operators write them."""

from ipaddress import ip_address

import pytest

from letterlock.protocols.incidents.places import (
    PORTS,
    Place,
    PlaceError,
    Speech,
    find_speech,
    parse_place,
)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("mail.example.org", "mail.example.org", None),
        (" Mail.Example.ORG. ", "mail.example.org", None),
        ("bücher.example:25", "xn--bcher-kva.example", 25),
        ("localhost:2525", "localhost", 2525),
    ],
)
def test_names_have_one_form(text: str, host: str, port: int | None) -> None:
    place = parse_place(text)
    assert (place.host, place.port) == (host, port)


@pytest.mark.parametrize(
    ("text", "ip", "port"),
    [
        ("192.0.2.1", "192.0.2.1", None),
        ("192.0.2.1:465", "192.0.2.1", 465),
        ("2001:db8::1", "2001:db8::1", None),
        ("[2001:db8::1]", "2001:db8::1", None),
        ("[2001:DB8::1]:993", "2001:db8::1", 993),
        ("[192.0.2.1]:25", "192.0.2.1", 25),
    ],
)
def test_addresses_are_addresses(text: str, ip: str, port: int | None) -> None:
    assert parse_place(text) == Place(ip_address(ip), port)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":25", "a b:25", "mail.example.org:", "mail.example.org:0", "mail.example.org:65536"),
        *("[mail.example.org]:25", "[::1", "::1]:25", "fe80::1%eth0", "https://mail.example.org"),
        *("mail.example.org:smtp", "a..b", "x" * 400, "[1.2.3]", "1.2.3.4.:25"),
    ],
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(PlaceError):
        parse_place(text)


def test_without_a_port_all_that_mail_and_web_use_are_asked() -> None:
    assert parse_place("a.example").ports == (443, 25, 465, 587, 993)
    assert parse_place("a.example:26").ports == (26,)
    assert {port for port in PORTS if find_speech(port) is Speech.STARTTLS} == {25, 587}
    assert find_speech(26) is Speech.UNKNOWN
