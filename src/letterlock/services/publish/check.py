"""What is published, compared with what should be: each record's state, and all findings.

Pure: from what was looked up (`looking`) and what is known here (`records`) to a report. The
findings of each kind of record are in `checks`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from letterlock.base.domains import Domain
from letterlock.protocols.caa.relevant import LookupFailed
from letterlock.protocols.dns.answers import Answer, Security
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.services.publish.checks.caa import check_caa
from letterlock.services.publish.checks.dnssec import check_dnssec
from letterlock.services.publish.checks.hosts import check_hosts, check_mx
from letterlock.services.publish.checks.policy import (
    check_certificates,
    check_mta_sts,
    check_tlsrpt,
)
from letterlock.services.publish.checks.senders import check_dkim, check_dmarc
from letterlock.services.publish.checks.servers import check_servers
from letterlock.services.publish.checks.spf import check_spf
from letterlock.services.publish.checks.tlsa import check_tlsa
from letterlock.services.publish.findings import Finding, Severity
from letterlock.services.publish.observed import Observed, list_tlsa
from letterlock.services.publish.policies import check_transitions
from letterlock.services.publish.records import (
    Plan,
    PlannedRecord,
    RecordKind,
    format_value,
    list_hosts,
)
from letterlock.services.publish.simulation import Simulation, simulate

MAX_SHOWN_RECORDS = 20
"""Of one name: somebody else may have put any number there."""

_TEXT_STARTS = {
    RecordKind.SPF: b"v=spf1",
    RecordKind.DMARC: b"v=dmarc1",
    RecordKind.MTA_STS: b"v=stsv1",
    RecordKind.TLSRPT: b"v=tlsrptv1",
}
"""What tells these TXT records from others at the same name."""


class State(StrEnum):
    """How a record that should be there is there."""

    RIGHT = "right"
    MISSING = "missing"
    DIFFERS = "differs"
    """Something else is there. Whether that is wrong, findings say."""
    UNKNOWN = "unknown"
    """It could not be looked up, or what it should be is not known."""


@dataclass(frozen=True, slots=True)
class RecordState:
    """A record, and what is there: values as in a zone file."""

    record: PlannedRecord
    state: State
    found: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DnsReport:
    """All that can be told. `undecided`: lookups that nobody answered, one line each."""

    states: tuple[RecordState, ...]
    findings: tuple[Finding, ...]
    simulations: tuple[Simulation, ...]
    undecided: tuple[str, ...]

    @property
    def has_faults(self) -> bool:
        """Something is wrong or missing; notes are no faults."""
        return any(finding.severity is not Severity.NOTE for finding in self.findings)


def check(
    observed: Observed, plan: Plan | None, now: datetime, anchors: TrustAnchors | None = None
) -> DnsReport:
    """Compare. Without a plan (a domain that is not ours) what is there is checked by itself.

    `anchors` are those that senders are taken to trust; None: it is not known whom.
    """
    findings = dict.fromkeys(_find_all(observed, plan, now))
    if anchors is not None:
        findings |= dict.fromkeys(check_certificates(plan, anchors, now))
    severities = list(Severity)
    return DnsReport(
        states=tuple(find_state(each, observed) for each in (plan.records if plan else ())),
        findings=tuple(sorted(findings, key=lambda each: severities.index(each.severity))),
        simulations=tuple(_simulate(observed, plan, now)),
        undecided=tuple(dict.fromkeys([*observed.undecided, *_find_unanswered(observed)])),
    )


def find_state(record: PlannedRecord, observed: Observed) -> RecordState:
    """Say how a record is there."""
    if record.kind is RecordKind.POLICY_HOST:
        return _find_alias_state(record, observed)
    answer = observed.find(record.name, record.rdtype)
    found = tuple(_list_values(record, answer))[:MAX_SHOWN_RECORDS]
    if not answer.is_answer or (not record.is_complete and not found):
        return RecordState(record, State.UNKNOWN, found)
    if any(_is_same(record, value) for value in _list_values(record, answer)):
        return RecordState(record, State.RIGHT, found)
    return RecordState(record, State.DIFFERS if found else State.MISSING, found)


def _find_all(observed: Observed, plan: Plan | None, now: datetime) -> Iterator[Finding]:
    yield from check_dnssec(observed)
    yield from check_servers(observed, now)
    yield from check_mx(observed, plan)
    yield from check_hosts(observed, plan)
    yield from check_spf(observed, plan)
    yield from check_dkim(observed, plan)
    yield from check_dmarc(observed, plan)
    yield from check_tlsa(observed, plan, now)
    yield from check_mta_sts(observed, plan)
    yield from check_tlsrpt(observed, plan)
    yield from check_caa(observed, plan)
    if plan is not None:
        own, exchanges = plan.own, [record.exchange for record in observed.find_mx()]
        hosts = [exchange for exchange in exchanges if exchange is not None]
        yield from check_transitions(own.domain, own.policy, hosts, own.served, now)


def _simulate(observed: Observed, plan: Plan | None, now: datetime) -> Iterator[Simulation]:
    for host in list_hosts(plan):
        records = list_tlsa(observed.find_tlsa(host.name))
        for chain in host.chains if records else ():
            yield simulate(host.name, records, chain, host.next_keys, now)


def _find_unanswered(observed: Observed) -> Iterator[str]:
    for (name, rdtype), answer in observed.answers.items():
        if answer.security is Security.FAILED:
            yield f"{rdtype} of {name}: {answer.reason}"
    for relevant in observed.caa.values():
        if isinstance(relevant, LookupFailed) and relevant.security is Security.FAILED:
            yield f"CAA of {relevant.at}: {relevant.reason}"


def _find_alias_state(record: PlannedRecord, observed: Observed) -> RecordState:
    answers = [observed.find(record.name, rdtype) for rdtype in ("A", "AAAA")]
    targets = [f"{link.target}." for answer in answers for link in answer.cnames]
    addresses = observed.find_addresses(record.name)
    found = tuple(dict.fromkeys([*targets, *map(str, addresses)]))
    if not found:
        is_known = all(answer.is_answer for answer in answers)
        return RecordState(record, State.MISSING if is_known else State.UNKNOWN, ())
    host = Domain(record.value.removesuffix("."))
    here = {str(address) for address in observed.find_addresses(host)}
    is_right = record.value in targets or here.issuperset(map(str, addresses))
    return RecordState(record, State.RIGHT if is_right else State.DIFFERS, found)


def _list_values(record: PlannedRecord, answer: Answer) -> Iterator[str]:
    start = _TEXT_STARTS.get(record.kind, b"")
    for each in answer.records:
        if not isinstance(each, bytes) or each.lower().startswith(start):
            yield format_value(each)


def _is_same(record: PlannedRecord, value: str) -> bool:
    if record.kind is RecordKind.MX:
        # Which number stands before it is the operator's: only the order of hosts counts.
        return value.partition(" ")[2] == record.value.partition(" ")[2]
    return value == record.value
