"""Explaining a delivery without making it: the same steps by the same code, and nothing sent.

RFC 5321 §5.1 (route), RFC 7672 §2.2, RFC 8461 §5 (decision). What is decided for a host is what
`services.deliver` would decide, because both ask `services.discover.hop_policy`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from letterlock.network.dns import Resolver
from letterlock.protocols.policy.facts import MtaStsFacts
from letterlock.protocols.policy.password_demand import HopSecret
from letterlock.protocols.policy.requirement import HostUnusable, Requirement
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.protocols.smtp.paths import AddressError, Mailbox, parse_mailbox
from letterlock.protocols.tables.lines import Entry
from letterlock.protocols.tables.transport import UsualWay, Way
from letterlock.services.deliver.anchors import AnchorFiles, AnchorsUnusable
from letterlock.services.deliver.logins import Login, LoginUnknown
from letterlock.services.deliver.outgoing import MAX_ADDRESSES
from letterlock.services.deliver.ways import Routing, ToHost, find_course, find_way
from letterlock.services.discover.hop_policy import HopPolicy, HostPolicy
from letterlock.services.discover.next_hop import NextHop, NextHopError, parse_next_hop
from letterlock.services.discover.resolver_check import ResolverState
from letterlock.services.discover.routes import MxHost, Route, RouteFinder
from letterlock.services.discover.tlsrpt import TlsrptFacts, find_tlsrpt
from letterlock.services.explain.explanation import (
    Explanation,
    Fate,
    Followed,
    HostExplanation,
    Question,
    Trial,
)
from letterlock.services.explain.trials import Trials, TrialTerms, skip
from letterlock.services.redirect.tables import NO_TABLES, Tables


def parse_question(
    text: str, routing: Routing, tables: Tables | None = None, sender: str = ""
) -> Question:
    """Parse an address, a domain, `[host]` or `[host]:port`; raises NextHopError.

    An address or a domain goes where settings and tables send a sender's mail; a host in brackets
    without a local part, or a domain with a port, is the next hop itself.
    """
    tables = tables or NO_TABLES.current()
    asked = text.rpartition("@")[2].strip()
    direct = parse_next_hop(asked, routing.port)
    recipient = _parse(text.strip())
    if recipient is None and text.strip().rpartition("@")[0]:
        raise NextHopError(f"{text[:80]!r} is no address")
    if recipient is None:
        if direct.domain is None or direct.is_bracketed or direct.is_port_given:
            return Question(direct.key, direct)
        # By a domain, who is asked about is somebody there whom no table names.
        recipient = Mailbox("", direct.domain)
    way = find_way(recipient, tables)
    where = _find_where(way, recipient, sender, tables)
    course = find_course(way, recipient.domain, sender, tables, routing)
    if not isinstance(course, ToHost):
        return Question(direct.key, None, ending=course, where=where)
    found = course.next_hop
    is_routed = found != direct or where is not None
    return Question(
        direct.key,
        found,
        is_routed,
        where=where,
        is_relay=course.is_relay,
        is_chosen=course.is_chosen,
    )


def _find_where(way: Way, recipient: Mailbox, sender: str, tables: Tables) -> str | None:
    """Name the entry that says where mail goes: a recipient's, or else a sender's."""
    if not isinstance(way, UsualWay):
        found = tables.find_way(recipient)
        return found.where if isinstance(found, Entry) else None
    relay = tables.find_sender_relay(_parse(sender))
    return relay.where if isinstance(relay, Entry) and relay.value is not None else None


def _parse(text: str) -> Mailbox | None:
    try:
        return parse_mailbox(text)
    except AddressError:
        return None


@dataclass(frozen=True, slots=True)
class Explainer:
    """Finds out what would become of a message. `trials` None: without talking to any host."""

    finder: RouteFinder
    policy: HopPolicy
    resolver: Resolver
    check_resolver: Callable[[], Coroutine[Any, Any, ResolverState]]
    anchors: AnchorFiles
    trials: Trials | None = None
    login: Login = None
    """The account that is used at the next hop; `secret` is what that asks of hosts."""
    secret: HopSecret = HopSecret.NONE

    async def explain(
        self, question: Question, demand: TlsDemand = TlsDemand.NORMAL
    ) -> Explanation:
        """Explain, for a message that asks `demand` of TLS (RFC 8689)."""
        next_hop = question.next_hop
        async with asyncio.TaskGroup() as group:
            state = group.create_task(self.check_resolver())
            way = group.create_task(self._follow(question, next_hop, demand)) if next_hop else None
        return Explanation(question, state.result(), way.result() if way else None)

    async def _follow(self, question: Question, next_hop: NextHop, demand: TlsDemand) -> Followed:
        async with asyncio.TaskGroup() as group:
            tlsrpt = group.create_task(self._find_tlsrpt(next_hop))
            # Begun at once, and known when the hosts ask for it.
            group.create_task(self.policy.find_mta_sts(next_hop))
            route = await self.finder.find(next_hop, is_chosen=question.is_chosen)
            if isinstance(route, Route):
                hosts = await self._look_at_hosts(route, demand)
            else:
                hosts = tuple(map(HostExplanation, route.hosts))
        # Again: it may be a newer one by now.
        mta_sts = await self.policy.find_mta_sts(next_hop)
        return Followed(route, hosts, mta_sts, tlsrpt.result())

    async def _find_tlsrpt(self, next_hop: NextHop) -> TlsrptFacts | None:
        if next_hop.domain is None or next_hop.is_bracketed:
            return None
        return await find_tlsrpt(self.resolver, next_hop.domain)

    async def _look_at_hosts(self, route: Route, demand: TlsDemand) -> tuple[HostExplanation, ...]:
        """Look at all hosts; once more if they fail by a policy that is not the domain's any more.

        As a delivery does (RFC 8461 §5.1).
        """
        hosts = await self._look_once(route, demand)
        unmet = _find_unmet(hosts)
        if unmet is not None and await self.policy.has_newer(unmet):
            hosts = await self._look_once(route, demand)
        return hosts

    async def _look_once(self, route: Route, demand: TlsDemand) -> tuple[HostExplanation, ...]:
        async with asyncio.TaskGroup() as group:
            deciding = [
                group.create_task(self._decide(route, host, demand)) for host in route.hosts
            ]
        left, tasks = MAX_ADDRESSES, []
        async with asyncio.TaskGroup() as group:
            for host, decided in zip(route.hosts, deciding, strict=True):
                policy = decided.result()
                look = self._look_at(route, host, policy, left, demand)
                tasks.append(group.create_task(look))
                if policy is not None and isinstance(policy.decision, Requirement):
                    left = max(0, left - len(host.addresses))
        return tuple(task.result() for task in tasks)

    async def _decide(self, route: Route, host: MxHost, demand: TlsDemand) -> HostPolicy | None:
        """Decide for one host; None for one without addresses."""
        if not host.addresses:
            return None
        secret = self.secret if self.login is not None else HopSecret.NONE
        return await self.policy.decide(route, host, demand, secret)

    async def _look_at(
        self, route: Route, host: MxHost, policy: HostPolicy | None, tried: int, demand: TlsDemand
    ) -> HostExplanation:
        """Look at one host; with trials, at no more of its addresses than `tried`."""
        if policy is None:
            return HostExplanation(host)
        if policy.published.is_silent:
            # What the operator's entry takes the place of is shown too; nothing follows from it.
            policy = HostPolicy(await self.policy.find_published(route, host), policy.decision)
        requirement = policy.decision
        if not isinstance(requirement, Requirement):
            return HostExplanation(host, policy)
        anchors = self.anchors.load(requirement.trust_files)
        if isinstance(anchors, AnchorsUnusable):
            return HostExplanation(host, policy, trouble=anchors.reason)
        if isinstance(self.login, LoginUnknown):
            return HostExplanation(host, policy, trouble=self.login.reason)
        trials: tuple[Trial, ...] = ()
        if self.trials is not None:
            targets = self.trials.find_targets(route.next_hop, host)
            hop = TrialTerms(requirement, anchors, demand, self.login)
            done = await asyncio.gather(*(self.trials.run(t, hop) for t in targets[:tried]))
            trials = (*done, *map(skip, targets[tried:]))
        return HostExplanation(host, policy, trials=trials)


def _find_unmet(hosts: tuple[HostExplanation, ...]) -> MtaStsFacts | None:
    """Find the MTA-STS policy by which mail would wait, if one is to blame."""
    if any(host.fate is Fate.DELIVER for host in hosts):
        return None
    for host in hosts:
        if host.policy is None:
            continue
        decision = host.policy.decision
        is_out = isinstance(decision, HostUnusable) and decision.may_be_outdated
        if is_out or any(trial.is_policy_unmet for trial in host.trials):
            return host.policy.published.mta_sts
    return None
