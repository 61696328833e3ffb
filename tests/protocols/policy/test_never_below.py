"""For no facts does mail go below what any source that holds demands.

The demands are said here once more, in another form than in `decide` and `judge`: as questions
about certificates and records that were made for the purpose.
"""

from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Security, TlsaRecord
from letterlock.protocols.mta_sts.policy import MtaStsMode
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.pki.throwaway_ca import ThrowawayCa, self_signed
from letterlock.protocols.policy.decide import decide, needs_published
from letterlock.protocols.policy.facts import MtaStsFacts, Published, TlsaFacts, TlsaStatus
from letterlock.protocols.policy.judge import judge, judge_no_starttls, trust_word
from letterlock.protocols.policy.requirement import HostUnusable, Level, Requirement
from letterlock.protocols.policy.table import Entry, PolicyTable, TableEntry
from letterlock.protocols.policy.verdict import Outcome, Verdict
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.protocols.tls.handshake import Handshake
from letterlock.protocols.tlsrpt.result_types import ResultType
from tests.fakes import START
from tests.protocols.policy.situations import DEFAULT_LEVELS, DOMAIN, MX, policy_of

ROOT = ThrowawayCa("Root", START)
PRIVATE = ThrowawayCa("Private", START)
ANCHORS = TrustAnchors.from_pem(ROOT.pem)

PUBLIC = ROOT.issue([MX, DOMAIN], now=START)
CHAINS = {
    "public, both names": PUBLIC.chain_der,
    "public, the host's": ROOT.issue([MX], now=START).chain_der,
    "public, the domain's": ROOT.issue([DOMAIN], now=START).chain_der,
    "public, expired": ROOT.issue([MX, DOMAIN], now=START, days=-1).chain_der,
    "public, another's": ROOT.issue(["a.example"], now=START).chain_der,
    "private": (*PRIVATE.issue([MX], now=START).chain_der, PRIVATE.der),
    "private, another's": (*PRIVATE.issue(["a.example"], now=START).chain_der, PRIVATE.der),
    "self-signed": self_signed([MX], now=START).chain_der,
    "none": (),
}
IS_FOR_HOST = {"public, both names", "public, the host's"}
# The host's name is below the domain's: `secure` asks for one or the other.
IS_SECURE = {*IS_FOR_HOST, "public, the domain's"}
PIN = "sha256:" + sha256(PUBLIC.der).hexdigest()


def ee(chain: str) -> TlsaRecord:
    return TlsaRecord(3, 0, 1, sha256(CHAINS[chain][0]).digest())


# Records, and the chains that meet one of them; for an empty tuple none can be used.
RECORDS: dict[str, tuple[tuple[TlsaRecord, ...], set[str]]] = {
    "ee self-signed": ((ee("self-signed"),), {"self-signed"}),
    "ee both": ((ee("public, both names"),), {"public, both names"}),
    "ee expired": ((ee("public, expired"),), {"public, expired"}),
    "ta private": ((TlsaRecord(2, 0, 1, sha256(PRIVATE.der).digest()),), {"private"}),
    "ee of nobody": ((TlsaRecord(3, 1, 1, bytes(32)),), set()),
}
MEETING = {name: chains for name, (_, chains) in RECORDS.items()}
UNUSABLE = (TlsaRecord(0, 0, 1, bytes(32)), TlsaRecord(3, 1, 1, b"short"))

usable = st.sampled_from(sorted(RECORDS))
any_tlsa = st.one_of(
    st.none(),
    usable,
    st.sampled_from([TlsaStatus.UNUSABLE, TlsaStatus.NONE, TlsaStatus.INSECURE, TlsaStatus.FAILED]),
)
any_policy = st.one_of(
    st.none(),
    st.tuples(st.sampled_from(MtaStsMode), st.sampled_from(["*.example.com", "a.example"])),
)
any_table = st.tuples(st.sampled_from(DEFAULT_LEVELS), st.one_of(st.none(), st.sampled_from(Level)))


