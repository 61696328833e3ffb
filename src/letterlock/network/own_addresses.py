"""Our own addresses: whether one is our listener's (no mail is sent there), which lead outside.

RFC 5321 §5.1, §6.3. An address in front of a translating router is only known where it is named in
`[deliver] own_addresses`; otherwise the count of Received lines ends such loops.
"""

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from letterlock.base.config.values import ListenAddress

IpAddress = IPv4Address | IPv6Address

PORT_BEYOND = 25
"""Where a router in front of us takes mail, whatever port it is sent on to."""

_TARGETS = ((socket.AF_INET, "198.41.0.4"), (socket.AF_INET6, "2001:503:ba3e::2:30"))
"""Addresses that lie behind the default route: of a root server."""


class OwnAddresses:
    """The addresses that we listen on; a wildcard stands for all of this machine's."""

    def __init__(self, listen: Iterable[ListenAddress], beyond: Iterable[IpAddress] = ()) -> None:
        """`beyond` are ours too, though not on this machine: on their SMTP port."""
        self._exact = {(address, PORT_BEYOND) for address in beyond}
        self._wildcards: set[tuple[int, int]] = set()
        """IP version and port."""
        for item in listen:
            address = ip_address(item.host)
            if address.is_unspecified:
                self._wildcards.add((address.version, item.port))
            else:
                self._exact.add((address, item.port))

    def has(self, address: IpAddress, port: int) -> bool:
        if (address, port) in self._exact:
            return True
        return (address.version, port) in self._wildcards and _is_on_this_machine(address)

    def has_literal(self, literal: str) -> bool:
        """Say whether `[192.0.2.1]` or `[IPv6:2001:db8::1]` is ours (RFC 5321 §4.1.3)."""
        try:
            address = ip_address(literal[1:-1].removeprefix("IPv6:"))
        except ValueError:
            return False
        ports = {port for _, port in (*self._exact, *self._wildcards)}
        return any(self.has(address, port) for port in ports)


def find_outgoing_addresses() -> tuple[IpAddress, ...]:
    """Find the addresses by which this machine reaches the Internet, IPv4 first; sends nothing."""
    found = (_find_source(family, target) for family, target in _TARGETS)
    return tuple(address for address in found if address is not None)


def _find_source(family: socket.AddressFamily, target: str) -> IpAddress | None:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, PORT_BEYOND))
            return ip_address(probe.getsockname()[0])
    except OSError:
        return None


def _is_on_this_machine(address: IpAddress) -> bool:
    """Ask the kernel: only an address of this machine can be bound. Interfaces come and go."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
