"""The ClientHello reader: real ones, ones made by hand, and any octets at all."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from letterlock.protocols.tls.client_hello import (
    MAX_CLIENT_HELLO_BYTES,
    MAX_SNI_OCTETS,
    ClientHello,
    ClientHelloReader,
    Incomplete,
    KeyType,
    NotTls,
    parse_client_hello,
)

ECDHE_ECDSA, ECDHE_RSA = 0xC02B, 0xC02F
GREASE = 0x2A2A
# The fields up to the compression methods; cipher suites of three octets.
BARE = b"\x03\x03" + bytes(33) + b"\x00\x02\xc0\x2f" + b"\x01\x00"
ODD_SUITES = b"\x03\x03" + bytes(33) + b"\x00\x03\xc0\x2f\x00" + b"\x01\x00"


def vector(data: bytes, length_octets: int) -> bytes:
    return len(data).to_bytes(length_octets, "big") + data


def numbers(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in values)


def message(
    extensions: dict[int, bytes] | None = None,
    *,
    suites: tuple[int, ...] = (ECDHE_RSA,),
    legacy_version: int = 0x0303,
) -> bytes:
    body = numbers(legacy_version) + bytes(32) + vector(b"", 1)
    body += vector(numbers(*suites), 2) + vector(b"\x00", 1)
    if extensions is not None:
        listed = b"".join(numbers(kind) + vector(data, 2) for kind, data in extensions.items())
        body += vector(listed, 2)
    return b"\x01" + vector(body, 3)


def records(data: bytes, size: int = 2**14, version: int = 0x0301) -> bytes:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(b"\x16" + numbers(version) + vector(piece, 2) for piece in pieces)


def server_name(name: bytes, name_type: int = 0) -> bytes:
    return vector(bytes((name_type,)) + vector(name, 2), 2)


def parse(extensions: dict[int, bytes] | None) -> ClientHello:
    hello = parse_client_hello(records(message(extensions)))
    assert isinstance(hello, ClientHello)
    return hello


def hello_of_pyopenssl(version: int, name: bytes | None) -> bytes:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(version)
    context.set_alpn_protos([b"smtp", b"h2"])
    connection = SSL.Connection(context, None)
    if name:
        connection.set_tlsext_host_name(name)
    connection.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(65536)


def hello_of_ssl(name: str | None) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


REAL = (
    hello_of_pyopenssl(SSL.TLS1_3_VERSION, b"mx.example.org"),
    hello_of_pyopenssl(SSL.TLS1_2_VERSION, b"mx.example.org"),
    hello_of_pyopenssl(SSL.TLS1_3_VERSION, None),
    hello_of_ssl("mx.example.org"),
    hello_of_ssl(None),
)


def test_a_real_client_hello_of_tls_1_3() -> None:
    """RFC 8446 §4.1.2."""
    hello = parse_client_hello(REAL[0])
    assert isinstance(hello, ClientHello)
    assert (hello.sni, hello.alpn) == ("mx.example.org", (b"smtp", b"h2"))
    assert hello.versions == (0x0304, 0x0303)
    assert hello.has_tls_1_3
    assert hello.groups[0] == 0x11EC
    assert {0x001D, 0x0017} < set(hello.groups)
    assert {0x0403, 0x0804} <= set(hello.signature_algorithms)
    assert {0x1301, ECDHE_RSA} <= set(hello.cipher_suites)
    assert not hello.has_session_ticket
    assert all(hello.fits(key) for key in KeyType)


def test_a_real_client_hello_of_tls_1_2() -> None:
    """RFC 5246 §7.4.1.2: the version is the message's own."""
    hello = parse_client_hello(REAL[1])
    assert isinstance(hello, ClientHello)
    assert (hello.versions, hello.has_tls_1_3) == ((0x0303,), False)
    assert all(hello.fits(key) for key in KeyType)


@pytest.mark.parametrize(
    ("octets", "sni"),
    [(REAL[2], None), (REAL[3], "mx.example.org"), (REAL[4], None)],
)
def test_real_client_hellos_with_and_without_sni(octets: bytes, sni: str | None) -> None:
    hello = parse_client_hello(octets)
    assert isinstance(hello, ClientHello)
    assert hello.sni == sni


@given(octets=st.sampled_from(REAL), size=st.integers(1, 700), data=st.data())
def test_records_and_pieces_may_be_cut_anywhere(
    octets: bytes, size: int, data: st.DataObject
) -> None:
    """RFC 8446 §5.1: a message may be spread over several records."""
    whole = parse_client_hello(octets)
    wire = records(octets[5:], size)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    reader = ClientHelloReader()
    results = [
        reader.receive(wire[start:end])
        for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)
    ]
    assert results[-1] == whole
    assert all(isinstance(result, Incomplete) or result == whole for result in results)
    assert reader.receive(b"what follows") == whole


