"""A report on what a domain publishes as one document: for JSON, and for the text made of it."""

from collections.abc import Iterator
from typing import Any

from letterlock.base.domains import Domain
from letterlock.services.publish.check import DnsReport, RecordState
from letterlock.services.publish.findings import Finding
from letterlock.services.publish.records import Plan, PlannedRecord
from letterlock.services.publish.simulation import RecordFate, Simulation


def describe_report(domain: Domain, plan: Plan | None, report: DnsReport) -> dict[str, Any]:
    """Give the document, but for the resolver's part."""
    return {
        "domain": domain,
        "configured": plan is not None,
        "verdict": _decide(report),
        "findings": [_describe_finding(each) for each in report.findings],
        "records": [_describe_state(each) for each in report.states],
        "renewals": [_describe_simulation(each) for each in report.simulations],
        "undecided": list(report.undecided),
        "notes": list(plan.notes) if plan is not None else list(_explain_no_plan(domain)),
    }


def describe_record(record: PlannedRecord) -> dict[str, Any]:
    """Give one record to publish."""
    return {
        "kind": record.kind.value,
        "name": record.name,
        "type": record.rdtype,
        "ttl": record.ttl,
        "value": record.value,
        "line": record.line,
        "reason": record.reason,
        "complete": record.is_complete,
    }


def _decide(report: DnsReport) -> str:
    if report.has_faults:
        return "faults"
    return "undecidable" if report.undecided else "fine"


def _describe_finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code.value,
        "severity": finding.severity.value,
        "name": finding.name,
        "text": finding.text,
        "fix": finding.fix,
    }


def _describe_state(state: RecordState) -> dict[str, Any]:
    found = {"state": state.state.value, "found": list(state.found)}
    return describe_record(state.record) | found


def _describe_simulation(simulation: Simulation) -> dict[str, Any]:
    return {
        "host": simulation.host,
        "outcomes": {each.value: fate.value for each, fate in simulation.outcomes.items()},
        "records": [_describe_fate(each) for each in simulation.records],
    }


def _describe_fate(fate: RecordFate) -> dict[str, Any]:
    return {
        "record": str(fate.record),
        "matches": None if fate.match is None else fate.match.depth,
        "fates": {renewal.value: each.value for renewal, each in fate.fates.items()},
    }


def _explain_no_plan(domain: Domain) -> Iterator[str]:
    yield (
        f"{domain} is not in `domains`: its hosts' keys and settings are not known here, and what "
        "is published is looked at by itself"
    )
