"""Addresses that a stranger's name may send us to: those of the Internet, and no others.

RFC 6890 (special-purpose addresses, with IANA's registries as of November 2026), RFC 6052 §2.1
(IPv4 inside IPv6). Against server-side request forgery: who publishes a record must not choose a
host on this machine or inside its network. Our own table, since Python's `is_global` differs
between its releases.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_SPECIAL_IPV4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_IPV6 = IPv6Network("2000::/3")
"""What is assigned to hosts; ::1, ::ffff:0:0/96, fc00::/7, fe80::/10 and all else lie outside."""
_SPECIAL_IPV6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocols: Teredo, benchmarks, ORCHID
        "2001:db8::/32",
        "2002::/16",  # 6to4: carries any IPv4 address
        "3fff::/20",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address is one of the Internet's, by which anyone may be reached.

    An address of NAT64's well-known prefix is what it is translated to. A translator's own prefix
    can't be known here.
    """
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        return address in _GLOBAL_IPV6 and not any(address in net for net in _SPECIAL_IPV6)
    return not any(address in net for net in _SPECIAL_IPV4)