def test_octet_by_octet_it_is_complete_with_the_last_one() -> None:
    for octets in REAL:
        reader = ClientHelloReader()
        results = [reader.receive(octets[at : at + 1]) for at in range(len(octets))]
        assert all(isinstance(result, Incomplete) for result in results[:-1])
        assert isinstance(results[-1], ClientHello)


@given(st.binary(max_size=400))
def test_any_octets_give_a_value(octets: bytes) -> None:
    assert isinstance(parse_client_hello(octets), ClientHello | Incomplete | NotTls)


@given(st.binary(max_size=400))
def test_any_message_gives_a_value(body: bytes) -> None:
    result = parse_client_hello(records(b"\x01" + vector(body, 3)))
    assert isinstance(result, ClientHello | NotTls)


@given(
    octets=st.sampled_from(REAL),
    changes=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=6),
)
def test_a_damaged_client_hello_gives_a_value_that_can_be_logged(
    octets: bytes, changes: list[tuple[int, int]]
) -> None:
    damaged = bytearray(octets)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    result = parse_client_hello(bytes(damaged))
    if isinstance(result, ClientHello) and result.sni is not None:
        assert result.sni.isascii()
        assert result.sni.isprintable()
        assert len(result.sni) <= MAX_SNI_OCTETS
    if isinstance(result, NotTls):
        assert result.reason.isprintable()


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"E", "first octet is 0x45"),
        (b"500 not TLS\r\n", "first octet is 0x35"),
        (b"\x15\x03\x01\x00\x02\x02\x28", "first octet is 0x15"),
        # An SSL 2 hello (RFC 5246 §E.2), which no one needs any more.
        (b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10" + bytes(40), "first octet is 0x80"),
        (b"\x16\x02", "version 2"),
        (b"\x16\x03\x01\x00\x00", "record of 0 octets"),
        (b"\x16\x03\x01\x40\x01", "record of 16385 octets"),
        (records(b"\x02" + vector(b"", 3)), "type 2"),
        (records(b"\x01" + vector(ODD_SUITES, 3)), "lengths"),
        (records(b"\x01" + vector(b"\x03\x03", 3)), "lengths"),
        (records(b"\x01" + vector(BARE + b"\x00\x03\x00\x0d\x00", 3)), "lengths"),
        (records(b"\x01" + vector(BARE + b"\x00\x04\x00\x0d\x00\x01", 3)), "lengths"),
        (records(message({13: b"\x00\x03\x04\x03\x08"})), "lengths"),
        (records(message({0: b"\x00\x09\x00"})), "lengths"),
    ],
)
def test_what_is_no_client_hello_is_named(octets: bytes, reason: str) -> None:
    result = parse_client_hello(octets)
    assert isinstance(result, NotTls)
    assert reason in result.reason


def test_a_client_hello_is_bounded() -> None:
    """RFC 8446 §4.1.2 allows 16 MiB and more: a reader must not."""
    result = parse_client_hello(records(b"\x01" + (MAX_CLIENT_HELLO_BYTES + 1).to_bytes(3, "big")))
    assert isinstance(result, NotTls)
    assert f"{MAX_CLIENT_HELLO_BYTES + 1} octets" in result.reason
    announced = b"\x01" + MAX_CLIENT_HELLO_BYTES.to_bytes(3, "big") + bytes(20_000)
    reader = ClientHelloReader()
    wire = records(announced, size=1)
    received = 0
    while isinstance(reader.receive(wire[received : received + 1000]), Incomplete):
        received += 1000
        assert received <= MAX_CLIENT_HELLO_BYTES
    result = reader.receive(b"")
    assert isinstance(result, NotTls)
    assert "no end" in result.reason


@pytest.mark.parametrize("version", [0x0300, 0x0301, 0x0302, 0x0303, 0x0304, 0x03FF])
def test_the_version_of_the_record_means_nothing(version: int) -> None:
    """RFC 8996 §5: record-layer {03,XX} of a ClientHello MUST be accepted."""
    hello = parse_client_hello(records(message({}), version=version))
    assert isinstance(hello, ClientHello)
    assert hello.versions == (0x0303,)


def test_extensions_may_be_missing() -> None:
    """RFC 5246 §7.4.1.2."""
    assert parse(None) == parse({}) == ClientHello(None, (), (0x0303,), (ECDHE_RSA,))


