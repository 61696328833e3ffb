"""Look at what a host is on its first evening: DNS, the way out, and who has its ports.

RFC 5321 §5.1 (MX), §4.1.4 (names of hosts). Every part has its time, and what takes longer is left
out: without a network it ends, and says so. What follows is decided in `first_look`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from letterlock.base.domains import Domain
from letterlock.network.dns import Backend, Resolver
from letterlock.network.greetings import Greeting
from letterlock.network.wire import Lost
from letterlock.protocols.dns.answers import MxRecord
from letterlock.protocols.mta_sts.record import LABEL as MTA_STS_LABEL
from letterlock.services.discover.resolver_check import check_resolver
from letterlock.services.publish.asking import Asking, Question, ask_reverse_names
from letterlock.services.publish.first_look import HostSeen, Knock, TakenPort
from letterlock.services.publish.observed import Observed
from letterlock.services.publish.records import SMTP_LABEL, IpAddress, Plan, below

OTHERS = (Domain("gmail.com"), Domain("outlook.com"))
"""Domains whose MX hosts nearly every network lets mail go to; the first that answers is enough."""
SECONDS = 15.0
"""For each part, at most: all go on at a time."""
KNOCK_SECONDS = 5.0
MAX_DOMAINS = 20
"""Of ours."""

Greet = Callable[[str, int, float], Awaitable[Greeting | Lost]]
"""`network.greetings.fetch_greeting`"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OwnPort:
    """Where we are to listen: `ip` reaches it from here. `is_smtp`: the node greets there."""

    ip: str
    port: int
    setting: str
    is_smtp: bool


@dataclass(frozen=True, slots=True)
class HostQuestion:
    """What is known of the host before it is looked at, as in `HostSeen`."""

    host: Domain
    outgoing: tuple[IpAddress, ...]
    known: tuple[IpAddress, ...]
    plans: Mapping[Domain, Plan]
    ports: tuple[OwnPort, ...] = ()
    sends_itself: bool = True
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class FirstLooker:
    """Looks at a host. `signed` and `bogus` are the names that the resolver is tried with.

    `greet` connects to this machine's ports, and `knock` to those of others.
    """

    backend: Backend
    resolver: Resolver
    greet: Greet
    knock: Greet
    signed: Domain
    bogus: Domain
    port: int = 25
    """Of the hosts of others: another one only in a world of one's own."""
    seconds: float = SECONDS

    async def look(self, question: HostQuestion) -> HostSeen:
        """Look at all of it at a time. Where there is no way out, only at this machine itself."""
        seen = HostSeen(
            question.host, question.outgoing, question.known, question.plans, question.is_new
        )
        async with asyncio.TaskGroup() as group:
            taken = group.create_task(_within(self.seconds, self._look_at_ports(question), ()))
            outside = group.create_task(self._look_outside(question, seen))
        return replace(outside.result(), taken=taken.result())

    async def _look_outside(self, question: HostQuestion, seen: HostSeen) -> HostSeen:
        if not question.outgoing:
            return seen
        trying = check_resolver(self.backend, self.signed, self.bogus)
        async with asyncio.TaskGroup() as group:
            state = group.create_task(_within(self.seconds, trying, None))
            observed = group.create_task(_within(self.seconds, self._look_up(question), {}))
            knocks = group.create_task(self._knock(question))
        return replace(
            seen, resolver=state.result(), observed=observed.result(), knocks=knocks.result()
        )

    async def _look_up(self, question: HostQuestion) -> dict[Domain, Observed]:
        asking, host = Asking(self.resolver), question.host
        domains = list(question.plans)[:MAX_DOMAINS]
        await asking.ask_all(_list_questions(host, domains))
        await asking.ask_all((Domain(ip.reverse_pointer), "PTR") for ip in question.known)
        observed = {domain: Observed(domain, asking.answers, (host,)) for domain in domains}
        for each in observed.values():
            await ask_reverse_names(asking, each, (host,))
        return observed

    async def _look_at_ports(self, question: HostQuestion) -> tuple[TakenPort, ...]:
        """Find who else listens where we are to. Where the node itself greets, all are its own."""
        taken = []
        for own in question.ports:
            greeting = await self.greet(own.ip, own.port, KNOCK_SECONDS)
            if isinstance(greeting, Lost):
                continue
            if own.is_smtp and greeting.line.startswith(f"220 {question.host} "):
                return ()
            taken.append(TakenPort(f"port {own.port} of {own.ip}", greeting.line, own.setting))
        return tuple(taken)

    async def _knock(self, question: HostQuestion) -> tuple[Knock, ...]:
        if not question.sends_itself:
            return ()
        versions = {address.version for address in question.outgoing}
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._knock_by(version)) for version in sorted(versions)]
        return tuple(knock for task in tasks for knock in task.result())

    async def _knock_by(self, version: int) -> list[Knock]:
        """Knock at one host after the other, until one answers."""
        knocks: list[Knock] = []
        for domain in OTHERS:
            found = await _within(self.seconds, self._find_door(domain, version), None)
            if found is None:
                continue
            host, address = found
            said = await self.knock(str(address), self.port, KNOCK_SECONDS)
            is_answered = isinstance(said, Greeting)
            text = said.line if isinstance(said, Greeting) else said.detail
            knocks.append(Knock(host, address, is_answered, text))
            if is_answered:
                break
        return knocks

    async def _find_door(self, domain: Domain, version: int) -> tuple[Domain, IpAddress] | None:
        answer = await self.resolver.ask(domain, "MX")
        records = [each for each in answer.records if isinstance(each, MxRecord)]
        hosts = [each.exchange for each in sorted(records, key=_preference) if each.exchange]
        if not hosts:
            return None
        found = await self.resolver.ask(hosts[0], "A" if version == 4 else "AAAA")
        addresses = (each for each in found.records if isinstance(each, IPv4Address | IPv6Address))
        return next(((hosts[0], address) for address in addresses), None)


async def _within(seconds: float, work: Awaitable[T], otherwise: T) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        return otherwise


def _preference(record: MxRecord) -> int:
    return record.preference


def _list_questions(host: Domain, domains: Sequence[Domain]) -> Iterator[Question]:
    yield from ((host, "A"), (host, "AAAA"))
    if name := below(SMTP_LABEL, host):
        yield name, "TLSA"
    for domain in domains:
        yield domain, "MX"
        if name := below(MTA_STS_LABEL, domain):
            yield name, "TXT"
