"""transport(5)."""

import pytest

from letterlock.protocols.tables.lines import Entry, TableError, WrongEntry
from letterlock.protocols.tables.transport import (
    Discard,
    Fail,
    LmtpHost,
    LmtpSocket,
    ToLmtp,
    ToMailbox,
    ToNextHop,
    UsualWay,
    Way,
    parse_lmtp_server,
    parse_transport,
)


def check(text: str) -> None:
    if " " in text:
        raise ValueError(f"{text} is no next hop")


@pytest.mark.parametrize(
    ("value", "way"),
    [
        ("smtp:[mx.test]:2525", ToNextHop("[mx.test]:2525")),
        ("relay:x.test", ToNextHop("x.test")),
        ("smtp:", ToNextHop(None)),
        (":[mx.test]", ToNextHop("[mx.test]")),
        (":", UsualWay()),
        ("lmtp:unix:/run/lmtp", ToLmtp(LmtpSocket("/run/lmtp"))),
        ("lmtp:inet:[127.0.0.1]:24", ToLmtp(LmtpHost("127.0.0.1", 24))),
        ("smtps:[mx.test]:465", ToNextHop("smtps:[mx.test]:465")),
        ("local:", ToMailbox()),
        ("virtual:anything", ToMailbox()),
        ("discard:", Discard("discarded by the transport table")),
        ("discard: gone", Discard("gone")),
        ("error:5.7.1 no mail: here", Fail("5.7.1", "no mail: here")),
        ("error:no mail", Fail("5.0.0", "no mail")),
        ("error:4.2.1 later", Fail("5.2.1", "later")),
        ("error:5.1.1", Fail("5.1.1", "mail for this address is not taken")),
        ("retry:5.3.2 wait", Fail("4.3.2", "wait")),
        ("retry:", Fail("4.0.0", "mail for this address is not taken")),
    ],
)
def test_ways(value: str, way: Way) -> None:
    entry = parse_transport(f"x.test {value}\n".encode(), "t", check).find("x.test")
    assert isinstance(entry, Entry)
    assert entry.value == way


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("x.test", "x.test is not transport:nexthop"),
        ("uucp:x", "there is no transport 'uucp' here"),
        ("uu\x1bcp:x", "there is no transport 'uu\\x1bcp' here"),
        ("smtp:a b", "a b is no next hop"),
        ("lmtp:unix:private/lmtp", "unix: needs the whole path of a socket"),
    ],
)
def test_what_means_nothing_here_is_a_wrong_entry(value: str, reason: str) -> None:
    entry = parse_transport(f"x.test {value}\n".encode(), "t", check).find("x.test")
    assert isinstance(entry, WrongEntry)
    assert entry.reason.startswith(f"x.test: {reason}")


@pytest.mark.parametrize(
    ("key", "normal"),
    [
        ("X.test", "x.test"),
        (".X.test", ".x.test"),
        ("*", "*"),
        ("A+b@X.test", "a+b@x.test"),
        ("[192.0.2.1]", "[192.0.2.1]"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_keys(key: str, normal: str) -> None:
    table = parse_transport(f"{key} :\n".encode(), "t", check)
    assert list(table.entries) == [normal]


def test_a_key_that_matches_nothing_is_told() -> None:
    (fault,) = parse_transport(b"@x.test :\n", "t", check).faults
    assert str(fault) == "t:1: @x.test matches nothing: a domain stands without @ here"


@pytest.mark.parametrize(
    ("text", "server", "shown"),
    [
        ("unix:/run/a:b", LmtpSocket("/run/a:b"), "unix:/run/a:b"),
        ("inet:Host.test:2424", LmtpHost("host.test", 2424), "inet:host.test:2424"),
        ("host.test", LmtpHost("host.test", 24), "inet:host.test:24"),
        ("[host.test]:25", LmtpHost("host.test", 25), "inet:host.test:25"),
        ("127.0.0.1:25", LmtpHost("127.0.0.1", 25), "inet:127.0.0.1:25"),
        ("[2001:DB8::1]", LmtpHost("2001:db8::1", 24), "inet:[2001:db8::1]:24"),
        ("inet:[IPv6:::1]:24", LmtpHost("::1", 24), "inet:[::1]:24"),
    ],
)
def test_lmtp_servers(text: str, server: LmtpSocket | LmtpHost, shown: str) -> None:
    assert parse_lmtp_server(text) == server
    assert str(server) == shown
    assert parse_lmtp_server(shown) == server


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unix:",
        "unix:x",
        "unix:/" + "x" * 107,
        "unix:/\0",
        "a:0",
        "a:65536",
        "a b",
        "inet:",
        "[x",
    ],
)
def test_what_is_no_lmtp_server(text: str) -> None:
    with pytest.raises(TableError):
        parse_lmtp_server(text)
