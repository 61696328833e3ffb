"""What a server answers to a hello: flights made by hand, split anywhere, and too long ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.tls.client_hello import TLS_1_2, TLS_1_3, Incomplete, NotTls
from letterlock.protocols.tls.groups import name_group
from letterlock.protocols.tls.server_flight import (
    MAX_FLIGHT_OCTETS,
    Alerted,
    ServerChoice,
    ServerFlightReader,
    parse_server_flight,
)
from letterlock.protocols.tls.suites import (
    SUITES,
    Weakness,
    find_weaknesses,
    has_finite_field,
    has_key_exchange,
    name_suite,
)
from tests.protocols.tls.server_flights import (
    DONE,
    RETRY,
    curve,
    hello,
    message,
    prime,
    records,
)

SSL_3_0 = 0x0300
CERTIFICATE = message(11, bytes(700))
FATAL = records(b"\x02\x28", kind=21)

FLIGHTS = {
    "SSL 3.0, without extensions": (
        records(hello(SSL_3_0, 0x0005), version=SSL_3_0),
        ServerChoice(SSL_3_0, 0x0005),
    ),
    "RSA key transport has no more to tell": (
        records(hello(TLS_1_2, 0x002F) + CERTIFICATE + DONE),
        ServerChoice(TLS_1_2, 0x002F),
    ),
    "a prime of 512 bits": (
        records(hello(TLS_1_2, 0x0014) + CERTIFICATE + prime(512) + DONE),
        ServerChoice(TLS_1_2, 0x0014, dh_bits=512),
    ),
    "an anonymous prime, and no certificate": (
        records(hello(TLS_1_2, 0x0034) + prime(1024) + DONE),
        ServerChoice(TLS_1_2, 0x0034, dh_bits=1024),
    ),
    "a curve": (
        records(hello(TLS_1_2, 0xC02F) + CERTIFICATE + curve(23) + DONE),
        ServerChoice(TLS_1_2, 0xC02F, group=23),
    ),
    "a curve of its own making": (
        records(hello(TLS_1_2, 0xC02F) + message(12, b"\x01" + bytes(60)) + DONE),
        ServerChoice(TLS_1_2, 0xC02F),
    ),
    "no parameters, where there should be some": (
        records(hello(TLS_1_2, 0xC02F) + CERTIFICATE + DONE),
        ServerChoice(TLS_1_2, 0xC02F),
    ),
    "compression, renegotiation and master secret": (
        records(hello(TLS_1_2, 0x002F, {0xFF01: b"\0", 23: b""}, compression=1)),
        ServerChoice(
            TLS_1_2,
            0x002F,
            compression=1,
            has_secure_renegotiation=True,
            has_extended_master_secret=True,
        ),
    ),
    "a retry": (
        records(hello(TLS_1_2, 0x1301, {43: b"\x03\x04", 51: b"\x11\xec"}, random=RETRY)),
        ServerChoice(TLS_1_3, 0x1301, group=0x11EC, is_retry=True),
    ),
    "a share that was not asked for": (
        records(hello(TLS_1_2, 0x1301, {43: b"\x03\x04", 51: b"\0\x1d\0\x01x"})),
        ServerChoice(TLS_1_3, 0x1301, group=29),
    ),
    "a warning first": (
        records(b"\x01\x70", kind=21) + records(hello(TLS_1_2, 0x002F)),
        ServerChoice(TLS_1_2, 0x002F),
    ),
    "what is nobody's": (
        records(b"\x01", kind=20) + records(hello(TLS_1_2, 0x002F)),
        ServerChoice(TLS_1_2, 0x002F),
    ),
    "a fatal alert": (FATAL, Alerted("handshake_failure")),
    "an alert in the middle": (
        records(hello(TLS_1_2, 0xC02F)) + FATAL,
        Alerted("handshake_failure"),
    ),
    "an alert without a name": (records(b"\x02\xee", kind=21), Alerted("alert_238")),
    "an alert of one octet": (records(b"\x02", kind=21), NotTls("an alert of 1 octets")),
    "SMTP": (
        b"500 what?\r\n",
        NotTls("the first octet of its answer is 0x35, not that of a TLS record"),
    ),
    "SSL 2.0": (b"\x16\x00\x02\0\0", NotTls("a record of version 0, not of TLS")),
    "a record that is too long": (b"\x16\x03\x03\xff\xff", NotTls("a record of 65535 octets")),
    "a ClientHello": (
        records(message(1, bytes(40))),
        NotTls("a handshake message of type 1 instead of a ServerHello"),
    ),
    "a hello that is cut off": (
        records(message(2, b"\x03\x03" + bytes(20))),
        NotTls("an answer whose lengths do not fit together"),
    ),
    "a key exchange that is cut off": (
        records(hello(TLS_1_2, 0x0033) + message(12, b"\xff\xff")),
        NotTls("an answer whose lengths do not fit together"),
    ),
}


@pytest.mark.parametrize("name", FLIGHTS)
def test_what_a_flight_says(name: str) -> None:
    """RFC 8446 §4.1.3, RFC 5246 §7.4.1.3: however it is split, and whatever comes behind it."""
    flight, expected = FLIGHTS[name]
    assert parse_server_flight(flight) == expected
    assert parse_server_flight(flight + b"\x16\x03\x03") == expected
    reader = ServerFlightReader()
    found = [reader.receive(flight[at : at + 1]) for at in range(len(flight))]
    assert found[-1] == expected
    assert set(map(type, found)) <= {Incomplete, type(expected)}
    assert reader.receive(b"more") == expected
    assert reader.finish() == expected


@given(name=st.sampled_from(list(FLIGHTS)), cut=st.floats(0, 1), size=st.integers(1, 40))
def test_where_it_is_split_does_not_matter(name: str, cut: float, size: int) -> None:
    flight, expected = FLIGHTS[name]
    at = int(cut * len(flight))
    reader = ServerFlightReader()
    reader.receive(flight[:at])
    assert reader.receive(flight[at:]) == expected
    if isinstance(expected, ServerChoice) and name.startswith(("a prime", "a curve")):
        message_octets = flight[5:]
        assert parse_server_flight(records(message_octets, size=size)) == expected


def test_a_server_that_hangs_up_in_the_middle_has_said_something() -> None:
    reader = ServerFlightReader()
    assert reader.finish() is None
    assert reader.receive(records(hello(TLS_1_2, 0xC02F))) == Incomplete()
    assert reader.finish() == ServerChoice(TLS_1_2, 0xC02F)


def test_a_flight_is_not_read_for_ever() -> None:
    """Of a server that sends one certificate after the other."""
    flight = records(hello(TLS_1_2, 0xC02F)) + records(message(11, bytes(MAX_FLIGHT_OCTETS)))
    assert parse_server_flight(flight) == NotTls(
        f"no end of its answer in {MAX_FLIGHT_OCTETS} octets"
    )


@pytest.mark.parametrize(
    ("name", "weaknesses"),
    [
        ("TLS_AES_128_GCM_SHA256", ()),
        ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", ()),
        ("TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA", ()),
        ("TLS_RSA_WITH_AES_256_GCM_SHA384", (Weakness.NO_FORWARD_SECRECY,)),
        ("TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", (Weakness.SMALL_BLOCK,)),
        ("TLS_DHE_RSA_WITH_DES_CBC_SHA", (Weakness.SMALL_BLOCK,)),
        ("TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", (Weakness.RC4,)),
        ("TLS_ECDH_anon_WITH_NULL_SHA", (Weakness.NULL, Weakness.ANONYMOUS)),
        (
            "TLS_RSA_EXPORT_WITH_RC4_40_MD5",
            (Weakness.EXPORT, Weakness.RC4, Weakness.NO_FORWARD_SECRECY),
        ),
    ],
)
def test_what_is_weak_about_a_suite(name: str, weaknesses: tuple[Weakness, ...]) -> None:
    """RFC 9325 §4.1."""
    (suite,) = (number for number, each in SUITES.items() if each == name)
    assert find_weaknesses(suite) == weaknesses


def test_a_suite_that_nobody_knows_has_a_number() -> None:
    assert name_suite(0xABCD) == "0xABCD"
    assert find_weaknesses(0xABCD) == ()
    assert not has_key_exchange(0xABCD)
    assert [name_group(each) for each in (29, 26, 9999)] == ["x25519", "brainpoolP256r1", "0x270F"]
    assert all(has_key_exchange(suite) for suite in SUITES if has_finite_field(suite))
