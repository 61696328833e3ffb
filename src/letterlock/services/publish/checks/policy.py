"""The MTA-STS record and policy of a domain, and its TLSRPT records.

RFC 8461 §3.1 (record), §3.2 (policy), §4.1 (which hosts it lists), §8.1 (the policy first, then its
id); RFC 8460 §3 (TLSRPT).
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from letterlock.base.domains import Domain
from letterlock.network.https import FetchFailed
from letterlock.protocols.mta_sts.policy import (
    MtaStsMode,
    MtaStsPolicy,
    PolicyError,
    find_mx_pattern,
    format_policy,
    parse_policy,
)
from letterlock.protocols.mta_sts.record import LABEL, MtaStsRecord, RecordError, parse_record
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.pki.chain import compare_names, judge_chain
from letterlock.protocols.pki.names import CertificateNames
from letterlock.protocols.tlsrpt.record import LABEL as TLSRPT_LABEL
from letterlock.protocols.tlsrpt.record import TlsrptRecordError
from letterlock.protocols.tlsrpt.record import parse_record as parse_tlsrpt
from letterlock.services.publish.checks.null_mx import has_null_mx
from letterlock.services.publish.findings import Code, Finding, error, note, warning
from letterlock.services.publish.observed import Observed, show
from letterlock.services.publish.records import (
    POLICY_HOST_LABEL,
    Plan,
    PlannedRecord,
    RecordKind,
    below,
    find_planned,
    format_text,
    list_hosts,
    make_policy_id,
)

LEAST_MAX_AGE = timedelta(days=1)
"""Senders fetch a policy anew once a day: one that holds for less protects no gap."""


def check_mta_sts(observed: Observed, plan: Plan | None) -> Iterator[Finding]:
    """Check record and policy, and how they go with the MX records and with our settings."""
    name = below(LABEL, observed.domain)
    if name is None or not observed.find(name, "TXT").is_answer:
        return
    record = parse_record(observed.find_texts(name, ""))
    match record:
        case None if plan is None and has_null_mx(observed):
            pass
        case None:
            yield _explain_no_record(observed, name, plan)
        case RecordError(reason, _):
            several = len(observed.find_texts(name, "v=STSv1;")) > 1
            code = Code.MTA_STS_SEVERAL if several else Code.MTA_STS_INVALID
            fix = "leave one of them" if several else "correct it"
            text = f"{reason}: to senders there is no policy"
            yield error(code, name, text, _find_fix(plan, RecordKind.MTA_STS, fix))
        case MtaStsRecord():
            yield from _check_id(observed, plan, name, record)
    if record is not None or _find_own(plan) is not None:
        yield from _check_policy_host(observed, plan)
        yield from _check_policy(observed, plan)


def check_certificates(
    plan: Plan | None, anchors: TrustAnchors, now: datetime
) -> Iterator[Finding]:
    """Check that what our hosts show meets a policy of ours (RFC 8461 §4.2)."""
    policy = _find_own(plan)
    if policy is None or policy.mode is MtaStsMode.NONE:
        return
    unmet = error if policy.mode is MtaStsMode.ENFORCE else warning
    fix = "have a certificate of a public authority for this name before the policy is enforced"
    for host in list_hosts(plan):
        if host.is_here and not host.chains:
            text = f"{host.name} has no certificate, which the policy demands"
            yield unmet(Code.MTA_STS_CERTIFICATE, host.name, text, fix)
        for chain in host.chains:
            judgement = judge_chain(chain, anchors, now)
            names = judgement.leaf.names if judgement.leaf is not None else CertificateNames()
            findings = (*judgement.findings, *compare_names(names, (host.name,))[1])
            if findings:
                text = (
                    f"the certificate of {host.name} does not meet the policy: {findings[0].text}"
                )
                yield unmet(Code.MTA_STS_CERTIFICATE, host.name, text, fix)


def check_tlsrpt(observed: Observed, plan: Plan | None) -> Iterator[Finding]:
    """Check the TLSRPT records of the domain and of our host."""
    planned = {record.name: record for record in find_planned(plan, RecordKind.TLSRPT)}
    own_name = below(TLSRPT_LABEL, observed.domain)
    for name in dict.fromkeys([*([own_name] if own_name else []), *planned]):
        if not observed.find_texts(name, "") and plan is None and has_null_mx(observed):
            continue
        if observed.find(name, "TXT").is_answer:
            yield from _check_one_tlsrpt(observed, name, planned.get(name))


def _check_id(
    observed: Observed, plan: Plan | None, name: Domain, record: MtaStsRecord
) -> Iterator[Finding]:
    ours = _find_own(plan)
    if ours is None or record.id == make_policy_id(ours):
        return
    text = f"the id is {record.id}, that of another policy: senders keep what they have cached"
    fix = f"set it to {make_policy_id(ours)}"
    if observed.policy != format_policy(ours).encode():
        fix += ", but not before the policy host gives the new policy"
    yield warning(Code.MTA_STS_ID_DIFFERS, name, text, fix)


def _check_policy_host(observed: Observed, plan: Plan | None) -> Iterator[Finding]:
    host = below(POLICY_HOST_LABEL, observed.domain)
    if host is None:
        return
    answers = (observed.find(host, "A"), observed.find(host, "AAAA"))
    addresses = observed.find_addresses(host)
    fix = _find_fix(plan, RecordKind.POLICY_HOST, f"add {host} as an alias of its host")
    if not addresses and all(answer.is_answer for answer in answers):
        text = "the policy host has no address: nobody can fetch the policy"
        yield error(Code.POLICY_HOST_MISSING, host, text, fix)
    here = {address for each in list_hosts(plan) for address in each.addresses}
    if _find_own(plan) is not None and here and not here.issuperset(addresses):
        others = ", ".join(str(each) for each in addresses if each not in here)
        text = f"the policy host has the address {others}, which is not this node's"
        yield note(Code.POLICY_HOST_DIFFERS, host, text, "leave it if it passes requests on to us")


def _check_policy(observed: Observed, plan: Plan | None) -> Iterator[Finding]:
    host = below(POLICY_HOST_LABEL, observed.domain) or observed.domain
    if observed.policy is None:
        return
    if isinstance(observed.policy, FetchFailed):
        text = f"no policy can be fetched: {observed.policy.reason}"
        fix = "see that the policy host runs, and shows a certificate for this name"
        yield error(Code.MTA_STS_NO_POLICY, host, text, fix)
        return
    policy = parse_policy(observed.policy)
    if isinstance(policy, PolicyError):
        text = f"the policy is invalid: {policy.reason}"
        yield error(Code.MTA_STS_POLICY_INVALID, host, text, "correct it")
        return
    ours = _find_own(plan)
    if ours is not None and policy != ours:
        text = f"the policy there is not the one configured here: {_describe(policy)}"
        fix = "have this node answer for the name; then set the id in the record"
        yield error(Code.MTA_STS_POLICY_DIFFERS, host, text, fix)
    yield from _check_content(observed, host, policy)


def _check_content(observed: Observed, host: Domain, policy: MtaStsPolicy) -> Iterator[Finding]:
    if policy.mode is MtaStsMode.NONE:
        text = "the policy is of mode none: there is none any more"
        yield note(Code.MTA_STS_NONE, host, text)
        return
    if policy.mode is MtaStsMode.TESTING:
        text = "the policy is in testing: what it forbids is reported, and delivered all the same"
        fix = "change to enforce when reports show that nothing fails"
        yield note(Code.MTA_STS_TESTING, host, text, fix)
    elif policy.max_age < LEAST_MAX_AGE:
        text = f"max_age is {int(policy.max_age.total_seconds())} seconds, less than a day"
        fix = "make it weeks: who blocks the policy host for longer gets round it"
        yield warning(Code.MTA_STS_SHORT, host, text, fix)
    exchanges = [record.exchange for record in observed.find_mx() if record.exchange is not None]
    unlisted = error if policy.mode is MtaStsMode.ENFORCE else warning
    for mx in exchanges:
        if find_mx_pattern(policy, mx) is None:
            text = f"the policy does not list {mx}: senders that hold to it don't deliver there"
            fix = f"add it to the policy and change the id, or remove the MX record of {mx}"
            yield unlisted(Code.MTA_STS_MX_UNLISTED, mx, text, fix)
    used = {find_mx_pattern(policy, mx) for mx in exchanges}
    for pattern in policy.mx:
        if exchanges and pattern not in used:
            text = f"the policy lists {show(pattern)}, which no MX record names"
            yield note(Code.MTA_STS_MX_UNUSED, host, text)


def _check_one_tlsrpt(
    observed: Observed, name: Domain, planned: PlannedRecord | None
) -> Iterator[Finding]:
    texts = observed.find_texts(name, "")
    record = parse_tlsrpt(texts)
    fix = f"add {planned.line}" if planned is not None else "add a TLSRPT record"
    match record:
        case None:
            text = "there is no TLSRPT record: nobody tells how TLS to you fares"
            yield note(Code.TLSRPT_MISSING, name, text, fix)
        case TlsrptRecordError(reason, _):
            text = f"the TLSRPT record is invalid: {reason}"
            yield error(Code.TLSRPT_INVALID, name, text, "correct it")
        case _ if not record.destinations:
            text = "no report can be sent to any rua: they are neither mailto nor https"
            yield error(Code.TLSRPT_INVALID, name, text, fix)
        case _ if (
            planned is not None and format_text(record.text.encode("latin-1")) != planned.value
        ):
            text = f"the TLSRPT record is {show(record.text)}, where {planned.value} is suggested"
            yield note(Code.TLSRPT_DIFFERS, name, text, "leave it if it is meant")
        case _:
            pass


def _explain_no_record(observed: Observed, name: Domain, plan: Plan | None) -> Finding:
    if _find_own(plan) is None:
        text = "there is no MTA-STS policy: senders without DANE can't know that TLS must be there"
        fix = f'set publishing.mta_sts.domains = ["{observed.domain}"]' if plan is not None else ""
        return note(Code.MTA_STS_UNUSED, name, text, fix)
    text = "the MTA-STS record is missing: no sender looks for the policy"
    fix = _find_fix(plan, RecordKind.MTA_STS, "")
    return warning(Code.MTA_STS_MISSING, name, text, f"{fix}, when the policy host answers")


def _find_own(plan: Plan | None) -> MtaStsPolicy | None:
    return plan.own.policy if plan is not None else None


def _find_fix(plan: Plan | None, kind: RecordKind, otherwise: str) -> str:
    planned = find_planned(plan, kind)
    return f"publish {planned[0].line}" if planned else otherwise


def _describe(policy: MtaStsPolicy) -> str:
    seconds = int(policy.max_age.total_seconds())
    return f"mode {policy.mode}, mx {', '.join(policy.mx) or 'none'}, max_age {seconds}"
