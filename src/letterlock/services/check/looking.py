"""Looks at one domain from outside: its route, what it publishes, and what its hosts show.

RFC 5321 §5.1, RFC 7672 §2.2, RFC 8461 §3. By the code that finds the way of a delivery; what only
DNS tells is found by `services.publish`, as for a domain of our own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver
from letterlock.protocols.check.deep_findings import find_deep
from letterlock.protocols.check.facts import AddressFacts, DomainFacts, HostFacts, Probe, State
from letterlock.protocols.check.findings import Finding, rank
from letterlock.protocols.check.live import find_live
from letterlock.protocols.check.manners import find_manners
from letterlock.protocols.check.openings import Speech
from letterlock.protocols.check.policies import find_policies
from letterlock.protocols.check.senders import SENDERS, SenderVerdict, judge_domain
from letterlock.protocols.check.terms import Terms
from letterlock.protocols.policy.facts import Published
from letterlock.services.check.asking import Asker, Door, has_blocked
from letterlock.services.check.besides import BesideLooker, Besides
from letterlock.services.check.deep import DeepLooker
from letterlock.services.check.published_findings import translate
from letterlock.services.check.renewing import (
    HostRenewals,
    find_renewal_faults,
    list_host_renewals,
)
from letterlock.services.discover.hop_policy import HopPolicy
from letterlock.services.discover.next_hop import NextHop
from letterlock.services.discover.routes import HostAddress, MxHost, NoRoute, Route, RouteFinder
from letterlock.services.discover.tlsrpt import TlsrptFacts, find_tlsrpt
from letterlock.services.publish.check import check
from letterlock.services.publish.looking import Looker

MAX_HOSTS = 20
MAX_ADDRESSES = 20
"""Of one host: somebody else may have put any number there."""
MAX_DEEP_ADDRESSES = 8
"""Of one host: each is connected to a hundred times."""


@dataclass(frozen=True, slots=True)
class Checked:
    """All that was found out about a domain. `undecided`: lookups that nobody answered."""

    facts: DomainFacts
    tlsrpt: TlsrptFacts | None
    findings: tuple[Finding, ...]
    verdicts: tuple[SenderVerdict, ...]
    undecided: tuple[str, ...]
    besides: Besides
    renewals: tuple[HostRenewals, ...] = ()


@dataclass(frozen=True, slots=True)
class DomainChecker:
    """Checks domains, any number at a time; they share what addresses showed."""

    finder: RouteFinder
    policy: HopPolicy
    resolver: Resolver
    looker: Looker
    asker: Asker
    besides: BesideLooker
    has_resolver: Callable[[], Awaitable[bool]]
    """Whether the resolver answers at all: asked only where it did not answer for a domain."""
    deep: DeepLooker | None = None
    """None: it was not asked for."""

    async def check(self, next_hop: NextHop, terms: Terms) -> Checked:
        """Check a domain."""
        assert next_hop.domain is not None
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self.looker.look(next_hop.domain, None, next_hop.port))
            tlsrpt = group.create_task(find_tlsrpt(self.resolver, next_hop.domain))
            facts = group.create_task(self._look(next_hop))
        observed, seen = looking.result(), facts.result()
        besides = await self.besides.look(seen, next_hop.port, terms)
        report = check(observed, None, terms.now, terms.anchors)
        renewals = list_host_renewals(seen, next_hop.port, besides.signed.signatures, terms)
        live = _find_shown(seen, renewals, terms)
        findings = rank((*live, *besides.findings, *translate(report.findings)))
        verdicts = tuple(judge_domain(sender, seen, terms.anchors, terms.now) for sender in SENDERS)
        undecided = (*report.undecided, *besides.undecided)
        return Checked(seen, tlsrpt.result(), findings, verdicts, undecided, besides, renewals)

    async def check_service(self, next_hop: NextHop, speech: Speech, terms: Terms) -> Checked:
        """Check one service, `[host]:port`. It is nobody's mail, so there are no verdicts."""
        name = next_hop.domain or Domain(str(next_hop.address))
        route = await self.finder.find(next_hop)
        if isinstance(route, NoRoute):
            is_unasked = await self._is_unasked(route)
            seen = DomainFacts(name, (), None, no_route=route.reason, is_unasked=is_unasked)
        else:
            hosts = tuple([await self._look_at_host(route, host, speech) for host in route.hosts])
            seen = DomainFacts(name, hosts, None)
        besides = await self.besides.look(seen, next_hop.port, terms)
        renewals = list_host_renewals(seen, next_hop.port, besides.signed.signatures, terms)
        findings = rank((*_find_shown(seen, renewals, terms), *besides.findings))
        unasked = (seen.no_route,) if seen.no_route and seen.is_unasked else ()
        undecided = (*unasked, *besides.undecided)
        return Checked(seen, None, findings, (), undecided, besides, renewals)

    async def _is_unasked(self, route: NoRoute) -> bool:
        return route.is_undecided and not await self.has_resolver()

    async def _look(self, next_hop: NextHop) -> DomainFacts:
        assert next_hop.domain is not None
        route = await self.finder.find(next_hop)
        if isinstance(route, NoRoute):
            return DomainFacts(
                next_hop.domain,
                tuple(map(_describe_unreachable, route.hosts)),
                route.mx_security,
                await self.policy.find_mta_sts(next_hop),
                no_route=route.reason,
                is_no_route_permanent=route.is_permanent,
                is_unasked=await self._is_unasked(route),
                has_null_mx=route.is_null_mx,
            )
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._look_at_host(route, host))
                for host in route.hosts[:MAX_HOSTS]
            ]
        return DomainFacts(
            next_hop.domain,
            tuple(task.result() for task in tasks),
            route.mx_security,
            await self.policy.find_mta_sts(next_hop),
            route.expanded_domain,
            is_own_host=route.is_implicit,
        )

    async def _look_at_host(
        self, route: Route, host: MxHost, speech: Speech = Speech.SMTP
    ) -> HostFacts:
        if not host.addresses:
            return _describe_unreachable(host)
        published = await self.policy.find_published(route, host)
        sni, port = _find_sni(host, published), route.next_hop.port
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    self._look_at_address(
                        Door(address.ip, port, sni, speech),
                        address,
                        may_be_deep=number < MAX_DEEP_ADDRESSES,
                    )
                )
                for number, address in enumerate(host.addresses[:MAX_ADDRESSES])
            ]
        addresses = tuple(task.result() for task in tasks)
        return HostFacts(host.name, host.preference, addresses, published.tlsa)

    async def _look_at_address(
        self, door: Door, address: HostAddress, *, may_be_deep: bool
    ) -> AddressFacts:
        probes = await self.asker.ask(door)
        state, deep = _find_state(probes), None
        has_tls = probes[0].is_starttls_offered and not has_blocked(probes)
        if self.deep is not None and may_be_deep and has_tls:
            deep = await self.deep.look(door)
        return AddressFacts(address.ip, address.security, state, probes, probes[0].detail, deep)


