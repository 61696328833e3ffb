"""Judge what a connection gave by what it must have: may mail go, and what is it worth.

RFC 3207 §4.1, §6 (after the handshake); RFC 7435 §3 (opportunistic encryption is not to look like
more); RFC 8460 §4.3 (the names of faults). A failed TLS policy defers mail and never returns it
before its lifetime ends. Chains are judged in `protocols.pki.chain`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.pki.certificate import CertificateFacts, read_certificate
from letterlock.protocols.pki.chain import ChainJudgement, judge_chain, rank_findings
from letterlock.protocols.pki.names import Match, explain_mismatch, find_match
from letterlock.protocols.policy.fingerprints import format_fingerprint
from letterlock.protocols.policy.requirement import Level, Requirement
from letterlock.protocols.policy.verdict import Outcome, Verdict
from letterlock.protocols.smtp.replies import Reply
from letterlock.protocols.tls.failures import explain_failure
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed
from letterlock.protocols.tlsrpt.findings import Finding
from letterlock.protocols.tlsrpt.result_types import ResultType

NOT_OFFERED = "starttls-not-offered"
"""The reason code where a host does not offer STARTTLS; other codes: it did, and it failed."""


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
class _Evidence:
    """What the certificates prove, beside what the level asks."""

    findings: tuple[Finding, ...]
    is_chain_trusted: bool = False
    match: Match | None = None


def judge(
    requirement: Requirement, handshake: Handshake, anchors: TrustAnchors, now: datetime
) -> Verdict:
    """Judge a completed handshake, before any MAIL.

    At `may` and `encrypt` the certificate is judged and recorded, and mail goes whatever it is
    (RFC 7435 §3); the outcome stays ENCRYPTED even if all is well with it.
    """
    if requirement.level is Level.FINGERPRINT:
        return _judge_fingerprint(requirement, handshake)
    evidence = _weigh(requirement, handshake.chain, anchors, now)
    outcome, reason = _conclude(requirement, evidence)
    return _verdict(outcome, reason, evidence)


def judge_failure(
    requirement: Requirement, failure: HandshakeFailed, anchors: TrustAnchors, now: datetime
) -> Verdict:
    """Judge a handshake that failed: mail does not go over this connection, at any level.

    Whether it may go over another one in clear is `may_fall_back`'s to say. Where we refused the
    certificate, its faults are named as they are after a handshake.
    """
    evidence = _Evidence((explain_failure(failure),))
    if failure.cause is FailureCause.CERTIFICATE_REFUSED and failure.chain:
        weighed = _weigh(requirement, failure.chain, anchors, now)
        if weighed.findings:
            evidence = weighed
    reason = f"TLS handshake failed: {evidence.findings[0].text}"
    return _verdict(Outcome.DEFER, reason, evidence)


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
    evidence = _Evidence((Finding(ResultType.STARTTLS_NOT_SUPPORTED, reason_code, text),))
    if level.is_tls_required:
        return _verdict(Outcome.DEFER, f"TLS is required, but {text}", evidence)
    return _verdict(Outcome.CLEAR, f"in clear: {text}", evidence)


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
) -> _Evidence:
    judgement = judge_chain(chain, anchors, now)
    match, mismatch = _compare_names(requirement, judgement)
    findings = rank_findings((*judgement.findings, *mismatch))
    return _Evidence(findings, judgement.is_trusted, match)


def _compare_names(
    requirement: Requirement, judgement: ChainJudgement
) -> tuple[Match | None, tuple[Finding, ...]]:
    if judgement.leaf is None:
        return None, ()
    names = judgement.leaf.names
    match = find_match(names, requirement.names)
    if match is not None:
        return match, ()
    text = explain_mismatch(names, requirement.names)
    mismatch = Finding(ResultType.CERTIFICATE_HOST_MISMATCH, "name-mismatch", text, 0)
    return None, (mismatch,)


def _conclude(requirement: Requirement, evidence: _Evidence) -> tuple[Outcome, str]:
    faults = "; ".join(finding.text for finding in evidence.findings)
    is_proved = not evidence.findings and evidence.is_chain_trusted and evidence.match is not None
    match requirement.level:
        case Level.VERIFY | Level.SECURE if is_proved and evidence.match is not None:
            return (
                Outcome.AUTHENTICATED,
                f"verified: the certificate is for {_said(evidence.match)}",
            )
        case Level.VERIFY | Level.SECURE:
            return Outcome.DEFER, f"not verified: {faults}"
        case Level.NONE | Level.MAY | Level.ENCRYPT if evidence.findings:
            return Outcome.ENCRYPTED, f"encrypted, not authenticated: {faults}"
        case Level.NONE | Level.MAY | Level.ENCRYPT:
            return Outcome.ENCRYPTED, "encrypted; the certificate is good, but was not asked for"
        case _:
            # No requirement of these levels is made yet, and none is met by a chain alone.
            return Outcome.DEFER, f"level {requirement.level} cannot be judged by a chain"


def _said(match: Match) -> str:
    if match.presented.lower() == match.reference.lower():
        return match.reference
    return f"{match.presented}, wanted {match.reference}"


def _judge_fingerprint(requirement: Requirement, handshake: Handshake) -> Verdict:
    """Compare digests only: names, dates and issuers mean nothing here, as in Postfix."""
    digests = _digests(handshake.chain)
    found = next((item for item in requirement.fingerprints if item in digests), None)
    if found is not None:
        return Verdict(
            Outcome.AUTHENTICATED, None, "verified", f"verified: the fingerprint is {found}"
        )
    if not digests:
        finding = Finding(
            ResultType.CERTIFICATE_NOT_TRUSTED, "no-certificate", "the server sent no certificate"
        )
    else:
        text = f"no fingerprint matches; the certificate's is {digests[0]}"
        finding = Finding(ResultType.CERTIFICATE_NOT_TRUSTED, "fingerprint-mismatch", text, 0)
    return _verdict(Outcome.DEFER, f"not verified: {finding.text}", _Evidence((finding,)))


def _digests(chain: tuple[bytes, ...]) -> tuple[str, ...]:
    if not chain:
        return ()
    digests = [sha256(chain[0]).hexdigest()]
    facts = read_certificate(chain[0])
    if isinstance(facts, CertificateFacts):
        digests.append(facts.spki_sha256)
    return tuple(format_fingerprint(digest) for digest in digests)


def _verdict(outcome: Outcome, reason: str, evidence: _Evidence) -> Verdict:
    first = evidence.findings[0] if evidence.findings else None
    fine = "verified" if outcome is Outcome.AUTHENTICATED else "encrypted"
    return Verdict(
        outcome=outcome,
        result_type=first.result_type if first else None,
        reason_code=first.reason_code if first else fine,
        reason=reason,
        findings=evidence.findings,
        is_chain_trusted=evidence.is_chain_trusted,
        matched_name=evidence.match.presented if evidence.match else None,
    )
