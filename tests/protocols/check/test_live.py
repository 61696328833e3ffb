"""What connections show, and how bad it is; certificates are made for each fault."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from ipaddress import ip_address

import pytest

from letterlock.base.domains import Domain
from letterlock.protocols.check.facts import (
    AddressFacts,
    AskedSni,
    DomainFacts,
    HostFacts,
    Probe,
    State,
)
from letterlock.protocols.check.findings import RFCS, FindingId, Severity, rank
from letterlock.protocols.check.live import find_live
from letterlock.protocols.check.policies import find_policies
from letterlock.protocols.check.senders import SENDERS, judge_domain, judge_host
from letterlock.protocols.check.terms import Terms
from letterlock.protocols.dns.answers import Security, TlsaRecord
from letterlock.protocols.mta_sts.policy import MtaStsMode, MtaStsPolicy
from letterlock.protocols.pki.anchors import TrustAnchors
from letterlock.protocols.pki.certificate import CertificateFacts, read_certificate
from letterlock.protocols.pki.throwaway_ca import (
    CLIENT_AUTH,
    GOOD_LEAF,
    Issued,
    Shape,
    ThrowawayCa,
    make_name,
    self_signed,
)
from letterlock.protocols.policy.facts import MtaStsFacts, TlsaFacts, TlsaStatus
from letterlock.protocols.smtp.replies import reply
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOST = "mx.example.org"
DOMAIN = Domain("example.org")
IP = "192.0.2.1"
Chain = tuple[bytes, ...]


@cache
def authority() -> ThrowawayCa:
    return ThrowawayCa("Test CA", NOW)


@cache
def anchors() -> TrustAnchors:
    return TrustAnchors.from_pem(authority().pem)


def leaf(*names: str, shape: Shape = GOOD_LEAF, ca: ThrowawayCa | None = None) -> Issued:
    return (ca or authority()).issue(names or (HOST,), now=NOW, shape=shape)


@cache
def good() -> Chain:
    return leaf().chain_der


def shake(
    chain: Chain, *, version: str = "TLSv1.3", group: str | None = "X25519MLKEM768"
) -> Handshake:
    return Handshake(version, "TLS_AES_256_GCM_SHA384", 256, group, HOST, chain)


FAILED = HandshakeFailed(FailureCause.ALERT_RECEIVED, "the peer sent the TLS alert", "handshake")


def own(handshake: Handshake | HandshakeFailed | None, **parts: object) -> Probe:
    state = State.OK if isinstance(handshake, Handshake) else State.FINDING
    probe = Probe(AskedSni.OWN, state, HOST, handshake=handshake, is_starttls_offered=True)
    return replace(probe, **parts)  # type: ignore[arg-type] # passed on


def make_address(*probes: Probe, state: State = State.OK, ip: str = IP) -> AddressFacts:
    return AddressFacts(ip_address(ip), Security.SECURE, state, probes, "what came of it")


def make_domain(
    *addresses: AddressFacts,
    tlsa: Sequence[TlsaRecord] = (),
    sts: MtaStsPolicy | None = None,
    name: str = HOST,
) -> DomainFacts:
    facts = None
    if tlsa:
        facts = TlsaFacts(TlsaStatus.USABLE, Domain(name), tuple(tlsa))
    host = HostFacts(Domain(name), 10, addresses, facts)
    policy = MtaStsFacts(DOMAIN, policy=sts) if sts is not None else None
    return DomainFacts(DOMAIN, (host,), Security.SECURE, policy)


def find(domain: DomainFacts, *, days: int = 21) -> dict[str, Severity]:
    found = rank(find_live(domain, Terms(anchors(), NOW, days)))
    assert all(each.rfc == RFCS[FindingId(each.id)] for each in found)
    assert all("\n" not in each.evidence + each.fix for each in found)
    return {each.id: each.severity for each in found}


def show(chain: Chain) -> DomainFacts:
    return make_domain(make_address(own(shake(chain))))


ENFORCE = MtaStsPolicy(MtaStsMode.ENFORCE, (f"*.{DOMAIN}",), timedelta(days=7))


def ee(issued_chain: Chain) -> TlsaRecord:
    facts = read_certificate(issued_chain[0])
    assert isinstance(facts, CertificateFacts)
    return TlsaRecord(3, 1, 1, bytes.fromhex(facts.spki_sha256))


OTHER = TlsaRecord(3, 1, 1, sha256(b"another").digest())


def test_a_good_host_has_no_findings() -> None:
    probes = (
        own(shake(good())),
        replace(own(shake(good())), asked=AskedSni.NONE, sni=None),
        replace(own(shake(good())), asked=AskedSni.WRONG, sni="unknown.invalid"),
    )
    assert find(make_domain(make_address(*probes), tlsa=[ee(good())], sts=ENFORCE)) == {}
    left_out = Probe(AskedSni.WRONG, State.NOT_TESTED, "unknown.invalid")
    assert find(make_domain(make_address(*probes[:2], left_out))) == {}


@cache
def below() -> ThrowawayCa:
    return authority().intermediate("Intermediate", now=NOW)


def dated(before: timedelta, after: timedelta) -> Shape:
    return replace(GOOD_LEAF, not_before=NOW + before, not_after=NOW + after)


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ((), {"no-certificate"}),
        ((b"no certificate",), {"certificate-unreadable"}),
        (self_signed([HOST], now=NOW).chain_der, {"certificate-self-signed"}),
        (leaf(ca=ThrowawayCa("Strange CA", NOW)).chain_der, {"certificate-untrusted"}),
        (leaf(shape=dated(-9 * DAY, -DAY)).chain_der, {"certificate-expired"}),
        (leaf(shape=dated(-9 * DAY, 20 * DAY)).chain_der, {"certificate-expires-soon"}),
        (leaf(shape=dated(-9 * DAY, 22 * DAY)).chain_der, set()),
        (leaf(shape=dated(DAY, 90 * DAY)).chain_der, {"certificate-not-yet-valid"}),
        (leaf("mx.other.example").chain_der, {"certificate-name-mismatch"}),
        (leaf("*.org").chain_der, {"wildcard-covers-one-label"}),
        (leaf("*.example.org").chain_der, set()),
        (
            leaf(shape=replace(GOOD_LEAF, subject=make_name(HOST), general_names=())).chain_der,
            {"certificate-name-mismatch"},
        ),
        (
            leaf(shape=replace(GOOD_LEAF, eku=(CLIENT_AUTH,))).chain_der,
            {"certificate-not-for-servers"},
        ),
        (
            leaf("mx.other.example", shape=dated(-9 * DAY, -DAY)).chain_der,
            {"certificate-name-mismatch", "certificate-expired"},
        ),
        ((*good(), authority().der), {"root-sent"}),
        ((good()[0], below().der), {"chain-out-of-order"}),
    ],
)
def test_every_fault_of_a_certificate_is_found(chain: Chain, expected: set[str]) -> None:
    """Not only the first. Without a policy it is no more than a warning."""
    found = find(show(chain))
    assert found.keys() == expected
    assert Severity.CRITICAL not in found.values()


def test_weak_keys_and_missing_intermediates() -> None:
    weak = authority().issue((HOST,), now=NOW, key="rsa-1024")
    assert find(show(weak.chain_der)).keys() == {"certificate-weak"}
    behind = leaf(ca=below())
    assert find(show(behind.chain_der)) == {}
    assert find(show(behind.chain_der[:1])).keys() & {
        "intermediate-not-sent",
        "certificate-untrusted",
    }


def test_the_wildcard_of_163() -> None:
    """`*.163.com` cannot cover `163mx02.mxmail.netease.com`, nor `a.b.163.com`."""
    netease = leaf("*.163.com")
    name = "163mx02.mxmail.netease.com"
    found = list(
        find_live(
            make_domain(make_address(own(shake(netease.chain_der))), name=name),
            Terms(anchors(), NOW),
        )
    )
    (mismatch,) = found
    assert mismatch.id == "certificate-name-mismatch"
    assert name in mismatch.evidence
    assert "HELO name and the mail domain do not count" in mismatch.evidence
    deep = make_domain(make_address(own(shake(netease.chain_der))), name="a.b.163.com")
    assert find(deep) == {"wildcard-covers-one-label": Severity.WARNING}


def test_googles_certificate_for_clients_without_sni() -> None:
    told = replace(GOOD_LEAF, subject=make_name("No SNI provided; please fix your client."))
    stranger = self_signed(["invalid2.invalid"], now=NOW, shape=told)
    probes = (
        own(shake(good())),
        Probe(AskedSni.NONE, State.OK, None, handshake=shake(stranger.chain_der)),
    )
    domain = make_domain(make_address(*probes), sts=ENFORCE)
    assert find(domain) == {"other-certificate-without-sni": Severity.WARNING}
    outcomes = {each.name: judge(each.name, domain) for each in SENDERS}
    assert outcomes["opportunistic-no-sni"] == "encrypted"
    assert outcomes["verify-no-sni"] == outcomes["secure-no-sni"] == "defer"
    assert outcomes["mta-sts"] == "authenticated"


def test_a_handshake_that_fails_without_a_name_or_with_an_unknown_one() -> None:
    """RFC 7672 §8.1: it must go on with a default certificate."""
    probes = (
        own(shake(good())),
        Probe(AskedSni.NONE, State.FINDING, None, handshake=FAILED),
        Probe(AskedSni.WRONG, State.FINDING, "unknown.invalid", handshake=FAILED),
    )
    assert find(make_domain(make_address(*probes))) == {
        "handshake-fails-without-sni": Severity.CRITICAL,
        "handshake-fails-for-unknown-sni": Severity.WARNING,
    }


def test_another_certificate_that_is_good_too_is_no_fault() -> None:
    other = leaf(HOST, "other.example").chain_der
    probes = (
        own(shake(good())),
        Probe(AskedSni.NONE, State.OK, None, handshake=shake(other)),
        Probe(AskedSni.WRONG, State.OK, "unknown.invalid", handshake=shake(())),
    )
    assert find(make_domain(make_address(*probes))) == {
        "other-certificate-without-sni": Severity.INFO
    }


def test_a_certificate_with_a_key_of_another_type_is_looked_at_too() -> None:
    expired = leaf(shape=dated(-9 * DAY, -DAY)).chain_der
    probes = (own(shake(good())), replace(own(shake(expired)), key=KeyType.RSA))
    assert find(make_domain(make_address(*probes))) == {"certificate-expired": Severity.WARNING}


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        (own(None), "starttls-not-offered"),
        (own(None, starttls=reply(454, "4.7.0", "no TLS")), "starttls-refused"),
        (own(FAILED), "handshake-failed"),
        (own(shake(good(), version="TLSv1.1"), strict_failure=FAILED), "old-tls-only"),
        (own(shake(good(), version="TLSv1.2"), strict_failure=FAILED), "weak-ciphers-only"),
        (own(shake(leaf("other.example").chain_der)), "certificate-name-mismatch"),
    ],
)
def test_what_makes_mail_wait_for_those_who_follow_a_policy_is_critical(
    probe: Probe, expected: str
) -> None:
    assert find(make_domain(make_address(probe))) == {expected: Severity.WARNING}
    assert find(make_domain(make_address(probe), sts=ENFORCE)) == {expected: Severity.CRITICAL}


def test_a_group_that_a_quantum_computer_breaks_is_told() -> None:
    domain = make_domain(make_address(own(shake(good(), group="x25519"))))
    assert find(domain) == {"no-post-quantum-group": Severity.INFO}
    domain = make_domain(make_address(own(shake(good(), version="TLSv1.2", group=None))))
    assert find(domain) == {"no-post-quantum-group": Severity.INFO}


def test_an_address_that_had_its_connections_is_told_and_is_no_fault() -> None:
    left_out = Probe(AskedSni.OWN, State.NOT_TESTED, HOST, detail="not tested")
    domain = make_domain(make_address(left_out, state=State.NOT_TESTED), sts=ENFORCE)
    assert find(domain) == {"host-not-asked": Severity.INFO}
    verdict = judge_domain(SENDERS[0], domain, anchors(), NOW)
    assert (verdict.verdict, verdict.reason) == (None, "not tested")


def test_who_does_not_talk_to_us_has_not_failed() -> None:
    blocked = Probe(AskedSni.OWN, State.BLOCKED, HOST, detail="it said 421 busy")
    domain = make_domain(make_address(blocked, state=State.BLOCKED), sts=ENFORCE)
    assert find(domain) == {"host-blocked-us": Severity.INFO}
    assert {judge(each.name, domain) for each in SENDERS} - {"defer"} == {"undecidable"}
    gone = make_domain(make_address(state=State.UNREACHABLE))
    assert find(gone) == {"host-unreachable": Severity.WARNING}


def test_addresses_that_show_different_certificates_are_told() -> None:
    other = leaf(HOST, "other.example").chain_der
    domain = make_domain(
        make_address(own(shake(good()))),
        make_address(own(shake(other)), ip="192.0.2.2"),
        make_address(own(None), ip="192.0.2.3"),
    )
    assert find(domain) == {
        "starttls-not-offered": Severity.WARNING,
        "addresses-differ": Severity.INFO,
    }


def test_nowhere_to_go() -> None:
    """RFC 7505 §3, RFC 5321 §5.1."""
    for is_permanent, outcome in ((True, "bounce"), (False, "defer")):
        domain = DomainFacts(
            DOMAIN, (), None, no_route="null MX", is_no_route_permanent=is_permanent
        )
        assert find(domain) == {"no-route": Severity.CRITICAL}
        assert {judge(each.name, domain) for each in SENDERS} == {outcome}


def test_a_resolver_that_answers_nothing_tells_nothing_of_the_domain() -> None:
    domain = DomainFacts(DOMAIN, (), Security.FAILED, no_route="no answer", is_unasked=True)
    assert find(domain) == {"resolver-silent": Severity.INFO}
    verdicts = [judge_domain(each, domain, anchors(), NOW) for each in SENDERS]
    assert {(each.verdict, each.reason) for each in verdicts} == {
        (None, "the resolver answers no question: no answer")
    }


def test_a_null_mx_is_no_fault_that_a_connection_shows() -> None:
    """RFC 7505 §3: whether it is meant, DNS tells."""
    domain = DomainFacts(
        DOMAIN, (), None, no_route="null MX", is_no_route_permanent=True, has_null_mx=True
    )
    assert find(domain) == {}
    assert {judge(each.name, domain) for each in SENDERS} == {"bounce"}


def judge(sender: str, domain: DomainFacts) -> str:
    (kind,) = (each for each in SENDERS if each.name == sender)
    judged = judge_domain(kind, domain, anchors(), NOW)
    return judged.verdict.outcome if judged.verdict is not None else "undecidable"


def test_dane_that_does_not_match_stops_those_who_follow_it() -> None:
    """RFC 7672 §2.2; Gmail looks at MTA-STS alone, and RFC 8461 §2 has both hold."""
    domain = make_domain(make_address(own(shake(good()))), tlsa=[OTHER], sts=ENFORCE)
    assert judge("postfix-dane", domain) == "defer"
    assert judge("dane-and-mta-sts", domain) == "defer"
    assert judge("mta-sts", domain) == "authenticated"
    assert judge("opportunistic", domain) == "encrypted"
    assert judge("dane-only", domain) == "defer"


def test_a_self_signed_certificate_is_enough_for_dane_and_not_for_mta_sts() -> None:
    chain = self_signed([HOST], now=NOW).chain_der
    domain = make_domain(make_address(own(shake(chain))), tlsa=[ee(chain)], sts=ENFORCE)
    assert judge("postfix-dane", domain) == judge("dane-only", domain) == "authenticated"
    assert judge("mta-sts", domain) == judge("dane-and-mta-sts", domain) == "defer"
    assert find(domain) == {"certificate-self-signed": Severity.CRITICAL}
    alone = make_domain(make_address(own(shake(chain))), tlsa=[ee(chain)])
    assert find(alone) == {"certificate-self-signed": Severity.WARNING}


def test_requiretls_wants_the_host_proved_and_the_extension() -> None:
    """RFC 8689 §4.2.1."""
    probe = own(shake(good()))
    assert judge("requiretls", make_domain(make_address(probe), tlsa=[ee(good())])) == "bounce"
    offering = replace(probe, offers_requiretls=True)
    proved = make_domain(make_address(offering), tlsa=[ee(good())])
    assert judge("requiretls", proved) == "authenticated"
    unproved = make_domain(make_address(own(shake(self_signed([HOST], now=NOW).chain_der))))
    assert judge("requiretls", unproved) == "defer"


def test_old_tls_is_good_enough_for_who_asks_for_none() -> None:
    """RFC 7435 §3; RFC 8996 §4 where TLS is a must."""
    probe = own(shake(good(), version="TLSv1"), strict_failure=FAILED)
    domain = make_domain(make_address(probe), sts=ENFORCE)
    assert judge("opportunistic", domain) == "encrypted"
    assert judge("mta-sts", domain) == "defer"
    alone = make_domain(make_address(probe))
    assert judge("mta-sts", alone) == "encrypted"
    # A node of ours would rather go in clear than by a version that protects from nobody.
    assert judge("dane-and-mta-sts", alone) == "clear"
    poor = own(shake(good(), version="TLSv1.2"), strict_failure=FAILED)
    assert judge("dane-and-mta-sts", make_domain(make_address(poor))) == "encrypted"
    assert judge("opportunistic", make_domain(make_address(own(FAILED)))) == "clear"
    assert judge("mta-sts", make_domain(make_address(own(FAILED)), sts=ENFORCE)) == "defer"


def test_the_first_host_that_takes_mail_decides() -> None:
    """RFC 5321 §5.1: by preference, and each of its addresses."""
    bad, fine = own(shake(leaf("other.example").chain_der)), own(shake(good()))
    first = HostFacts(Domain(HOST), 20, (make_address(fine),))
    second = HostFacts(Domain("mx2.example.org"), 10, (make_address(bad, ip="192.0.2.2"),))
    empty = HostFacts(Domain("mx3.example.org"), 5, error="it has no address")
    sts = MtaStsFacts(DOMAIN, policy=ENFORCE)
    domain = DomainFacts(DOMAIN, (first, second, empty), Security.SECURE, sts)
    (gmail,) = (each for each in SENDERS if each.name == "mta-sts")
    judged = judge_domain(gmail, domain, anchors(), NOW)
    assert judged.relay == f"{HOST}[{IP}]"
    unknown = judge_domain(gmail, replace(domain, hosts=(second, empty)), anchors(), NOW)
    assert (unknown.verdict, unknown.reason) == (None, "it has no address")
    waiting = judge_domain(gmail, replace(domain, hosts=(second,)), anchors(), NOW)
    assert waiting.verdict is not None
    assert waiting.verdict.result_type == "certificate-host-mismatch"
    nobody = judge_domain(gmail, replace(domain, hosts=()), anchors(), NOW)
    assert nobody.verdict is None


def test_an_mx_host_that_no_policy_lists_is_not_asked_further() -> None:
    elsewhere = MtaStsPolicy(MtaStsMode.ENFORCE, ("mx.elsewhere.example",), timedelta(days=7))
    domain = make_domain(make_address(own(shake(good()))), sts=elsewhere)
    assert judge("mta-sts", domain) == "defer"
    assert judge("requiretls", replace(domain, mx_security=Security.INSECURE)) == "defer"


def test_a_host_that_is_an_address_has_no_name_to_prove() -> None:
    address = make_address(own(shake(good())))
    domain = DomainFacts(DOMAIN, (HostFacts(None, 0, (address,)),), None)
    assert find(domain) == {}
    other = replace(own(shake((*good()[:1], authority().der))), asked=AskedSni.NONE)
    with_other = make_address(own(shake(leaf("other.example").chain_der)), other)
    assert find(DomainFacts(DOMAIN, (HostFacts(None, 0, (with_other,)),), None)) == {
        "other-certificate-without-sni": Severity.INFO
    }
    (opportunistic, *_) = SENDERS
    (judged,) = judge_host(opportunistic, domain, domain.hosts[0], anchors(), NOW)
    assert judged.relay == f"{IP}[{IP}]"


def test_what_was_not_asked_in_a_senders_way_is_not_known() -> None:
    domain = make_domain(make_address(own(shake(good()))))
    assert judge("opportunistic-no-sni", domain) == "undecidable"
    no_tls = make_domain(make_address(own(None)))
    assert judge("opportunistic-no-sni", no_tls) == "clear"


def test_worst_first_and_each_once() -> None:
    terms = Terms(anchors(), NOW)
    domain = make_domain(make_address(own(shake(leaf("other.example").chain_der, group="x"))))
    found = list(find_live(domain, terms))
    ranked = rank([*reversed(found), *found])
    assert [each.severity for each in ranked] == [Severity.WARNING, Severity.INFO]


def test_every_id_says_where_it_is_written() -> None:
    assert set(RFCS) == set(FindingId)


def find_published(domain: DomainFacts) -> dict[str, Severity]:
    found = rank(find_policies(domain, Terms(anchors(), NOW)))
    assert all(each.rfc == RFCS[FindingId(each.id)] for each in found)
    return {each.id: each.severity for each in found}


@cache
def other_key() -> Chain:
    return leaf(HOST).chain_der


def test_records_for_the_keys_in_use_and_the_next_one_are_right() -> None:
    without_sni = replace(own(shake(other_key())), asked=AskedSni.NONE, sni=None)
    address = make_address(own(shake(good())), without_sni)
    next_key = ee(other_key())
    assert find_published(make_domain(address, tlsa=[ee(good()), next_key])) == {
        "tlsa-unrelated": Severity.INFO
    }
    anchor = TlsaRecord(2, 0, 0, authority().der)
    assert find_published(make_domain(address, tlsa=[anchor])) == {}
    assert find_published(make_domain(address, tlsa=[ee(good())])) == {}
    assert find_published(make_domain(address)) == {}


def test_each_address_and_each_type_of_key_must_match_a_record() -> None:
    """RFC 7672 §3.2: whichever answers, with whichever certificate."""
    both = make_address(own(shake(good())), replace(own(shake(other_key())), key=KeyType.RSA))
    domain = make_domain(both, tlsa=[ee(good())])
    (mismatch, *_) = rank(find_policies(domain, Terms(anchors(), NOW)))
    assert (mismatch.id, mismatch.severity) == ("tlsa-no-match-served", Severity.CRITICAL)
    assert mismatch.where == f"{HOST}[{IP}] RSA"
    assert f"3 1 1 {ee(other_key()).association.hex()}" in mismatch.fix
    second = make_address(own(shake(other_key())), ip="192.0.2.2")
    there = make_domain(make_address(own(shake(good()))), second, tlsa=[ee(good())])
    assert find_published(there).keys() >= {"tlsa-no-match-served"}
    nothing = make_domain(make_address(own(shake(()))), tlsa=[ee(good())])
    assert find_published(nothing).keys() >= {"tlsa-no-match-served"}


def test_records_that_are_repeated_or_cannot_be_used() -> None:
    address = make_address(own(shake(good())))
    twice = make_domain(address, tlsa=[ee(good()), ee(good()), ee(other_key())])
    assert find_published(twice) == {
        "tlsa-duplicate": Severity.NOTICE,
        "tlsa-unrelated": Severity.INFO,
    }
    (repeated, *_) = rank(find_policies(twice, Terms(anchors(), NOW)))
    assert repeated.evidence == f"{ee(good())} is there 2 times"
    many = [TlsaRecord(3, 1, 1, bytes([octet]) * 32) for octet in range(7)]
    (repeated, *_) = find_policies(make_domain(address, tlsa=[*many, *many]), Terms(anchors(), NOW))
    assert repeated.evidence.endswith("is there 2 times; and 2 more")
    unusable = make_domain(address, tlsa=[TlsaRecord(1, 1, 1, bytes(32))])
    assert find_published(unusable) == {}
    silent = make_domain(make_address(state=State.UNREACHABLE), tlsa=[ee(good())])
    assert find_published(silent) == {}


def test_where_dane_and_mta_sts_do_not_say_the_same() -> None:
    """RFC 8461 §2: neither cancels the other."""
    chain = self_signed([HOST], now=NOW).chain_der
    fine_by_dane = make_domain(
        make_address(own(shake(chain))), tlsa=[ee(chain), OTHER], sts=ENFORCE
    )
    assert find_published(fine_by_dane) == {
        "mta-sts-host-fails": Severity.CRITICAL,
        "dane-and-mta-sts-disagree": Severity.CRITICAL,
        "tlsa-unrelated": Severity.INFO,
    }
    fine_by_sts = make_domain(make_address(own(shake(good()))), tlsa=[OTHER], sts=ENFORCE)
    assert find_published(fine_by_sts).keys() == {
        "tlsa-no-match-served",
        "dane-and-mta-sts-disagree",
        "tlsa-unrelated",
    }
    both = make_domain(make_address(own(shake(good()))), tlsa=[ee(good()), OTHER], sts=ENFORCE)
    assert find_published(both) == {"tlsa-unrelated": Severity.INFO}
    without = make_domain(make_address(own(shake(chain))), sts=ENFORCE)
    assert find_published(without) == {"mta-sts-host-fails": Severity.CRITICAL}
    blocked = make_domain(
        make_address(Probe(AskedSni.OWN, State.BLOCKED, HOST), state=State.BLOCKED), sts=ENFORCE
    )
    assert find_published(blocked) == {}
    testing = MtaStsPolicy(MtaStsMode.TESTING, (f"*.{DOMAIN}",), timedelta(days=7))
    assert find_published(make_domain(make_address(own(shake(chain))), sts=testing)) == {}


def test_behind_an_insecure_mx_only_the_hosts_own_name_counts() -> None:
    """RFC 7672 §3.2.2."""
    named = leaf(str(DOMAIN)).chain_der
    domain = make_domain(
        make_address(own(shake(named))), tlsa=[TlsaRecord(2, 0, 0, authority().der)]
    )
    assert find_published(domain) == {}
    insecure = replace(domain, mx_security=Security.INSECURE)
    assert find_published(insecure).keys() >= {"tlsa-no-match-served"}


def test_a_domain_that_is_its_own_host_is_judged_as_a_delivery_judges_it() -> None:
    """RFC 7672 §2.2.2; rule 52: that no MX record was found need not be signed."""
    named = leaf(str(DOMAIN)).chain_der
    domain = make_domain(
        make_address(own(shake(named))), tlsa=[TlsaRecord(2, 0, 0, authority().der)]
    )
    insecure = replace(domain, mx_security=Security.INSECURE)
    assert judge("postfix-dane", insecure) == "defer"
    alone = replace(insecure, is_own_host=True)
    assert find_published(alone) == {}
    assert judge("postfix-dane", alone) == "authenticated"


def test_tlsa_records_that_nobody_can_look_up_stop_who_asks_for_them() -> None:
    """RFC 7672 §2.1.2: there may be records; a server that fails for TLSA alone does it."""
    domain = make_domain(make_address(own(shake(good()))))
    failed = TlsaFacts(TlsaStatus.FAILED, reason="TLSA of _25._tcp.mx.example.org: SERVFAIL")
    domain = replace(domain, hosts=(replace(domain.hosts[0], tlsa=failed),))
    assert find_published(domain) == {"tlsa-lookup-failed": Severity.CRITICAL}
    assert judge("postfix-dane", domain) == "defer"
    assert judge("opportunistic", domain) == "encrypted"
