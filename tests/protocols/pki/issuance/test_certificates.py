"""Certificates as they are issued: what is in them, and that chains of them are trusted."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.base.domains import Domain
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.pki.chain import ChainJudgement, compare_names, judge_chain
from letterlock.protocols.pki.issuance.certificates import (
    AuthorityName,
    ServerSubject,
    draft_intermediate,
    draft_root,
    draft_server_certificate,
)
from letterlock.protocols.pki.issuance.issuers import Places, find_shard, make_issuer
from letterlock.protocols.pki.issuance.profiles import NameRules, Profile, find_name_faults
from letterlock.protocols.pki.issuance.signing import sign_draft
from tests.fakes import START
from tests.protocols.pki.issuance.authority import (
    EC_KEY,
    ISSUER,
    OPEN,
    PLACES,
    ROOT,
    SUBJECT_KEY,
    YEAR,
    der_of,
    draft_for,
    issue,
    load,
    make_intermediate,
    names_of,
    new_intermediate,
    serial,
)

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def judge(certificate: x509.Certificate, *, issuer: object = None) -> ChainJudgement:
    above = issuer if isinstance(issuer, x509.Certificate) else ISSUER.certificate
    anchors = TrustAnchors.from_der(der_of(ROOT.certificate))
    return judge_chain([der_of(certificate), der_of(above)], anchors, START)


def critical_of(certificate: x509.Certificate) -> dict[str, bool]:
    return {each.oid._name: each.critical for each in certificate.extensions}


def test_a_servers_certificate_has_what_it_needs_and_nothing_else() -> None:
    """Rule 211: RFC 5280 §4.2; Baseline Requirements 7.1.2.7."""
    certificate = issue(["mx.example.com", "192.0.2.1"])
    assert critical_of(certificate) == {
        "subjectAltName": True,
        "keyUsage": True,
        "extendedKeyUsage": False,
        "certificatePolicies": False,
        "authorityKeyIdentifier": False,
        "cRLDistributionPoints": False,
        "authorityInfoAccess": False,
    }
    assert certificate.version is x509.Version.v3
    assert certificate.subject == x509.Name([])
    assert certificate.issuer == ISSUER.certificate.subject
    assert certificate.public_key() == SUBJECT_KEY
    identifier = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    above = ISSUER.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert identifier == x509.AuthorityKeyIdentifier(above.digest, None, None)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert [usage.digital_signature, usage.key_encipherment, usage.key_cert_sign] == [1, 0, 0]
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [each._name for each in uses] == ["serverAuth"]
    (policy,) = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    assert policy.policy_identifier.dotted_string == "2.23.140.1.2.1"
    assert policy.policy_qualifiers is None


def test_a_common_name_is_one_of_the_names_and_then_the_names_are_not_critical() -> None:
    """RFC 5280 §4.2.1.6; Baseline Requirements 7.1.4.3: in the same spelling."""
    profile = Profile("x", has_common_name=True, has_client_auth=True)
    long = "a" * 60 + ".example.com"
    certificate = issue([long, "mx.example.com"], profile)
    assert certificate.subject.rfc4514_string() == "CN=mx.example.com"
    assert critical_of(certificate)["subjectAltName"] is False
    uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [each._name for each in uses] == ["serverAuth", "clientAuth"]
    # RFC 5280 §A.1: a common name has 64 characters at most.
    only_long = issue([long], profile)
    assert only_long.subject == x509.Name([])
    assert critical_of(only_long)["subjectAltName"] is True


def test_a_crl_is_at_the_place_of_the_serial_numbers_shard() -> None:
    for seed in range(20):
        certificate = issue(["mx.example.com"], seed=seed)
        shard = find_shard(certificate.serial_number)
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        (point,) = points
        url = x509.UniformResourceIdentifier(f"http://ca.example.net/crl/{shard}.crl")
        assert point == x509.DistributionPoint([url], None, None, None)


@pytest.mark.parametrize("days", [6, 47, 90, 200])
@pytest.mark.parametrize("hours", [0, 1, 24])
def test_validity_counts_its_last_second_and_what_is_backdated(days: int, hours: int) -> None:
    """Rule 212: Baseline Requirements 6.3.2; RFC 5280 §4.1.2.5: both ends count, in UTC."""
    backdated = timedelta(hours=hours)
    certificate = issue(["mx.example.com"], Profile("x", days * DAY, backdated))
    assert certificate.not_valid_before_utc == START - backdated
    lasts = certificate.not_valid_after_utc - certificate.not_valid_before_utc + SECOND
    assert lasts == days * DAY


def test_a_certificate_begins_no_earlier_than_its_issuers() -> None:
    certificate = issue(["mx.example.com"], Profile("x", backdated=timedelta(hours=48)))
    assert certificate.not_valid_before_utc == ISSUER.certificate.not_valid_before_utc


def test_a_certificate_is_never_shortened() -> None:
    """The profile says how long; an issuer that ends before is to be replaced in time."""
    end = ISSUER.certificate.not_valid_after_utc
    subject = ServerSubject(names_of("mx.example.com"), SUBJECT_KEY)
    now = end + SECOND - 90 * DAY + timedelta(hours=1)
    draft = draft_server_certificate(ISSUER, Profile("x"), subject, serial(), now)
    assert load(draft.der).not_valid_after_utc == end
    with pytest.raises(ValueError, match="ends before 2031"):
        draft_server_certificate(ISSUER, Profile("x"), subject, serial(), now + SECOND)


def test_moments_are_whole_seconds_of_utc() -> None:
    now = START.replace(microsecond=999_999).astimezone()
    subject = ServerSubject(names_of("mx.example.com"), SUBJECT_KEY)
    draft = draft_server_certificate(ISSUER, Profile("x"), subject, serial(), now)
    assert load(draft.der).not_valid_before_utc == START - timedelta(hours=1)


@pytest.mark.parametrize(
    "names", [[], ["_x.example.com"], [f"{n}.example.com" for n in range(101)]]
)
def test_names_that_the_profile_does_not_allow_are_not_issued(names: list[str]) -> None:
    """The service refuses them with a reason; that none slips by is this floor's."""
    with pytest.raises(ValueError, match="not for these names"):
        draft_for(names)


