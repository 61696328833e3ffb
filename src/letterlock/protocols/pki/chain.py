"""Judge the chain a server sent: does it lead to a trust anchor, and what is wrong with it.

RFC 5280 §6 (path validation, by OpenSSL), RFC 5280 §4.2.1.12 (purpose), RFC 9325 §4.5 (strength),
RFC 8460 §4.3 (the words for what is wrong). Names are compared in `protocols.pki.names`. There is
no check for revocation (RFC 9325 §7.5): lists and responders would make each delivery depend on a
third party, public authorities drop OCSP, and certificates grow short-lived instead.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from OpenSSL import crypto

from letterlock.protocols.pki.anchors import PARTIAL_CHAIN, TrustAnchors, make_store
from letterlock.protocols.pki.certificate import (
    CertificateFacts,
    KeyKind,
    Unreadable,
    read_certificate,
)
from letterlock.protocols.pki.names import CertificateNames, Match, explain_mismatch, find_match
from letterlock.protocols.tlsrpt.findings import Finding
from letterlock.protocols.tlsrpt.result_types import ResultType

MAX_CHAIN_CERTIFICATES = 10
"""Certificates of a chain that are looked at; real ones have two to four."""

MIN_RSA_BITS = 2048
MIN_EC_BITS = 224
WEAK_DIGESTS = frozenset({"md5", "sha1"})
SERVER_AUTH = "1.3.6.1.5.5.7.3.1"

# X509_V_FLAG_NO_CHECK_TIME: pyOpenSSL has no name for it.
_NO_CHECK_TIME = 0x200000

_NOT_YET_VALID = 9
_EXPIRED = 10
_TIME_CODES = frozenset({_NOT_YET_VALID, _EXPIRED})
TIME_REASONS = frozenset({"not-yet-valid", "expired"})
"""The reason codes that a clock may be wrong for: the issuer's, or ours."""
_SELF_SIGNED_LEAF = 18
_NO_LOCAL_ISSUER = 20
_TRUST_CODES = frozenset({2, _SELF_SIGNED_LEAF, 19, _NO_LOCAL_ISSUER, 21, 27})

# OpenSSL's X509_V_ERR_ numbers. What is not here is `x509-error-NUMBER`, and as untrusted.
_REASON_CODES = {
    2: "unknown-issuer",
    7: "signature-failure",
    _NOT_YET_VALID: "not-yet-valid",
    _EXPIRED: "expired",
    _SELF_SIGNED_LEAF: "self-signed-certificate",
    19: "self-signed-certificate-in-chain",
    _NO_LOCAL_ISSUER: "unknown-issuer",
    21: "unknown-issuer",
    22: "chain-too-long",
    23: "certificate-revoked",
    24: "invalid-ca",
    25: "path-length-exceeded",
    26: "unsuitable-purpose",
    32: "issuer-may-not-sign",
    34: "unhandled-critical-extension",
    47: "name-constraint-violated",
    48: "name-constraint-violated",
    79: "invalid-ca",
}

# RFC 8460 §4.3.1 gives no order. First what makes all else worthless: the names and dates of a
# certificate that nobody vouches for are its sender's own claims (OpenSSL, and so Postfix, goes
# this way; Go, and so mox, asks for dates first). Then dates, then names.
_RANKS = {
    ResultType.CERTIFICATE_NOT_TRUSTED: 0,
    ResultType.CERTIFICATE_EXPIRED: 1,
    ResultType.CERTIFICATE_HOST_MISMATCH: 2,
}


@dataclass(frozen=True, slots=True)
class ChainJudgement:
    """What came of a chain. It is trusted exactly when there are no findings.

    `path` is what was judged, leaf first, as far as it could be built; when trusted it ends in the
    anchor. `is_anchored`: it does end there, whatever else is wrong. `leaf` is None when the leaf
    could not be read. Findings stand in the order of weight.
    """

    findings: tuple[Finding, ...]
    path: tuple[bytes, ...] = ()
    leaf: CertificateFacts | None = None
    is_anchored: bool = False

    @property
    def is_trusted(self) -> bool:
        return not self.findings


@dataclass(frozen=True, slots=True)
class _Sent:
    """One readable certificate of the chain; `depth` is its place there."""

    depth: int
    facts: CertificateFacts
    openssl: crypto.X509


@dataclass(frozen=True, slots=True)
class _Step:
    """One certificate of the path; `facts` is None when it was not sent."""

    der: bytes
    facts: CertificateFacts | None
    is_anchor: bool


@dataclass(frozen=True, slots=True)
class _Failed:
    """OpenSSL's first objection."""

    code: int
    depth: int
    text: str


