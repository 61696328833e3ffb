"""What the operator's table asks of one MX host, before anything published is looked at.

RFC 9525 §6.1.1 (reference identifiers), RFC 6066 §3 (SNI), RFC 7435 §3 (explicit policy comes
before opportunistic). What DNS adds is in `decide`.
"""

from dataclasses import dataclass
from functools import lru_cache

from letterlock.base.domains import Domain
from letterlock.protocols.pki.names import parse_ip
from letterlock.protocols.policy.requirement import (
    Level,
    Requirement,
    RequirementInvalid,
    Source,
)
from letterlock.protocols.policy.table import PolicyTable, TableEntry, WrongEntry

_DEFAULT_MATCH = {
    Level.VERIFY: ("hostname",),
    Level.SECURE: ("nexthop", "dot-nexthop"),
}
# Not required there, but judged and recorded all the same.
_RECORDED_MATCH = ("hostname",)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the table asks.

    `is_final`: an entry for this next hop says it all, and what the recipient's side publishes is
    not followed. Else it is the least that must hold. `is_host_named`: the names include the MX
    host's own, which is worth what the lookup that gave it is worth. `exception`: what every
    explanation tells, whatever else decides: the operator's reason and last day, and an entry that
    ended.
    """

    requirement: Requirement
    is_final: bool
    is_host_named: bool
    exception: str = ""


@lru_cache(maxsize=4096)  # asked for each message; tables don't change, a reload makes a new one
def ask_table(
    next_hop_key: str, next_hop_domain: Domain | None, mx_host: str, table: PolicyTable
) -> Asked | RequirementInvalid:
    """Say what the table asks of one MX host of a next hop; parameters as for `decide`."""
    found = table.find(next_hop_key)
    entry = table.default if found is None else found
    if isinstance(entry, WrongEntry):
        return RequirementInvalid(entry.where, entry.reason)
    names = _find_names(entry, next_hop_domain, mx_host)
    if not names and entry.level in _DEFAULT_MATCH:
        reason = "match: no name is left for a next hop that is an address"
        return RequirementInvalid(entry.where, reason)
    source = _find_source(entry, is_default=found is None)
    lapsed = table.find_lapsed(next_hop_key)
    requirement = Requirement(
        level=entry.level,
        source=source,
        reason=_join(_describe(entry, is_default=found is None), _describe_end(lapsed)),
        sni=_find_sni(entry, next_hop_domain, mx_host),
        names=names,
        fingerprints=entry.fingerprints,
        trust_files=entry.trust_files,
        min_version=entry.min_version,
        max_version=entry.max_version,
        ciphers=entry.ciphers,
        sources=(source,),
    )
    return Asked(
        requirement,
        is_final=found is not None and entry.level is not Level.DANE,
        is_host_named="hostname" in _find_words(entry),
        exception=describe_exception(None if found is None else entry, lapsed),
    )


def describe_exception(entry: TableEntry | None, lapsed: TableEntry | None) -> str:
    """Tell the reason and the last day of an entry, and that one ended; empty without any."""
    has_more = entry is not None and (entry.reason or entry.until is not None)
    told = _describe(entry, is_default=False) if entry is not None and has_more else ""
    return _join(told, _describe_end(lapsed))


def _describe_end(lapsed: TableEntry | None) -> str:
    """Tell of an entry that holds no longer; empty where there is none."""
    if lapsed is None:
        return ""
    reason = f" ({lapsed.reason})" if lapsed.reason else ""
    return f"the entry at {lapsed.where} ended on {lapsed.until}{reason}"


def _find_words(entry: TableEntry) -> tuple[str, ...]:
    return entry.match or _DEFAULT_MATCH.get(entry.level, _RECORDED_MATCH)


def _find_names(entry: TableEntry, next_hop_domain: Domain | None, mx_host: str) -> tuple[str, ...]:
    names: list[str] = []
    for word in _find_words(entry):
        match word:
            case "hostname":
                names.append(_bare(mx_host))
            case "nexthop":
                # RFC 9525 §6.4: a next hop that is an address is proved by that address.
                names.append(next_hop_domain or _bare(mx_host))
            case "dot-nexthop":
                if next_hop_domain:
                    names.append(f".{next_hop_domain}")
            case _:
                names.append(word)
    return tuple(dict.fromkeys(names))


def _find_sni(entry: TableEntry, next_hop_domain: Domain | None, mx_host: str) -> str | None:
    """Give the name to send, at every level: hosts show strangers without it another certificate.

    None for an address (RFC 6066 §3).
    """
    match entry.servername:
        case None | "hostname":
            name: str | None = mx_host
        case "nexthop":
            name = next_hop_domain
        case literal:
            name = literal
    return None if name is None or parse_ip(name) is not None else name


def _bare(host: str) -> str:
    ip = parse_ip(host)
    return host if ip is None else str(ip)


def _find_source(entry: TableEntry, *, is_default: bool) -> Source:
    if not is_default:
        return Source.TABLE
    return Source.OPPORTUNISTIC if entry.level is Level.MAY else Source.DEFAULT


def _describe(entry: TableEntry, *, is_default: bool) -> str:
    if is_default:
        text = f"default level: {entry.level} ({entry.where})"
    else:
        text = f"policy table: {entry.key} {entry.level} ({entry.where})"
    if entry.reason:
        text += f": {entry.reason}"
    if entry.until is not None:
        text += f", until {entry.until}"
    return text


def _join(*texts: str) -> str:
    return "; ".join(filter(None, texts))
