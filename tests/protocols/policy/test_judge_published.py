"""Handshakes judged by what is published: DANE, MTA-STS, both; and what is only recorded."""

from dataclasses import replace
from hashlib import sha256

import pytest

from letterlock.protocols.dns.answers import Security, TlsaRecord
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa, self_signed
from letterlock.protocols.policy.dane import TlsaMatch
from letterlock.protocols.policy.decide import decide
from letterlock.protocols.policy.facts import MtaStsFacts, Published, TlsaFacts, TlsaStatus
from letterlock.protocols.policy.judge import (
    judge,
    judge_failure,
    judge_no_starttls,
    judge_unusable,
    trust_word,
)
from letterlock.protocols.policy.requirement import (
    DaneDemand,
    HostUnusable,
    Level,
    Requirement,
    Source,
)
from letterlock.protocols.policy.table import TableEntry
from letterlock.protocols.policy.verdict import Outcome, Verdict
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed
from letterlock.protocols.tlsrpt.findings import Finding, PolicyType
from letterlock.protocols.tlsrpt.result_types import ResultType
from tests.fakes import START
from tests.protocols.policy.situations import BAD, DOMAIN, MTA_STS, MX, table_of

ROOT = ThrowawayCa("Root", START)
PRIVATE = ThrowawayCa("Private", START)
ANCHORS = TrustAnchors.from_pem(ROOT.pem)
PUBLIC = ROOT.issue([MX], now=START).chain_der
EXPIRED = ROOT.issue([MX], now=START, days=-1).chain_der
OTHER_NAME = ROOT.issue(["a.example"], now=START).chain_der
SELF_SIGNED = self_signed(["whatever.example"], now=START, days=-1).chain_der
PRIVATE_CHAIN = (*PRIVATE.issue([DOMAIN], now=START).chain_der, PRIVATE.der)

LISTED, UNLISTED = MTA_STS["enforce, lists it"], MTA_STS["enforce, does not"]
TESTED, TESTED_OTHER = MTA_STS["testing, lists it"], MTA_STS["testing, does not"]
CACHED = MTA_STS["fetch failed, cached enforce lists it"]


def ee(chain: tuple[bytes, ...]) -> TlsaFacts:
    record = TlsaRecord(3, 0, 1, sha256(chain[0]).digest())
    return TlsaFacts(TlsaStatus.USABLE, MX, (record, BAD))


TA = TlsaFacts(TlsaStatus.USABLE, MX, (TlsaRecord(2, 0, 1, sha256(PRIVATE.der).digest()),))


def requirement_of(
    tlsa: TlsaFacts | None = None,
    mta_sts: MtaStsFacts | None = None,
    security: Security | None = Security.SECURE,
    demand: TlsDemand = TlsDemand.NORMAL,
) -> Requirement:
    published = Published(tlsa, mta_sts, security)
    requirement = decide(DOMAIN, DOMAIN, MX, table_of(), published, demand)
    assert isinstance(requirement, Requirement), requirement
    return requirement


