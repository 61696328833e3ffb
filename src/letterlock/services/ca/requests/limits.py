"""Who counts on which limit, and what is refused while one is reached.

RFC 8555 §6.6, §10.3; RFC 9773 §5 (replacements may pass). How counting goes is
`protocols.acme.server.rate_limits`; what is kept counts, so all processes count together.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.server.rate_limits import (
    PAUSING,
    Counter,
    Limit,
    find_address_keys,
    find_names_key,
)


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How often clients may do what costs something; None: as often as they like.

    `page` explains to people what to do about a name that is paused.
    """

    accounts_per_address: Limit | None = None
    orders_per_account: Limit | None = None
    certificates_per_name_set: Limit | None = None
    failures_per_name: Limit | None = None
    page: str | None = None


def count_account(
    limits: RequestLimits, address: IPv4Address | IPv6Address | None
) -> tuple[Counter, ...]:
    """Give the counters of a new account."""
    limit = limits.accounts_per_address
    if limit is None or address is None:
        return ()
    return tuple(Counter(limit, key) for key in find_address_keys(address))


def count_order(
    limits: RequestLimits, account_id: str, names: tuple[Identifier, ...]
) -> tuple[Counter, ...]:
    """Give the counters of a new order."""
    found = []
    if limits.orders_per_account is not None:
        found.append(Counter(limits.orders_per_account, account_id))
    if limits.certificates_per_name_set is not None:
        found.append(Counter(limits.certificates_per_name_set, find_names_key(names)))
    return tuple(found)


def count_failure(limits: RequestLimits, account_id: str, identifier: Identifier) -> Counter | None:
    """Give the counter of an account's failed validations of a name.

    Who validates counts on it (`UseCounter`) when a validation fails; an order for a name that
    failed too often is refused. `identifier` is the authorization's: without an asterisk.
    """
    if limits.failures_per_name is None:
        return None
    return Counter(limits.failures_per_name, f"{account_id} {identifier.value}")


def count_in_a_row(account_id: str, identifier: Identifier) -> Counter:
    """Give the counter of failures in a row: it pauses a name that never succeeds."""
    return Counter(PAUSING, f"{account_id} {identifier.value}")