def facts_of(
    tlsa: str | TlsaStatus | None, policy: tuple[MtaStsMode, str] | None, mx: Security | None
) -> Published:
    if isinstance(tlsa, TlsaStatus):
        records = UNUSABLE if tlsa is TlsaStatus.UNUSABLE else ()
        found: TlsaFacts | None = TlsaFacts(tlsa, MX, records)
    else:
        found = None if tlsa is None else TlsaFacts(TlsaStatus.USABLE, MX, RECORDS[tlsa][0])
    sts = None if policy is None else MtaStsFacts(DOMAIN, policy=policy_of(*policy))
    return Published(found, sts, mx)


def is_listed(policy: tuple[MtaStsMode, str] | None) -> bool:
    return policy is not None and policy[1] == "*.example.com"


@settings(max_examples=400)
@given(
    table=any_table,
    tlsa=any_tlsa,
    policy=any_policy,
    mx=st.sampled_from([None, Security.SECURE, Security.INSECURE]),
    demand=st.sampled_from(TlsDemand),
    chain=st.one_of(st.none(), st.sampled_from(sorted(CHAINS))),
)
def test_for_no_facts_does_mail_go_below_what_a_source_that_holds_demands(
    table: tuple[Level, Level | None],
    tlsa: str | TlsaStatus | None,
    policy: tuple[MtaStsMode, str] | None,
    mx: Security | None,
    demand: TlsDemand,
    chain: str | None,
) -> None:
    """RFC 7672 §2.2, §3.2; RFC 8461 §2, §5; RFC 8689 §4.2.1; RFC 7435 §3."""
    default, entry = table
    verdict = attempt(table, facts_of(tlsa, policy, mx), demand, chain)
    if verdict is None or not verdict.may_send:
        return
    is_clear = verdict.outcome is Outcome.CLEAR
    meets_tlsa = chain in MEETING.get(tlsa or "", ())
    asked = default if entry is None else entry
    assert not (is_clear and asked.is_tls_required and asked is not Level.DANE)
    assert asked is not Level.VERIFY or chain in IS_FOR_HOST
    assert asked is not Level.SECURE or chain in IS_SECURE
    assert asked is not Level.FINGERPRINT or chain == "public, both names"
    assert asked is not Level.DANE_ONLY or (meets_tlsa and mx is not Security.INSECURE)
    if entry in (None, Level.DANE) and demand is not TlsDemand.TLS_REQUIRED_NO:
        assert tlsa is not TlsaStatus.FAILED
        assert not (tlsa is TlsaStatus.UNUSABLE and is_clear)
        assert meets_tlsa or tlsa not in MEETING
        if policy is not None and policy[0] is MtaStsMode.ENFORCE:
            assert is_listed(policy)
            assert chain in IS_FOR_HOST
    if demand is TlsDemand.REQUIRETLS:
        by_host = meets_tlsa or chain in IS_FOR_HOST
        is_vouched = mx is not Security.INSECURE or (
            is_listed(policy) and policy is not None and policy[0] is not MtaStsMode.NONE
        )
        is_pinned = entry is Level.FINGERPRINT or (asked is Level.SECURE and chain in IS_SECURE)
        assert is_pinned or (by_host and is_vouched)
        assert verdict.outcome is Outcome.AUTHENTICATED


