"""virtual(5): addresses, of ours or not, and what they are rewritten to (`virtual_alias_maps`).

A key that is a domain alone makes it one of ours, whose addresses are all in this table
(`virtual_alias_domains`, which is by default the table itself).
"""

from letterlock.protocols.tables.lines import Table, TableError, gather_pairs
from letterlock.protocols.tables.lookup import normal_address_key
from letterlock.protocols.tables.targets import Include, SameUser, Target, parse_targets

VirtualTable = Table[tuple[Target, ...]]


def parse_virtual(content: bytes, file: str) -> VirtualTable:
    """Read a table of virtual aliases; never raises. `file` is its name in `where`."""
    return gather_pairs(content, file, normal_address_key, _read_value)


def is_alias_domain(table: VirtualTable, domain: str) -> bool:
    """Say whether the table makes a domain one of ours."""
    return "." in domain and table.find(domain) is not None


def _read_value(key: str, text: str) -> tuple[Target, ...]:
    try:
        targets = parse_targets(text)
    except TableError:
        if "@" not in key and "." in key:
            return ()  # `example.com  anything`: the domain is ours, and no more is said
        raise
    for target in targets:
        if isinstance(target, Include):
            raise TableError(":include: is for aliases only")
    if any(isinstance(target, SameUser) for target in targets[1:]):
        raise TableError("@domain may only stand first")
    if not targets:
        raise TableError("there is no address")
    return targets
