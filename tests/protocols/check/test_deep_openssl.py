"""What is found of OpenSSL's servers is what they say of themselves."""

import ssl
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterlock.base.domains import Domain
from letterlock.protocols.check.deep import DeepFacts, DeepTls, Offered, Order
from letterlock.protocols.check.deep_findings import find_deep
from letterlock.protocols.check.facts import AddressFacts, DomainFacts, HostFacts, State
from letterlock.protocols.dns.answers import Security
from letterlock.protocols.tls.client_hello import TLS_1_2, TLS_1_3, Incomplete
from letterlock.protocols.tls.groups import name_group
from letterlock.protocols.tls.hello_writer import TLS_1_0, TLS_1_1, Offer
from letterlock.protocols.tls.server_flight import Answer
from letterlock.protocols.tls.suites import is_tls_1_3
from tests.protocols.check.simulated_tls import explore_by
from tests.protocols.tls.memory_servers import ask, serve

V1_0, V1_1 = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
WORDS = (
    *("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA"),
    *("DHE-RSA-AES128-SHA", "DHE-RSA-AES256-CCM8", "DHE-RSA-CHACHA20-POLY1305", "AES128-SHA"),
    *("AES256-GCM-SHA384", "NULL-SHA", "NULL-MD5", "AECDH-AES256-SHA", "ADH-AES128-GCM-SHA256"),
    *("ECDHE-ECDSA-NULL-SHA", "ECDHE-RSA-CAMELLIA256-SHA384", "ARIA128-GCM-SHA256"),
)


def look(context: ssl.SSLContext) -> DeepTls:
    def answer(offer: Offer) -> Answer:
        found = ask(context, offer)
        assert not isinstance(found, Incomplete)
        return found

    return explore_by(answer)[0]


def find(tls: DeepTls) -> set[str]:
    ip = ip_address("192.0.2.1")
    address = AddressFacts(ip, Security.SECURE, State.OK, deep=DeepFacts(tls, 1))
    host = HostFacts(Domain("mx.example.org"), 10, (address,))
    return {str(each.id) for each in find_deep(DomainFacts(Domain("example.org"), (host,), None))}


def list_own(context: ssl.SSLContext) -> set[int]:
    """Give the suites before TLS 1.3 that a server has, by its own words."""
    suites = {cipher["id"] & 0xFFFF for cipher in context.get_ciphers()}
    return {suite for suite in suites if not is_tls_1_3(suite)}


@settings(max_examples=12, deadline=None)
@given(words=st.sets(st.sampled_from(WORDS), min_size=1))
def test_the_suites_of_any_list_are_found(words: set[str]) -> None:
    context = serve(":".join(sorted(words)), V1_2, has_both_keys=True)
    tls = look(context)
    assert {each.suite for each in tls.suites} == list_own(context)
    assert tls.are_suites_complete
    # Python's servers have their own order.
    assert tls.order in (Order.SERVER, None)
    assert (tls.order is None) == (len(words) == 1)


def test_everything_that_openssl_has_is_found() -> None:
    """But pre-shared keys and SRP, which no stranger has, and DSS, for which there is no key."""
    context = serve("ALL:COMPLEMENTOFALL:!PSK:!SRP:!aDSS", V1_0, V1_3, has_both_keys=True)
    tls = look(context)
    assert {each.suite for each in tls.suites if not is_tls_1_3(each.suite)} == list_own(context)
    named = [name_group(group) for group in tls.groups]
    hybrid = ["X25519MLKEM768"] if ssl.OPENSSL_VERSION_INFO >= (3, 5) else []
    expected = [*hybrid, "x25519", "secp256r1"]
    assert named[: len(expected)] == expected
    assert tls.are_groups_complete


@pytest.mark.parametrize(
    ("ciphers", "versions", "expected"),
    [
        ("ECDHE+AESGCM", (V1_2, V1_3), set()),
        ("ECDHE+AESGCM", (V1_3, V1_3), set()),
        ("ECDHE+AESGCM", (V1_2, V1_2), {"tls-1-3-not-offered"}),
        ("ECDHE:!eNULL", (V1_0, V1_3), {"old-tls-offered"}),
        ("ECDHE:!eNULL", (V1_0, V1_1), {"tls-1-3-not-offered"}),
        ("kRSA:!eNULL", (V1_2, V1_2), {"tls-1-3-not-offered", "no-forward-secrecy"}),
        ("ECDHE+AESGCM:NULL-SHA", (V1_2, V1_3), {"null-suites", "no-forward-secrecy"}),
        ("ECDHE+AESGCM:AECDH-AES128-SHA", (V1_2, V1_3), {"anonymous-suites"}),
        ("ECDHE+AESGCM:DHE+AESGCM", (V1_2, V1_3), set()),
    ],
)
def test_what_is_wrong_with_a_server_of_openssl(
    ciphers: str, versions: tuple[ssl.TLSVersion, ...], expected: set[str]
) -> None:
    """RFC 9325 §3.1.1, §4.1."""
    tls = look(serve(ciphers, *versions))
    known = {TLS_1_0: V1_0, TLS_1_1: V1_1, TLS_1_2: V1_2, TLS_1_3: V1_3}
    for version, named in known.items():
        is_within = versions[0] <= named <= versions[-1]
        assert (tls.find(version) is Offered.YES) == is_within
    assert find(tls) - {"post-quantum-offered", "order-of-the-client"} == expected
