"""DNS as it is when all that a plan has is published, and one thing after the other goes wrong."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from letterlock.base.domains import Domain
from letterlock.network.dns_authority import NotSaid, Served
from letterlock.network.https import FetchFailed
from letterlock.protocols.dns.answers import (
    Answer,
    CaaRecord,
    CnameLink,
    MxRecord,
    Record,
    Security,
    TlsaRecord,
)
from letterlock.protocols.mta_sts.policy import MtaStsPolicy, format_policy
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.services.discover.authorities import (
    Authorities,
    NameServer,
    NotFound,
    Published,
    View,
    Zone,
)
from letterlock.services.publish.check import DnsReport, check
from letterlock.services.publish.looking import Looker
from letterlock.services.publish.records import Plan, PlannedRecord, RecordKind, plan_records
from tests.fakes import FakeClock, FixtureResolver
from tests.network.certificates import NOW, authority
from tests.services.publish.own import own_domain

SERVERS = tuple(
    NameServer(Domain(f"ns{number}.example.org"), ip_address(f"192.0.2.{number}"))
    for number in (53, 54)
)


class Policies:
    """Policy hosts, in memory."""

    def __init__(self) -> None:
        self.policies: dict[Domain, bytes | FetchFailed] = {}
        self.asked: list[Domain] = []

    async def fetch(self, domain: Domain) -> bytes | FetchFailed:
        self.asked.append(domain)
        gone = FetchFailed(ResultType.STS_POLICY_FETCH_ERROR, "HTTP status 404")
        return self.policies.get(domain, gone)


class Servers:
    """Two authoritative servers, in memory: they have the same unless told otherwise."""

    def __init__(self) -> None:
        self.zone: Zone | NotFound = Zone(Domain("example.org"), None)
        self.authorities: Authorities | NotFound = Authorities(Domain("example.org"), SERVERS)
        self.said: dict[tuple[str, NameServer], Served | NotSaid] = {}
        self.signature_ends: dict[tuple[str, NameServer], datetime] = {}
        self.found: list[Domain] = []

    async def find_zone(self, name: Domain) -> Zone | NotFound:
        del name
        return self.zone

    async def find(self, name: Domain) -> Authorities | NotFound:
        self.found.append(name)
        return self.authorities

    async def ask(self, servers: Sequence[NameServer], name: Domain, rdtype: str) -> Published:
        same = Served(frozenset({f"{rdtype} of {name}"}), 60)
        return Published(tuple(View(each, self.said.get((name, each), same)) for each in servers))

    async def ask_signature_ends(
        self, servers: Sequence[NameServer], name: Domain, rdtype: str
    ) -> tuple[tuple[NameServer, datetime], ...]:
        del rdtype
        ends = self.signature_ends
        return tuple((each, ends[name, each]) for each in servers if (name, each) in ends)


class World:
    """All is published and signed; `set` and its like change one thing."""

    def __init__(self, **own: Any) -> None:
        self.plan: Plan = plan_records(own_domain(**own))
        self.resolver = FixtureResolver()
        self.policies = Policies()
        self.servers = Servers()
        self.is_validating = True
        self.anchors = TrustAnchors.from_pem(authority().pem)
        self.set("org", "NS", Domain("ns.org"))
        for record in self.plan.records:
            self.publish(record)
        self.serve(self.plan.own.policy)

    def publish(self, record: PlannedRecord) -> None:
        """Add a record to those that are there."""
        if not record.is_complete:
            return
        if record.kind is RecordKind.POLICY_HOST:
            self.alias(record.name, record.value.removesuffix("."))
            return
        known = self.records(record.name, record.rdtype)
        self.set(record.name, record.rdtype, *known, read_record(record))

    def records(self, name: str, rdtype: str) -> tuple[Record, ...]:
        answer = self.resolver._answers.get((name, rdtype))
        return answer.records if answer is not None else ()

    def set(
        self, name: str, rdtype: str, *records: Record | str, security: Security = Security.SECURE
    ) -> None:
        """Let a name have these records, and no others of the type; a text is one of TXT."""
        values = [
            each.encode() if isinstance(each, str) and rdtype == "TXT" else each for each in records
        ]
        self.resolver.set(name, rdtype, *values, security=security)  # type: ignore[arg-type]  # text was encoded

    def alias(self, name: str, target: str) -> None:
        """Let a name have the addresses of another."""
        link = CnameLink(Domain(name), Domain(target), Security.SECURE)
        for rdtype in ("A", "AAAA"):
            found = self.resolver._answers.get((target, rdtype))
            answer = found or Answer(Domain(target), rdtype, Security.SECURE)
            self.resolver.put(replace(answer, name=Domain(name), cnames=(link,)))

    def remove(self, name: str, rdtype: str) -> None:
        self.set(name, rdtype)

    def unsign(self, *names: str) -> None:
        """Let nothing vouch for what is at these names; for nothing at all without names."""
        for (name, _), answer in tuple(self.resolver._answers.items()):
            if not names or name in names:
                self.resolver.put(replace(answer, security=Security.INSECURE))

    def serve(self, policy: MtaStsPolicy | None) -> None:
        if policy is not None:
            self.policies.policies[self.plan.own.domain] = format_policy(policy).encode()

    async def check(self, *, is_ours: bool = True, port: int = 25) -> DnsReport:
        plan = self.plan if is_ours else None
        looker = Looker(
            self.resolver,
            self.policies,
            FakeClock(),
            self.servers,
            is_validating=self.is_validating,
        )
        return check(await looker.look(self.plan.own.domain, plan, port), plan, NOW, self.anchors)

    async def find_codes(self, *, is_ours: bool = True) -> list[str]:
        """Give the findings as `severity code name`."""
        report = await self.check(is_ours=is_ours)
        return [f"{each.severity} {each.code} {each.name}" for each in report.findings]


def read_record(record: PlannedRecord) -> Record:
    """Give a record as the resolver does."""
    match record.rdtype:
        case "MX":
            preference, exchange = record.value.split()
            return MxRecord(int(preference), Domain(exchange.removesuffix(".")))
        case "A" | "AAAA":
            return ip_address(record.value)
        case "PTR":
            return Domain(record.value.removesuffix("."))
        case "TLSA":
            usage, selector, matching, digest = record.value.split()
            return TlsaRecord(int(usage), int(selector), int(matching), bytes.fromhex(digest))
        case "CAA":
            flags, tag, value = record.value.split(" ", 2)
            return CaaRecord(int(flags), tag.encode(), value.strip('"').encode())
        case "TXT":
            return record.value.replace('" "', "").strip('"').encode()
        case _:
            raise AssertionError(record)
