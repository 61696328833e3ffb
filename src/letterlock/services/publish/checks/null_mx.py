"""A null MX: whether it is one, and whether all else says, too, that the domain takes no mail.

RFC 7505 §3 (one record, of preference 0), §4.2 (such a domain sends no mail either). Addresses of
the domain contradict nothing: that mail is not tried there is what a null MX is for (§1).
"""

from collections.abc import Iterator

from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy, parse_policy
from letterlock.protocols.mta_sts.record import LABEL as MTA_STS_LABEL
from letterlock.protocols.mta_sts.record import parse_record
from letterlock.protocols.tlsrpt.record import LABEL as TLSRPT_LABEL
from letterlock.protocols.tlsrpt.record import parse_record as parse_tlsrpt
from letterlock.services.publish.findings import Code, Finding, error, note
from letterlock.services.publish.observed import Observed
from letterlock.services.publish.records import Plan, below, make_tlsa_label

NO_SENDERS = "v=spf1 -all"
"""RFC 7208, RFC 7505 §4.2: nobody sends mail of this domain."""


def has_null_mx(observed: Observed) -> bool:
    """Say whether senders take the domain for one without mail."""
    records = observed.find_mx()
    return bool(records) and all(record.exchange is None for record in records)


def check_null_mx(observed: Observed, plan: Plan | None, add: str) -> Iterator[Finding]:
    """Check null MX records, where there are any. `add` is how to have mail come here instead."""
    exchanges = [record.exchange for record in observed.find_mx()]
    if None not in exchanges:
        return
    domain = observed.domain
    if not has_null_mx(observed):
        text = "a null MX stands beside other MX records: some senders take no notice of these"
        yield error(Code.MX_NULL_BESIDE, domain, text, "remove the null MX, or all others")
        return
    text = "a null MX says that the domain takes no mail: all of it is returned at once"
    fix = f"if it is to get mail after all: remove that record, and {add}"
    doubts = ["it is one of this node's domains"] if plan is not None else []
    doubts += _find_doubts(observed)
    if doubts:
        yield error(Code.MX_NULL, domain, f"{text}; but {', and '.join(doubts)}", fix)
    else:
        yield note(Code.MX_NULL, domain, text, fix)


def _find_doubts(observed: Observed) -> Iterator[str]:
    """Give what says that the null MX is not meant, or not understood by all."""
    records, domain = observed.find_mx(), observed.domain
    if len(records) > 1:
        yield f"there are {len(records)} MX records, where it has to be the only one"
    if any(record.preference for record in records):
        yield "its preference is not 0, without which some senders do not know it"
    if _has_policy(observed):
        yield "it has an MTA-STS policy"
    if parse_tlsrpt(observed.find_texts(below(TLSRPT_LABEL, domain), "")) is not None:
        yield "a TLSRPT record asks for reports on its mail"
    name = below(make_tlsa_label(observed.port), domain)
    if observed.find(name, "TLSA").records:
        yield f"there are TLSA records at {name}"
    senders = {_normalize(text) for text in observed.find_texts(domain, "v=spf1")}
    if senders - {NO_SENDERS}:
        yield "its SPF record lets hosts send mail of it, which could not be returned"


def _has_policy(observed: Observed) -> bool:
    """Say whether senders are told of a policy; one of mode none takes an earlier one back."""
    texts = observed.find_texts(below(MTA_STS_LABEL, observed.domain), "")
    if parse_record(texts) is None:
        return False
    policy = parse_policy(observed.policy) if isinstance(observed.policy, bytes) else None
    return not (isinstance(policy, MtaStsPolicy) and policy.mode is MtaStsMode.NONE)


def _normalize(text: bytes) -> str:
    """RFC 7208 §4.6.1: any case, and any number of spaces."""
    return " ".join(text.decode("latin-1").lower().split())
