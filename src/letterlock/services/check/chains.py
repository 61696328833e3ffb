"""Explains what DNSSEC vouches for of a domain: the chain to each name, beside the resolver's word.

RFC 4035 §5, RFC 7672 §2.2 (what DANE rests on: MX records, hosts, TLSA records). Deliveries go by
the resolver's word; a chain says why it is so, and who can change it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from letterlock.base.domains import MAX_DOMAIN_OCTETS, Domain
from letterlock.network.dns import Resolver
from letterlock.protocols.check.chain_findings import (
    find_chain_faults,
    find_disagreements,
    find_not_validating,
)
from letterlock.protocols.check.facts import DomainFacts, HostFacts
from letterlock.protocols.check.findings import Finding
from letterlock.protocols.check.trust_chain import RecordState
from letterlock.protocols.dns.answers import Answer
from letterlock.protocols.dns.chain_links import Outcome
from letterlock.services.discover.resolver_check import ResolverState, SelfTest
from letterlock.services.discover.trust_chains import ChainFinder, Chains


@dataclass(frozen=True, slots=True)
class Explained:
    """The chains, and what the resolver said of each of their records.

    None: it was not asked, since the records are an alias, or since its word counts for nothing.
    """

    chains: Chains
    said: tuple[Answer | None, ...]
    findings: tuple[Finding, ...]


class ChainLooker:
    """Looks at the chains of domains. `state` says whether the resolver's word counts."""

    def __init__(self, finder: ChainFinder, resolver: Resolver, state: ResolverState) -> None:
        self._finder = finder
        self._resolver = resolver
        self._state = state

    async def look(self, facts: DomainFacts, port: int, now: datetime) -> Explained:
        """Look at a domain, whose hosts are asked at a port."""
        chains = await self._finder.find(_list_questions(facts, port), now)
        is_validating = self._state.self_test not in (SelfTest.FAILED, SelfTest.UNTRUSTED)
        said = [await self._ask(each) if is_validating else None for each in chains.records]
        faults = [*find_chain_faults(chains.zones, chains.records)]
        if is_validating:
            faults += find_disagreements(chains.records, said)
        else:
            state = self._state
            faults.append(find_not_validating(facts.domain, state.reason, state.advice))
        return Explained(chains, tuple(said), tuple(faults))

    async def _ask(self, record: RecordState) -> Answer | None:
        # An answer for an alias is worth as much as what the alias leads to.
        if record.outcome is Outcome.ALIAS:
            return None
        return await self._resolver.ask(Domain(record.name), record.rdtype)


def _list_questions(facts: DomainFacts, port: int) -> Iterator[tuple[str, str]]:
    if facts.mx_security is not None:
        yield facts.domain, "MX"
    for host in facts.hosts:
        if host.name is not None:
            yield from _list_of_host(host, host.name, port)


def _list_of_host(host: HostFacts, name: Domain, port: int) -> Iterator[tuple[str, str]]:
    versions = {each.ip.version for each in host.addresses} or {4}
    yield from ((name, "A" if version == 4 else "AAAA") for version in sorted(versions))
    base = host.tlsa.base_domain if host.tlsa is not None else None
    owner = f"_{port}._tcp.{base or name}"
    if len(owner) <= MAX_DOMAIN_OCTETS:
        yield owner, "TLSA"
