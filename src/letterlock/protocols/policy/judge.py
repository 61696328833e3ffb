"""Judge what a connection gave by what it must have: may mail go, and what is it worth.

RFC 3207 §4.1, §6 (after the handshake); RFC 7435 §3 (opportunistic encryption is not to look like
more); RFC 7672 §3.2 and RFC 8461 §4.2 (what is published); RFC 8460 §4.3 (the names of faults). A
failed TLS policy defers mail and never returns it before its lifetime ends. Chains are judged in
`protocols.pki.chain`, TLSA records in `dane`.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.pki.certificate import CertificateFacts, read_certificate
from letterlock.protocols.pki.chain import ChainJudgement, compare_names, judge_chain, rank_findings
from letterlock.protocols.pki.names import Match
from letterlock.protocols.policy.dane import TlsaMatch, judge_dane
from letterlock.protocols.policy.fingerprints import format_fingerprint
from letterlock.protocols.policy.published_demand import NO_RECORDS
from letterlock.protocols.policy.requirement import DaneDemand, HostUnusable, Level, Requirement
from letterlock.protocols.policy.verdict import Outcome, Verdict
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.tls.failures import explain_failure
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed
from letterlock.protocols.tlsrpt.findings import Finding, PolicyType
from letterlock.protocols.tlsrpt.result_types import ResultType

NOT_OFFERED = "starttls-not-offered"
"""The reason code where a host does not offer STARTTLS; other codes: it did, and it failed."""

_CHAIN_LEVELS = (Level.VERIFY, Level.SECURE)
_DANE_LEVELS = (Level.DANE, Level.DANE_ONLY)
_OTHER_PROOFS = (Level.FINGERPRINT, *_DANE_LEVELS)
_SHOWN_RECORD_CHARACTERS = 80


class FallbackRule(StrEnum):
    """When mail may go in clear after TLS failed at level `may`."""

    AT_ONCE = "at-once"
    AFTER = "after"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class ClearFallback:
    """The setting: the rule, and how long TLS is tried before clear text when it is AFTER."""

    rule: FallbackRule = FallbackRule.AT_ONCE
    after: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class _Proof:
    """One way to prove the host, and what came of it: proved exactly when there are no findings.

    `is_asked` False: it is recorded only. `is_of_domain` False: it proves a host that nobody says
    is the domain's. `said` is the proof in words.
    """

    is_asked: bool
    findings: tuple[Finding, ...]
    said: str = ""
    is_of_domain: bool = True
    is_trusted: bool = False
    name: Match | None = None
    tlsa: TlsaMatch | None = None


def judge(
    requirement: Requirement, handshake: Handshake, anchors: TrustAnchors, now: datetime
) -> Verdict:
    """Judge a completed handshake, before any MAIL.

    Every proof that is asked for must be there. Where none is, the certificate is judged and
    recorded, and mail goes whatever it is (RFC 7435 §3); the outcome stays ENCRYPTED even if all is
    well with it.
    """
    proofs = _weigh(requirement, handshake.chain, anchors, now)
    outcome, reason = _conclude(proofs)
    return _verdict(outcome, reason, proofs, requirement.findings)


def judge_failure(
    requirement: Requirement, failure: HandshakeFailed, anchors: TrustAnchors, now: datetime
) -> Verdict:
    """Judge a handshake that failed: mail does not go over this connection, at any level.

    Whether it may go over another one in clear is `may_fall_back`'s to say. Where we refused the
    certificate, its faults are named as they are after a handshake.
    """
    proofs = [_Proof(is_asked=True, findings=(explain_failure(failure),))]
    if failure.cause is FailureCause.CERTIFICATE_REFUSED and failure.chain:
        weighed = _weigh(requirement, failure.chain, anchors, now)
        if any(proof.findings for proof in weighed):
            proofs = weighed
    faults = _explain([proof for proof in proofs if proof.findings])
    reason = f"TLS handshake failed: {faults}"
    return _verdict(Outcome.DEFER, reason, proofs, requirement.findings)


def judge_no_starttls(
    requirement: Requirement, reply: Reply | None, *, is_tried: bool = True
) -> Verdict:
    """Judge a connection without TLS: STARTTLS was not offered (None), or refused with `reply`.

    `is_tried` False: we don't ask for TLS, because the level is `none` or by `may_fall_back`.
    """
    level = requirement.level
    if not level.is_tls_required and (level is Level.NONE or not is_tried):
        reason = "TLS is off" if level is Level.NONE else "in clear, after TLS failed"
        return Verdict(Outcome.CLEAR, None, "clear", reason)
    if reply is None:
        reason_code, text = NOT_OFFERED, "STARTTLS was not offered"
    else:
        reason_code = f"smtp-starttls-reply-code-{reply.code}"
        text = f"the host refused to start TLS: {reply.text}"
    finding = Finding(ResultType.STARTTLS_NOT_SUPPORTED, reason_code, text)
    proofs = [_Proof(is_asked=True, findings=(finding,))]
    if level.is_tls_required:
        reason = f"TLS is required, but {text}"
        return _verdict(Outcome.DEFER, reason, proofs, requirement.findings)
    return _verdict(Outcome.CLEAR, f"in clear: {text}", proofs, requirement.findings)


def judge_unusable(unusable: HostUnusable) -> Verdict:
    """Judge a host that is not connected to: what is decided of it is the judgement."""
    first = unusable.findings[0] if unusable.findings else None
    return Verdict(
        outcome=Outcome.BOUNCE if unusable.is_permanent else Outcome.DEFER,
        result_type=unusable.result_type,
        reason_code=first.reason_code if first else unusable.source.value,
        reason=unusable.reason,
        findings=unusable.findings,
    )


def may_fall_back(requirement: Requirement, setting: ClearFallback, age: timedelta) -> bool:
    """Say if mail of this age may go in clear, over a new connection, after TLS failed.

    At `may` only, and by the operator's rule; Postfix's is AFTER its `minimal_backoff_time`.
    """
    if requirement.level is not Level.MAY:
        return False
    if setting.rule is FallbackRule.AFTER:
        return age >= setting.after
    return setting.rule is FallbackRule.AT_ONCE


def trust_word(requirement: Requirement, verdict: Verdict) -> str:
    """Give Postfix's word for its log line `... TLS connection established to ...`.

    Verified only where the level asked for proof and had it (RFC 7435 §3).
    """
    if any(finding.reason_code == "no-certificate" for finding in verdict.findings):
        return "Anonymous"
    if requirement.level.is_authenticated and verdict.outcome is Outcome.AUTHENTICATED:
        return "Verified"
    return "Trusted" if verdict.is_chain_trusted else "Untrusted"


def _weigh(
    requirement: Requirement, chain: tuple[bytes, ...], anchors: TrustAnchors, now: datetime
) -> list[_Proof]:
    proofs: list[_Proof] = []
    if requirement.level is Level.FINGERPRINT:
        proofs.append(_weigh_fingerprint(requirement, chain))
    if requirement.dane is not None:
        proofs.append(_weigh_dane(requirement.dane, chain, now))
    elif requirement.level in _DANE_LEVELS:
        # No such requirement is made; mail must not go by one.
        text = "there are no TLSA records to prove the host by"
        lack = Finding(ResultType.DANE_REQUIRED, NO_RECORDS, text, policy_type=PolicyType.TLSA)
        proofs.append(_Proof(is_asked=True, findings=(lack,)))
    # What proves the host in another way is not held to authorities, unless these are asked for.
    if requirement.level not in _OTHER_PROOFS or requirement.mta_sts is not None:
        proofs.append(_weigh_chain(requirement, judge_chain(chain, anchors, now)))
    return proofs


def _weigh_chain(requirement: Requirement, judgement: ChainJudgement) -> _Proof:
    """Compare names too: those that the level wants, and those that MTA-STS wants."""
    sts = requirement.mta_sts
    wanted = [] if requirement.level in _OTHER_PROOFS else [requirement.names]
    if sts is not None and sts.names not in wanted:
        wanted.append(sts.names)
    findings = list(judgement.findings)
    matches = []
    if judgement.leaf is not None:
        for references in wanted:
            match, mismatch = compare_names(judgement.leaf.names, references)
            findings += mismatch
            matches += [match] if match is not None else []
    is_wanted_by_level = requirement.level in _CHAIN_LEVELS
    if sts is not None:
        findings = [replace(found, policy_type=PolicyType.STS) for found in findings]
    return _Proof(
        is_asked=is_wanted_by_level or (sts is not None and sts.is_enforced),
        findings=rank_findings(findings),
        said=f"the certificate is for {_said(matches[0])}" if matches else "",
        is_trusted=judgement.is_trusted,
        name=matches[0] if matches else None,
    )


def _weigh_dane(demand: DaneDemand, chain: tuple[bytes, ...], now: datetime) -> _Proof:
    judgement = judge_dane(chain, demand.records, demand.names, now)
    said = ""
    if judgement.is_authenticated and judgement.match is not None:
        kind = str(judgement.match.record)[:_SHOWN_RECORD_CHARACTERS]
        said = f"TLSA record {kind} matches at depth {judgement.match.depth}"
    if judgement.name is not None:
        said += f", the certificate is for {_said(judgement.name)}"
    return _Proof(
        is_asked=demand.is_enforced,
        findings=judgement.findings,
        said=said,
        is_of_domain=demand.is_of_domain,
        is_trusted=judgement.is_chain_trusted,
        name=judgement.name,
        tlsa=judgement.match,
    )


def _weigh_fingerprint(requirement: Requirement, chain: tuple[bytes, ...]) -> _Proof:
    """Compare digests only: names, dates and issuers mean nothing here, as in Postfix."""
    digests = _digests(chain)
    found = next((item for item in requirement.fingerprints if item in digests), None)
    if found is not None:
        return _Proof(is_asked=True, findings=(), said=f"the fingerprint is {found}")
    if not digests:
        finding = Finding(
            ResultType.CERTIFICATE_NOT_TRUSTED, "no-certificate", "the server sent no certificate"
        )
    else:
        text = f"no fingerprint matches; the certificate's is {digests[0]}"
        finding = Finding(ResultType.CERTIFICATE_NOT_TRUSTED, "fingerprint-mismatch", text, 0)
    return _Proof(is_asked=True, findings=(finding,))


def _conclude(proofs: list[_Proof]) -> tuple[Outcome, str]:
    asked = [proof for proof in proofs if proof.is_asked]
    if failed := [proof for proof in asked if proof.findings]:
        return Outcome.DEFER, f"not verified: {_explain(failed)}"
    if asked:
        said = " and ".join(proof.said for proof in asked)
        if any(proof.is_of_domain for proof in asked):
            return Outcome.AUTHENTICATED, f"verified: {said}"
        return Outcome.ENCRYPTED, f"encrypted; the host is proved, not the domain: {said}"
    if faults := _explain(proofs):
        return Outcome.ENCRYPTED, f"encrypted, not authenticated: {faults}"
    return Outcome.ENCRYPTED, "encrypted; the certificate is good, but was not asked for"


def _explain(proofs: list[_Proof]) -> str:
    return "; ".join(finding.text for proof in proofs for finding in proof.findings)


def _said(match: Match) -> str:
    if match.presented.lower() == match.reference.lower():
        return match.reference
    return f"{match.presented}, wanted {match.reference}"


def _digests(chain: tuple[bytes, ...]) -> tuple[str, ...]:
    if not chain:
        return ()
    digests = [sha256(chain[0]).hexdigest()]
    facts = read_certificate(chain[0])
    if isinstance(facts, CertificateFacts):
        digests.append(facts.spki_sha256)
    return tuple(format_fingerprint(digest) for digest in digests)


def _verdict(
    outcome: Outcome, reason: str, proofs: list[_Proof], published: tuple[Finding, ...]
) -> Verdict:
    """Put together what is shown: what decided first, then what is recorded, then the policy's."""
    in_order = sorted(proofs, key=lambda proof: not proof.is_asked)
    findings = tuple(found for proof in in_order for found in proof.findings) + published
    first = findings[0] if findings else None
    fine = "verified" if outcome is Outcome.AUTHENTICATED else "encrypted"
    return Verdict(
        outcome=outcome,
        result_type=first.result_type if first else None,
        reason_code=first.reason_code if first else fine,
        reason=reason,
        findings=findings,
        is_chain_trusted=any(proof.is_trusted for proof in proofs),
        matched_name=next((proof.name.presented for proof in in_order if proof.name), None),
        tlsa_match=next((proof.tlsa for proof in in_order if proof.tlsa), None),
    )
