"""Every level against every situation: what goes, what waits, and what it is called."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest

from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.pki.certificate import CertificateFacts, read_certificate
from letterlock.protocols.pki.throwaway_ca import CLIENT_AUTH, Shape, ThrowawayCa, self_signed
from letterlock.protocols.policy.judge import (
    ClearFallback,
    FallbackRule,
    judge,
    judge_failure,
    judge_no_starttls,
    may_fall_back,
    trust_word,
)
from letterlock.protocols.policy.requirement import Level, Requirement, Source
from letterlock.protocols.policy.verdict import Outcome, Verdict
from letterlock.protocols.smtp.replies import reply
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed
from letterlock.protocols.tlsrpt.result_types import ResultType
from tests.fakes import START

MX = "mx.example.com"
ROOT = ThrowawayCa("Root", START)
MIDDLE = ROOT.intermediate("Middle", now=START)
ANCHORS = TrustAnchors.from_pem(ROOT.pem)
PIN = MIDDLE.issue([MX], now=START)
GMAIL = self_signed(["invalid2.invalid"], now=START)

CHAINS: dict[str, tuple[bytes, ...]] = {
    "good": PIN.chain_der,
    "wildcard": MIDDLE.issue(["*.example.com"], now=START).chain_der,
    "wrong name": MIDDLE.issue(["mx.example.net"], now=START).chain_der,
    "no name": MIDDLE.issue([], now=START).chain_der,
    "expired": MIDDLE.issue([MX], now=START, days=-1).chain_der,
    "self-signed": self_signed([MX], now=START).chain_der,
    "no SNI provided": GMAIL.chain_der,
    "unknown issuer": ThrowawayCa("Other", START).issue([MX], now=START).chain_der,
    "wrong purpose": MIDDLE.issue([MX], now=START, shape=Shape(eku=(CLIENT_AUTH,))).chain_der,
    "expired, wrong name": MIDDLE.issue(["a.example"], now=START, days=-1).chain_der,
    "all wrong": self_signed(["a.example"], now=START, days=-1).chain_der,
    "unreadable": (b"junk",),
    "none": (),
}
NOT_TRUSTED = ResultType.CERTIFICATE_NOT_TRUSTED
EXPIRED = ResultType.CERTIFICATE_EXPIRED
MISMATCH = ResultType.CERTIFICATE_HOST_MISMATCH

# chain: result type and reason code, the words of all findings, Postfix's word at `may`
FAULTS: dict[str, tuple[ResultType | None, list[str], str]] = {
    "good": (None, [], "Trusted"),
    "wildcard": (None, [], "Trusted"),
    "wrong name": (MISMATCH, ["name-mismatch"], "Trusted"),
    "no name": (MISMATCH, ["name-mismatch"], "Trusted"),
    "expired": (EXPIRED, ["expired"], "Untrusted"),
    "self-signed": (NOT_TRUSTED, ["self-signed-certificate"], "Untrusted"),
    "no SNI provided": (NOT_TRUSTED, ["self-signed-certificate", "name-mismatch"], "Untrusted"),
    "unknown issuer": (NOT_TRUSTED, ["unknown-issuer"], "Untrusted"),
    "wrong purpose": (NOT_TRUSTED, ["unsuitable-purpose"], "Untrusted"),
    "expired, wrong name": (EXPIRED, ["expired", "name-mismatch"], "Untrusted"),
    "all wrong": (
        NOT_TRUSTED,
        ["self-signed-certificate", "expired", "name-mismatch"],
        "Untrusted",
    ),
    "unreadable": (NOT_TRUSTED, ["unreadable-certificate"], "Untrusted"),
    "none": (NOT_TRUSTED, ["no-certificate"], "Anonymous"),
}


def requirement_of(level: Level, **changes: object) -> Requirement:
    base = Requirement(level, Source.TABLE, "policy table", sni=MX, names=(MX,))
    return replace(base, **changes)  # type: ignore[arg-type]  # fields by name


def handshake_of(chain: tuple[bytes, ...]) -> Handshake:
    return Handshake("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, "X25519MLKEM768", MX, chain)


def judged(level: Level, chain: str) -> Verdict:
    return judge(requirement_of(level), handshake_of(CHAINS[chain]), ANCHORS, START)


def codes(verdict: Verdict) -> list[str]:
    return [finding.reason_code for finding in verdict.findings]


# The matrix.


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("level", [Level.MAY, Level.ENCRYPT])
def test_where_no_proof_is_asked_any_certificate_will_do(level: Level, chain: str) -> None:
    """RFC 7435 §3, §4: a bad one never leads to clear nor to deferral; and it is recorded."""
    verdict = judged(level, chain)
    result, expected, word = FAULTS[chain]
    assert verdict.outcome is Outcome.ENCRYPTED
    assert verdict.may_send
    assert verdict.result_type is result
    assert codes(verdict) == expected
    assert verdict.reason_code == (expected[0] if expected else "encrypted")
    assert trust_word(requirement_of(level), verdict) == word


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("level", [Level.VERIFY, Level.SECURE])
def test_where_proof_is_asked_one_fault_is_enough_to_wait(level: Level, chain: str) -> None:
    verdict = judged(level, chain)
    result, expected, word = FAULTS[chain]
    assert verdict.result_type is result
    assert codes(verdict) == expected
    if expected:
        assert verdict.outcome is Outcome.DEFER
        assert not verdict.may_send
        assert verdict.reason_code == expected[0]
        assert verdict.reason.startswith("not verified: ")
        assert trust_word(requirement_of(level), verdict) == word
    else:
        assert verdict.outcome is Outcome.AUTHENTICATED
        assert verdict.reason_code == "verified"
        assert trust_word(requirement_of(level), verdict) == "Verified"


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("chain", CHAINS)
def test_only_a_level_that_asks_for_proof_is_called_authenticated(level: Level, chain: str) -> None:
    """RFC 7435 §3: unauthenticated encryption must not be shown as more than it is."""
    verdict = judged(level, chain)
    is_authenticated = verdict.outcome is Outcome.AUTHENTICATED
    assert is_authenticated == (
        level in (Level.VERIFY, Level.SECURE) and chain in ("good", "wildcard")
    )
    assert (trust_word(requirement_of(level), verdict) == "Verified") == is_authenticated
    assert verdict.outcome is not Outcome.BOUNCE
    if level.is_authenticated and not is_authenticated:
        assert not verdict.may_send


@pytest.mark.parametrize("level", [Level.DANE, Level.DANE_ONLY])
def test_a_level_we_have_no_proof_for_is_never_met(level: Level) -> None:
    assert judged(level, "good").outcome is Outcome.DEFER


def test_the_name_that_matched_is_kept() -> None:
    verdict = judged(Level.VERIFY, "wildcard")
    assert verdict.matched_name == "*.example.com"
    assert verdict.reason == "verified: the certificate is for *.example.com, wanted mx.example.com"
    assert judged(Level.VERIFY, "good").reason == "verified: the certificate is for mx.example.com"


def test_the_acknowledged_sni_is_not_the_name_check() -> None:
    """RFC 9325 §3.7 gives way on port 25: another name of the level's own may be shown."""
    secure = requirement_of(Level.SECURE, names=("example.com", ".example.com"))
    chain = MIDDLE.issue(["example.com"], now=START).chain_der
    assert judge(secure, handshake_of(chain), ANCHORS, START).outcome is Outcome.AUTHENTICATED


