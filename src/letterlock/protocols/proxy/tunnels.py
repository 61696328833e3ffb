"""Asking a proxy for a connection to an address: SOCKS5, and HTTP's CONNECT.

RFC 1928 §3 to §6 (no authentication, CONNECT only), RFC 9110 §9.3.6. Addresses only: names are
resolved before, and whoever asks decided that this address may be connected to.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

MAX_HEAD_OCTETS = 8 * 1024

_VERSION, _NO_AUTHENTICATION, _CONNECT = 5, 0, 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_IPV4_VERSION = 4
_GREETING_OCTETS = 2
_REPLY_HEAD_OCTETS = 4
_PORT_OCTETS = 2
_ADDRESS_OCTETS = {_IPV4: 4, _IPV6: 16}
_REFUSALS = {
    1: "general failure",
    2: "its rules do not allow it",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "it knows no CONNECT",
    8: "it knows no such addresses",
}
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r\n")
_END = b"\r\n\r\n"
_SUCCESSFUL = 2
_EARLY = "something came before it was asked for"


@dataclass(frozen=True, slots=True)
class Say:
    """Send this."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Open:
    """The tunnel is there: what follows is the other host's."""


@dataclass(frozen=True, slots=True)
class Refused:
    """There is no tunnel; `reason` is one line."""

    reason: str


Event = Say | Open | Refused


IpAddress = IPv4Address | IPv6Address


class Tunnel(Protocol):
    """Asks for one connection. `receive` never raises."""

    def begin(self) -> bytes:
        """Give what is sent first."""

    def receive(self, octets: bytes) -> list[Event]:
        """Take octets from the proxy. After Open and Refused nothing more is taken."""


class SocksTunnel:
    """SOCKS5 without authentication."""

    def __init__(self, ip: IpAddress, port: int) -> None:
        self._ip = ip
        self._port = port
        self._held = b""
        self._is_greeted = False
        self._is_over = False

    def begin(self) -> bytes:
        return bytes([_VERSION, 1, _NO_AUTHENTICATION])

    def receive(self, octets: bytes) -> list[Event]:
        if self._is_over:
            return []
        self._held += octets
        events: list[Event] = []
        while (event := self._step()) is not None:
            events.append(event)
            if not isinstance(event, Say):
                self._is_over = True
                break
        return events

    def _step(self) -> Event | None:
        return self._read_reply() if self._is_greeted else self._read_choice()

    def _read_choice(self) -> Event | None:
        if len(self._held) < _GREETING_OCTETS:
            return None
        version, method = self._held[:_GREETING_OCTETS]
        if version != _VERSION:
            return Refused("it does not speak SOCKS5")
        if method != _NO_AUTHENTICATION:
            return Refused("it wants a password")
        self._held = self._held[_GREETING_OCTETS:]
        self._is_greeted = True
        kind = _IPV4 if self._ip.version == _IPV4_VERSION else _IPV6
        port = self._port.to_bytes(_PORT_OCTETS)
        return Say(bytes([_VERSION, _CONNECT, 0, kind]) + self._ip.packed + port)

    def _read_reply(self) -> Event | None:
        """RFC 1928 §6: the address that it is bound to is passed over."""
        if len(self._held) < _REPLY_HEAD_OCTETS + 1:
            return None
        version, reply, _, kind = self._held[:_REPLY_HEAD_OCTETS]
        if version == _VERSION and reply != 0:
            return Refused(_REFUSALS.get(reply, f"reply {reply}"))
        length = _ADDRESS_OCTETS.get(kind)
        if kind == _NAME:
            length = 1 + self._held[_REPLY_HEAD_OCTETS]
        if version != _VERSION or length is None:
            return Refused("it does not speak SOCKS5")
        left = len(self._held) - (_REPLY_HEAD_OCTETS + length + _PORT_OCTETS)
        if left > 0:
            return Refused(_EARLY)
        return Open() if left == 0 else None


class ConnectTunnel:
    """HTTP's CONNECT, without authentication."""

    def __init__(self, ip: IpAddress, port: int) -> None:
        host = f"[{ip}]" if ip.version != _IPV4_VERSION else str(ip)
        self._target = f"{host}:{port}"
        self._held = b""
        self._is_over = False

    def begin(self) -> bytes:
        return f"CONNECT {self._target} HTTP/1.1\r\nHost: {self._target}\r\n\r\n".encode()

    def receive(self, octets: bytes) -> list[Event]:
        if self._is_over:
            return []
        self._held += octets
        head, end, rest = self._held.partition(_END)
        if not end and len(self._held) <= MAX_HEAD_OCTETS:
            return []
        self._is_over = True
        return [self._judge(head + b"\r\n", rest, is_whole=bool(end))]

    def _judge(self, head: bytes, rest: bytes, *, is_whole: bool) -> Event:
        found = _STATUS.match(head)
        if not is_whole or len(head) > MAX_HEAD_OCTETS or found is None:
            return Refused("it does not speak HTTP")
        status = int(found[1])
        if status // 100 != _SUCCESSFUL:
            return Refused(f"status {status}")
        return Refused(_EARLY) if rest else Open()
