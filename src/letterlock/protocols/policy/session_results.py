"""What one try at an MX host counts as in TLS reports: under which policies, and how it fared.

RFC 8460 §4 (several policies may apply), §4.2 (what is counted), §4.3 (results), §4.5 (policies);
RFC 8460 §1.1 (whose policy it is). Where a policy applied, a session failed that did not meet it,
whether mail went or not (testing). Where none did, one failed that came to no TLS, or over which
mail could not go. Hosts that a policy shut out count as failed, though nobody connected to them. A
look for a policy that failed while a cached one holds is told beside the session's success.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from msgspec import Struct

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.policy.facts import MtaStsFacts, Published
from letterlock.protocols.policy.published_demand import CACHED_POLICY, NO_POLICY
from letterlock.protocols.policy.requirement import HostUnusable, Level, Requirement, Source
from letterlock.protocols.policy.verdict import Verdict
from letterlock.protocols.tlsrpt.findings import Finding, PolicyType
from letterlock.protocols.tlsrpt.report import FailureDetails
from letterlock.protocols.tlsrpt.sessions import (
    MAX_POLICY_STRINGS,
    AppliedPolicy,
    Outcome,
    Session,
    clean_text,
)

MAX_TLSA_RECORDS = 100
MAX_HELO_CHARACTERS = 255
MAX_FAILURES = 10
"""Of one session under one policy."""

_LINE_END = re.compile(r"\r?\n")
_WITHOUT_HOST = (CACHED_POLICY, NO_POLICY)
"""Reasons that are the domain's: no host had a part in them."""
_SOURCES = {Source.DANE: PolicyType.TLSA, Source.MTA_STS: PolicyType.STS}


class Place(Struct, frozen=True):
    """The two ends. `host` is the MX host, `ip` its address, `source` ours; None: not known.

    `helo` is what the host called itself in its reply to EHLO, as it came; "": not known.
    """

    host: str
    ip: str | None = None
    source: str | None = None
    helo: str = ""


def count_session(
    domain: Domain,
    requirement: Requirement,
    published: Published,
    verdict: Verdict,
    place: Place,
    *,
    is_secured: bool,
) -> Session | None:
    """Say what a connection counts as that came as far as STARTTLS; None: it asked for no TLS.

    `domain` is the next hop's; `is_secured`: the handshake was completed, and `verdict` judges it.
    """
    if requirement.level is Level.NONE:
        return None
    outcomes = []
    for policy in _find_policies(requirement, published, domain, place.host):
        found = [
            finding
            for finding in verdict.findings
            # What is of no policy is of the level alone, once there is a handshake.
            if finding.policy_type is policy.type
            or (finding.policy_type is None and not is_secured)
        ]
        is_failed = any(finding.reason_code != CACHED_POLICY for finding in found)
        outcomes.append(Outcome(policy, is_failed, _describe(found, place)))
    if not outcomes:
        policy = AppliedPolicy(PolicyType.NO_POLICY_FOUND, domain)
        is_failed = not (is_secured and verdict.may_send)
        failures = _describe(verdict.findings, place) if is_failed else ()
        outcomes.append(Outcome(policy, is_failed, failures))
    return Session(domain, "", tuple(outcomes))


def count_unusable(
    domain: Domain, unusable: HostUnusable, published: Published, host: str
) -> Session | None:
    """Say what a host counts as that a policy shuts out; None: nothing that is reported."""
    kind = _SOURCES.get(unusable.source)
    if kind is PolicyType.STS:
        policy = _find_sts(published, domain)
    elif kind is PolicyType.TLSA:
        policy = _find_tlsa(published, host)
    else:
        return None
    found = [finding for finding in unusable.findings if finding.policy_type is kind]
    outcome = Outcome(policy, is_failed=True, failures=_describe(found, Place(host)))
    return Session(domain, "", (outcome,))


def _find_policies(
    requirement: Requirement, published: Published, domain: Domain, host: str
) -> Iterable[AppliedPolicy]:
    """Give those that the session is held to, or that would have been if they could be used."""
    wrong = {finding.policy_type for finding in requirement.findings}
    if requirement.mta_sts is not None or PolicyType.STS in wrong:
        yield _find_sts(published, domain)
    if requirement.dane is not None or PolicyType.TLSA in wrong:
        yield _find_tlsa(published, host)


def _find_sts(published: Published, domain: Domain) -> AppliedPolicy:
    facts = published.mta_sts
    if facts is None:
        return _make_sts(domain, "", ())
    return _make_sts(facts.domain, facts.policy_text or "", _find_patterns(facts))


def _find_patterns(facts: MtaStsFacts) -> tuple[str, ...]:
    return facts.policy.mx if facts.policy is not None else ()


@lru_cache(maxsize=1024)
def _make_sts(domain: Domain, text: str, patterns: tuple[str, ...]) -> AppliedPolicy:
    """RFC 8460 §4.5: the policy as it is declared, line by line."""
    lines = filter(None, _LINE_END.split(text) if patterns else ())
    strings = tuple(map(clean_text, lines))[:MAX_POLICY_STRINGS]
    return AppliedPolicy(PolicyType.STS, domain, strings, patterns[:MAX_POLICY_STRINGS])


def _find_tlsa(published: Published, host: str) -> AppliedPolicy:
    """RFC 8460 §1.1: the policy domain is the TLSA base domain."""
    facts = published.tlsa
    if facts is None:
        return _make_tlsa(host, ())
    return _make_tlsa(facts.base_domain or host, facts.records)


@lru_cache(maxsize=1024)
def _make_tlsa(base: str, records: tuple[TlsaRecord, ...]) -> AppliedPolicy:
    # Sorted: name servers give them in any order, and it is the same policy.
    strings = sorted(map(str, records))[:MAX_TLSA_RECORDS]
    return AppliedPolicy(PolicyType.TLSA, base, tuple(strings))


def _describe(findings: Iterable[Finding], place: Place) -> tuple[FailureDetails, ...]:
    return tuple(dict.fromkeys(_describe_one(finding, place) for finding in findings))[
        :MAX_FAILURES
    ]


def _describe_one(finding: Finding, place: Place) -> FailureDetails:
    if finding.reason_code in _WITHOUT_HOST:
        return FailureDetails(finding.result_type.value, reason_code=finding.reason_code)
    return FailureDetails(
        finding.result_type.value,
        sending_mta_ip=place.source,
        receiving_mx_hostname=place.host,
        receiving_mx_helo=clean_text(place.helo, MAX_HELO_CHARACTERS) or None,
        receiving_ip=place.ip,
        reason_code=finding.reason_code,
    )
