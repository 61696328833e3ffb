"""Whether who issued a host's certificate may issue the next one: RFC 8659 §3, RFC 8657."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from letterlock.base.domains import Domain
from letterlock.protocols.caa.decide import decide
from letterlock.protocols.caa.relevant import LookupFailed, NoRecords, RecordSet, Relevant
from letterlock.protocols.check.facts import (
    AddressFacts,
    AskedSni,
    DomainFacts,
    HostFacts,
    Probe,
    State,
)
from letterlock.protocols.check.findings import RFCS, Finding, FindingId, Severity
from letterlock.protocols.check.issuers import find_identities
from letterlock.protocols.check.renewal_rights import Renewal, find_rights, list_renewals
from letterlock.protocols.dns.answers import CaaRecord, Security
from letterlock.protocols.pki.certificate import CertificateFacts, read_certificate
from letterlock.protocols.pki.throwaway_ca import GOOD_CA, ThrowawayCa
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOST = Domain("mx.example.org")


@cache
def authority(organization: str) -> ThrowawayCa:
    names = [x509.NameAttribute(NameOID.COMMON_NAME, "R11")]
    if organization:
        names.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return ThrowawayCa("R11", NOW, shape=replace(GOOD_CA, subject=x509.Name(names)))


def make_host(
    *names: str, organization: str = "Let's Encrypt", host: Domain | None = HOST
) -> HostFacts:
    chain = authority(organization).issue(names or (HOST,), now=NOW).chain_der
    handshake = Handshake("TLSv1.3", "AES", 256, None, HOST, chain)
    probe = Probe(AskedSni.OWN, State.OK, HOST, handshake=handshake)
    probes = (probe, replace(probe, asked=AskedSni.NONE))
    return HostFacts(host, 10, (make_address(*probes), make_address(*probes, ip="192.0.2.2")))


def make_address(*probes: Probe, ip: str = "192.0.2.1") -> AddressFacts:
    return AddressFacts(ip_address(ip), Security.SECURE, State.OK, probes)


def list_of(*hosts: HostFacts) -> list[Renewal]:
    return list(list_renewals(DomainFacts(Domain("example.org"), hosts, None)))


def renew(*names: str, organization: str = "Let's Encrypt") -> Renewal:
    (renewal,) = list_of(make_host(*names, organization=organization))
    return renewal


def found_at(name: Domain, *records: tuple[int, str, str]) -> RecordSet:
    made = tuple(CaaRecord(flags, tag.encode(), value.encode()) for flags, tag, value in records)
    return RecordSet(name, Domain("example.org"), made, Security.SECURE, 60, Domain("example.org"))


def judge(renewal: Renewal, relevant: Relevant) -> list[Finding]:
    return list(find_rights([(renewal, decide(relevant, renewal.issuance))]))


def test_what_is_renewed_is_the_name_by_which_the_host_is_covered() -> None:
    assert renew().issuance.name == HOST
    assert not renew().issuance.is_wildcard
    wild = renew("*.example.org", "other.example").issuance
    assert (wild.name, wild.is_wildcard) == ("example.org", True)
    assert wild.issuers == ("letsencrypt.org",)


def test_a_certificate_of_several_addresses_is_asked_about_once() -> None:
    assert len(list_of(make_host(), make_host())) == 1


@pytest.mark.parametrize(
    "host",
    [
        make_host("mx.other.example"),
        make_host(host=None),
        HostFacts(HOST, 10, (make_address(Probe(AskedSni.OWN, State.BLOCKED)),)),
        HostFacts(
            HOST,
            10,
            (
                make_address(
                    *(
                        Probe(AskedSni.OWN, State.OK, handshake=each)
                        for each in (
                            HandshakeFailed(FailureCause.RESET, "reset"),
                            Handshake("TLSv1.3", "AES", 256, None, None, ()),
                            Handshake("TLSv1.3", "AES", 256, None, None, (b"none",)),
                        )
                    )
                ),
            ),
        ),
    ],
)
def test_what_does_not_cover_its_host_says_nothing_of_the_next_one(host: HostFacts) -> None:
    assert list_of(host) == []


@pytest.mark.parametrize(
    ("organization", "identity"),
    [
        ("Let's Encrypt", "letsencrypt.org"),
        ("LET'S ENCRYPT", "letsencrypt.org"),
        ("Google Trust Services", "pki.goog"),
        ("Sectigo Limited", "sectigo.com"),
        ("DigiCert Inc", "digicert.com"),
        ("Our Own CA", None),
        ("", None),
    ],
)
def test_authorities_are_known_by_their_organisation(
    organization: str, identity: str | None
) -> None:
    facts = read_certificate(authority(organization).issue((HOST,), now=NOW).der)
    assert isinstance(facts, CertificateFacts)
    assert facts.issuer_organization == organization
    assert next(iter(find_identities(facts)), None) == identity


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([(0, "issue", "letsencrypt.org")], None),
        ([(0, "issue", "letsencrypt.org"), (0, "issue", "pki.goog")], None),
        ([(0, "iodef", "mailto:a@example.org")], None),
        ([(0, "issue", "pki.goog")], ("caa-forbids-renewal", Severity.WARNING)),
        ([(0, "issue", ";")], ("caa-forbids-renewal", Severity.WARNING)),
        (
            [(0, "issue", "letsencrypt.org; accounturi=no-uri")],
            ("caa-forbids-renewal", Severity.WARNING),
        ),
        ([(128, "future", "x")], ("caa-forbids-renewal", Severity.WARNING)),
        (
            [(0, "issue", "letsencrypt.org; accounturi=https://acme.example/1")],
            ("caa-limits-renewal", Severity.INFO),
        ),
        (
            [(0, "issue", "letsencrypt.org; validationmethods=dns-01")],
            ("caa-limits-renewal", Severity.INFO),
        ),
        ([(0, "is sue", "x")], ("caa-unreadable", Severity.NOTICE)),
    ],
)
def test_what_the_records_mean_for_the_issuer_that_is_seen(
    records: Sequence[tuple[int, str, str]], expected: tuple[str, Severity] | None
) -> None:
    findings = judge(renew(), found_at(HOST, *records))
    assert [(each.id, each.severity) for each in findings] == ([expected] if expected else [])
    for each in findings:
        assert each.where == HOST
        assert each.rfc == RFCS[FindingId(each.id)]
        assert each.fix


def test_the_line_that_mends_it_is_told() -> None:
    (finding,) = judge(renew(), found_at(HOST, (0, "issue", "pki.goog")))
    assert finding.fix == 'add example.org. CAA 0 issue "letsencrypt.org"'
    assert "Let's Encrypt may not renew" in finding.evidence
    (critical,) = judge(renew(), found_at(HOST, (128, "future", "x")))
    assert critical.fix == 'take 128 future "x" away'


def test_limits_are_named_with_their_account_and_methods() -> None:
    """RFC 8657 §3, §4: which the host's operator alone knows."""
    value = "letsencrypt.org; accounturi=https://acme.example/1; validationmethods=dns-01"
    (finding,) = judge(renew(), found_at(HOST, (0, "issue", value)))
    assert "https://acme.example/1" in finding.evidence
    assert "dns-01" in finding.evidence


def test_of_an_issuer_that_is_not_known_nothing_is_told() -> None:
    unknown = renew(organization="Our Own CA")
    assert not unknown.is_issuer_known
    assert judge(unknown, found_at(HOST, (0, "issue", "pki.goog"))) == []


@pytest.mark.parametrize("organization", ["Let's Encrypt", "Our Own CA"])
def test_no_records_allow_anybody(organization: str) -> None:
    renewal = renew(organization=organization)
    (finding,) = judge(renewal, NoRecords(HOST, Security.SECURE))
    assert (finding.id, finding.severity) == ("caa-missing", Severity.INFO)
    assert ("letsencrypt.org" in finding.fix) == renewal.is_issuer_known


def test_what_is_forged_keeps_everybody_from_issuing_and_what_is_not_answered_tells_of_us() -> None:
    """RFC 8659 §5.1."""
    for security, ids in ((Security.BOGUS, ["caa-bogus"]), (Security.FAILED, [])):
        failed = LookupFailed(HOST, HOST, security, "why")
        assert [each.id for each in judge(renew(), failed)] == ids
