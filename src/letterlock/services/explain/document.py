"""An explanation as JSON-ready values: what `policy explain --json` and `policy test --json` give.

The shapes are described in docs/reference/commands.md; those of handshakes and verdicts are shared
with the queue's stories.
"""

from collections.abc import Iterable
from typing import Any, assert_never

from letterlock.base.clock import format_time
from letterlock.protocols.dns.answers import CnameLink
from letterlock.protocols.policy.dane import explain_unusable
from letterlock.protocols.policy.facts import MtaStsFacts, TlsaFacts
from letterlock.protocols.policy.requirement import (
    Decision,
    HostUnusable,
    Requirement,
    RequirementInvalid,
    Source,
)
from letterlock.protocols.tables.transport import Discard, Fail, ToLmtp, ToMailbox
from letterlock.services.deliver.story import describe_handshake, describe_verdict
from letterlock.services.discover.routes import NoRoute, Route
from letterlock.services.discover.tlsrpt import TlsrptFacts
from letterlock.services.explain.explanation import (
    Explanation,
    HostExplanation,
    Question,
    Trial,
)


def describe_explanation(explanation: Explanation) -> dict[str, Any]:
    """Give the whole document."""
    question, way = explanation.question, explanation.way
    route = way.route if way is not None else None
    return {
        "domain": question.name,
        "next_hop": question.next_hop.key if question.next_hop is not None else None,
        "way": _describe_way(question),
        "resolver": explanation.resolver.describe(),
        "mta_sts": describe_mta_sts(way.mta_sts) if way is not None else None,
        "tlsrpt": describe_tlsrpt(way.tlsrpt) if way is not None else None,
        "mx_status": route.mx_security.value if route and route.mx_security else None,
        "mx_aliases": _describe_aliases(route.mx_aliases) if isinstance(route, Route) else [],
        "hosts": [describe_host(host) for host in way.hosts] if way is not None else [],
        "decision": explanation.fate.value,
        "reason": find_reason(explanation),
        "notes": [*explanation.notes, *(route.notes if isinstance(route, Route) else ())],
    }


def find_reason(explanation: Explanation) -> str:
    """Say in one line why the decision is as it is."""
    way = explanation.way
    if way is None:
        return _find_ending_reason(explanation.question)
    if isinstance(way.route, NoRoute):
        return way.route.reason
    fate = explanation.fate
    decisive = next(host for host in way.hosts if host.fate is fate)
    return f"{find_name(decisive)}: {find_host_reason(decisive)}"


def _find_ending_reason(question: Question) -> str:
    name, where = question.name, f" ({question.where})" if question.where else ""
    match question.ending:
        case ToMailbox() if question.where is None:
            kind = "an address" if name.startswith("[") else "a domain"
            return f"{name} is {kind} of ours: its mail goes into mailboxes"
        case ToMailbox():
            return f"it goes into a mailbox of ours{where}"
        case ToLmtp(server):
            return f"it goes to {server} by LMTP, which is not tried{where}"
        case Discard(reason):
            return f"it is thrown away: {reason}{where}"
        case Fail(status, reason):
            return f"{status} {reason}{where}"
        case _:
            assert_never(question.ending)


def _describe_way(question: Question) -> dict[str, str | None]:
    """Say what is done with mail, and which entry of a table says so."""
    kinds = {ToMailbox: "mailbox", ToLmtp: "lmtp", Discard: "discard", Fail: "error"}
    kind = kinds[type(question.ending)] if question.next_hop is None else "smtp"
    server = question.ending.server if isinstance(question.ending, ToLmtp) else None
    to = question.next_hop.key if question.next_hop is not None else server
    return {"kind": kind, "to": None if to is None else str(to), "where": question.where}


def find_name(host: HostExplanation) -> str:
    """Give a host's name, or its address where it has none."""
    return host.host.name or str(host.host.addresses[0].ip)


def find_host_reason(host: HostExplanation) -> str:
    """Say in one line what a host comes to."""
    if host.policy is None:
        return host.host.error or "no address"
    if host.trouble is not None:
        return host.trouble
    trial = host.best_trial
    return trial.reason if trial is not None else _find_decision_reason(host.policy.decision)


def _find_decision_reason(decision: Decision) -> str:
    if isinstance(decision, RequirementInvalid):
        return f"{decision.where}: {decision.reason}"
    return decision.reason


