"""What a check found, as the document that its JSON is made of, and from which all else is told."""

from typing import Any

from letterlock.base.clock import format_time
from letterlock.protocols.check.facts import AddressFacts, HostFacts, Probe
from letterlock.protocols.check.findings import Finding
from letterlock.protocols.check.senders import SenderVerdict
from letterlock.protocols.policy.facts import TlsaFacts
from letterlock.services.check.besides_document import describe_besides
from letterlock.services.check.deep_document import describe_deep
from letterlock.services.check.looking import Checked
from letterlock.services.check.renewal_document import describe_renewals
from letterlock.services.deliver.story import describe_handshake, describe_verdict
from letterlock.services.explain.document import describe_mta_sts, describe_tlsrpt

_UNDECIDABLE = {
    "outcome": "undecidable",
    "result_type": None,
    "reason_code": None,
    "is_chain_trusted": False,
    "matched_name": None,
    "tlsa": None,
}


def describe_checked(checked: Checked) -> dict[str, Any]:
    """Give the whole document of a domain."""
    facts = checked.facts
    return {
        "domain": facts.domain,
        "mx_status": facts.mx_security.value if facts.mx_security is not None else None,
        "hosts": [
            _describe_host(host) | describe_renewals(host.name, checked.renewals)
            for host in facts.hosts
        ],
        "mta_sts": describe_mta_sts(facts.mta_sts),
        "tlsrpt": describe_tlsrpt(checked.tlsrpt),
        **describe_besides(checked.besides),
        "findings": [_describe_finding(each) for each in checked.findings],
        "verdicts": [_describe_sender(each) for each in checked.verdicts],
        "undecided": list(checked.undecided),
        "no_route": facts.no_route,
    }


def _describe_host(host: HostFacts) -> dict[str, Any]:
    return {
        "name": host.name,
        "preference": host.preference,
        "error": host.error,
        "addresses": [_describe_address(each) for each in host.addresses],
        "tlsa": _describe_tlsa(host.tlsa),
        "tlsa_status": host.tlsa.status.value if host.tlsa is not None else None,
    }


def _describe_address(address: AddressFacts) -> dict[str, Any]:
    return {
        "ip": str(address.ip),
        "state": address.state.value,
        "detail": address.detail,
        "probes": [_describe_probe(each) for each in address.probes],
        "deep": describe_deep(address.deep),
    }


def _describe_probe(probe: Probe) -> dict[str, Any]:
    return {
        "asked": probe.asked.value,
        "sni": probe.sni,
        "key": probe.key.value if probe.key is not None else None,
        "state": probe.state.value,
        "detail": probe.detail,
        "handshake": describe_handshake(probe.handshake, None),
        "starttls": probe.is_starttls_offered,
        "requiretls": probe.offers_requiretls,
        "transcript": list(probe.transcript),
        "begun": format_time(probe.begun) if probe.begun is not None else None,
        "times": {each.step.value: round(each.seconds, 4) for each in probe.times},
        "unoffered": describe_handshake(probe.unoffered, None),
    }


def _describe_tlsa(facts: TlsaFacts | None) -> list[str]:
    return [str(record) for record in facts.records] if facts is not None else []


def _describe_finding(found: Finding) -> dict[str, Any]:
    return {
        "id": str(found.id),
        "severity": found.severity.value,
        "where": found.where,
        "evidence": found.evidence,
        "rfc": found.rfc or None,
        "fix": found.fix,
    }


def _describe_sender(judged: SenderVerdict) -> dict[str, Any]:
    verdict = describe_verdict(judged.verdict) if judged.verdict is not None else None
    return {
        "sender": judged.sender.name,
        "who": judged.sender.words,
        "relay": judged.relay or None,
        **(verdict or _UNDECIDABLE),
        "reason": judged.reason,
    }