@settings(max_examples=200)
@given(
    table=any_table,
    tlsa=any_tlsa,
    policy=any_policy,
    mx=st.sampled_from([None, Security.SECURE, Security.INSECURE]),
    demand=st.sampled_from(TlsDemand),
    chain=st.sampled_from(sorted(CHAINS)),
)
def test_nobody_is_said_to_be_verified_whom_nothing_verified(
    table: tuple[Level, Level | None],
    tlsa: str | TlsaStatus | None,
    policy: tuple[MtaStsMode, str] | None,
    mx: Security | None,
    demand: TlsDemand,
    chain: str,
) -> None:
    """RFC 7435 §3; RFC 7672 §2.2.1: a host behind an insecure MX is not taken for the domain."""
    verdict = attempt(table, facts_of(tlsa, policy, mx), demand, chain)
    if verdict is None or verdict.outcome is not Outcome.AUTHENTICATED:
        return
    meets_tlsa = chain in MEETING.get(tlsa or "", ())
    assert meets_tlsa or chain in IS_SECURE
    if chain not in IS_SECURE:
        is_vouched = demand is TlsDemand.REQUIRETLS and is_listed(policy)
        assert mx is not Security.INSECURE or is_vouched


@given(
    tlsa=any_tlsa,
    policy=any_policy,
    mx=st.sampled_from(Security),
    chain=st.one_of(st.none(), st.sampled_from(sorted(CHAINS))),
)
def test_no_failure_of_published_policy_stops_tls_required_no(
    tlsa: str | TlsaStatus | None,
    policy: tuple[MtaStsMode, str] | None,
    mx: Security,
    chain: str | None,
) -> None:
    """RFC 8689 §4.2.2, where the operator wants nothing."""
    published = facts_of(tlsa, policy, mx)
    verdict = attempt((Level.MAY, None), published, TlsDemand.TLS_REQUIRED_NO, chain)
    assert verdict is not None
    assert verdict.may_send
    assert verdict.outcome is not Outcome.AUTHENTICATED


@given(table=any_table, demand=st.sampled_from(TlsDemand))
def test_what_need_not_be_looked_up_changes_nothing(
    table: tuple[Level, Level | None], demand: TlsDemand
) -> None:
    operator = table_of(table)
    if needs_published(DOMAIN, DOMAIN, MX, operator, demand):
        return
    levels = set()
    for tlsa in (*RECORDS, *TlsaStatus):
        for policy in (None, (MtaStsMode.ENFORCE, "a.example")):
            status = None if tlsa is TlsaStatus.USABLE else tlsa
            published = facts_of(status, policy, Security.INSECURE)
            found = decide(DOMAIN, DOMAIN, MX, operator, published, demand)
            assert isinstance(found, Requirement)
            assert (found.dane, found.mta_sts, found.findings) == (None, None, ())
            levels.add(found.level)
    assert levels == {table[1]}


def table_of(table: tuple[Level, Level | None]) -> PolicyTable:
    default, entry = table
    entries: dict[str, Entry] = {}
    if entry is not None:
        pins = (PIN,) if entry is Level.FINGERPRINT else ()
        entries[DOMAIN] = TableEntry(DOMAIN, entry, "table:1", fingerprints=pins)
    return PolicyTable(entries, TableEntry("", default, "policy.default_level"))


def attempt(
    table: tuple[Level, Level | None], published: Published, demand: TlsDemand, chain: str | None
) -> Verdict | None:
    """Decide, and judge a host that shows this chain, or has no TLS (None)."""
    decision = decide(DOMAIN, DOMAIN, Domain(MX), table_of(table), published, demand)
    if isinstance(decision, HostUnusable):
        assert decision.reason
        assert (decision.result_type is None) is (decision.findings == ())
        return None
    assert isinstance(decision, Requirement)
    if chain is None or decision.level is Level.NONE:
        return judge_no_starttls(decision, None)
    handshake = Handshake("TLSv1.3", "TLS_AES_256_GCM_SHA384", 256, None, MX, CHAINS[chain])
    verdict = judge(decision, handshake, ANCHORS, START)
    is_verified = verdict.outcome is Outcome.AUTHENTICATED
    assert (trust_word(decision, verdict) == "Verified") is is_verified
    assert (verdict.result_type is None) is (verdict.findings == ())
    assert verdict.outcome is not Outcome.DEFER or isinstance(verdict.result_type, ResultType)
    return verdict