def judged(requirement: Requirement, chain: tuple[bytes, ...]) -> Verdict:
    handshake = Handshake("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, None, MX, chain)
    return judge(requirement, handshake, ANCHORS, START)


def codes(verdict: Verdict) -> list[tuple[str, PolicyType | None]]:
    return [(finding.reason_code, finding.policy_type) for finding in verdict.findings]


# DANE alone.


def test_dane_is_proof_whatever_authorities_say() -> None:
    """RFC 7672 §3.1.1: expired, of another name, of no authority; and it is nobody's fault."""
    requirement = requirement_of(ee(SELF_SIGNED))
    verdict = judged(requirement, SELF_SIGNED)
    assert verdict.outcome is Outcome.AUTHENTICATED
    assert (verdict.result_type, verdict.findings) == (None, ())
    assert (verdict.reason_code, verdict.is_chain_trusted) == ("verified", True)
    assert verdict.tlsa_match == TlsaMatch(requirement.tlsa[0], 0)
    assert verdict.matched_name is None
    assert "3 0 1" in verdict.reason
    assert "depth 0" in verdict.reason
    assert trust_word(requirement, verdict) == "Verified"


def test_dane_ta_names_the_depth_and_the_name() -> None:
    requirement = requirement_of(TA)
    verdict = judged(requirement, PRIVATE_CHAIN)
    assert verdict.outcome is Outcome.AUTHENTICATED
    assert verdict.tlsa_match == TlsaMatch(requirement.tlsa[0], 1)
    assert verdict.matched_name == DOMAIN
    assert f"depth 1, the certificate is for {DOMAIN}" in verdict.reason
    behind_insecure_mx = judged(requirement_of(TA, security=Security.INSECURE), PRIVATE_CHAIN)
    assert behind_insecure_mx.outcome is Outcome.DEFER
    assert codes(behind_insecure_mx) == [("name-mismatch", PolicyType.TLSA)]


def test_a_public_certificate_is_no_excuse_for_a_record_that_does_not_match() -> None:
    """RFC 7672 §3.2, §2.2: MUST NOT be delivered."""
    requirement = requirement_of(ee(SELF_SIGNED))
    verdict = judged(requirement, PUBLIC)
    assert verdict.outcome is Outcome.DEFER
    assert verdict.result_type is ResultType.VALIDATION_FAILURE
    assert codes(verdict) == [("dane-no-match", PolicyType.TLSA)]
    assert trust_word(requirement, verdict) == "Untrusted"
    assert judged(requirement, ()).reason_code == "no-certificate"
    assert trust_word(requirement, judged(requirement, ())) == "Anonymous"


def test_a_host_behind_an_insecure_mx_is_trusted_and_not_verified() -> None:
    """RFC 7672 §2.2.1: MUST NOT be misrepresented as secure delivery to the domain."""
    requirement = requirement_of(ee(SELF_SIGNED), security=Security.INSECURE)
    verdict = judged(requirement, SELF_SIGNED)
    assert verdict.outcome is Outcome.ENCRYPTED
    assert "not the domain" in verdict.reason
    assert trust_word(requirement, verdict) == "Trusted"
    assert judged(requirement, PUBLIC).outcome is Outcome.DEFER


def test_without_tls_dane_waits() -> None:
    for tlsa in (ee(SELF_SIGNED), TlsaFacts(TlsaStatus.UNUSABLE, MX, (BAD,))):
        verdict = judge_no_starttls(requirement_of(tlsa), None)
        assert verdict.outcome is Outcome.DEFER
        assert verdict.result_type is ResultType.STARTTLS_NOT_SUPPORTED


def test_records_that_all_cannot_be_used_ask_for_tls_and_are_told_of() -> None:
    """RFC 7672 §2.2; RFC 8460 §4.3.2.1."""
    verdict = judged(requirement_of(TlsaFacts(TlsaStatus.UNUSABLE, MX, (BAD,))), PUBLIC)
    assert verdict.outcome is Outcome.ENCRYPTED
    assert verdict.result_type is ResultType.TLSA_INVALID
    assert codes(verdict) == [("all-unusable-records", PolicyType.TLSA)]


def test_level_dane_without_records_is_met_by_nothing() -> None:
    """No such requirement is made; one that were must not let mail go."""
    for level in (Level.DANE, Level.DANE_ONLY):
        bare = Requirement(level, Source.TABLE, "table", MX, (MX,))
        verdict = judged(bare, PUBLIC)
        assert verdict.outcome is Outcome.DEFER
        assert verdict.result_type is ResultType.DANE_REQUIRED
        empty = replace(bare, dane=DaneDemand((), (MX,)))
        assert judged(empty, PUBLIC).outcome is Outcome.DEFER


# MTA-STS alone.


@pytest.mark.parametrize(
    ("chain", "result_type"),
    [
        (PUBLIC, None),
        (EXPIRED, ResultType.CERTIFICATE_EXPIRED),
        (OTHER_NAME, ResultType.CERTIFICATE_HOST_MISMATCH),
        (PRIVATE_CHAIN, ResultType.CERTIFICATE_NOT_TRUSTED),
        ((), ResultType.CERTIFICATE_NOT_TRUSTED),
    ],
)
@pytest.mark.parametrize("facts", [LISTED, TESTED])
def test_mta_sts_asks_for_a_trusted_chain_with_the_hosts_name_and_testing_only_looks(
    facts: MtaStsFacts, chain: tuple[bytes, ...], result_type: ResultType | None
) -> None:
    """RFC 8461 §4.2, §5: in testing mail goes as without, and what was wrong is recorded."""
    requirement = requirement_of(None, facts)
    verdict = judged(requirement, chain)
    assert verdict.result_type is result_type
    assert all(policy is PolicyType.STS for _, policy in codes(verdict))
    if facts is TESTED:
        assert verdict.outcome is Outcome.ENCRYPTED
    elif result_type is None:
        assert verdict.outcome is Outcome.AUTHENTICATED
        assert verdict.matched_name == MX
        assert trust_word(requirement, verdict) == "Verified"
    else:
        assert verdict.outcome is Outcome.DEFER


def test_a_host_that_a_tested_policy_does_not_list_is_recorded() -> None:
    """RFC 8461 §5, RFC 8460 §4.3.3."""
    verdict = judged(requirement_of(None, TESTED_OTHER), PUBLIC)
    assert verdict.outcome is Outcome.ENCRYPTED
    assert verdict.result_type is ResultType.VALIDATION_FAILURE
    assert codes(verdict) == [("mtasts-policy-mx-mismatch", PolicyType.STS)]
    in_clear = judge_no_starttls(requirement_of(None, TESTED_OTHER), None)
    assert in_clear.outcome is Outcome.CLEAR
    assert [code for code, _ in codes(in_clear)] == [
        "starttls-not-offered",
        "mtasts-policy-mx-mismatch",
    ]


def test_a_fetch_that_failed_is_recorded_while_the_cached_policy_holds() -> None:
    """RFC 8461 §6."""
    verdict = judged(requirement_of(None, CACHED), PUBLIC)
    assert verdict.outcome is Outcome.AUTHENTICATED
    assert verdict.result_type is ResultType.STS_POLICY_FETCH_ERROR
    failed = judged(requirement_of(None, CACHED), EXPIRED)
    assert failed.outcome is Outcome.DEFER
    assert failed.result_type is ResultType.CERTIFICATE_EXPIRED
    assert [code for code, _ in codes(failed)] == ["expired", "fallback-to-cached-policy"]


# Both.


@pytest.mark.parametrize(
    ("tlsa", "chain", "expected"),
    [
        (ee(PUBLIC), PUBLIC, []),
        (ee(SELF_SIGNED), PUBLIC, [("dane-no-match", PolicyType.TLSA)]),
        (ee(EXPIRED), EXPIRED, [("expired", PolicyType.STS)]),
        (ee(OTHER_NAME), OTHER_NAME, [("name-mismatch", PolicyType.STS)]),
        (
            ee(PUBLIC),
            OTHER_NAME,
            [("dane-no-match", PolicyType.TLSA), ("name-mismatch", PolicyType.STS)],
        ),
    ],
)
def test_where_both_hold_both_must_be_met(
    tlsa: TlsaFacts, chain: tuple[bytes, ...], expected: list[tuple[str, PolicyType]]
) -> None:
    """RFC 8461 §2, §5; docs/decisions/0004."""
    verdict = judged(requirement_of(tlsa, LISTED), chain)
    assert codes(verdict) == expected
    assert verdict.outcome is (Outcome.DEFER if expected else Outcome.AUTHENTICATED)
    assert all(finding.text in verdict.reason for finding in verdict.findings)


def test_one_fault_against_two_policies_is_told_of_for_each() -> None:
    """RFC 8460 §4.4: reports are by policy."""
    private = (*PRIVATE.issue(["a.example"], now=START).chain_der, PRIVATE.der)
    verdict = judged(requirement_of(TA, LISTED), private)
    assert ("name-mismatch", PolicyType.TLSA) in codes(verdict)
    assert ("name-mismatch", PolicyType.STS) in codes(verdict)


def test_a_policy_that_is_tested_beside_dane_is_recorded_only() -> None:
    requirement = requirement_of(ee(SELF_SIGNED), TESTED)
    verdict = judged(requirement, SELF_SIGNED)
    assert verdict.outcome is Outcome.AUTHENTICATED
    assert {policy for _, policy in codes(verdict)} == {PolicyType.STS}
    assert verdict.reason.startswith("verified")


def test_what_failed_stands_before_what_is_only_recorded() -> None:
    """The first finding names the result: it must be the reason that mail waits."""
    verdict = judged(requirement_of(ee(PUBLIC), TESTED), SELF_SIGNED)
    assert verdict.outcome is Outcome.DEFER
    assert verdict.reason_code == "dane-no-match"
    assert len(verdict.findings) > 1
    assert "self-signed" not in verdict.reason


def test_a_strict_default_asks_for_its_own_name_beside_that_of_mta_sts() -> None:
    """The least that must hold is the operator's: neither takes the place of the other."""
    strict = table_of()
    strict.default = TableEntry("", Level.SECURE, "policy.default_level", match=(DOMAIN,))
    decision = decide(DOMAIN, DOMAIN, MX, strict, Published(mta_sts=LISTED))
    assert isinstance(decision, Requirement)
    both = ROOT.issue([MX, DOMAIN], now=START).chain_der
    assert judged(decision, both).outcome is Outcome.AUTHENTICATED
    for chain in (PUBLIC, ROOT.issue([DOMAIN], now=START).chain_der):
        assert judged(decision, chain).outcome is Outcome.DEFER


# TLS-Required: No.


def test_tls_required_no_follows_what_is_published_and_fails_for_none_of_it() -> None:
    """RFC 8689 §4.2.2."""
    requirement = requirement_of(ee(PUBLIC), UNLISTED, demand=TlsDemand.TLS_REQUIRED_NO)
    verdict = judged(requirement, SELF_SIGNED)
    assert verdict.outcome is Outcome.ENCRYPTED
    assert {PolicyType.TLSA, PolicyType.STS} <= {policy for _, policy in codes(verdict)}
    good = judged(requirement, PUBLIC)
    assert good.outcome is Outcome.ENCRYPTED
    assert good.tlsa_match is not None
    assert trust_word(requirement, good) == "Trusted"
    assert judge_no_starttls(requirement, None).outcome is Outcome.CLEAR


# Handshakes that failed.


def test_a_failed_handshake_names_every_fault_and_those_of_the_policy() -> None:
    refused = HandshakeFailed(
        FailureCause.CERTIFICATE_REFUSED, "certificate verify failed", "unknown_ca", SELF_SIGNED
    )
    verdict = judge_failure(requirement_of(None, CACHED), refused, ANCHORS, START)
    assert verdict.outcome is Outcome.DEFER
    assert [code for code, _ in codes(verdict)] == [
        "self-signed-certificate",
        "expired",
        "name-mismatch",
        "fallback-to-cached-policy",
    ]
    for finding in verdict.findings[:3]:
        assert finding.text in verdict.reason


def test_a_handshake_that_failed_before_any_proof_is_named_as_such() -> None:
    closed = HandshakeFailed(FailureCause.CLOSED, "the peer closed the connection")
    verdict = judge_failure(requirement_of(ee(PUBLIC), LISTED), closed, ANCHORS, START)
    assert verdict.outcome is Outcome.DEFER
    assert verdict.reason_code == "connection-closed-during-handshake"


def test_a_host_that_is_not_listed_has_the_verdict_that_reports_need() -> None:
    """RFC 8461 §4.1, RFC 8460 §4.3.2.2: although there is no connection to be judged."""
    finding = Finding(ResultType.VALIDATION_FAILURE, "mx-mismatch", "the policy does not list it")
    verdict = judge_unusable(HostUnusable(Source.MTA_STS, "not listed", (finding,)))
    assert (verdict.outcome, verdict.result_type) == (Outcome.DEFER, ResultType.VALIDATION_FAILURE)
    assert (verdict.reason_code, verdict.reason) == ("mx-mismatch", "not listed")
    assert verdict.findings == (finding,)


def test_a_host_that_cannot_meet_requiretls_has_the_verdict_bounce() -> None:
    """RFC 8689 §4.2.1: nothing of it is reported."""
    verdict = judge_unusable(HostUnusable(Source.REQUIRETLS, "not proved", is_permanent=True))
    assert (verdict.outcome, verdict.result_type) == (Outcome.BOUNCE, None)
    assert verdict.reason_code == "requiretls"
