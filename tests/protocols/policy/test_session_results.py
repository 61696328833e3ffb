"""What a try at a host counts as in reports, decided from facts alone.

Real sessions of each kind are in tests/services/deliver/test_tally.py.
"""

from datetime import timedelta

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import TlsaRecord
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.protocols.policy.facts import MtaStsFacts, Published, TlsaFacts, TlsaStatus
from letterlock.protocols.policy.requirement import (
    DaneDemand,
    HostUnusable,
    Level,
    MtaStsDemand,
    Requirement,
    Source,
)
from letterlock.protocols.policy.session_results import (
    MAX_FAILURES,
    Place,
    count_session,
    count_unusable,
)
from letterlock.protocols.policy.verdict import Outcome, Verdict
from letterlock.protocols.tlsrpt.findings import Finding, PolicyType
from letterlock.protocols.tlsrpt.result_types import ResultType
from letterlock.protocols.tlsrpt.sessions import AppliedPolicy, Session, clean_text

DOMAIN, HOST = Domain("example.com"), "mx.example.com"
PLACE = Place(HOST, "192.0.2.7", "198.51.100.1")
MAY = Requirement(Level.MAY, Source.DEFAULT, "", HOST)
STS_DEMAND = MtaStsDemand(DOMAIN, MtaStsMode.ENFORCE, (HOST,))
TEXT = "version: STSv1\r\nmode: enforce\nmx: mx.example.com\r\nmax_age: 86400\r\n"
STS = MtaStsFacts(
    DOMAIN,
    policy=MtaStsPolicy(MtaStsMode.ENFORCE, (HOST,), timedelta(days=1)),
    policy_text=TEXT,
)
RECORDS = (TlsaRecord(3, 1, 1, b"\x02" * 32), TlsaRecord(2, 0, 1, b"\x01" * 32))
TLSA = TlsaFacts(TlsaStatus.USABLE, Domain("real.example.net"), RECORDS)
DANE = DaneDemand(RECORDS, ("real.example.net",))
FINE = Verdict(Outcome.AUTHENTICATED, None, "verified", "")


def find_policy(session: Session | None) -> AppliedPolicy:
    assert session is not None
    (outcome,) = session.outcomes
    return outcome.policy


def make_verdict(outcome: Outcome, *findings: Finding) -> Verdict:
    return Verdict(outcome, None, "", "", findings)


def test_a_policy_is_told_as_it_is_declared() -> None:
    """RFC 8460 §4.5: one element for each line."""
    requirement = Requirement(Level.VERIFY, Source.MTA_STS, "", HOST, mta_sts=STS_DEMAND)
    found = count_session(DOMAIN, requirement, Published(mta_sts=STS), FINE, PLACE, is_secured=True)
    assert find_policy(found) == AppliedPolicy(
        PolicyType.STS,
        DOMAIN,
        ("version: STSv1", "mode: enforce", "mx: mx.example.com", "max_age: 86400"),
        (HOST,),
    )


@pytest.mark.parametrize("records", [RECORDS, RECORDS[::-1]])
def test_tlsa_records_are_one_policy_in_any_order(records: tuple[TlsaRecord, ...]) -> None:
    """RFC 8460 §4.5; name servers turn them round."""
    requirement = Requirement(Level.DANE, Source.DANE, "", HOST, dane=DANE)
    facts = TlsaFacts(TlsaStatus.USABLE, TLSA.base_domain, records)
    found = count_session(DOMAIN, requirement, Published(tlsa=facts), FINE, PLACE, is_secured=True)
    texts = ("2 0 1 " + "01" * 32, "3 1 1 " + "02" * 32)
    assert find_policy(found) == AppliedPolicy(PolicyType.TLSA, "real.example.net", texts)


def test_a_fault_of_the_level_alone_fails_where_no_policy_applied() -> None:
    """The operator wants the chain verified: TLS was there, and mail did not go."""
    fault = Finding(ResultType.CERTIFICATE_EXPIRED, "expired", "", 0)
    verify = Requirement(Level.VERIFY, Source.TABLE, "", HOST)
    verdict = make_verdict(Outcome.DEFER, fault)
    found = count_session(DOMAIN, verify, Published(), verdict, PLACE, is_secured=True)
    assert found is not None
    assert found.outcomes[0].is_failed
    assert found.outcomes[0].failures[0].result_type == "certificate-expired"


def test_a_fault_of_the_level_alone_is_none_of_the_policy() -> None:
    """RFC 8460 §4.2.1: the TLSA records were met."""
    fault = Finding(ResultType.CERTIFICATE_EXPIRED, "expired", "", 0)
    both = Requirement(Level.VERIFY, Source.TABLE, "", HOST, dane=DANE)
    verdict = make_verdict(Outcome.DEFER, fault)
    found = count_session(DOMAIN, both, Published(tlsa=TLSA), verdict, PLACE, is_secured=True)
    assert found is not None
    assert not found.outcomes[0].is_failed
    assert found.outcomes[0].failures == ()


def test_a_host_that_requiretls_shuts_out_is_not_counted() -> None:
    """RFC 8689 is no policy that is reported."""
    refused = HostUnusable(Source.REQUIRETLS, "", is_permanent=True)
    assert count_unusable(DOMAIN, refused, Published(), HOST) is None


def test_no_tls_wanted_is_no_session() -> None:
    none = Requirement(Level.NONE, Source.TABLE, "", None)
    assert count_session(DOMAIN, none, Published(), FINE, PLACE, is_secured=False) is None


def test_a_policy_that_nobody_can_show_is_the_domains() -> None:
    """Whatever is counted, mail goes its way: it breaks nothing."""
    unlisted = Finding(ResultType.VALIDATION_FAILURE, "x", "", policy_type=PolicyType.STS)
    unusable = HostUnusable(Source.MTA_STS, "", (unlisted,))
    found = count_unusable(DOMAIN, unusable, Published(), HOST)
    assert find_policy(found) == AppliedPolicy(PolicyType.STS, DOMAIN)


def test_what_was_not_looked_up_is_the_hosts() -> None:
    lack = Finding(ResultType.DANE_REQUIRED, "no-records", "", policy_type=PolicyType.TLSA)
    unusable = HostUnusable(Source.DANE, "", (lack,))
    found = count_unusable(DOMAIN, unusable, Published(), HOST)
    assert find_policy(found) == AppliedPolicy(PolicyType.TLSA, HOST)


def test_the_failures_of_one_session_are_bounded_and_each_is_told_once() -> None:
    """RFC 8460 §7."""
    findings = [
        Finding(ResultType.VALIDATION_FAILURE, f"fault-{number // 2}", "") for number in range(60)
    ]
    verdict = make_verdict(Outcome.DEFER, *findings)
    found = count_session(DOMAIN, MAY, Published(), verdict, PLACE, is_secured=False)
    assert found is not None
    failures = found.outcomes[0].failures
    assert len(set(failures)) == len(failures) == MAX_FAILURES


def test_texts_are_cut_and_keep_to_one_line() -> None:
    assert clean_text("a\r\nb\x00é", 5) == "a  b "
    assert clean_text("abc") == "abc"
