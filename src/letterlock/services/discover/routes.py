"""Routes: from a next hop to its hosts and their addresses, in the order to be tried.

RFC 5321 §5.1 (MX, implicit MX, loops), RFC 7505 §3 (null MX), RFC 7672 §2.1.2 (failures stay with
their host). What the lookups' DNSSEC states mean for TLS is `protocols.policy`.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import chain, zip_longest
from typing import Protocol

from letterlock.base.config.choices import AddressFamily
from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver
from letterlock.protocols.dns.answers import Answer, CnameLink, Existence, MxRecord, Security
from letterlock.services.discover.next_hop import NextHop

NULL_MX_STATUS = "5.1.10"
"""RFC 7505 §4.1, §6."""
MAX_MX_HOSTS = 30
"""Hosts looked up for one domain, the best ones: a delivery tries fewer than that anyway."""

MAX_ADDRESSES_PER_HOST = 10
"""Addresses used of one host, so that other hosts have their turn."""

MAX_LOOKUPS_AT_A_TIME = 16

MAX_REASONS = 3
"""Hosts named in one reason."""

IpAddress = IPv4Address | IPv6Address

_RDTYPES = {AddressFamily.IPV6: "AAAA", AddressFamily.IPV4: "A"}


class Chance(Protocol):
    """`random.SystemRandom`, or one that a test holds still."""

    def random(self) -> float: ...


@dataclass(frozen=True, slots=True)
class HostAddress:
    """An address, and the DNSSEC state of the answer that it came in; INSECURE for a literal."""

    ip: IpAddress
    security: Security


@dataclass(frozen=True, slots=True)
class MxHost:
    """A host that takes mail for the next hop. `name` is None when the next hop is an address.

    `error` says why there are no addresses, and is None when there are; `is_passing`: there may
    be some later, `is_undecided`: nobody answered, and `is_bogus`: what was answered did not
    validate. `aliases` are the CNAME links between the name and its addresses.
    """

    name: Domain | None
    preference: int
    addresses: tuple[HostAddress, ...] = ()
    error: str | None = None
    aliases: tuple[CnameLink, ...] = ()
    is_passing: bool = False
    is_undecided: bool = False
    is_bogus: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """Hosts to be tried in this order, at least one of which has addresses.

    `mx_security` is the state of the MX lookup, None when there was none; `mx_aliases` are its
    CNAME links. `is_implicit`: the domain has no MX and is its own host. `notes` are for people.
    """

    next_hop: NextHop
    hosts: tuple[MxHost, ...]
    mx_security: Security | None
    is_implicit: bool = False
    mx_aliases: tuple[CnameLink, ...] = ()
    notes: tuple[str, ...] = ()
    is_chosen: bool = False
    """The operator chose the next hop."""

    @property
    def expanded_domain(self) -> Domain | None:
        """The name behind the aliases that an MX lookup went by; None where it found no MX.

        RFC 7672 §3.2.2: then the next hop is its own host, whose TLSA base domain is the expanded
        name only where every alias is secure. Whoever forges one that is not must give no name.
        """
        return None if self.is_implicit or not self.mx_aliases else self.mx_aliases[-1].target


@dataclass(frozen=True, slots=True)
class NoRoute:
    """There is nowhere to go, for good or for now. `status` is an enhanced status code.

    `mx_security` as in Route; `hosts` are those that the MX records name, without addresses.
    """

    is_permanent: bool
    status: str
    reason: str
    mx_security: Security | None = None
    hosts: tuple[MxHost, ...] = ()

    @property
    def is_null_mx(self) -> bool:
        """The domain says that it takes no mail (RFC 7505 §3)."""
        return self.status == NULL_MX_STATUS

    @property
    def is_undecided(self) -> bool:
        """Nobody answered: there may be a route."""
        is_unanswered = self.mx_security is Security.FAILED
        return is_unanswered or any(host.is_undecided for host in self.hosts)


@dataclass(frozen=True, slots=True)
class _MxList:
    """What an MX lookup came to. The exchanges of `records` are not None."""

    records: tuple[tuple[int, Domain], ...]
    security: Security | None = None
    is_implicit: bool = False
    aliases: tuple[CnameLink, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Lookup:
    """What the lookups of one host's addresses came to."""

    host: MxHost
    notes: tuple[str, ...] = ()


