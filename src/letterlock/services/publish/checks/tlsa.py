"""TLSA records of our MX hosts: whether there are any, and whether they match the keys in use.

RFC 7672 §2.2 (none without TLS), §3.1, §3.1.3 (kinds), RFC 7671 §8 (each kind matches), §8.1 (the
next key's stands beside), §10.1.2 (no whole keys), §13 (TTL). Of hosts whose keys are not known
here only the form is checked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Answer, Security, TlsaRecord
from letterlock.protocols.policy.dane import (
    CERT,
    DANE_EE,
    FULL,
    NO_MATCH,
    DaneJudgement,
    explain_unusable,
    find_usable,
    judge_dane,
)
from letterlock.services.publish.findings import Code, Finding, error, note, warning
from letterlock.services.publish.observed import Observed, list_tlsa
from letterlock.services.publish.records import (
    OwnHost,
    Plan,
    list_hosts,
    make_tlsa,
    plan_tlsa,
)
from letterlock.services.publish.simulation import find_match, find_unmatched_kinds

MAX_TTL = 86400
"""Seconds. RFC 7671 §13: short enough for the day when a key is lost."""


@dataclass(frozen=True, slots=True)
class _Host:
    """A host and its records. `own` None: its keys are not known here."""

    name: Domain
    owner: Domain
    answer: Answer
    records: tuple[TlsaRecord, ...]
    own: OwnHost | None


def check_tlsa(observed: Observed, plan: Plan | None, now: datetime) -> Iterator[Finding]:
    """Check the records of every host."""
    own_hosts = {host.name: host for host in list_hosts(plan) if host.is_here}
    for name in observed.hosts:
        answer = observed.find_tlsa(name)
        if not answer.is_answer:
            continue
        own = own_hosts.get(name)
        host = _Host(name, answer.name, answer, list_tlsa(answer), own)
        yield from _check_host(observed, host, now)


def _check_host(observed: Observed, host: _Host, now: datetime) -> Iterator[Finding]:
    if not host.records:
        yield from _explain_none(observed, host)
        return
    if host.own is not None and not host.own.keys:
        text = f"{host.name} has no certificate, and TLSA records: senders with DANE don't deliver"
        yield error(Code.TLSA_WITHOUT_TLS, host.owner, text, "remove them, or add a certificate")
    if observed.is_validating and host.answer.security is not Security.SECURE:
        alias = f" ({host.answer.cnames[-1].target})" if host.answer.cnames else ""
        text = f"the TLSA records are not signed{alias}: nobody takes them"
        yield warning(Code.TLSA_UNSIGNED, host.owner, text, "sign the zone, or remove them")
    yield from _check_form(host)
    if host.own is not None and host.own.keys:
        yield from _check_match(host, host.own, now)
    if (ttl := observed.find_ttl(host.answer)) > MAX_TTL:
        text = f"the TTL is {ttl} seconds: for so long a lost key keeps mail away"
        yield note(Code.TLSA_LONG_TTL, host.owner, text, "make it an hour")


def _explain_none(observed: Observed, host: _Host) -> Iterator[Finding]:
    if host.own is not None and not host.own.keys:
        return
    fix = f"publish {', '.join(record.line for record in plan_tlsa(host.own))}" if host.own else ""
    if not observed.is_validating:
        text = "there are no TLSA records; whether DANE is possible is not known here"
        yield note(Code.TLSA_MISSING, host.owner, text, fix)
    elif observed.is_secure(host.name):
        text = (
            f"the zone of {host.name} is signed, and there are no TLSA records: TLS to it can be "
            "stripped"
        )
        yield warning(Code.TLSA_MISSING, host.owner, text, fix or "publish those of its keys")
    else:
        text = f"there are no TLSA records; DANE needs the zone of {host.name} to be signed"
        yield note(Code.TLSA_MISSING, host.owner, text, "sign the zone (DNSSEC), then publish them")


def _check_form(host: _Host) -> Iterator[Finding]:
    unusable = {each: why for each in host.records if (why := explain_unusable(each))}
    for record, why in unusable.items():
        text = f"{_shorten(record)} can't be used: {why}"
        yield warning(Code.TLSA_UNUSABLE, host.owner, text, "remove it")
    if len(unusable) == len(host.records):
        text = "no TLSA record can be used: senders encrypt, and don't know to whom"
        yield error(Code.TLSA_UNUSABLE, host.owner, text, "publish `3 1 1` records")
    for record in find_usable(host.records):
        if record.matching_type == FULL:
            text = f"{_shorten(record)} holds a whole key or certificate: answers get too long"
            yield warning(
                Code.TLSA_FULL, host.owner, text, "publish a digest (`3 1 1`) in its place"
            )
        if record.usage == DANE_EE and record.selector == CERT:
            text = f"{_shorten(record)} is of one certificate: no renewal matches it"
            fix = "publish `3 1 1`, of its key, then remove it"
            yield warning(Code.TLSA_FRAGILE, host.owner, text, fix)


def _check_match(host: _Host, own: OwnHost, now: datetime) -> Iterator[Finding]:
    fix = f"publish {', '.join(record.line for record in plan_tlsa(own))}"
    usable = find_usable(host.records)
    faults = []
    for chain in own.chains if usable else ():
        judgement = judge_dane(chain, usable, (host.name,), now)
        if not judgement.is_authenticated:
            text = f"senders with DANE don't deliver: {_explain(judgement, host.name)}"
            faults.append(error(Code.TLSA_NO_MATCH, host.owner, text, fix))
        elif kinds := find_unmatched_kinds(host.name, usable, chain, now):
            text = f"no record of the kind {', '.join(kinds)} matches the certificate in use"
            faults.append(error(Code.TLSA_KIND_NO_MATCH, host.owner, text, "remove these"))
    yield from faults
    if usable and len(faults) < len(own.chains):
        yield from _check_keys(host, own, fix, now)


def _explain(judgement: DaneJudgement, name: Domain) -> str:
    finding = judgement.findings[0]
    if finding.reason_code == NO_MATCH:
        return f"no TLSA record matches the certificate of {name}"
    return finding.text


def _check_keys(host: _Host, own: OwnHost, fix: str, now: datetime) -> Iterator[Finding]:
    for key in own.next_keys:
        if make_tlsa(key) not in host.records:
            text = "the next key's record is missing: the roll-over waits for it"
            yield warning(Code.TLSA_NEXT_MISSING, host.owner, text, fix)
    rolling = {make_tlsa(key) for key in (*own.next_keys, *own.past_keys)}
    for record in find_usable(host.records):
        if record not in rolling and not _matches_any(record, host.name, own.chains, now):
            text = f"{_shorten(record)} matches no certificate of {host.name}"
            yield warning(Code.TLSA_STALE, host.owner, text, "remove it")
    current = {make_tlsa(key) for key in own.keys}
    if not current & set(host.records):
        text = "there is no `3 1 1` record of the key in use, which outlives renewals"
        yield note(Code.TLSA_FRAGILE, host.owner, text, fix)


def _matches_any(
    record: TlsaRecord, name: Domain, chains: Sequence[tuple[bytes, ...]], now: datetime
) -> bool:
    return any(find_match(record, name, chain, now) is not None for chain in chains)


def _shorten(record: TlsaRecord) -> str:
    digits = record.association.hex()
    shown = digits if len(digits) <= 24 else f"{digits[:16]}..."
    return f"{record.usage} {record.selector} {record.matching_type} {shown}"
