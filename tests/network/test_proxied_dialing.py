"""Connections by way of a proxy, and DNS over them.

RFC 1928, RFC 9110 §9.3.6; Baseline Requirements 3.2.2.9: a perspective in another network.
"""

import asyncio
import random
from datetime import timedelta

import pytest

from letterlock.base.domains import Domain
from letterlock.network.dns import StubResolver
from letterlock.network.proxied_dialing import ProxyDialer, ProxyKind
from letterlock.network.wire import Lost, Wire
from letterlock.network.zone_server import ZoneServer
from tests.network.proxy_server import Proxy, proxying
from tests.network.test_wire import server

LONG = 60.0


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    line = await reader.readline()
    writer.write(b"you said " + line)


@pytest.mark.parametrize("kind", ProxyKind)
async def test_octets_go_through_a_proxy(kind: ProxyKind) -> None:
    async with proxying(Proxy()) as proxy, server(greet) as (host, port):
        dialer = ProxyDialer(kind, ("127.0.0.1", proxy.port), ports={80: port})
        wire = await dialer.connect(host, 80, LONG)
        assert isinstance(wire, Wire)
        await wire.write(b"hello\n", LONG)
        assert await wire.read(LONG) == b"you said hello\n"
        wire.close()
    assert proxy.asked == [f"127.0.0.1 {port}"]


@pytest.mark.parametrize(
    ("kind", "refusal", "detail"),
    [
        (ProxyKind.SOCKS, b"\x05\x04\x00\x01" + bytes(6), "the proxy: host unreachable"),
        (ProxyKind.HTTP, b"HTTP/1.1 403 Forbidden\r\n\r\n", "the proxy: status 403"),
        (ProxyKind.HTTP, b"HTTP/1.1 2", "the proxy: connection closed by peer"),
    ],
)
async def test_what_the_proxy_refuses_is_told_as_its_word(
    kind: ProxyKind, refusal: bytes, detail: str
) -> None:
    async with proxying(Proxy(refusal=refusal)) as proxy:
        found = await ProxyDialer(kind, ("127.0.0.1", proxy.port)).connect("192.0.2.1", 80, LONG)
    assert found == Lost(detail)
    assert proxy.asked == ["192.0.2.1 80"]


async def test_a_proxy_that_says_nothing_takes_no_longer_than_was_given() -> None:
    async with proxying(Proxy(is_silent=True)) as proxy:
        dialer = ProxyDialer(ProxyKind.SOCKS, ("127.0.0.1", proxy.port))
        found = await dialer.connect("192.0.2.1", 80, 0.05)
    assert isinstance(found, Lost)
    assert found.is_timeout
    # Where the machine is busy, the time may be over before there is a connection.
    assert found.detail in ("the proxy: timed out", "the proxy: Connection timed out")


async def test_a_proxy_that_is_not_there_is_told() -> None:
    async with proxying(Proxy()) as proxy:
        pass
    found = await ProxyDialer(ProxyKind.HTTP, ("127.0.0.1", proxy.port)).connect("::1", 80, LONG)
    assert found == Lost("the proxy: Connection refused")


@pytest.mark.parametrize("kind", ProxyKind)
async def test_dns_is_asked_by_tcp_through_a_proxy(kind: ProxyKind) -> None:
    zones = ZoneServer({"example.com": '@ TXT "there"'})
    host, port = await zones.start()
    async with proxying(Proxy()) as proxy:
        dialer = ProxyDialer(kind, ("127.0.0.1", proxy.port))
        resolver = StubResolver(host, port, random=random.Random(1), dialer=dialer)
        answer = await resolver.ask(Domain("example.com"), "TXT")
        assert answer.records == (b"there",)
        assert proxy.asked == [f"{host} {port}"]
    await zones.close()


async def test_a_resolver_that_cannot_be_reached_through_a_proxy_is_a_failed_answer() -> None:
    async with proxying(Proxy(refusal=b"HTTP/1.1 403 No\r\n\r\n")) as proxy:
        dialer = ProxyDialer(ProxyKind.HTTP, ("127.0.0.1", proxy.port))
        resolver = StubResolver(
            "192.0.2.53", random=random.Random(1), timeout=timedelta(seconds=5), dialer=dialer
        )
        answer = await resolver.ask(Domain("example.com"), "TXT")
    assert not answer.is_answer
    assert answer.reason == "resolver 192.0.2.53:53 cannot be asked: the proxy: status 403"