class RouteFinder:
    """Finds routes. `families`: those to use, the first one's addresses in front.

    `own_names` and `is_own_address` (address, port) are how we know ourselves. `configured` are the
    keys of next hops that the operator chose: what is wrong with those is never the message's
    fault, so that mail for them waits.
    """

    def __init__(
        self,
        resolver: Resolver,
        random: Chance,
        *,
        families: Sequence[AddressFamily] = (AddressFamily.IPV6, AddressFamily.IPV4),
        own_names: Collection[Domain] = (),
        is_own_address: Callable[[IpAddress, int], bool] = lambda _ip, _port: False,
        configured: Collection[str] = (),
    ) -> None:
        self._resolver = resolver
        self._random = random
        self._families = tuple(families)
        self._own_names = frozenset(own_names)
        self._is_own_address = is_own_address
        self._configured = frozenset(configured)

    async def find(self, next_hop: NextHop, *, is_chosen: bool = False) -> Route | NoRoute:
        """Find the hosts; `is_chosen`: the operator chose it, too, in a table."""
        route = await self._find(next_hop)
        is_chosen = is_chosen or next_hop.key in self._configured
        if isinstance(route, Route):
            return replace(route, is_chosen=True) if is_chosen else route
        if route.is_permanent and is_chosen:
            return replace(
                route,
                is_permanent=False,
                status=f"4{route.status[1:]}",
                reason=f"{route.reason} (mail waits: {next_hop} is set in the configuration)",
            )
        return route

    async def _find(self, next_hop: NextHop) -> Route | NoRoute:
        if next_hop.address:
            return self._route_to_address(next_hop, next_hop.address)
        assert next_hop.domain is not None
        if next_hop.is_bracketed:
            mx_list = _MxList(records=((0, next_hop.domain),))
        else:
            found = await self._find_mx(next_hop.domain)
            if isinstance(found, NoRoute):
                return found
            mx_list = self._order(found)
            if not next_hop.is_port_given:
                mx_list = self._discard_own_name(mx_list)
            if not mx_list.records:
                return replace(_loops_back(next_hop), mx_security=mx_list.security)
        lookups = await self._look_up(mx_list.records)
        return self._conclude(next_hop, mx_list, lookups)

    def _route_to_address(self, next_hop: NextHop, address: IpAddress) -> Route | NoRoute:
        if self._is_ourselves(address, next_hop.port):
            return _loops_back(next_hop)
        return _make_route(next_hop, address)

    async def _find_mx(self, domain: Domain) -> _MxList | NoRoute:
        """Ask for the MX records (RFC 5321 §5.1, RFC 7505 §3)."""
        answer = await self._resolver.ask(domain, "MX")
        if not answer.is_answer:
            reason = f"MX of {domain}: {answer.reason}"
            return NoRoute(
                is_permanent=False, status="4.4.3", reason=reason, mx_security=answer.security
            )
        match answer.existence:
            case Existence.NXDOMAIN:
                reason = f"the domain {domain} does not exist"
                return NoRoute(
                    is_permanent=True, status="5.1.2", reason=reason, mx_security=answer.security
                )
            case Existence.NODATA:
                return _MxList(
                    ((0, domain),), answer.security, is_implicit=True, aliases=answer.cnames
                )
            case Existence.RECORDS:
                return _read_mx(domain, answer)

    def _order(self, found: _MxList) -> _MxList:
        """Sort by preference, equal ones by chance, and keep the best (RFC 5321 §5.1)."""
        ranked = sorted(found.records, key=lambda record: (record[0], self._random.random()))
        if len(ranked) <= MAX_MX_HOSTS:
            return replace(found, records=tuple(ranked))
        note = f"only the best {MAX_MX_HOSTS} of {len(ranked)} MX hosts are used"
        return replace(found, records=tuple(ranked[:MAX_MX_HOSTS]), notes=(*found.notes, note))

    def _discard_own_name(self, mx_list: _MxList) -> _MxList:
        """Leave only hosts that are better than ourselves (RFC 5321 §5.1)."""
        ours = [(pref, name) for pref, name in mx_list.records if name in self._own_names]
        if not ours:
            return mx_list
        limit, own_name = ours[0]
        better = tuple(record for record in mx_list.records if record[0] < limit)
        note = f"only MX hosts better than {limit} are used: that is ours ({own_name})"
        return replace(mx_list, records=better, notes=(*mx_list.notes, note))

    async def _look_up(self, records: Sequence[tuple[int, Domain]]) -> list[_Lookup]:
        slots = asyncio.Semaphore(MAX_LOOKUPS_AT_A_TIME)

        async def ask(name: Domain, rdtype: str) -> Answer:
            async with slots:
                return await self._resolver.ask(name, rdtype)

        async def look_up(preference: int, name: Domain) -> _Lookup:
            if is_address_text(name):
                return _Lookup(
                    MxHost(name, preference, error=f"{name} is an address, no host name")
                )
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(ask(name, _RDTYPES[family])) for family in self._families
                ]
            return _read_addresses(name, preference, [task.result() for task in tasks])

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(look_up(*record)) for record in records]
        return [task.result() for task in tasks]

    def _conclude(
        self, next_hop: NextHop, mx_list: _MxList, lookups: Sequence[_Lookup]
    ) -> Route | NoRoute:
        notes = [*mx_list.notes, *chain.from_iterable(lookup.notes for lookup in lookups)]
        kept, own = self._discard_own_address(lookups, next_hop.port)
        if own:
            notes.append(f"only MX hosts better than {own.preference} are used: {own.name} is us")
        if any(lookup.host.addresses for lookup in kept):
            return Route(
                next_hop=next_hop,
                hosts=tuple(lookup.host for lookup in kept),
                mx_security=mx_list.security,
                is_implicit=mx_list.is_implicit,
                mx_aliases=mx_list.aliases,
                notes=tuple(notes),
            )
        reason = "; ".join(str(lookup.host.error) for lookup in kept[:MAX_REASONS])
        none = NoRoute(
            is_permanent=True,
            status="5.4.4",
            reason=reason,
            mx_security=mx_list.security,
            hosts=tuple(lookup.host for lookup in kept),
        )
        if any(lookup.host.is_passing for lookup in kept):
            return replace(none, is_permanent=False, status="4.4.3")
        return replace(_loops_back(next_hop), mx_security=mx_list.security) if own else none

    def _discard_own_address(
        self, lookups: Sequence[_Lookup], port: int
    ) -> tuple[list[_Lookup], MxHost | None]:
        """Leave only hosts that are better than the first one that has an address of ours."""
        for own in (lookup.host for lookup in lookups):
            if any(self._is_ourselves(address.ip, port) for address in own.addresses):
                return [look for look in lookups if look.host.preference < own.preference], own
        return list(lookups), None

    def _is_ourselves(self, address: IpAddress, port: int) -> bool:
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return self._is_own_address(mapped or address, port)


