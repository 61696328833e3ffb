"""Versions, suites and groups are found out one by one; what is wrong with them is said."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.base.domains import Domain
from letterlock.protocols.check.deep import (
    VERSIONS,
    DeepFacts,
    Ending,
    Injection,
    Offered,
    Order,
    TakenSuite,
    TriedEnding,
)
from letterlock.protocols.check.deep_findings import find_deep
from letterlock.protocols.check.facts import (
    AddressFacts,
    AskedSni,
    DomainFacts,
    HostFacts,
    Probe,
    State,
)
from letterlock.protocols.dns.answers import Security, TlsaRecord
from letterlock.protocols.policy.facts import TlsaFacts, TlsaStatus
from letterlock.protocols.tls.client_hello import TLS_1_2, TLS_1_3
from letterlock.protocols.tls.groups import GROUPS, OLD_CURVES
from letterlock.protocols.tls.handshake import Handshake
from letterlock.protocols.tls.hello_writer import SSL_3_0, TLS_1_0, TLS_1_1, Offer
from letterlock.protocols.tls.server_flight import Alerted, Answer
from letterlock.protocols.tls.suites import SUITES, is_tls_1_3
from tests.protocols.check.simulated_tls import (
    AES_128,
    ECDHE,
    ECDHE_OLD,
    NUMBERS,
    SimulatedTls,
    explore,
)

HOST = "mx.example.org"
RSA, RSA_3DES = "TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_RSA_WITH_3DES_EDE_CBC_SHA"
DHE = "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"
RC4, EXPORT = "TLS_RSA_WITH_RC4_128_SHA", "TLS_RSA_EXPORT_WITH_RC4_40_MD5"
ANONYMOUS_DH = "TLS_DH_anon_WITH_AES_128_CBC_SHA"
ANONYMOUS, NULL = "TLS_ECDH_anon_WITH_AES_128_CBC_SHA", "TLS_RSA_WITH_NULL_SHA"
GOOD = SimulatedTls()
NEVER = dict.fromkeys(VERSIONS, Offered.NO)


def test_a_good_server() -> None:
    found, offers = explore(GOOD)
    assert dict(found.versions) == NEVER | {TLS_1_2: Offered.YES, TLS_1_3: Offered.YES}
    assert [SUITES[each.suite] for each in found.suites] == [AES_128, ECDHE, ECDHE_OLD]
    assert (found.groups, found.order, found.dh_bits) == (GOOD.groups, Order.SERVER, None)
    assert (found.are_suites_complete, found.are_groups_complete) == (True, True)
    assert found.has_secure_renegotiation
    assert not found.has_compression
    # Five versions, three suites, three groups and their ends, and the order.
    assert len(offers) == 17
    assert all(offer.sni == HOST for offer in offers)


WORKS_ANYWHERE = (NULL, RSA, DHE)
suites = st.lists(st.sampled_from(sorted(NUMBERS)), min_size=1, unique=True).map(tuple)
groups = st.lists(st.sampled_from([*GROUPS, *OLD_CURVES]), unique=True).map(tuple)


@given(
    versions=st.lists(st.sampled_from(list(VERSIONS)), unique=True).map(tuple),
    suites=suites,
    groups=groups,
    is_client_order=st.booleans(),
    is_old_answered=st.booleans(),
)
def test_all_that_a_server_has_is_found_and_it_comes_to_an_end(
    versions: tuple[int, ...],
    suites: tuple[str, ...],
    groups: tuple[int, ...],
    is_client_order: bool,
    is_old_answered: bool,
) -> None:
    server = SimulatedTls(
        versions,
        suites,
        groups,
        is_client_order=is_client_order,
        is_old_answered=is_old_answered,
    )
    found, offers = explore(server)
    assert found.are_suites_complete
    has = {NUMBERS[name] for name in suites}
    assert {each.suite for each in found.suites} <= has
    assert len(offers) <= len(suites) + len(groups) + 20
    taken = [version for version in VERSIONS if found.find(version) is Offered.YES]
    assert set(taken) <= set(versions)
    if set(taken) - {TLS_1_3} and set(WORKS_ANYWHERE) & set(suites):
        curves = {NUMBERS[name] for name in suites if "ECDH" in name}
        expected = {suite for suite in has if not is_tls_1_3(suite)} - curves
        assert expected <= {each.suite for each in found.suites}


@given(connections=st.integers(0, 17))
def test_with_fewer_connections_less_is_known_and_nothing_is_wrong(connections: int) -> None:
    whole, _ = explore(GOOD)
    found, offers = explore(GOOD, connections)
    assert len(offers) == connections
    assert found.are_suites_complete == (connections >= 17)
    assert found.suites == whole.suites[: len(found.suites)] or connections < 17
    for version, offered in found.versions:
        assert offered in (Offered.UNKNOWN, whole.find(version))
    assert found.groups == whole.groups[: len(found.groups)]
    assert found.order in (None, whole.order)


def test_an_old_server_that_answers_with_its_own_version_is_not_asked_twice() -> None:
    """RFC 5246 §E.1."""
    server = SimulatedTls((TLS_1_0,), (RSA,), (), is_old_answered=True)
    found, offers = explore(server)
    assert dict(found.versions) == NEVER | {TLS_1_0: Offered.YES}
    assert [offer.version for offer in offers].count(TLS_1_1) == 0
    assert found.suites == (TakenSuite(TLS_1_0, NUMBERS[RSA]),)


def test_what_only_the_oldest_clients_get_is_found_too() -> None:
    class TwoFaced(SimulatedTls):
        def answer(self, offer: Offer) -> Answer:
            has = (RC4,) if offer.version == TLS_1_0 else (ECDHE,)
            return SimulatedTls((TLS_1_0, TLS_1_2), has).answer(offer)

    found, _ = explore(TwoFaced())
    assert TakenSuite(TLS_1_0, NUMBERS[RC4]) in found.suites
    assert TakenSuite(TLS_1_2, NUMBERS[ECDHE]) in found.suites


def test_groups_of_servers_without_tls_1_3_are_their_curves() -> None:
    found, _ = explore(SimulatedTls((TLS_1_2,), (ECDHE,), (23, 26)))
    assert found.groups == (23, 26)
    none, _ = explore(SimulatedTls((SSL_3_0,), (RC4,), ()))
    assert (none.groups, none.are_groups_complete) == ((), True)


def find(
    server: SimulatedTls = GOOD, host: HostFacts | None = None, **parts: object
) -> dict[str, str]:
    """Give severities by id of what is found of a server."""
    tls, offers = explore(server)
    deep = replace(DeepFacts(tls, len(offers)), **parts)  # type: ignore[arg-type] # passed on
    host = host or HostFacts(Domain(HOST), 10)
    probe = Probe(AskedSni.OWN, State.OK, handshake=Handshake("TLSv1.3", "AES", 128, None, HOST))
    address = AddressFacts(ip_address("192.0.2.1"), Security.SECURE, State.OK, (probe,), deep=deep)
    facts = DomainFacts(
        Domain("example.org"), (replace(host, addresses=(address,)),), Security.SECURE
    )
    found = list(find_deep(facts))
    assert {each.where for each in found} <= {f"{HOST}[192.0.2.1]"}
    assert all(each.rfc for each in found)
    return {str(each.id): each.severity.value for each in found}


PQ = {"post-quantum-offered": "info"}
CURVES = replace(GOOD, groups=(29, 23))
BEHAVIOURS: dict[str, tuple[SimulatedTls, dict[str, str]]] = {
    "a good one": (GOOD, PQ),
    "no group of ML-KEM": (CURVES, {}),
    "old versions too": (
        replace(CURVES, versions=(TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3)),
        {"old-tls-offered": "notice"},
    ),
    "TLS 1.0 alone, which an ordinary connection tells": (
        replace(CURVES, versions=(TLS_1_0,)),
        {"tls-1-3-not-offered": "notice"},
    ),
    "SSL 3.0 too": (
        replace(CURVES, versions=(SSL_3_0, TLS_1_2, TLS_1_3), suites=(AES_128, ECDHE, DHE)),
        {"ssl-3-offered": "warning"},
    ),
    "no TLS 1.3": (replace(CURVES, versions=(TLS_1_2,)), {"tls-1-3-not-offered": "notice"}),
    "no TLS 1.2": (replace(CURVES, versions=(TLS_1_3,)), {}),
    "NULL": (
        replace(CURVES, suites=(AES_128, ECDHE, NULL)),
        {"null-suites": "warning", "no-forward-secrecy": "info"},
    ),
    "export, which is RC4 as well": (
        replace(CURVES, suites=(AES_128, ECDHE, EXPORT)),
        {"export-suites": "warning", "rc4-suites": "notice", "no-forward-secrecy": "info"},
    ),
    "anonymous": (
        replace(CURVES, suites=(AES_128, ECDHE, ANONYMOUS)),
        {"anonymous-suites": "info"},
    ),
    "RC4": (
        replace(CURVES, suites=(AES_128, ECDHE, RC4)),
        {"rc4-suites": "notice", "no-forward-secrecy": "info"},
    ),
    "triple DES": (
        replace(CURVES, suites=(AES_128, ECDHE, RSA_3DES)),
        {"small-block-suites": "notice", "no-forward-secrecy": "info"},
    ),
    "no forward secrecy at all": (
        replace(CURVES, versions=(TLS_1_2,), suites=(RSA,)),
        {"no-forward-secrecy": "warning", "tls-1-3-not-offered": "notice"},
    ),
    "a small prime": (
        replace(CURVES, suites=(AES_128, ECDHE, DHE), dh_bits=1536),
        {"weak-diffie-hellman": "notice"},
    ),
    "a prime that is broken": (
        replace(CURVES, suites=(AES_128, ECDHE, DHE), dh_bits=1024),
        {"weak-diffie-hellman": "warning"},
    ),
    "a small prime of an anonymous suite, as OpenSSL has it": (
        replace(CURVES, suites=(AES_128, ECDHE, ANONYMOUS_DH), dh_bits=1024),
        {"anonymous-suites": "info"},
    ),
    "a good prime": (replace(CURVES, suites=(AES_128, ECDHE, DHE)), {}),
    "the client's order": (
        replace(CURVES, is_client_order=True),
        {"order-of-the-client": "info"},
    ),
    "compression": (replace(CURVES, compression=1), {"tls-compression": "notice"}),
    "no secure renegotiation": (
        replace(CURVES, has_secure_renegotiation=False),
        {"insecure-renegotiation": "notice"},
    ),
    "nothing in common": (replace(GOOD, versions=()), {}),
}


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_what_a_behaviour_is_told_as(name: str) -> None:
    """RFC 9325 §3.1.1, §4.1; RFC 7465 §2; RFC 7568 §3; RFC 5746 §4.3."""
    server, expected = BEHAVIOURS[name]
    assert find(server) == expected


@pytest.mark.parametrize(
    ("injection", "expected"),
    [
        (Injection.EXECUTED, {"starttls-injection": "critical"}),
        (Injection.IN_CLEAR, {"starttls-injection": "notice"}),
        (Injection.DISCARDED, {}),
        (Injection.REFUSED, {}),
        (Injection.NOT_TESTED, {}),
    ],
)
def test_commands_that_came_before_tls(injection: Injection, expected: dict[str, str]) -> None:
    """RFC 3207 §4.2."""
    assert find(CURVES, injection=injection) == expected


@pytest.mark.parametrize("ending", Ending)
def test_wrong_ends_of_messages(ending: Ending) -> None:
    """RFC 5321 §4.1.1.4."""
    tried = (TriedEnding("<LF>.<CR><LF>", Ending.NOT_TAKEN), TriedEnding("<LF>.<LF>", ending))
    expected = {"smtp-smuggling": "critical"} if ending is Ending.TAKEN else {}
    assert find(CURVES, endings=tried) == expected


def test_where_it_ended_early_is_said() -> None:
    assert find(CURVES, stopped="it said 421") == {"deep-look-ended-early": "info"}


def test_requiretls_is_missed_where_it_would_be_of_use() -> None:
    """RFC 8689 §4.2.1: DANE or MTA-STS has to vouch for the host."""
    record = TlsaRecord(3, 1, 1, bytes(32))
    tlsa = TlsaFacts(TlsaStatus.USABLE, Domain(HOST), (record,))
    host = HostFacts(Domain(HOST), 10, tlsa=tlsa)
    assert find(CURVES, host) == {"requiretls-not-offered": "info"}
    useless = replace(host, tlsa=replace(tlsa, records=(replace(record, usage=0),)))
    assert find(CURVES, useless) == {}


def test_who_was_not_looked_at_deeply_has_nothing_to_be_told() -> None:
    address = AddressFacts(ip_address("192.0.2.1"), Security.SECURE, State.OK)
    host = HostFacts(None, 0, (address,))
    assert list(find_deep(DomainFacts(Domain("example.org"), (host,), None))) == []


def test_a_server_with_every_group_has_no_more() -> None:
    found, _ = explore(replace(GOOD, groups=tuple(GROUPS)))
    assert (found.groups, found.are_groups_complete) == (tuple(GROUPS), True)


def test_a_server_that_changes_its_mind_has_no_order() -> None:
    class Moody(SimulatedTls):
        def answer(self, offer: Offer) -> Answer:
            is_whole = offer.version == TLS_1_2 and len(offer.suites) > 100
            is_reversed = is_whole and offer.suites[0] > offer.suites[-1]
            return Alerted("internal_error") if is_reversed else CURVES.answer(offer)

    found, _ = explore(Moody())
    assert (found.order, found.are_suites_complete) == (None, True)


def test_without_an_ordinary_handshake_requiretls_is_not_known() -> None:
    deep = DeepFacts(explore(CURVES)[0], 20)
    address = AddressFacts(ip_address("192.0.2.1"), Security.SECURE, State.OK, deep=deep)
    host = HostFacts(Domain(HOST), 10, (address,))
    assert list(find_deep(DomainFacts(Domain("example.org"), (host,), None))) == []
