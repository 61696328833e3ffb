"""What is published, in the requirement: names, SNI, sources, findings, and words for people."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.dns.answers import Security, TlsaRecord
from letterlock.protocols.mta_sts.policy import MtaStsMode
from letterlock.protocols.policy.decide import decide, needs_published
from letterlock.protocols.policy.facts import MtaStsFacts, Published, TlsaFacts, TlsaStatus
from letterlock.protocols.policy.requirement import (
    Decision,
    HostUnusable,
    Level,
    Requirement,
    RequirementInvalid,
    Source,
)
from letterlock.protocols.policy.table import PolicyTable, TableEntry, WrongEntry, parse_entry
from letterlock.protocols.smtp.envelope import TlsDemand
from letterlock.protocols.tlsrpt.findings import PolicyType
from letterlock.protocols.tlsrpt.result_types import ResultType
from tests.protocols.policy.situations import (
    BAD,
    DEFAULT,
    DOMAIN,
    GOOD,
    MTA_STS,
    MX,
    PIN,
    TLSA,
    entry_of,
    policy_of,
    table_of,
)

EXPANDED = Domain("example.org")
BASE = Domain("mail.provider.example")
USABLE = TlsaFacts(TlsaStatus.USABLE, BASE, (GOOD,))


def found(
    published: Published,
    *,
    table: PolicyTable | None = None,
    demand: TlsDemand = TlsDemand.NORMAL,
    host: str = MX,
    next_hop: Domain | None = DOMAIN,
) -> Decision:
    return decide(next_hop or host, next_hop, host, table or table_of(), published, demand)


def required(published: Published, **changes: object) -> Requirement:
    decision = found(published, **changes)  # type: ignore[arg-type]  # by name
    assert isinstance(decision, Requirement), decision
    return decision


def unusable(published: Published, **changes: object) -> HostUnusable:
    decision = found(published, **changes)  # type: ignore[arg-type]  # by name
    assert isinstance(decision, HostUnusable), decision
    return decision


# DANE.


@pytest.mark.parametrize(
    ("security", "expanded", "names"),
    [
        (Security.SECURE, None, (BASE, DOMAIN)),
        (Security.SECURE, EXPANDED, (BASE, DOMAIN, EXPANDED)),
        (Security.SECURE, BASE, (BASE, DOMAIN)),
        (Security.INSECURE, EXPANDED, (BASE,)),
        (Security.BOGUS, None, (BASE,)),
        (None, None, (BASE, DOMAIN)),
        (None, BASE, (BASE, DOMAIN)),
    ],
)
def test_dane_ta_accepts_the_base_domain_and_what_a_secure_lookup_adds(
    security: Security | None, expanded: Domain | None, names: tuple[str, ...]
) -> None:
    """RFC 7672 §3.2.2: behind an insecure MX nothing but the host's own name. Rule 45."""
    requirement = required(Published(USABLE, None, security, expanded))
    assert requirement.dane is not None
    assert requirement.dane.names == requirement.names == names
    assert requirement.tlsa == (GOOD,)
    assert requirement.dane.is_of_domain is (security in (None, Security.SECURE))


def test_the_sni_is_the_tlsa_base_domain_whatever_else_is_set() -> None:
    """RFC 7672 §8.1: MUST, also where the level is the operator's and where nothing is enforced.
    Rule 49.
    """
    servername = replace(entry_of(Level.DANE), servername="sni.example")
    secure = PolicyTable({}, TableEntry("", Level.SECURE, "default"))
    published = Published(USABLE, MTA_STS["enforce, lists it"])
    for table in (None, table_of(servername), secure):
        assert required(published, table=table).sni == BASE
    assert required(published, demand=TlsDemand.TLS_REQUIRED_NO).sni == BASE
    assert required(Published(TLSA["none"]), table=table_of(servername)).sni == "sni.example"


@pytest.mark.parametrize("mta_sts", ["enforce, lists it", "testing, lists it"])
def test_the_sni_is_the_mx_hosts_name_where_mta_sts_asks_for_its_certificate(mta_sts: str) -> None:
    """RFC 8461 §7.1: MUST; RFC 7672 §8.1 wins where both hold."""
    table = table_of(replace(entry_of(Level.DANE), servername="sni.example"))
    assert required(Published(TLSA["none"], MTA_STS[mta_sts]), table=table).sni == MX
    assert required(Published(USABLE, MTA_STS[mta_sts]), table=table).sni == BASE


