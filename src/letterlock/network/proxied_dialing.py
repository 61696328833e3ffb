"""Connections by way of a proxy: how a perspective in another network connects.

RFC 1928 (SOCKS5), RFC 9110 §9.3.6 (CONNECT); what is said to the proxy is
`protocols.proxy.tunnels`. To the proxy itself nothing is encrypted: it is reached by a tunnel.
"""

import asyncio
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import ip_address

from letterlock.network.wire import Lost, Wire, connect
from letterlock.protocols.proxy.tunnels import ConnectTunnel, Open, Refused, SocksTunnel, Tunnel


class ProxyKind(StrEnum):
    """What a proxy speaks: the scheme of its URL."""

    SOCKS = "socks5"
    HTTP = "http"


class ProxyDialer:
    """Connects from where a proxy is. `ports` as `DirectDialer` has it."""

    def __init__(
        self,
        kind: ProxyKind,
        proxy: tuple[str, int],
        *,
        ports: Mapping[int, int] | None = None,
    ) -> None:
        self._kind = kind
        self._proxy = proxy
        self._ports = dict(ports or {})

    async def connect(self, ip: str, port: int, seconds: float) -> Wire | Lost:
        """Open a connection. What keeps the proxy from it is told as its word."""
        end = asyncio.get_running_loop().time() + seconds
        wire = await connect(*self._proxy, seconds)
        if isinstance(wire, Lost):
            return Lost(f"the proxy: {wire.detail}", wire.is_timeout)
        make = SocksTunnel if self._kind is ProxyKind.SOCKS else ConnectTunnel
        tunnel: Tunnel = make(ip_address(ip), self._ports.get(port, port))
        lost = await _open(wire, tunnel, end)
        if lost is None:
            return wire
        wire.close()
        return lost


async def _open(wire: Wire, tunnel: Tunnel, end: float) -> Lost | None:
    loop = asyncio.get_running_loop()
    to_say = tunnel.begin()
    while True:
        if to_say and (lost := await wire.write(to_say, max(0.0, end - loop.time()))):
            return Lost(f"the proxy: {lost.detail}", lost.is_timeout)
        found = await wire.read(max(0.0, end - loop.time()))
        if isinstance(found, Lost):
            return Lost(f"the proxy: {found.detail}", found.is_timeout)
        to_say = b""
        for event in tunnel.receive(found):
            match event:
                case Open():
                    return None
                case Refused(reason):
                    return Lost(f"the proxy: {reason}")
                case _:
                    to_say += event.octets