def test_every_fault_stands_in_the_reason() -> None:
    reason = judged(Level.VERIFY, "all wrong").reason
    assert "self-signed" in reason
    assert "expired at 2026-02-28" in reason
    assert "wanted: mx.example.com" in reason


def test_an_address_is_matched_by_its_own_entry() -> None:
    """RFC 9525 §6.4."""
    requirement = requirement_of(Level.VERIFY, names=("192.0.2.1",), sni=None)
    by_ip = MIDDLE.issue(["192.0.2.1"], now=START).chain_der
    as_name = MIDDLE.issue(["mx.example.com"], now=START).chain_der
    assert judge(requirement, handshake_of(by_ip), ANCHORS, START).may_send
    assert not judge(requirement, handshake_of(as_name), ANCHORS, START).may_send


def test_the_common_name_is_no_name() -> None:
    """RFC 9525 §2."""
    chain = MIDDLE.issue([MX], now=START, shape=Shape(general_names=[])).chain_der
    verdict = judge(requirement_of(Level.VERIFY), handshake_of(chain), ANCHORS, START)
    assert codes(verdict) == ["name-mismatch"]


def test_without_anchors_nobody_is_trusted() -> None:
    verdict = judge(
        requirement_of(Level.VERIFY), handshake_of(CHAINS["good"]), TrustAnchors([]), START
    )
    assert codes(verdict) == ["unknown-issuer"]
    assert verdict.outcome is Outcome.DEFER