def test_a_base_domain_that_was_not_told_is_the_host() -> None:
    requirement = required(Published(TlsaFacts(TlsaStatus.USABLE, None, (GOOD,))))
    assert requirement.sni == MX


def test_the_records_themselves_say_if_one_can_be_used() -> None:
    """RFC 7672 §2.2: the state is a summary, and a wrong one must not switch proof off."""
    understated = TlsaFacts(TlsaStatus.UNUSABLE, MX, (GOOD,))
    assert required(Published(understated)).level is Level.DANE
    overstated = TlsaFacts(TlsaStatus.USABLE, MX, (BAD,))
    assert required(Published(overstated)).level is Level.ENCRYPT


def test_an_address_has_no_dane_and_is_no_pattern() -> None:
    """RFC 7672 §2.2; RFC 8461 §4.1."""
    dane = PolicyTable({}, TableEntry("", Level.DANE, "default"))
    assert required(Published(), table=dane, host="192.0.2.1", next_hop=None).level is Level.MAY
    only = PolicyTable({}, TableEntry("", Level.DANE_ONLY, "default"))
    assert "not looked up" in unusable(Published(), table=only, host="192.0.2.1").reason
    sts = Published(mta_sts=MTA_STS["enforce, lists it"])
    assert unusable(sts, host="192.0.2.1").source is Source.MTA_STS


@pytest.mark.parametrize(
    ("tlsa", "level", "security", "result_type", "reason_code"),
    [
        ("lookup failed", Level.MAY, None, ResultType.DNSSEC_INVALID, "tlsa-lookup-failed"),
        ("lookup failed", Level.DANE_ONLY, None, ResultType.DNSSEC_INVALID, "tlsa-lookup-failed"),
        ("none", Level.DANE_ONLY, None, ResultType.DANE_REQUIRED, "no-secure-tlsa-records"),
        ("insecure", Level.DANE_ONLY, None, ResultType.DANE_REQUIRED, "no-secure-tlsa-records"),
        ("all unusable", Level.DANE_ONLY, None, ResultType.TLSA_INVALID, "all-unusable-records"),
        (
            "usable",
            Level.DANE_ONLY,
            Security.INSECURE,
            ResultType.DANE_REQUIRED,
            "no-secure-tlsa-records",
        ),
    ],
)
def test_a_host_that_dane_rules_out_is_named_in_the_words_of_reports(
    tlsa: str,
    level: Level,
    security: Security | None,
    result_type: ResultType,
    reason_code: str,
) -> None:
    """RFC 8460 §4.3.2.1, RFC 7672 §2.1.2, §6: it waits, and is never returned for it."""
    table = PolicyTable({}, TableEntry("", level, "default"))
    host = unusable(Published(TLSA[tlsa], None, security), table=table)
    assert host.source is Source.DANE
    assert host.result_type is result_type
    assert [finding.reason_code for finding in host.findings] == [reason_code]
    assert host.findings[0].policy_type is PolicyType.TLSA
    assert not host.is_permanent


def test_records_that_all_cannot_be_used_are_told_of_with_the_reason() -> None:
    """RFC 7672 §2.2, RFC 8460 §4.3.2.1: TLS is a must, and the record is at fault."""
    requirement = required(Published(TLSA["all unusable"]))
    [finding] = requirement.findings
    assert finding.result_type is ResultType.TLSA_INVALID
    assert "1 1 1 00" in finding.text
    assert "PKIX-EE(1)" in finding.text
    silent = required(Published(TlsaFacts(TlsaStatus.UNUSABLE, MX, (), "too long to be read")))
    assert "too long to be read" in silent.findings[0].text


# MTA-STS.


@pytest.mark.parametrize(
    ("host", "pattern", "is_listed"),
    [
        ("mx.example.com", "mx.example.com", True),
        ("mx.example.com", "*.example.com", True),
        ("a.mx.example.com", "*.example.com", False),
        ("example.com", "*.example.com", False),
        ("mx.example.net", "*.example.com", False),
    ],
)
def test_an_enforcing_policy_lets_mail_go_only_to_hosts_that_it_lists(
    host: str, pattern: str, *, is_listed: bool
) -> None:
    """RFC 8461 §4.1, §5: the name in the MX record is compared, and the certificate must be its."""
    sts = MtaStsFacts(DOMAIN, policy=policy_of(MtaStsMode.ENFORCE, "mx.example.org", pattern))
    decision = found(Published(mta_sts=sts), host=host)
    assert isinstance(decision, Requirement if is_listed else HostUnusable)
    if isinstance(decision, Requirement):
        assert decision.names == (host,)
        assert decision.mta_sts is not None
        assert decision.mta_sts.names == (host,)
        assert pattern in decision.reason
    else:
        assert isinstance(decision, HostUnusable)
        assert decision.result_type is ResultType.VALIDATION_FAILURE
        assert decision.findings[0].reason_code == "mtasts-policy-mx-mismatch"
        assert decision.findings[0].policy_type is PolicyType.STS
        assert not decision.is_permanent
        assert pattern in decision.reason


