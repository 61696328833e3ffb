"""What is said to a proxy, and what its answers mean.

RFC 1928 §3 to §6, RFC 9110 §9.3.6.
"""

from collections.abc import Callable
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.proxy.tunnels import (
    MAX_HEAD_OCTETS,
    ConnectTunnel,
    Event,
    IpAddress,
    Open,
    Refused,
    Say,
    SocksTunnel,
    Tunnel,
)

V4, V6 = ip_address("192.0.2.1"), ip_address("2001:db8::1")
CHOSEN = b"\x05\x00"
OPENED = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
MAKERS: dict[str, Callable[[], Tunnel]] = {
    "socks": lambda: SocksTunnel(V4, 80),
    "connect": lambda: ConnectTunnel(V4, 80),
}


def _feed(tunnel: Tunnel, *chunks: bytes) -> list[Event]:
    assert tunnel.begin()
    return [event for chunk in chunks for event in tunnel.receive(chunk)]


def test_socks_asks_for_an_ipv4_address() -> None:
    assert SocksTunnel(V4, 80).begin() == b"\x05\x01\x00"
    asked = Say(b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50")
    assert _feed(SocksTunnel(V4, 80), CHOSEN, OPENED) == [asked, Open()]


def test_socks_asks_for_an_ipv6_address() -> None:
    bound = b"\x05\x00\x00\x04" + bytes(18)
    asked = Say(b"\x05\x01\x00\x04" + V6.packed + b"\x01\xbb")
    assert _feed(SocksTunnel(V6, 443), CHOSEN, bound) == [asked, Open()]


def test_the_name_that_a_proxy_is_bound_to_is_passed_over() -> None:
    reply = b"\x05\x00\x00\x03\x05proxy\x00\x00"
    assert _feed(SocksTunnel(V4, 80), CHOSEN, reply)[1:] == [Open()]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"HT", "it does not speak SOCKS5"),
        (b"\x05\x02", "it wants a password"),
        (b"\x05\xff", "it wants a password"),
        (CHOSEN + b"\x05\x05\x00\x01" + bytes(6), "connection refused"),
        (CHOSEN + b"\x05\x63\x00\x01" + bytes(6), "reply 99"),
        (CHOSEN + b"\x05\x00\x00\x09" + bytes(6), "it does not speak SOCKS5"),
        (CHOSEN + b"\x04\x00\x00\x01" + bytes(6), "it does not speak SOCKS5"),
        (CHOSEN + OPENED + b"220 ", "something came before it was asked for"),
    ],
)
def test_what_socks_refuses_has_its_reason(said: bytes, reason: str) -> None:
    assert _feed(SocksTunnel(V4, 80), said)[-1] == Refused(reason)


@pytest.mark.parametrize(("ip", "host"), [(V4, "192.0.2.1"), (V6, "[2001:db8::1]")])
def test_connect_names_the_address_and_port(ip: IpAddress, host: str) -> None:
    tunnel = ConnectTunnel(ip, 443)
    wanted = f"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n"
    assert tunnel.begin() == wanted.encode()


@pytest.mark.parametrize(
    ("said", "event"),
    [
        (b"HTTP/1.1 200 Connection established\r\n\r\n", Open()),
        (b"HTTP/1.0 200\r\nVia: x\r\n\r\n", Open()),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!", Refused("status 403")),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", Refused("status 407")),
        (b"SSH-2.0-OpenSSH\r\n\r\n", Refused("it does not speak HTTP")),
        (b"x" * (MAX_HEAD_OCTETS + 1), Refused("it does not speak HTTP")),
        (
            b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n",
            Refused("something came before it was asked for"),
        ),
    ],
)
def test_what_http_answers(said: bytes, event: Event) -> None:
    assert _feed(ConnectTunnel(V4, 80), said) == [event]


@pytest.mark.parametrize("kind", MAKERS)
def test_nothing_is_taken_after_the_end(kind: str) -> None:
    tunnel = MAKERS[kind]()
    (refused,) = _feed(tunnel, b"\x00\x00\r\n\r\n")
    assert isinstance(refused, Refused)
    assert tunnel.receive(CHOSEN + OPENED) == []


@given(st.binary(max_size=40), st.integers(0, 40), st.sampled_from(sorted(MAKERS)))
def test_how_octets_were_split_does_not_matter(octets: bytes, at: int, kind: str) -> None:
    for said in (octets, CHOSEN + octets, b"HTTP/1.1 200 OK\r\n\r\n" + octets):
        whole = _feed(MAKERS[kind](), said)
        split = _feed(MAKERS[kind](), said[:at], said[at:])
        # What comes too early in one piece is the other host's, when it comes later.
        if Open() not in split:
            assert split == whole
