"""Names that may stand in SNI.

RFC 6066 §3: a host name in A-labels without a final dot, never an address.
"""

import ipaddress

from letterlock.base.domains import Domain, DomainError, parse_domain


def parse_server_name(text: str) -> Domain:
    """Parse a name sent, or to be sent, as SNI; raises DomainError for an address too."""
    name = parse_domain(text)
    if name[-1].isdigit() and _is_address(name):
        raise DomainError(f"{name!r} is an address, not a host name")
    return name


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
