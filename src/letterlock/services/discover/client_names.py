"""The name of a client: what its address's reverse entry says, if that name has the address.

RFC 1035 §3.5 (IN-ADDR.ARPA). A name that is not confirmed is whatever the owner of the address
likes to claim, and is not used. For Received and the log; nothing is decided by it.
"""

from ipaddress import IPv4Address, IPv6Address

from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver

MAX_NAMES = 3
"""Reverse names tried of one address: each costs a lookup."""


async def find_client_name(resolver: Resolver, address: IPv4Address | IPv6Address) -> Domain | None:
    """Find the confirmed name of an address; None when there is none, or none for now."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    client = mapped or address
    answer = await resolver.ask(Domain(client.reverse_pointer), "PTR")
    if not answer.is_answer:
        return None
    rdtype = "A" if client.version == 4 else "AAAA"
    for name in answer.records[:MAX_NAMES]:
        assert isinstance(name, str)
        if await _has_address(resolver, Domain(name), rdtype, client):
            return Domain(name)
    return None


async def _has_address(
    resolver: Resolver, name: Domain, rdtype: str, address: IPv4Address | IPv6Address
) -> bool:
    answer = await resolver.ask(name, rdtype)
    return answer.is_answer and address in answer.records
