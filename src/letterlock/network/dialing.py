"""Connections that a validator opens to others' hosts, by the way that its perspective has.

What it connects to, and whether it may, is decided in `services.ca.validating`.
"""

from collections.abc import Mapping
from typing import Protocol

from letterlock.network.wire import Lost, Wire, connect


class Dialer(Protocol):
    """Opens connections."""

    async def connect(self, ip: str, port: int, seconds: float) -> Wire | Lost:
        """Open one to an address."""


class DirectDialer:
    """Connects from this machine, from `source` where it has several addresses.

    `ports` says where a port is instead, for networks in which 80 and 443 are not free.
    """

    def __init__(
        self, *, source: str | None = None, ports: Mapping[int, int] | None = None
    ) -> None:
        self._source = source
        self._ports = dict(ports or {})

    async def connect(self, ip: str, port: int, seconds: float) -> Wire | Lost:
        return await connect(ip, self._ports.get(port, port), seconds, source=self._source)