def test_only_some_patterns_of_a_long_policy_are_shown() -> None:
    many = policy_of(MtaStsMode.ENFORCE, *(f"mx{number}.example.net" for number in range(9)))
    reason = unusable(Published(mta_sts=MtaStsFacts(DOMAIN, policy=many))).reason
    assert "mx2.example.net, ..." in reason
    assert "mx3.example.net" not in reason


@pytest.mark.parametrize(
    "result_type", [ResultType.STS_POLICY_INVALID, ResultType.STS_WEBPKI_INVALID]
)
def test_a_policy_that_could_not_be_had_is_told_of_and_stops_nothing(
    result_type: ResultType,
) -> None:
    """RFC 8461 §3.3, §6; RFC 8460 §4.3.2.2."""
    failed = MtaStsFacts(DOMAIN, error="no mode", result_type=result_type)
    requirement = required(Published(mta_sts=failed))
    assert requirement.level is Level.MAY
    [finding] = requirement.findings
    assert (finding.result_type, finding.reason_code) == (result_type, "no-policy")
    cached = replace(failed, policy=policy_of(MtaStsMode.ENFORCE, MX))
    requirement = required(Published(mta_sts=cached))
    assert requirement.level is Level.VERIFY
    [finding] = requirement.findings
    assert (finding.result_type, finding.reason_code) == (result_type, "fallback-to-cached-policy")


def test_a_policy_that_is_tested_is_recorded() -> None:
    """RFC 8461 §5."""
    requirement = required(Published(mta_sts=MTA_STS["testing, does not"]))
    assert requirement.is_testing
    assert requirement.level is Level.MAY
    assert [f.reason_code for f in requirement.findings] == ["mtasts-policy-mx-mismatch"]
    assert not required(Published(mta_sts=MTA_STS["enforce, lists it"])).is_testing
    assert not required(Published()).is_testing


# Both, and the operator.


def test_both_hold_together_and_every_source_is_named() -> None:
    """RFC 8461 §2, §5: docs/decisions/0004."""
    published = Published(USABLE, MTA_STS["enforce, lists it"], Security.SECURE)
    requirement = required(published)
    assert requirement.level is Level.DANE
    assert requirement.sources == (Source.DANE, Source.MTA_STS)
    assert "DANE" in requirement.reason
    assert "MTA-STS" in requirement.reason
    strict = PolicyTable({}, TableEntry("", Level.SECURE, "policy.default_level"))
    requirement = required(published, table=strict)
    assert requirement.sources == (Source.DEFAULT, Source.DANE, Source.MTA_STS)
    assert requirement.names == (DOMAIN, f".{DOMAIN}")


def test_an_exception_shows_its_reason_its_end_and_what_it_takes_the_place_of() -> None:
    """An explanation that leaves these out explains nothing."""
    fields = {"level": "encrypt", "reason": "old key, ticket 12", "until": "2026-03-31"}
    entry = parse_entry(DOMAIN, fields, "letterlock.toml:7")
    assert isinstance(entry, TableEntry)
    table = PolicyTable({DOMAIN: entry}, DEFAULT)
    published = Published(USABLE, MTA_STS["enforce, does not"])
    last = date(2026, 3, 31)
    requirement = required(published, table=table.on(last))
    for words in ("old key, ticket 12", "until 2026-03-31", "published: DANE and MTA-STS"):
        assert words in requirement.reason
    assert "published" not in required(Published(TLSA["none"]), table=table).reason
    later = table.on(last + timedelta(days=1))
    requirement = required(Published(USABLE), table=later)
    assert requirement.level is Level.DANE
    assert "letterlock.toml:7 ended on 2026-03-31" in required(Published(), table=later).reason