def judge_chain(chain_der: Sequence[bytes], anchors: TrustAnchors, now: datetime) -> ChainJudgement:
    """Judge a server's chain as it stood in the handshake, leaf first. Finds every fault.

    Certificates beyond MAX_CHAIN_CERTIFICATES and those that can't be read are left out; they are
    findings when the path could not be built without them.
    """
    if not chain_der:
        return ChainJudgement((_not_trusted("no-certificate", "the server sent no certificate"),))
    sent: list[_Sent] = []
    left_out: list[Finding] = []
    for depth, der in enumerate(chain_der[:MAX_CHAIN_CERTIFICATES]):
        certificate = _read_sent(depth, der)
        if isinstance(certificate, _Sent):
            sent.append(certificate)
        else:
            text = f"the certificate cannot be read: {certificate.reason}"
            left_out.append(_not_trusted("unreadable-certificate", text, depth))
    if not sent or sent[0].depth > 0:
        return ChainJudgement(tuple(left_out))
    if len(chain_der) > MAX_CHAIN_CERTIFICATES:
        text = f"more than {MAX_CHAIN_CERTIFICATES} certificates were sent"
        left_out.append(_not_trusted("chain-too-long", text))
    judgement = _validate(sent, anchors, now)
    if judgement.findings:
        judgement = replace(judgement, findings=(*judgement.findings, *left_out))
    return replace(judgement, findings=rank_findings(judgement.findings))


def compare_names(
    names: CertificateNames, references: Sequence[str]
) -> tuple[Match | None, tuple[Finding, ...]]:
    """Find a wanted name in a certificate, or the fault that there is none."""
    match = find_match(names, references)
    if match is not None:
        return match, ()
    text = explain_mismatch(names, references)
    return None, (Finding(ResultType.CERTIFICATE_HOST_MISMATCH, "name-mismatch", text, 0),)


