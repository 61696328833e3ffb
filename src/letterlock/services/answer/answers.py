"""What Postfix is answered for a next hop: its hosts are found, decided about, and put together.

The keys are those of Postfix's `smtp_tls_policy_maps`. What is decided for each host is what our
own delivery asks (`services.discover.hop_policy`); how that becomes one answer is
`protocols.policy.postfix_reply`.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from letterlock.base.clock import Clock
from letterlock.protocols.dns.answers import Security
from letterlock.protocols.maps.messages import NOT_FOUND, Reply, Status
from letterlock.protocols.policy.postfix_policy import PostfixPolicy, format_policy
from letterlock.protocols.policy.postfix_reply import (
    Destination,
    HostDecision,
    NoPolicy,
    PostfixReply,
    Undecided,
    choose_reply,
    reply_by_table,
)
from letterlock.protocols.policy.postfix_version import AskingPostfix
from letterlock.protocols.policy.requirement import Level, RequirementInvalid
from letterlock.protocols.policy.table import Entry, PolicyTable, TableEntry, WrongEntry
from letterlock.protocols.policy.table_demand import describe_exception
from letterlock.services.answer.lifetime import LEAST_SECONDS, MOST_SECONDS, Lifetime, noting
from letterlock.services.discover.hop_policy import HopPolicy
from letterlock.services.discover.next_hop import NextHop, NextHopError, parse_next_hop
from letterlock.services.discover.routes import MxHost, Route, RouteFinder
from letterlock.storage.queue import StoreUnavailable

UNDECIDED_SECONDS = 5.0
"""For how long nobody looks again where nothing could be said."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, why it is that one, and for how many seconds it may be given."""

    reply: Reply
    reason: str
    seconds: float


class AnswerFinder:
    """Finds answers. `routes` and `policy` ask the resolver that `NotingResolver` stands before."""

    def __init__(
        self,
        routes: RouteFinder,
        policy: HopPolicy,
        postfix: AskingPostfix,
        clock: Clock,
    ) -> None:
        self._routes = routes
        self._policy = policy
        self._postfix = postfix
        self._clock = clock

    async def find(self, key: str) -> Answer:
        """Find the answer for a key as Postfix asks it; never raises for what others do."""
        try:
            hop = parse_next_hop(key)
        except NextHopError as error:
            return Answer(NOT_FOUND, str(error), MOST_SECONDS)
        with noting() as lifetime:
            try:
                decided = await self._decide(hop, lifetime)
            except StoreUnavailable as error:
                decided = Undecided(f"MTA-STS policies cannot be read: {error}")
        return self._format(decided, lifetime)

    async def _decide(self, hop: NextHop, lifetime: Lifetime) -> PostfixReply:
        table = self._policy.table.on(self._clock.now().date())
        entry = table.find(hop.key)
        decided = await self._decide_by(table, entry, hop, lifetime)
        holding = entry if isinstance(entry, TableEntry) else None
        exception = describe_exception(holding, table.find_lapsed(hop.key))
        if exception in decided.reason:
            return decided
        return replace(decided, reason=f"{decided.reason}; {exception}")

    async def _decide_by(
        self, table: PolicyTable, entry: Entry | None, hop: NextHop, lifetime: Lifetime
    ) -> PostfixReply:
        if entry is not None and (isinstance(entry, WrongEntry) or entry.level is not Level.DANE):
            return reply_by_table(entry, self._postfix)
        default = entry or table.default
        if isinstance(default, WrongEntry):
            return reply_by_table(default, self._postfix)
        found = await self._find_destination(hop, default, lifetime)
        if isinstance(found, Undecided):
            return found
        chosen = choose_reply(found, self._postfix)
        # What the operator wrote is said, also where it comes to no more than Postfix's default.
        if entry is not None and isinstance(chosen, NoPolicy):
            return reply_by_table(entry, self._postfix)
        return chosen

    async def _find_destination(
        self, hop: NextHop, default: TableEntry, lifetime: Lifetime
    ) -> Destination | Undecided:
        route, mta_sts = await asyncio.gather(
            self._routes.find(hop), self._policy.find_mta_sts(hop)
        )
        if mta_sts is not None and mta_sts.expires is not None:
            lifetime.note((mta_sts.expires - self._clock.now()).total_seconds())
        elif mta_sts is not None and mta_sts.error is not None:
            # The fetch may go on behind: what it brings is to hold soon.
            lifetime.note(LEAST_SECONDS)
        if not isinstance(route, Route):
            trouble = None if route.is_permanent else route.reason
            return Destination((), mta_sts, default, trouble=trouble)
        hosts = [host for host in route.hosts if host.addresses]
        decisions = await self._decide_for_each(route, hosts)
        if isinstance(decisions, Undecided):
            return decisions
        is_mx_secure = route.is_implicit or route.mx_security in (None, Security.SECURE)
        unknown = tuple(str(host.name) for host in route.hosts if host.is_passing)
        return Destination(decisions, mta_sts, default, is_mx_secure, unknown=unknown)

    async def _decide_for_each(
        self, route: Route, hosts: Sequence[MxHost]
    ) -> tuple[HostDecision, ...] | Undecided:
        found = await asyncio.gather(*(self._policy.decide(route, host) for host in hosts))
        decisions = []
        for host, policy in zip(hosts, found, strict=True):
            if isinstance(policy.decision, RequirementInvalid):
                return Undecided(f"{policy.decision.where}: {policy.decision.reason}")
            name = host.name or str(host.addresses[0].ip)
            decisions.append(HostDecision(name, policy.decision))
        return tuple(decisions)

    def _format(self, decided: PostfixReply, lifetime: Lifetime) -> Answer:
        match decided:
            case PostfixPolicy():
                reply = Reply(Status.OK, format_policy(decided, self._postfix))
            case NoPolicy():
                reply = NOT_FOUND
            case Undecided():
                reply = Reply(Status.TEMP, decided.reason)
                lifetime.seconds = UNDECIDED_SECONDS
            case _:
                assert_never(decided)
        return Answer(reply, decided.reason, lifetime.seconds)