@pytest.mark.parametrize("demand", list(TlsDemand))
@pytest.mark.parametrize("mx_security", [Security.SECURE, Security.INSECURE])
@pytest.mark.parametrize("sts", MTA_STS)
@pytest.mark.parametrize("tlsa", TLSA)
def test_an_exception_is_told_whatever_decides(
    tlsa: str, sts: str, mx_security: Security, demand: TlsDemand
) -> None:
    """One that holds with its reason and last day, one that ended with that."""
    published = Published(TLSA[tlsa], MTA_STS[sts], mx_security=mx_security)
    for level in Level:
        fields: dict[str, object] = {"level": level, "reason": "why", "until": "2026-03-31"}
        if level is Level.FINGERPRINT:
            fields["match"] = [PIN]
        table = PolicyTable({DOMAIN: parse_entry(DOMAIN, fields, "f:7")}, DEFAULT)
        last = date(2026, 3, 31)
        decision = decide(DOMAIN, DOMAIN, MX, table.on(last), published, demand)
        assert f"{level} (f:7): why, until 2026-03-31" in decision.reason
        assert decision.reason.count("why") == 1
        later = table.on(last + timedelta(days=1))
        decision = decide(DOMAIN, DOMAIN, MX, later, published, demand)
        assert decision.reason.count("the entry at f:7 ended on 2026-03-31 (why)") == 1


def test_a_wrong_entry_stops_mail_whatever_is_published() -> None:
    table = table_of(WrongEntry(DOMAIN, "table:1", "no level"))
    for demand in TlsDemand:
        decision = found(Published(USABLE), table=table, demand=demand)
        assert isinstance(decision, RequirementInvalid)
    assert not needs_published(DOMAIN, DOMAIN, MX, table)


def test_old_tls_that_an_entry_allows_in_place_of_clear_text_is_not_for_requiretls() -> None:
    """RFC 9325 §5.2; RFC 8689 §4.2.1; rule 157."""
    fields = {"level": "may", "protocols": "TLSv1:TLSv1.1", "ciphers": "high", "exclude": "AES128"}
    entry = parse_entry(DOMAIN, fields, "table:1")
    assert isinstance(entry, TableEntry)
    table = table_of(entry)
    requirement = required(Published(USABLE), table=table, demand=TlsDemand.REQUIRETLS)
    assert (requirement.min_version, requirement.max_version) == ("TLSv1.2", None)
    assert requirement.ciphers is None
    newest = replace(entry, min_version="TLSv1.3", max_version="TLSv1.3", level=Level.ENCRYPT)
    requirement = required(Published(USABLE), table=table_of(newest), demand=TlsDemand.REQUIRETLS)
    assert (requirement.min_version, requirement.max_version) == ("TLSv1.3", "TLSv1.3")
    assert requirement.ciphers == entry.ciphers


def test_requiretls_takes_a_host_that_is_the_domain_itself() -> None:
    """RFC 8689 §4.2.1: its name is from the message, not from the DNS. Rule 88."""
    published = Published(TLSA["none"], None, Security.INSECURE)
    requirement = required(published, host=DOMAIN, demand=TlsDemand.REQUIRETLS)
    assert requirement.level is Level.VERIFY
    assert requirement.names == (DOMAIN,)


def test_a_host_that_requiretls_rules_out_is_named() -> None:
    """RFC 8689 §4.2.1: nothing to report, all to return."""
    published = Published(TLSA["usable"], None, Security.INSECURE)
    host = unusable(published, demand=TlsDemand.REQUIRETLS)
    assert host.source is Source.REQUIRETLS
    assert host.is_permanent
    assert host.result_type is None
    assert MX in host.reason


def test_a_name_that_the_operator_gave_needs_no_lookup_to_vouch_for_it() -> None:
    """RFC 9525 §6.1.1, RFC 8689 §4.2.1."""
    entry = replace(entry_of(Level.VERIFY), match=("mx.provider.example",))
    published = Published(TLSA["none"], None, Security.INSECURE)
    requirement = required(published, table=table_of(entry), demand=TlsDemand.REQUIRETLS)
    assert requirement.names == ("mx.provider.example",)


def test_more_than_one_record_is_kept_for_the_judge() -> None:
    """RFC 7671 §9: agility is judged on all that is published."""
    records = (GOOD, BAD, TlsaRecord(2, 0, 2, bytes(64)))
    assert required(Published(TlsaFacts(TlsaStatus.USABLE, MX, records))).tlsa == records
