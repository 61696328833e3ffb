"""Look up all that a domain publishes for its mail: DNS, and the MTA-STS policy over HTTPS.

RFC 5321 §5.1 (hosts), RFC 8461 §3.3 (the policy). How many lookups one domain costs is bounded,
whatever stands in its records.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver
from letterlock.network.https import FetchFailed
from letterlock.protocols.caa.relevant import Relevant
from letterlock.protocols.dns.answers import Answer
from letterlock.protocols.mta_sts.record import LABEL as MTA_STS_LABEL
from letterlock.protocols.mta_sts.record import parse_record
from letterlock.protocols.tlsrpt.record import LABEL as TLSRPT_LABEL
from letterlock.services.discover.caa import CaaFinder
from letterlock.services.discover.routes import is_address_text
from letterlock.services.publish.checks.senders import list_parents
from letterlock.services.publish.observed import Observed
from letterlock.services.publish.records import (
    DMARC_LABEL,
    POLICY_HOST_LABEL,
    SMTP_LABEL,
    Plan,
    below,
    list_hosts,
)

MAX_HOSTS = 30
"""MX hosts looked at, the best ones: a sender tries fewer."""
MAX_ADDRESSES = 10
"""Of one host."""
MAX_NAMES = 3
"""Reverse names of one address."""
MAX_QUESTIONS_AT_A_TIME = 16

Question = tuple[Domain, str]


class PolicySource(Protocol):
    """`network.https.PolicyFetcher`."""

    async def fetch(self, domain: Domain) -> bytes | FetchFailed: ...


class Looker:
    """Looks at domains. `is_validating`: the resolver's word on DNSSEC can be believed."""

    def __init__(
        self, resolver: Resolver, source: PolicySource, clock: Clock, *, is_validating: bool
    ) -> None:
        self._resolver = resolver
        self._caa = CaaFinder(resolver, clock)
        self._source = source
        self._is_validating = is_validating

    async def look(self, domain: Domain, plan: Plan | None) -> Observed:
        """Look up what is there for a domain, and for what `plan` says should be there."""
        asking = _Asking(self._resolver)
        await asking.ask_all(_list_of_domain(domain, plan))
        observed = Observed(domain, asking.answers, is_validating=self._is_validating)
        hosts = _list_hosts(observed, plan)
        await asking.ask_all(question for host in hosts for question in _list_of_host(host))
        addresses = {ip for host in hosts for ip in observed.find_addresses(host)[:MAX_ADDRESSES]}
        reverse = {ip: Domain(ip.reverse_pointer) for ip in addresses}
        await asking.ask_all((name, "PTR") for name in reverse.values())
        await asking.ask_all(
            (each, "A" if ip.version == 4 else "AAAA")
            for ip, name in reverse.items()
            for each in observed.find(name, "PTR").records[:MAX_NAMES]
            if isinstance(each, str)
        )
        return Observed(
            domain,
            asking.answers,
            hosts,
            await self._fetch(observed, plan),
            await self._find_caa(plan),
            is_validating=self._is_validating,
        )

    async def _fetch(self, observed: Observed, plan: Plan | None) -> bytes | FetchFailed | None:
        """Fetch the policy where there is a record, or where we serve one."""
        texts = observed.find_texts(below(MTA_STS_LABEL, observed.domain), "")
        is_ours = plan is not None and plan.own.policy is not None
        if not is_ours and parse_record(texts) is None:
            return None
        return await self._source.fetch(observed.domain)

    async def _find_caa(self, plan: Plan | None) -> dict[Domain, Relevant]:
        """Without an account of ours nothing follows from them."""
        names = plan.own.certificate_names if plan is not None and plan.own.accounts else ()
        return {name: (await self._caa.find(name)).relevant for name in names}


class _Asking:
    """Asks each question once."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._slots = asyncio.Semaphore(MAX_QUESTIONS_AT_A_TIME)
        self.answers: dict[Question, Answer] = {}

    async def ask_all(self, questions: Iterable[Question]) -> None:
        new = [each for each in dict.fromkeys(questions) if each not in self.answers]
        async with asyncio.TaskGroup() as group:
            for question in new:
                group.create_task(self._ask(question))

    async def _ask(self, question: Question) -> None:
        async with self._slots:
            self.answers[question] = await self._resolver.ask(*question)


def _list_of_domain(domain: Domain, plan: Plan | None) -> Iterator[Question]:
    for rdtype in ("MX", "TXT", "A", "AAAA"):
        yield domain, rdtype
    for label in (DMARC_LABEL, MTA_STS_LABEL, TLSRPT_LABEL):
        if name := below(label, domain):
            yield name, "TXT"
    for parent in list_parents(domain):
        yield parent, "TXT"
    if name := below(POLICY_HOST_LABEL, domain):
        yield from ((name, "A"), (name, "AAAA"))
    for record in plan.records if plan is not None else ():
        if record.rdtype != "CNAME":
            yield record.name, record.rdtype


def _list_hosts(observed: Observed, plan: Plan | None) -> tuple[Domain, ...]:
    """List the hosts that MX records name, and ours; without MX records the domain is its own."""
    records = sorted(observed.find_mx(), key=lambda record: record.preference)
    exchanges = [record.exchange for record in records if record.exchange is not None]
    answer = observed.find(observed.domain, "MX")
    if not records and answer.is_answer and observed.find_addresses(observed.domain):
        exchanges = [observed.domain]
    ours = [host.name for host in list_hosts(plan)]
    return tuple(dict.fromkeys([*ours, *exchanges[:MAX_HOSTS]]))


def _list_of_host(host: Domain) -> Iterator[Question]:
    if is_address_text(host):
        return
    yield from ((host, "A"), (host, "AAAA"))
    if name := below(SMTP_LABEL, host):
        yield name, "TLSA"