def is_address_text(name: Domain) -> bool:
    """Say whether a name is an address: MX records that hold one are wrong, and there are some."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1024)
def _make_route(next_hop: NextHop, address: IpAddress) -> Route | NoRoute:
    """Make the route to an address: asked for with every message that goes to a smarthost."""
    if not _is_usable(address):
        return NoRoute(is_permanent=True, status="5.4.4", reason=f"{address} is no host's address")
    host = MxHost(None, 0, (HostAddress(address, Security.INSECURE),))
    return Route(next_hop, (host,), mx_security=None)


def _read_mx(domain: Domain, answer: Answer) -> _MxList | NoRoute:
    records = [record for record in answer.records if isinstance(record, MxRecord)]
    usable = tuple((mx.preference, mx.exchange) for mx in records if mx.exchange is not None)
    if usable:
        notes = [f"MX of {domain}: {answer.reason}"] if answer.reason else []
        if len(usable) < len(records):
            # RFC 7505 §3: such a domain is not one without mail.
            notes.append(f"MX of {domain}: a null MX beside other records is ignored")
        return _MxList(usable, answer.security, aliases=answer.cnames, notes=tuple(notes))
    if records:
        reason, status = f"the domain {domain} accepts no mail (null MX)", NULL_MX_STATUS
    else:
        status = "5.4.4"
        reason = f"none of the MX records of {domain} can be used: {answer.reason}"
    return NoRoute(is_permanent=True, status=status, reason=reason, mx_security=answer.security)


def _read_addresses(name: Domain, preference: int, answers: Sequence[Answer]) -> _Lookup:
    """Take families in turn, each in the resolver's order; a family that failed is only noted."""
    families = [_usable_addresses(answer) for answer in answers]
    in_turn = [address for turn in zip_longest(*families) for address in turn if address]
    notes = [f"{a.rdtype} of {name}: {a.reason}" for a in answers if not a.is_answer]
    if in_turn:
        if len(in_turn) > MAX_ADDRESSES_PER_HOST:
            notes.append(f"only {MAX_ADDRESSES_PER_HOST} of {name}'s addresses are used")
        addresses = tuple(in_turn[:MAX_ADDRESSES_PER_HOST])
        # What DNSSEC vouches for first: the name behind the aliases may be where TLSA records are.
        with_records = [answer for answer in answers if answer.records]
        with_records.sort(key=lambda answer: answer.security is not Security.SECURE)
        aliases = with_records[0].cnames
        host = MxHost(name, preference, addresses, aliases=aliases)
        return _Lookup(host, notes=tuple(notes))
    if notes:
        states = {answer.security for answer in answers}
        host = MxHost(name, preference, error="; ".join(notes), is_passing=True)
        is_undecided, is_bogus = Security.FAILED in states, Security.BOGUS in states
        return _Lookup(replace(host, is_undecided=is_undecided, is_bogus=is_bogus))
    return _Lookup(MxHost(name, preference, error=_explain_absence(name, answers)))


def _usable_addresses(answer: Answer) -> list[HostAddress]:
    if not answer.is_answer:
        return []
    return [
        HostAddress(record, answer.security)
        for record in answer.records
        if isinstance(record, IPv4Address | IPv6Address) and _is_usable(record)
    ]


def _explain_absence(name: Domain, answers: Sequence[Answer]) -> str:
    if all(answer.existence is Existence.NXDOMAIN for answer in answers):
        return f"the host {name} does not exist"
    if any(answer.records for answer in answers):
        return f"the host {name} has no address that a host can have"
    types = " or ".join(answer.rdtype for answer in answers)
    return f"the host {name} has no address (no {types} record)"


_BROADCAST = IPv4Address("255.255.255.255")


def _is_usable(address: IpAddress) -> bool:
    """0.0.0.0 and :: would lead to ourselves; no host has a multicast or broadcast address."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    address = mapped or address
    return not (address.is_unspecified or address.is_multicast or address == _BROADCAST)


def _loops_back(next_hop: NextHop) -> NoRoute:
    reason = f"mail for {next_hop} loops back to myself"
    return NoRoute(is_permanent=True, status="5.4.6", reason=reason)