def rank_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Put the finding that names the result first, and drop those said twice."""
    unique = {
        (found.reason_code, found.depth, found.policy_type): found
        for found in reversed([*findings])
    }
    in_order = reversed(unique.values())
    return tuple(sorted(in_order, key=lambda found: _RANKS.get(found.result_type, len(_RANKS))))


def _validate(sent: Sequence[_Sent], anchors: TrustAnchors, now: datetime) -> ChainJudgement:
    verified, failures = _ask_openssl(sent, anchors, now.astimezone(UTC))
    is_anchored = verified is not None and not any(f.code in _TRUST_CODES for f in failures)
    steps = _steps(sent, verified, is_anchored=is_anchored)
    findings = [_explain(f, sent) for f in failures if f.code not in _TIME_CODES]
    # Without an objection OpenSSL has looked at every date.
    dates = [
        found
        for depth, step in enumerate(steps)
        if failures and not (step.is_anchor and anchors.is_tafile)
        for found in _date_findings(step, depth, now)
    ]
    for failed in failures:
        is_excused = anchors.is_tafile and is_anchored and failed.depth >= len(steps) - 1
        if failed.code in _TIME_CODES and not dates and not is_excused:
            dates.append(_explain(failed, sent))
    for depth, step in enumerate(steps):
        findings += _purpose_findings(step, depth)
        findings += _strength_findings(step, depth, is_top=depth == len(steps) - 1)
    path = tuple(step.der for step in steps)
    return ChainJudgement((*findings, *dates), path, sent[0].facts, is_anchored)


def _ask_openssl(
    sent: Sequence[_Sent], anchors: TrustAnchors, moment: datetime
) -> tuple[list[crypto.X509] | None, list[_Failed]]:
    """Give the path and OpenSSL's objections: each is set aside once, to hear the next one.

    None for the path: an objection remained that can't be set aside.
    """
    failures: list[_Failed] = []
    trusted = list(anchors.certificates)
    flags = anchors.flags
    store = anchors.store_at(moment)
    while True:
        outcome = _verify(store, sent)
        if not isinstance(outcome, _Failed):
            return outcome, failures
        heard = {failed.code for failed in failures}
        failures.append(outcome)
        if outcome.code in _TIME_CODES and not heard & _TIME_CODES:
            flags |= _NO_CHECK_TIME
        elif outcome.code in _TRUST_CODES and not heard & _TRUST_CODES:
            flags |= PARTIAL_CHAIN
            trusted.append(_chain_by_names(sent)[-1].openssl)
        else:
            return None, failures
        store = make_store(trusted, flags, moment)


def _verify(store: crypto.X509Store, sent: Sequence[_Sent]) -> list[crypto.X509] | _Failed:
    above = [certificate.openssl for certificate in sent[1:]]
    try:
        return crypto.X509StoreContext(store, sent[0].openssl, above).get_verified_chain()
    except crypto.X509StoreContextError as error:
        code, depth, text = error.errors
        return _Failed(code, depth, text)


def _read_sent(depth: int, der: bytes) -> _Sent | Unreadable:
    facts = read_certificate(der)
    if isinstance(facts, Unreadable):
        return facts
    try:
        return _Sent(depth, facts, crypto.load_certificate(crypto.FILETYPE_ASN1, der))
    except crypto.Error:
        return Unreadable("OpenSSL refuses it")


def _chain_by_names(sent: Sequence[_Sent]) -> list[_Sent]:
    """Follow issuer names from the leaf through what was sent, each certificate once."""
    path = [sent[0]]
    rest = list(sent[1:])
    while not path[-1].facts.is_self_issued:
        above = next((c for c in rest if c.facts.subject == path[-1].facts.issuer), None)
        if above is None:
            break
        rest.remove(above)
        path.append(above)
    return path


def _steps(
    sent: Sequence[_Sent], verified: Sequence[crypto.X509] | None, *, is_anchored: bool
) -> list[_Step]:
    if verified is None:
        return [_Step(c.facts.der, c.facts, is_anchor=False) for c in _chain_by_names(sent)]
    by_der = {certificate.facts.der: certificate.facts for certificate in sent}
    steps = []
    for depth, certificate in enumerate(verified):
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
        is_last = depth == len(verified) - 1
        # What was not sent came from the anchors.
        is_anchor = (is_anchored and is_last) or der not in by_der
        steps.append(_Step(der, by_der.get(der), is_anchor=is_anchor))
    return steps


def _date_findings(step: _Step, depth: int, now: datetime) -> Iterator[Finding]:
    facts = step.facts or read_certificate(step.der)
    if isinstance(facts, Unreadable):
        return
    if now > facts.not_after:
        text = f"{facts.subject} expired at {facts.not_after:%Y-%m-%dT%H:%M:%SZ}"
        yield Finding(ResultType.CERTIFICATE_EXPIRED, _REASON_CODES[_EXPIRED], text, depth)
    elif now < facts.not_before:
        text = f"{facts.subject} is not valid before {facts.not_before:%Y-%m-%dT%H:%M:%SZ}"
        yield _not_trusted(_REASON_CODES[_NOT_YET_VALID], text, depth)


def _purpose_findings(step: _Step, depth: int) -> Iterator[Finding]:
    """Find what X509_V_ERR_INVALID_PURPOSE would say: pyOpenSSL's store takes no purpose.

    As OpenSSL does it: anyExtendedKeyUsage is not serverAuth, and an authority's extended key
    usage bounds what is below it.
    """
    if step.facts is None or (step.is_anchor and depth > 0):
        return
    facts = step.facts
    if facts.eku is not None and SERVER_AUTH not in facts.eku:
        text = f"{facts.subject} may not be used for servers (extended key usage)"
        yield _not_trusted("unsuitable-purpose", text, depth)
    if depth == 0 and not facts.may_sign_tls:
        text = f"{facts.subject} may not be used for TLS (key usage)"
        yield _not_trusted("unsuitable-purpose", text, depth)
    # OpenSSL lets a key usage stand for it; RFC 5280 §6.1.4 (k) does not.
    if depth > 0 and not facts.is_ca:
        yield _not_trusted("invalid-ca", f"{facts.subject} is not an authority", depth)


def _strength_findings(step: _Step, depth: int, *, is_top: bool) -> Iterator[Finding]:
    """RFC 9325 §4.5. An anchor is the operator's choice; a root's own signature means nothing."""
    if step.facts is None or (step.is_anchor and depth > 0):
        return
    facts = step.facts
    is_weak = (
        (facts.key_kind is KeyKind.RSA and facts.key_bits < MIN_RSA_BITS)
        or (facts.key_kind is KeyKind.EC and facts.key_bits < MIN_EC_BITS)
        or facts.key_kind is KeyKind.DSA
    )
    if is_weak:
        yield _not_trusted("weak-key", f"the key of {facts.subject} is weak: {facts.key}", depth)
    is_signature_used = not step.is_anchor and not (is_top and facts.is_self_issued)
    if facts.signature_digest in WEAK_DIGESTS and is_signature_used:
        text = f"{facts.subject} is signed with {facts.signature_digest}"
        yield _not_trusted("weak-signature", text, depth)


def _explain(failed: _Failed, sent: Sequence[_Sent]) -> Finding:
    reason_code = _REASON_CODES.get(failed.code, f"x509-error-{failed.code}")
    path = _chain_by_names(sent)
    facts = path[min(failed.depth, len(path) - 1)].facts
    text = f"{failed.text} (OpenSSL {failed.code}): {facts.subject}, issued by {facts.issuer}"
    if failed.code == _NO_LOCAL_ISSUER and facts.issuer_url:
        # A certificate of a public authority says where its issuer's is; the server should send it.
        reason_code = "missing-intermediate"
        text = f"{text}; the server did not send the issuer's certificate ({facts.issuer_url})"
    if failed.code == _EXPIRED:
        return Finding(ResultType.CERTIFICATE_EXPIRED, reason_code, text, failed.depth)
    return _not_trusted(reason_code, text, failed.depth)


def _not_trusted(reason_code: str, text: str, depth: int | None = None) -> Finding:
    return Finding(ResultType.CERTIFICATE_NOT_TRUSTED, reason_code, text, depth)