@pytest.mark.parametrize(
    ("body", "sni"),
    [
        (server_name(b"MX.Example.org."), "MX.Example.org."),
        (server_name(b"192.0.2.1"), "192.0.2.1"),
        (server_name(b""), ""),
        (server_name(b"a\x00b\r\n\x1b[31m\xff "), "a?b???[31m??"),
        (server_name(b"x" * 300), "x" * MAX_SNI_OCTETS),
        (server_name(b"other", name_type=7), None),
        (
            vector(b"\x07" + vector(b"other", 2) + b"\x00" + vector(b"name", 2), 2),
            "name",
        ),
        (vector(b"", 2), None),
        (b"", None),
    ],
)
def test_sni_is_kept_as_text_that_can_be_logged(body: bytes, sni: str | None) -> None:
    """RFC 6066 §3."""
    assert parse({0: body}).sni == sni


def test_grease_is_left_out() -> None:
    """RFC 8701 §2."""
    hello = parse(
        {
            43: vector(numbers(GREASE, 0x0304, 0x0303), 1),
            10: vector(numbers(0xFAFA, 0x001D), 2),
            13: vector(numbers(0x0403, GREASE), 2),
            GREASE: b"",
        }
    )
    assert hello.versions == (0x0304, 0x0303)
    assert hello.groups == (0x001D,)
    assert hello.signature_algorithms == (0x0403,)


@pytest.mark.parametrize(
    ("extensions", "has_ticket"),
    [({}, False), ({35: b""}, False), ({35: b"ticket"}, True), ({41: b"identities"}, True)],
)
def test_a_ticket_is_offered_or_only_asked_for(
    extensions: dict[int, bytes], has_ticket: bool
) -> None:
    """RFC 5077 §3.2, RFC 8446 §4.2.11."""
    assert parse(extensions).has_session_ticket is has_ticket


RSA, ECDSA, ED25519 = KeyType


@pytest.mark.parametrize(
    ("versions", "suites", "signatures", "fitting"),
    [
        ((0x0304,), (0x1301,), (0x0403,), {ECDSA}),
        ((0x0304,), (0x1301,), (0x0804,), {RSA}),
        # RSA with PKCS #1 padding signs no TLS 1.3 handshake (RFC 8446 §4.2.3).
        ((0x0304,), (0x1301,), (0x0401, 0x0807), {ED25519}),
        ((0x0303,), (ECDHE_RSA,), (0x0403, 0x0401), {RSA}),
        ((0x0303,), (ECDHE_ECDSA,), (0x0403, 0x0401), {ECDSA}),
        ((0x0303,), (ECDHE_ECDSA, ECDHE_RSA), (0x0403, 0x0401), {RSA, ECDSA}),
        ((0x0303,), (ECDHE_ECDSA, ECDHE_RSA), (0x0807,), {ED25519}),
        ((0x0303,), (0x002F,), (0x0401,), {RSA}),
        ((0x0303,), (0x002F,), (), {RSA}),
        # SHA-1 alone is as good as none (RFC 9325 §4.5).
        ((0x0303,), (ECDHE_ECDSA, ECDHE_RSA), (0x0201, 0x0203), set()),
        ((0x0303,), (0x0005,), (0x0401,), set()),
    ],
)
def test_which_keys_fit_a_client(
    versions: tuple[int, ...],
    suites: tuple[int, ...],
    signatures: tuple[int, ...],
    fitting: set[KeyType],
) -> None:
    """RFC 8446 §4.2.3, RFC 5246 §7.4.1.4.1."""
    hello = ClientHello(None, (), versions, suites, signature_algorithms=signatures)
    assert {key for key in KeyType if hello.fits(key)} == fitting


@pytest.mark.parametrize(
    ("version", "groups", "signatures", "curves"),
    [
        (0x0304, (), (0x0403,), {23}),
        (0x0304, (23, 24), (0x0503, 0x0603), {24, 25}),
        (0x0304, (23,), (0x0401,), set()),
        # In TLS 1.2 the scheme is a hash and says nothing of the curve.
        (0x0303, (23, 29), (0x0503,), {23}),
        (0x0303, (29, 24), (0x0403,), {24}),
        (0x0303, (29,), (0x0403,), set()),
        (0x0303, (), (0x0403,), set()),
        (0x0303, (26,), (0x0403,), set()),
    ],
)
def test_which_curves_fit_a_client(
    version: int, groups: tuple[int, ...], signatures: tuple[int, ...], curves: set[int]
) -> None:
    """RFC 8446 §4.2.3: the scheme names it; RFC 8422 §5.1: it is one of the groups."""
    hello = ClientHello(None, (), (version,), (ECDHE_ECDSA,), groups, signatures)
    assert {curve for curve in (0, 23, 24, 25) if hello.fits(ECDSA, curve)} == curves
