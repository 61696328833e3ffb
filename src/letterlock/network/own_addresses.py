"""Whether an address and port are our own listener's: mail must not be sent to ourselves.

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


def _is_on_this_machine(address: IpAddress) -> bool:
    """Ask the kernel: only an address of this machine can be bound. Interfaces come and go."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