def describe_host(host: HostExplanation) -> dict[str, Any]:
    """Give one host."""
    tlsa = host.policy.published.tlsa if host.policy is not None else None
    trials = {trial.ip: trial for trial in host.trials}
    best = host.best_trial
    return {
        "name": find_name(host),
        "preference": host.host.preference,
        "aliases": _describe_aliases(host.host.aliases),
        "addresses": [
            {
                "ip": str(address.ip),
                "status": address.security.value,
                "trial": _describe_trial(trials.get(address.ip)),
            }
            for address in host.host.addresses
        ],
        "tlsa_base": tlsa.base_domain if tlsa is not None else None,
        "tlsa": _describe_records(tlsa) if tlsa is not None else [],
        "tlsa_status": tlsa.status.value if tlsa is not None else None,
        "tlsa_reason": tlsa.reason if tlsa is not None else None,
        "requirement": describe_decision(host),
        "handshake": describe_handshake(best.handshake, best.verdict) if best is not None else None,
        "verdict": describe_verdict(best.verdict) if best is not None else None,
        "decision": host.fate.value,
        "reason": find_host_reason(host),
    }


def describe_decision(host: HostExplanation) -> dict[str, Any] | None:
    """Give what is required of a host; None: it has no address, and nothing was decided."""
    if host.policy is None:
        return None
    match host.policy.decision:
        case Requirement() as requirement:
            return {
                "source": _name(requirement.source),
                "sources": list(dict.fromkeys(map(_name, requirement.sources))),
                "level": requirement.level.value,
                "names": list(requirement.names),
                "sni": requirement.sni,
                "min_version": requirement.min_version,
                "is_testing": requirement.is_testing,
                "usable": host.trouble is None,
                "reason": host.trouble or requirement.reason,
            }
        case HostUnusable() as unusable:
            return _refuse(_name(unusable.source), unusable.level.value, unusable.reason)
        case RequirementInvalid() as invalid:
            return _refuse(Source.TABLE.value, None, f"{invalid.where}: {invalid.reason}")
        case _:
            assert_never(host.policy.decision)


def describe_mta_sts(facts: MtaStsFacts | None) -> dict[str, Any] | None:
    """Give a domain's MTA-STS; None: it has none, and nothing went wrong in asking."""
    if facts is None or (facts.record is None and facts.policy is None and facts.error is None):
        return None
    policy = facts.policy
    return {
        "record": facts.record,
        "id": facts.id,
        "mode": policy.mode.value if policy is not None else None,
        "mx": list(policy.mx) if policy is not None else [],
        "max_age": int(policy.max_age.total_seconds()) if policy is not None else None,
        "fetched": format_time(facts.fetched) if facts.fetched is not None else None,
        "expires": format_time(facts.expires) if facts.expires is not None else None,
        "error": facts.error,
        "result_type": facts.result_type.value if facts.result_type is not None else None,
    }


def describe_tlsrpt(facts: TlsrptFacts | None) -> dict[str, Any] | None:
    """Give a record in the shape of `tlsrpt`; None: there is none."""
    if facts is None:
        return None
    return {"record": facts.record, "rua": list(facts.rua), "error": facts.error}


def _refuse(source: str, level: str | None, reason: str) -> dict[str, Any]:
    return {
        "source": source,
        "sources": [source],
        "level": level,
        "names": [],
        "sni": None,
        "min_version": None,
        "is_testing": False,
        "usable": False,
        "reason": reason,
    }


def _name(source: Source) -> str:
    """Name a source; the default level is the operator's, as the table is."""
    return (Source.TABLE if source is Source.DEFAULT else source).value


def _describe_aliases(links: Iterable[CnameLink]) -> list[dict[str, str]]:
    return [
        {"name": link.name, "target": link.target, "status": link.security.value} for link in links
    ]


def _describe_records(tlsa: TlsaFacts) -> list[dict[str, Any]]:
    # Answers come in any order; two explanations can be compared.
    in_order = sorted(tlsa.records, key=str, reverse=True)
    unusable = [(record, explain_unusable(record)) for record in in_order]
    return [{"record": str(record), "usable": why is None, "why": why} for record, why in unusable]


def _describe_trial(trial: Trial | None) -> dict[str, Any] | None:
    if trial is None:
        return None
    return {"decision": trial.fate.value, "reason": trial.reason}