def test_a_serial_number_without_a_shard_is_not_issued() -> None:
    subject = ServerSubject(names_of("mx.example.com"), SUBJECT_KEY)
    with pytest.raises(ValueError, match="without a shard"):
        draft_server_certificate(ISSUER, Profile("x"), subject, 17, START)
    with pytest.raises(ValueError, match="without a shard"):
        draft_intermediate(ROOT, replace(new_intermediate(), serial=17), OPEN)


def test_where_the_issuer_is_stands_there_only_if_there_is_such_a_place() -> None:
    issuer = make_issuer(ISSUER.certificate, ISSUER.signer, Places(PLACES.crls))
    assert "authorityInfoAccess" not in critical_of(issue(["mx.example.com"], issuer=issuer))
    access = issue(["mx.example.com"]).extensions.get_extension_for_class(
        x509.AuthorityInformationAccess
    )
    (at,) = access.value
    assert at.access_location == x509.UniformResourceIdentifier(PLACES.issuer or "")


def test_an_authority_and_its_root() -> None:
    """RFC 5280 §4.2.1.1, §4.2.1.2, §4.2.1.9; Baseline Requirements 7.1.2.1, 7.1.2.6."""
    assert critical_of(ROOT.certificate) == {
        "basicConstraints": True,
        "keyUsage": True,
        "subjectKeyIdentifier": False,
        "authorityKeyIdentifier": False,
    }
    assert critical_of(ISSUER.certificate) == {
        "basicConstraints": True,
        "keyUsage": True,
        "subjectKeyIdentifier": False,
        "extendedKeyUsage": False,
        "certificatePolicies": False,
        "authorityKeyIdentifier": False,
        "cRLDistributionPoints": False,
        "authorityInfoAccess": False,
    }
    constraints = ISSUER.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert ROOT.certificate.subject.rfc4514_string() == "CN=Lab Root,O=Lab,C=DE"
    assert AuthorityName("Just this").to_x509().rfc4514_string() == "CN=Just this"


