"""Hellos made by hand: our reader and OpenSSL's servers understand them as they are meant."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from letterlock.protocols.tls.client_hello import (
    TLS_1_2,
    TLS_1_3,
    ClientHello,
    parse_client_hello,
)
from letterlock.protocols.tls.groups import GROUPS, POST_QUANTUM
from letterlock.protocols.tls.hello_writer import (
    SSL_3_0,
    TLS_1_0,
    TLS_1_1,
    Offer,
    write_client_hello,
)
from letterlock.protocols.tls.server_flight import (
    Alerted,
    ServerChoice,
    parse_server_flight,
)
from letterlock.protocols.tls.suites import SUITES, is_tls_1_3
from tests.network.certificates import issue
from tests.protocols.tls.memory_servers import HOST, RANDOM, ask, serve

ALL_OLD = tuple(suite for suite in SUITES if not is_tls_1_3(suite))
ALL_NEW = tuple(filter(is_tls_1_3, SUITES))
VERSIONS = (SSL_3_0, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3)


@given(
    version=st.sampled_from(VERSIONS),
    suites=st.lists(st.sampled_from(list(SUITES)), min_size=1, unique=True).map(tuple),
    groups=st.lists(st.sampled_from(list(GROUPS)), min_size=1, unique=True).map(tuple),
    sni=st.none() | st.just(HOST),
)
def test_what_is_offered_is_what_is_read(
    version: int, suites: tuple[int, ...], groups: tuple[int, ...], sni: str | None
) -> None:
    """RFC 8446 §4.1.2."""
    hello = parse_client_hello(write_client_hello(Offer(version, suites, groups, sni), RANDOM))
    assert isinstance(hello, ClientHello)
    assert hello.versions == (version,)
    scsv = () if version == TLS_1_3 else (0x00FF,)
    assert hello.cipher_suites == suites + scsv
    if version == SSL_3_0:
        assert (hello.sni, hello.groups, hello.signature_algorithms) == (None, (), ())
    else:
        assert (hello.sni, hello.groups) == (sni, groups)
        assert bool(hello.signature_algorithms) == (version >= TLS_1_2)


def choose(context: ssl.SSLContext, offer: Offer) -> ServerChoice:
    answer = ask(context, offer)
    assert isinstance(answer, ServerChoice)
    return answer


@pytest.mark.parametrize(
    ("version", "named"),
    [
        (TLS_1_0, ssl.TLSVersion.TLSv1),
        (TLS_1_1, ssl.TLSVersion.TLSv1_1),
        (TLS_1_2, ssl.TLSVersion.TLSv1_2),
    ],
)
def test_openssl_takes_its_version_and_refuses_the_others(
    version: int, named: ssl.TLSVersion
) -> None:
    context = serve("ALL", named)
    offer = Offer(version, ALL_OLD, tuple(GROUPS), HOST)
    choice = choose(context, offer)
    assert (choice.version, choice.suite in ALL_OLD, choice.compression) == (version, True, 0)
    assert choice.has_secure_renegotiation
    assert choice.has_extended_master_secret
    refused = [
        ask(context, Offer(each, ALL_OLD, tuple(GROUPS)))
        for each in VERSIONS
        if SSL_3_0 < each < version
    ]
    assert set(refused) <= {Alerted("protocol_version")}
    # SSL 3.0 has no such alert (RFC 6101 §5.4).
    assert ask(context, Offer(SSL_3_0, ALL_OLD, ())) == Alerted("handshake_failure")
    assert ask(context, Offer(TLS_1_3, ALL_NEW, tuple(GROUPS))) == Alerted("protocol_version")


def test_a_server_of_tls_1_3_names_the_group_that_it_would_take() -> None:
    """RFC 8446 §4.1.4: without a key share it asks for one."""
    context = serve("ALL", ssl.TLSVersion.TLSv1_3)
    choice = choose(context, Offer(TLS_1_3, (0x1302, 0x1301), (24,), HOST))
    assert (choice.version, choice.suite, choice.group) == (TLS_1_3, 0x1302, 24)
    assert choice.is_retry
    none = ask(context, Offer(TLS_1_3, ALL_NEW, (31,)))
    assert none == Alerted("handshake_failure")


@pytest.mark.parametrize(
    ("ciphers", "suite", "bits", "group"),
    [
        ("DHE-RSA-AES128-SHA", 0x0033, 2048, None),
        ("ADH-AES128-SHA", 0x0034, 2048, None),
        ("ECDHE-RSA-AES128-SHA", 0xC013, None, 24),
        ("AES128-SHA", 0x002F, None, None),
        ("NULL-SHA", 0x0002, None, None),
    ],
)
def test_the_suite_and_what_keys_are_agreed_in_are_told(
    ciphers: str, suite: int, bits: int | None, group: int | None
) -> None:
    context = serve(ciphers, ssl.TLSVersion.TLSv1_2)
    choice = choose(context, Offer(TLS_1_2, ALL_OLD, (24,), HOST))
    assert (choice.suite, choice.dh_bits, choice.group) == (suite, bits, group)
    rest = tuple(each for each in ALL_OLD if each != suite)
    assert ask(context, Offer(TLS_1_2, rest, (24,))) == Alerted("handshake_failure")


def test_groups_that_withstand_quantum_computers_are_seen() -> None:
    """The OpenSSL of the package has them, Debian's has not."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    pair = issue((HOST,), "ec")
    context.use_certificate(pair.certificate)
    context.use_privatekey(pair.key)
    server = SSL.Connection(context, None)
    server.set_accept_state()
    offer = Offer(TLS_1_3, ALL_NEW, tuple(GROUPS), HOST)
    server.bio_write(write_client_hello(offer, RANDOM))
    with pytest.raises(SSL.WantReadError):
        server.do_handshake()
    choice = parse_server_flight(server.bio_read(65536))
    assert isinstance(choice, ServerChoice)
    assert choice.group in POST_QUANTUM