# Level fingerprint.


def fingerprint(digest: str, chain: tuple[bytes, ...] = PIN.chain_der) -> Verdict:
    requirement = requirement_of(Level.FINGERPRINT, names=(), fingerprints=(f"sha256:{digest}",))
    return judge(requirement, handshake_of(chain), ANCHORS, START)


def test_a_fingerprint_of_certificate_or_key_is_proof() -> None:
    facts = read_certificate(PIN.der)
    assert isinstance(facts, CertificateFacts)
    for digest in (facts.fingerprint_sha256, facts.spki_sha256):
        verdict = fingerprint(digest)
        assert verdict.outcome is Outcome.AUTHENTICATED
        assert verdict.result_type is None
        requirement = requirement_of(Level.FINGERPRINT)
        assert trust_word(requirement, verdict) == "Verified"


def test_a_fingerprint_needs_no_name_date_or_issuer() -> None:
    """Postfix TLS_README; even of octets that we cannot read."""
    chain = CHAINS["all wrong"]
    assert fingerprint(sha256(chain[0]).hexdigest(), chain).may_send
    assert fingerprint(sha256(b"junk").hexdigest(), (b"junk",)).may_send


def test_another_fingerprint_waits_and_says_what_came() -> None:
    verdict = fingerprint("ab" * 32)
    assert verdict.outcome is Outcome.DEFER
    assert (verdict.result_type, verdict.reason_code) == (NOT_TRUSTED, "fingerprint-mismatch")
    assert f"sha256:{sha256(PIN.der).hexdigest()}" in verdict.reason
    assert trust_word(requirement_of(Level.FINGERPRINT), verdict) == "Untrusted"


def test_an_intermediates_fingerprint_is_not_the_leafs() -> None:
    assert not fingerprint(sha256(MIDDLE.der).hexdigest()).may_send


def test_no_certificate_has_no_fingerprint() -> None:
    verdict = fingerprint("ab" * 32, ())
    assert (verdict.outcome, verdict.reason_code) == (Outcome.DEFER, "no-certificate")
    assert trust_word(requirement_of(Level.FINGERPRINT), verdict) == "Anonymous"


# Handshakes that fail.

