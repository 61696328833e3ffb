"""What counts as one client, wherever connections are counted."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

MAX_KNOWN = 4096


@lru_cache(MAX_KNOWN)  # asked for each message and request of who stays connected
def client_key(ip: str) -> str:
    """Give what counts as one client: an IPv4 address, or an IPv6 /64.

    A single host has that many addresses to come from.
    """
    try:
        address = ip_address(ip)
    except ValueError:
        return ip
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64)) + "/64"
    return ip
