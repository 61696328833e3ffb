"""The zone of a name, its authoritative servers, and what each of them has.

RFC 1034 §4.2.1 (a zone begins where the SOA record is), RFC 2136 §4.3 (finding the primary). Names
are looked up through the resolver; what is published is asked of each server itself, because caches
know what was there before.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address

from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver
from letterlock.network.dns_authority import (
    NotSaid,
    Served,
    ask_authority,
    ask_delegation,
    ask_signature_end,
)
from letterlock.protocols.dns.answers import Answer, SoaRecord

IpAddress = IPv4Address | IPv6Address

MAX_SERVERS = 64
"""Addresses asked for one zone."""
MAX_QUESTIONS = 16
"""At a time."""
MAX_PARENT_SERVERS = 3
"""Servers of the zone above that are tried."""


@dataclass(frozen=True, slots=True)
class Zone:
    """Where a zone begins. `primary` is what its SOA record names; None: no host."""

    name: Domain
    primary: Domain | None


@dataclass(frozen=True, slots=True)
class NameServer:
    """One address of an authoritative server."""

    name: Domain
    address: IpAddress

    def __str__(self) -> str:
        return f"{self.name} ({self.address})"


@dataclass(frozen=True, slots=True)
class Authorities:
    """A zone and all its servers."""

    zone: Domain
    servers: tuple[NameServer, ...]


@dataclass(frozen=True, slots=True)
class NotFound:
    """What was looked for was not found; `reason` is one line."""

    reason: str


@dataclass(frozen=True, slots=True)
class View:
    """What one server says it has."""

    server: NameServer
    said: Served | NotSaid

    @property
    def values(self) -> frozenset[str]:
        return self.said.values if isinstance(self.said, Served) else frozenset()

    @property
    def has_no_way(self) -> bool:
        """Whether nothing can be sent to it from here."""
        return isinstance(self.said, NotSaid) and self.said.has_no_way

    @property
    def fault(self) -> str:
        """Why it did not say; empty when it did."""
        return self.said.reason if isinstance(self.said, NotSaid) else ""


@dataclass(frozen=True, slots=True)
class Published:
    """The records of a name and type as all its servers have them."""

    views: tuple[View, ...]

    @property
    def everywhere(self) -> frozenset[str]:
        """What each server has; one that says nothing has nothing."""
        return frozenset.intersection(*(view.values for view in self.views))

    @property
    def anywhere(self) -> frozenset[str]:
        """What some server has."""
        return frozenset.union(*(view.values for view in self.views))

    @property
    def ttl(self) -> int:
        """The longest, in seconds; 0 without records."""
        said = [view.said.ttl for view in self.views if isinstance(view.said, Served)]
        return max(said, default=0)

    @property
    def faults(self) -> tuple[str, ...]:
        """Which servers did not say what they have, and why."""
        return tuple(f"{view.server}: {view.fault}" for view in self.views if view.fault)


class AuthorityFinder:
    """Finds zones and their servers. `port` is the servers'; tests have others than 53."""

    def __init__(self, resolver: Resolver, port: int = 53) -> None:
        self._resolver = resolver
        self._port = port
        self._slots = asyncio.Semaphore(MAX_QUESTIONS)

    async def find_owner(self, name: Domain, rdtype: str) -> Domain | NotFound:
        """Follow aliases to the name where records of a type are, or would be."""
        answer = await self._resolver.ask(name, rdtype)
        if not answer.is_answer:
            return _explain(answer)
        if answer.owner is None:
            return NotFound(f"{name}: its alias leads to what is no domain name")
        return answer.owner

    async def find_zone(self, name: Domain) -> Zone | NotFound:
        """Find the zone that a name is in, whether it exists or not."""
        candidate = name
        while True:
            answer = await self._resolver.ask(candidate, "SOA")
            if not answer.is_answer:
                return _explain(answer)
            # A zone has no alias where it begins: behind one stands another zone's record.
            soa = next((each for each in answer.records if isinstance(each, SoaRecord)), None)
            if soa is not None and not answer.cnames:
                return Zone(candidate, soa.mname)
            _, dot, above = candidate.partition(".")
            if not dot:
                return NotFound(f"{name}: no SOA record at it or above it")
            candidate = Domain(above)

    async def find(self, name: Domain) -> Authorities | NotFound:
        """Find the zone of a name and every address of every server it has.

        Both what the zone itself and what the one above says counts: who comes from above may ask
        either.
        """
        zone = await self.find_zone(name)
        if isinstance(zone, NotFound):
            return zone
        answer = await self._resolver.ask(zone.name, "NS")
        if not answer.is_answer:
            return _explain(answer)
        hosts = {each for each in answer.records if isinstance(each, str)}
        hosts |= await self._find_delegated(zone.name)
        servers = await self._find_addresses(sorted(hosts))
        if isinstance(servers, NotFound):
            return servers
        if not servers:
            return NotFound(f"{zone.name}: no address of a name server is found")
        return Authorities(zone.name, servers[:MAX_SERVERS])

    async def ask(
        self,
        servers: Sequence[NameServer],
        name: Domain,
        rdtype: str,
        *,
        counts_blocked: bool = False,
    ) -> Published:
        """Ask each server what it has. Raises ValueError without any.

        What can't be reached from here because we have no such IP version is passed over, if
        others can: it is no fault of the server. `counts_blocked`: only if no other of that version
        can be reached either, since who comes another way may be answered by it.
        """
        if not servers:
            raise ValueError("there is no server to ask")
        views = await asyncio.gather(*(self._view(server, name, rdtype) for server in servers))
        versions = {view.server.address.version for view in views if not view.has_no_way}
        reached = tuple(
            view
            for view in views
            if not view.has_no_way or (counts_blocked and view.server.address.version in versions)
        )
        return Published(reached or tuple(views))

    async def ask_signature_ends(
        self, servers: Sequence[NameServer], name: Domain, rdtype: str
    ) -> tuple[tuple[NameServer, datetime], ...]:
        """Ask each server until when records are signed there; those that say nothing are left out.

        One that lost touch with its primary serves signatures that end.
        """

        async def ask(server: NameServer) -> datetime | None:
            async with self._slots:
                return await ask_signature_end((str(server.address), self._port), name, rdtype)

        ends = await asyncio.gather(*map(ask, servers))
        pairs = zip(servers, ends, strict=True)
        return tuple((server, end) for server, end in pairs if end is not None)

    async def look(self, name: Domain, rdtype: str) -> Published | NotFound:
        """Find the servers of a name's zone, and ask them all; see `counts_blocked` at `ask`."""
        found = await self.find(name)
        if isinstance(found, NotFound):
            return found
        return await self.ask(found.servers, name, rdtype, counts_blocked=True)

    async def find_host(self, host: Domain) -> tuple[NameServer, ...] | NotFound:
        """Find the addresses of a server; none is not found."""
        found = await self._find_addresses([host])
        return found or NotFound(f"{host}: it has no address")

    async def _view(self, server: NameServer, name: Domain, rdtype: str) -> View:
        async with self._slots:
            where = str(server.address), self._port
            return View(server, await ask_authority(where, name, rdtype))

    async def _find_delegated(self, zone: Domain) -> frozenset[Domain]:
        """Ask a server of the zone above; gives none where nobody says something of use."""
        _, dot, above = zone.partition(".")
        parent = await self.find_zone(Domain(above)) if dot else NotFound("")
        if isinstance(parent, NotFound):
            return frozenset()
        answer = await self._resolver.ask(parent.name, "NS")
        hosts = [each for each in answer.records if isinstance(each, str)]
        for host in hosts[:MAX_PARENT_SERVERS]:
            servers = await self._find_addresses([host])
            if isinstance(servers, NotFound) or not servers:
                continue
            if found := await ask_delegation((str(servers[0].address), self._port), zone):
                return found
        return frozenset()

    async def _find_addresses(self, hosts: Sequence[Domain]) -> tuple[NameServer, ...] | NotFound:
        """Look up all addresses. A host whose lookup fails may have what is asked for: NotFound."""
        answers = await asyncio.gather(
            *(self._resolver.ask(host, rdtype) for host in hosts for rdtype in ("AAAA", "A"))
        )
        for answer in answers:
            if not answer.is_answer:
                return _explain(answer)
        return tuple(
            NameServer(answer.name, record)
            for answer in answers
            for record in answer.records
            if isinstance(record, IPv4Address | IPv6Address)
        )


def _explain(answer: Answer) -> NotFound:
    return NotFound(f"{answer.rdtype} of {answer.name}: {answer.reason}")
