"""Look up all that a domain publishes for its mail: DNS, and the MTA-STS policy over HTTPS.

RFC 5321 §5.1 (hosts), RFC 8461 §3.3 (the policy). How many lookups one domain costs is bounded,
whatever stands in its records.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.domains import Domain
from letterlock.network.dns import Resolver
from letterlock.network.https import FetchFailed
from letterlock.protocols.caa.relevant import Relevant
from letterlock.protocols.dns.answers import Existence
from letterlock.protocols.mta_sts.record import LABEL as MTA_STS_LABEL
from letterlock.protocols.mta_sts.record import parse_record
from letterlock.protocols.tlsrpt.record import LABEL as TLSRPT_LABEL
from letterlock.services.discover.authorities import (
    Authorities,
    NameServer,
    NotFound,
    Published,
    Zone,
)
from letterlock.services.discover.caa import CaaFinder
from letterlock.services.discover.routes import is_address_text
from letterlock.services.publish.asking import Asking, Question, ask_reverse_names
from letterlock.services.publish.checks.null_mx import has_null_mx
from letterlock.services.publish.checks.senders import list_parents
from letterlock.services.publish.observed import AtServers, Observed
from letterlock.services.publish.records import (
    DMARC_LABEL,
    POLICY_HOST_LABEL,
    SMTP_PORT,
    Plan,
    below,
    list_hosts,
    make_tlsa_label,
)

MAX_HOSTS = 30
"""MX hosts looked at, the best ones: a sender tries fewer."""

MAX_HOSTS_AT_SERVERS = 5
"""MX hosts of a domain that is not ours, whose authoritative servers are asked."""

_WITH_SIGNATURES = ("MX", "TLSA")


class PolicySource(Protocol):
    """`network.https.PolicyFetcher`."""

    async def fetch(self, domain: Domain) -> bytes | FetchFailed: ...


class ServerFinder(Protocol):
    """`services.discover.authorities.AuthorityFinder`."""

    async def find_zone(self, name: Domain) -> Zone | NotFound: ...

    async def find(self, name: Domain) -> Authorities | NotFound: ...

    async def ask(self, servers: Sequence[NameServer], name: Domain, rdtype: str) -> Published: ...

    async def ask_signature_ends(
        self, servers: Sequence[NameServer], name: Domain, rdtype: str
    ) -> tuple[tuple[NameServer, datetime], ...]: ...


class Looker:
    """Looks at domains. `is_validating`: the resolver's word on DNSSEC can be believed."""

    def __init__(
        self,
        resolver: Resolver,
        source: PolicySource,
        clock: Clock,
        authorities: ServerFinder,
        *,
        is_validating: bool,
    ) -> None:
        self._resolver = resolver
        self._authorities = authorities
        self._caa = CaaFinder(resolver, clock)
        self._source = source
        self._is_validating = is_validating

    async def look(self, domain: Domain, plan: Plan | None, port: int = SMTP_PORT) -> Observed:
        """Look up what is there for a domain, and for what `plan` says should be there.

        `port` is the one that its hosts take mail at: other than 25 only in a world of one's own.
        """
        asking = Asking(self._resolver)
        await asking.ask_all(_list_of_domain(domain, plan))
        observed = Observed(domain, asking.answers, is_validating=self._is_validating)
        hosts = _list_hosts(observed, plan)
        if has_null_mx(observed) and (name := below(make_tlsa_label(port), domain)):
            await asking.ask_all([(name, "TLSA")])
        await asking.ask_all(question for host in hosts for question in _list_of_host(host, port))
        await ask_reverse_names(asking, observed, hosts)
        mx = observed.find(domain, "MX")
        exists = mx.is_answer and mx.existence is not Existence.NXDOMAIN
        questions = _list_for_servers(domain, hosts, plan, port) if exists else ()
        at_servers, undecided = await self._ask_servers(questions)
        return Observed(
            domain,
            asking.answers,
            hosts,
            await self._fetch(observed, plan),
            await self._find_caa(plan),
            at_servers,
            is_validating=self._is_validating,
            undecided=undecided,
            port=port,
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

    async def _ask_servers(
        self, questions: Iterable[Question]
    ) -> tuple[tuple[AtServers, ...], tuple[str, ...]]:
        """Ask each server of each zone; the texts say which zones' servers are not known.

        All at a time: a server that is silent costs its seconds once.
        """
        asked = tuple(dict.fromkeys(questions))
        names = tuple(dict.fromkeys(name for name, _ in asked))
        located = await asyncio.gather(*map(self._authorities.find_zone, names))
        zones = dict(zip(names, located, strict=True))
        found = tuple(dict.fromkeys(zone.name for zone in located if isinstance(zone, Zone)))
        served = await asyncio.gather(*map(self._authorities.find, found))
        servers = dict(zip(found, served, strict=True))
        undecided: list[str] = []
        asking = []
        for name, rdtype in asked:
            zone = zones[name]
            known = servers[zone.name] if isinstance(zone, Zone) else zone
            if isinstance(known, NotFound):
                where = zone.name if isinstance(zone, Zone) else name
                undecided.append(f"authoritative servers of {where}: {known.reason}")
            else:
                asking.append(self._ask_each(known, name, rdtype))
        return tuple(await asyncio.gather(*asking)), tuple(dict.fromkeys(undecided))

    async def _ask_each(self, authorities: Authorities, name: Domain, rdtype: str) -> AtServers:
        published = await self._authorities.ask(authorities.servers, name, rdtype)
        signed: tuple[tuple[NameServer, datetime], ...] = ()
        if rdtype in _WITH_SIGNATURES and published.anywhere:
            servers = [view.server for view in published.views if view.values]
            signed = await self._authorities.ask_signature_ends(servers, name, rdtype)
        return AtServers(name, rdtype, published, signed)


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


def _list_for_servers(
    domain: Domain, hosts: tuple[Domain, ...], plan: Plan | None, port: int
) -> Iterator[Question]:
    """List what must be the same at every server. Reverse names are not ours to look after."""
    yield from ((domain, "MX"), (domain, "TXT"))
    for label in (DMARC_LABEL, MTA_STS_LABEL, TLSRPT_LABEL):
        if name := below(label, domain):
            yield name, "TXT"
    ours = [host.name for host in list_hosts(plan)]
    for host in ours or hosts[:MAX_HOSTS_AT_SERVERS]:
        yield from _list_of_host(host, port)


def _list_hosts(observed: Observed, plan: Plan | None) -> tuple[Domain, ...]:
    """List the hosts that MX records name, and ours; without MX records the domain is its own."""
    records = sorted(observed.find_mx(), key=lambda record: record.preference)
    exchanges = [record.exchange for record in records if record.exchange is not None]
    answer = observed.find(observed.domain, "MX")
    if not records and answer.is_answer and observed.find_addresses(observed.domain):
        exchanges = [observed.domain]
    ours = [host.name for host in list_hosts(plan)]
    return tuple(dict.fromkeys([*ours, *exchanges[:MAX_HOSTS]]))


def _list_of_host(host: Domain, port: int) -> Iterator[Question]:
    if is_address_text(host):
        return
    yield from ((host, "A"), (host, "AAAA"))
    if name := below(make_tlsa_label(port), host):
        yield name, "TLSA"