def test_authorities_live_no_longer_than_they_may() -> None:
    new = new_intermediate()
    with pytest.raises(ValueError, match="25 years"):
        draft_root(replace(new, lifetime=26 * YEAR), ROOT.stand_in)
    with pytest.raises(ValueError, match="ten years"):
        draft_intermediate(ROOT, replace(new, lifetime=11 * YEAR), OPEN)
    late = replace(new, now=START + 19 * YEAR)
    with pytest.raises(ValueError, match="ends before"):
        draft_intermediate(ROOT, late, OPEN)


label = st.from_regex(r"[a-z]([a-z0-9]{0,5}[a-z0-9])?", fullmatch=True)
domain = st.lists(label, min_size=2, max_size=4).map(".".join)
name = st.one_of(domain, domain.map("*.{}".format), st.ip_addresses().map(str))
orders = st.lists(name, min_size=1, max_size=8, unique=True)


@settings(max_examples=25)
@given(orders, st.integers(0, 2**32))
def test_our_own_judge_trusts_what_is_issued_for_each_name(order: list[str], seed: int) -> None:
    names = names_of(*order)
    if find_name_faults(names, Profile("x")):
        return
    certificate = issue(names, seed=seed)
    judgement = judge(certificate)
    assert judgement.is_trusted
    assert judgement.leaf is not None
    assert judgement.leaf.names == names
    for text in order:
        match, findings = compare_names(judgement.leaf.names, [text.replace("*.", "any.")])
        assert match is not None
        assert findings == ()


DOMAINS = ("a.example", "b.a.example", "c.b.a.example", "other.example", "xa.example", "example")
NETS = ("10.0.0.0/8", "10.9.0.0/16", "2001:db8::/32")
ADDRESSES = ("10.1.1.1", "10.9.1.1", "192.0.2.1", "2001:db8::1", "fe80::1")
domains = st.sets(st.sampled_from(DOMAINS), max_size=2).map(lambda found: tuple(sorted(found)))
networks = st.sets(st.sampled_from(NETS), max_size=2).map(
    lambda found: tuple(ip_network(each) for each in sorted(found))
)
hosts = st.sampled_from([*DOMAINS[:-1], *(f"*.{each}" for each in DOMAINS[:-1]), *ADDRESSES])


@settings(max_examples=40)
@given(domains, networks, domains, networks, hosts)
def test_name_rules_and_name_constraints_say_the_same(
    permitted: tuple[Domain, ...],
    permitted_networks: tuple[object, ...],
    excluded: tuple[Domain, ...],
    excluded_networks: tuple[object, ...],
    host: str,
) -> None:
    """Rule 213: RFC 5280 §4.2.1.10, OpenSSL's word beside ours.

    A wildcard that would cover an excluded name is refused by us alone: OpenSSL compares texts.
    """
    rules = NameRules(permitted, permitted_networks, excluded, excluded_networks)  # type: ignore[arg-type]  # networks
    issuer = make_intermediate(ROOT, rules)
    names = names_of(host)
    trusted = judge(issue(names, issuer=issuer), issuer=issuer.certificate).is_trusted
    faults = find_name_faults(names, Profile("x", rules=rules))
    if host.startswith("*.") and host[2:] in {each.partition(".")[2] for each in excluded}:
        assert faults
    else:
        assert trusted == (not faults)


def test_a_constrained_authority_says_so_in_a_critical_extension() -> None:
    rules = NameRules(permitted_domains=(Domain("corp.example"),))
    issuer = make_intermediate(ROOT, rules)
    assert critical_of(issuer.certificate)["nameConstraints"] is True
    assert judge(issue(["mx.corp.example"], issuer=issuer), issuer=issuer.certificate).is_trusted
    outside = issue(["mx.example.org"], issuer=issuer)
    (finding,) = judge(outside, issuer=issuer.certificate).findings
    assert finding.reason_code == "name-constraint-violated"


def test_an_authority_below_may_be_for_clients_too() -> None:
    draft = draft_intermediate(ROOT, new_intermediate(), OPEN, has_client_auth=True)
    uses = load(sign_draft(draft, ROOT.signer)).extensions.get_extension_for_class(
        x509.ExtendedKeyUsage
    )
    assert [each._name for each in uses.value] == ["serverAuth", "clientAuth"]
    assert EC_KEY.public_key() != ROOT.key