def _find_shown(
    seen: DomainFacts, renewals: Sequence[HostRenewals], terms: Terms
) -> Iterator[Finding]:
    """Find what hosts show, alone and beside what is published of them."""
    yield from find_live(seen, terms)
    yield from find_manners(seen)
    yield from find_policies(seen, terms)
    yield from find_deep(seen)
    yield from find_renewal_faults(renewals)


def _describe_unreachable(host: MxHost) -> HostFacts:
    return HostFacts(
        host.name,
        host.preference,
        error=host.error,
        is_undecided=host.is_undecided,
        is_bogus=host.is_bogus,
    )


def _find_sni(host: MxHost, published: Published) -> str | None:
    """Give the name that a correct sender sends: RFC 7672 §8.1, RFC 8461 §7.1."""
    if published.tlsa is not None and published.tlsa.base_domain is not None:
        return published.tlsa.base_domain
    return host.name


def _find_state(probes: tuple[Probe, ...]) -> State:
    """Say what an address comes to: the worst of its probes that were made."""
    made = [probe.state for probe in probes if probe.state is not State.NOT_TESTED]
    for state in (State.UNREACHABLE, State.BLOCKED, State.FINDING):
        if made and (made[0] is state or (state is State.FINDING and state in made)):
            return state
    return State.OK if made else State.NOT_TESTED