FAILURES = [
    HandshakeFailed(FailureCause.ALERT_RECEIVED, "alert handshake failure", "handshake_failure"),
    HandshakeFailed(FailureCause.CLOSED, "closed"),
    HandshakeFailed(FailureCause.TIMED_OUT, "timed out"),
    HandshakeFailed(FailureCause.NOT_TLS, "not TLS"),
    HandshakeFailed(FailureCause.CERTIFICATE_REFUSED, "refused", "unknown_ca"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.cause.value)
@pytest.mark.parametrize("level", Level)
def test_a_failed_handshake_carries_no_mail_at_any_level(
    level: Level, failure: HandshakeFailed
) -> None:
    """RFC 3207 §4, §6: whether another connection may is a question of its own."""
    verdict = judge_failure(requirement_of(level), failure, ANCHORS, START)
    assert verdict.outcome is Outcome.DEFER
    assert verdict.result_type is not None
    assert verdict.reason_code
    assert verdict.reason.startswith("TLS handshake failed: ")


@pytest.mark.parametrize("chain", ["self-signed", "all wrong", "expired", "unknown issuer"])
def test_a_chain_refused_in_the_handshake_has_the_words_of_one_refused_after(chain: str) -> None:
    failure = HandshakeFailed(
        FailureCause.CERTIFICATE_REFUSED, "refused", "unknown_ca", CHAINS[chain]
    )
    verdict = judge_failure(requirement_of(Level.VERIFY), failure, ANCHORS, START)
    result, expected, _ = FAULTS[chain]
    assert verdict.outcome is Outcome.DEFER
    assert verdict.result_type is result
    assert codes(verdict) == expected


def test_a_refused_chain_that_we_find_good_is_still_refused() -> None:
    failure = HandshakeFailed(
        FailureCause.CERTIFICATE_REFUSED, "refused", "unknown_ca", CHAINS["good"]
    )
    verdict = judge_failure(requirement_of(Level.VERIFY), failure, ANCHORS, START)
    assert verdict.outcome is Outcome.DEFER
    assert verdict.result_type is NOT_TRUSTED
    assert len(verdict.findings) == 1


# STARTTLS that is not to be had.

REFUSAL = reply(454, "4.7.0", "TLS not available")


@pytest.mark.parametrize("level", [level for level in Level if level.is_tls_required])
def test_where_tls_is_required_nothing_goes_in_clear(level: Level) -> None:
    """RFC 3207 §6, RFC 9325 §3.2: a policy without plain text can be set."""
    requirement = requirement_of(level)
    for verdict in (
        judge_no_starttls(requirement, None),
        judge_no_starttls(requirement, REFUSAL),
        judge_no_starttls(requirement, None, is_tried=False),
    ):
        assert verdict.outcome is Outcome.DEFER
        assert verdict.result_type is ResultType.STARTTLS_NOT_SUPPORTED
        assert verdict.reason.startswith("TLS is required, but ")


def test_at_may_mail_goes_in_clear_and_it_is_recorded() -> None:
    """RFC 3207 §4: 454 and no offer alike."""
    requirement = requirement_of(Level.MAY)
    absent = judge_no_starttls(requirement, None)
    refused = judge_no_starttls(requirement, REFUSAL)
    assert absent.outcome is refused.outcome is Outcome.CLEAR
    assert absent.result_type is refused.result_type is ResultType.STARTTLS_NOT_SUPPORTED
    assert absent.reason_code == "starttls-not-offered"
    assert refused.reason_code == "smtp-starttls-reply-code-454"
    assert "454 4.7.0 TLS not available" in refused.reason


def test_clear_by_choice_is_no_fault() -> None:
    for verdict in (
        judge_no_starttls(requirement_of(Level.NONE), None),
        judge_no_starttls(requirement_of(Level.NONE), None, is_tried=False),
        judge_no_starttls(requirement_of(Level.MAY), None, is_tried=False),
    ):
        assert (verdict.outcome, verdict.result_type) == (Outcome.CLEAR, None)
        assert verdict.findings == ()


# Falling back.

NOW = timedelta(0)
AFTER = ClearFallback(FallbackRule.AFTER, timedelta(minutes=5))


@pytest.mark.parametrize(
    ("setting", "age", "expected"),
    [
        (ClearFallback(), NOW, True),
        (ClearFallback(FallbackRule.AT_ONCE), timedelta(days=1), True),
        (AFTER, NOW, False),
        (AFTER, timedelta(seconds=299), False),
        (AFTER, timedelta(minutes=5), True),
        (AFTER, timedelta(days=1), True),
        (ClearFallback(FallbackRule.NEVER), NOW, False),
        (ClearFallback(FallbackRule.NEVER), timedelta(days=4), False),
    ],
)
def test_at_may_the_setting_decides(setting: ClearFallback, age: timedelta, expected: bool) -> None:
    assert may_fall_back(requirement_of(Level.MAY), setting, age) is expected


@pytest.mark.parametrize("level", [level for level in Level if level is not Level.MAY])
def test_no_other_level_falls_back(level: Level) -> None:
    for rule in FallbackRule:
        setting = ClearFallback(rule, NOW)
        assert not may_fall_back(requirement_of(level), setting, timedelta(days=4))


def test_gmails_certificate_is_refused_for_clients_without_sni_and_the_story_says_why() -> None:
    """What `verify` sees when no server_name is sent; with it the good chain comes."""
    verdict = judged(Level.VERIFY, "no SNI provided")
    assert verdict.outcome is Outcome.DEFER
    assert "invalid2.invalid" in verdict.reason
    assert judged(Level.VERIFY, "good").outcome is Outcome.AUTHENTICATED
