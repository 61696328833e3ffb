"""Which certificate a client gets, by real handshakes; and what a reload does."""

import os
from base64 import b64encode
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from OpenSSL import SSL

from letterlock.base.errors import LocalError
from letterlock.network.key_pairs import find_server_names
from letterlock.network.server_certificates import (
    ChoiceReason,
    ServerCertificates,
    ServerSettings,
)
from letterlock.network.tls import MAX_READ_BYTES, TlsDriver
from letterlock.protocols.pki.certificate import format_pem
from letterlock.protocols.pki.throwaway_ca import Issued, KeyKind, Shape
from letterlock.protocols.tls.client_hello import ClientHello, KeyType
from letterlock.protocols.tls.handshake import Handshake, HandshakeFailed
from tests.network.certificates import (
    NOW,
    authority,
    client_context,
    issue,
    make_chooser,
    make_managed,
    shake,
    write_pair,
)

MAIN = ("mx.example.org",)
OTHER = ("mx.other.example", "*.wild.example")

VERSIONS = {"TLSv1.2": SSL.TLS1_2_VERSION, "TLSv1.3": SSL.TLS1_3_VERSION}
SIGNATURES = {"RSA": b"RSA-PSS+SHA256:RSA+SHA256", "ECDSA": b"ECDSA+SHA256", "both": None}
SNI_VALUES = {
    "mx.example.org": ChoiceReason.MATCHED,
    "MX.Example.ORG": ChoiceReason.MATCHED,
    "mx.example.org.": ChoiceReason.MATCHED,
    "mx.other.example": ChoiceReason.MATCHED,
    "a.wild.example": ChoiceReason.MATCHED,
    "unknown.example": ChoiceReason.UNKNOWN_NAME,
    "a.b.wild.example": ChoiceReason.UNKNOWN_NAME,
    "wild.example": ChoiceReason.UNKNOWN_NAME,
    "localhost": ChoiceReason.UNKNOWN_NAME,
    "xn--mx-eka.example": ChoiceReason.UNKNOWN_NAME,
    "mx_1.example": ChoiceReason.UNKNOWN_NAME,
    "192.0.2.1": ChoiceReason.NOT_A_NAME,
    "2001:db8::1": ChoiceReason.NOT_A_NAME,
    "[192.0.2.1]": ChoiceReason.NOT_A_NAME,
    ".": ChoiceReason.NOT_A_NAME,
    "*.wild.example": ChoiceReason.NOT_A_NAME,
    "a b\x7f\r\nc": ChoiceReason.NOT_A_NAME,
    "x" * 255: ChoiceReason.NOT_A_NAME,
    "bücher.example": ChoiceReason.NOT_A_NAME,
    "": ChoiceReason.NO_SNI,
}


@pytest.fixture(scope="module", params=["configured", "managed"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> ServerCertificates:
    """Two names, each with an ECDSA and an RSA certificate."""
    folder = tmp_path_factory.mktemp("both")
    issued = [issue(names, key) for names in (OTHER, MAIN) for key in ("rsa", "ec")]
    if request.param == "managed":
        return make_managed(folder, MAIN[0], *issued)
    return make_chooser(folder, *reversed(issued))


def serve(
    chooser: ServerCertificates, context: SSL.Context, sni: bytes | None
) -> tuple[Handshake, TlsDriver, x509.Certificate]:
    """Shake hands as any client might, SNI being whatever octets it likes."""
    client = TlsDriver.client(context, None)
    if sni:
        assert client._connection is not None
        client._connection.set_tlsext_host_name(sni)
    server = TlsDriver.server(chooser)
    seen, served = shake(client, server)
    assert isinstance(seen, Handshake), seen
    assert isinstance(served, Handshake), served
    return seen, server, x509.load_der_x509_certificate(seen.chain[0])


def key_of(certificate: x509.Certificate) -> str:
    return "ECDSA" if isinstance(certificate.public_key(), ec.EllipticCurvePublicKey) else "RSA"


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return tuple(extension.value.get_values_for_type(x509.DNSName))


@pytest.mark.parametrize(("sni", "reason"), SNI_VALUES.items())
@pytest.mark.parametrize(("version", "keys"), [*product(VERSIONS, SIGNATURES)])
def test_every_client_is_served(
    both: ServerCertificates, version: str, keys: str, sni: str, reason: ChoiceReason
) -> None:
    """RFC 7672 §8.1, RFC 8461 §7.1: no name, or one we don't have, is no reason to refuse.
    Rules 50, 56, 82 and 83.
    """
    number = VERSIONS[version]
    context = client_context(min_version=number, max_version=number, signatures=SIGNATURES[keys])
    seen, server, certificate = serve(both, context, sni.encode())
    choice = server.choice
    assert choice is not None
    assert (seen.version, choice.reason) == (version, reason)
    is_other = reason is ChoiceReason.MATCHED and "example.org" not in sni.lower()
    assert names_of(certificate) == (OTHER if is_other else MAIN)
    assert choice.names == names_of(certificate)
    assert choice.is_default is not is_other
    assert keys in ("both", key_of(certificate))


def test_a_client_without_an_extension_is_served(both: ServerCertificates) -> None:
    """RFC 5246 §7.4.1.2: extensions may be missing; the choice is the default then."""
    for hello in (ClientHello(None, (), (0x0303,), (0xC02F,)), None):
        choice = both.choose(hello)
        assert (choice.is_default, choice.reason) == (True, ChoiceReason.NO_SNI)


def host_name(name: bytes) -> bytes:
    entry = b"\x00" + len(name).to_bytes(2, "big") + name
    return len(entry).to_bytes(2, "big") + entry


@pytest.mark.parametrize(
    ("body", "is_served"),
    [
        (host_name(b""), True),
        (host_name(b"\xff\xfe"), True),
        (host_name(b"x" * 255), True),
        (host_name(b"x" * 256), False),
        (host_name(b"a\x00b"), False),
        (b"\x00\x00", False),
    ],
)
def test_what_openssl_itself_refuses_as_sni(
    both: ServerCertificates, body: bytes, is_served: bool
) -> None:
    """RFC 6066 §3: an empty list breaks its syntax; no client can take it for a name's fault."""
    client, server = TlsDriver.client(client_context(), MAIN[0]), TlsDriver.server(both)
    client.do_handshake()
    server.receive(with_extension(client.bytes_to_send(), 0, body))
    result = server.do_handshake()
    assert (result is None) is is_served
    assert server.choice is not None
    assert server.choice.is_default


@pytest.mark.parametrize("order", [("ec", "rsa"), ("rsa", "ec")])
@pytest.mark.parametrize("keys", ["RSA", "ECDSA"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_gets_a_certificate_it_can_use_even_of_another_name(
    tmp_path: Path, order: tuple[str, str], keys: str, version: str
) -> None:
    """An opportunistic client is then encrypted; a failed handshake would help nobody."""
    first = issue(MAIN, "ec" if order[0] == "ec" else "rsa")
    second = issue(OTHER, "ec" if order[1] == "ec" else "rsa")
    chooser = make_chooser(tmp_path, first, second)
    number = VERSIONS[version]
    context = client_context(min_version=number, max_version=number, signatures=SIGNATURES[keys])
    for sni in (MAIN[0], OTHER[0], "unknown.example"):
        _, server, certificate = serve(chooser, context, sni.encode())
        assert key_of(certificate) == keys
        assert server.choice is not None
        is_right = sni in names_of(certificate)
        assert (server.choice.reason is ChoiceReason.MATCHED) is is_right
        assert (server.choice.reason is ChoiceReason.KEY_TYPE) is (
            not is_right and sni != "unknown.example"
        )


def with_extension(hello: bytes, kind: int, body: bytes | None) -> bytes:
    """Change an extension of a ClientHello; None: take it out."""
    message = hello[9:]
    at = 35 + message[34]
    at += 2 + int.from_bytes(message[at : at + 2], "big")
    at += 1 + message[at]
    head, rest = message[:at], message[at + 2 :]
    extensions = b""
    while rest:
        length = int.from_bytes(rest[2:4], "big")
        value: bytes | None = rest[4 : 4 + length]
        value = body if int.from_bytes(rest[:2], "big") == kind else value
        if value is not None:
            extensions += rest[:2] + len(value).to_bytes(2, "big") + value
        rest = rest[4 + length :]
    message = head + len(extensions).to_bytes(2, "big") + extensions
    message = b"\x01" + len(message).to_bytes(3, "big") + message
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


@pytest.mark.parametrize("order", [("ec", "rsa"), ("rsa", "ec")])
@pytest.mark.parametrize(
    ("groups", "key"),
    [
        (b"\0\x02\0\x17", "ECDSA"),
        (b"\0\x04\0\x1d\0\x17", "ECDSA"),
        (b"\0\x02\0\x1d", "RSA"),
        (b"\0\x04\0\x1d\0\x18", "RSA"),
        (b"\0\x02\0\x1a", "RSA"),
        (None, "RSA"),
    ],
)
def test_a_tls_1_2_client_without_the_curve_gets_rsa(
    tmp_path: Path, groups: bytes | None, key: str, order: tuple[KeyKind, KeyKind]
) -> None:
    """RFC 8422 §5.1: with the key on P-256 OpenSSL would find no cipher shared with the client."""
    chooser = make_chooser(tmp_path, *(issue(MAIN, each) for each in order))
    context = client_context(max_version=SSL.TLS1_2_VERSION)
    client, server = TlsDriver.client(context, MAIN[0]), TlsDriver.server(chooser)
    client.do_handshake()
    server.receive(with_extension(client.bytes_to_send(), 10, groups))
    # The client would not agree that it said so: the server's flight is what can be seen.
    assert server.do_handshake() is None
    assert server.choice is not None
    assert server.choice.reason is ChoiceReason.MATCHED
    assert server.choice.pair.key_type is KeyType(key)
    assert server.bytes_to_send()[0] == 22


@pytest.mark.parametrize(("curve", "number"), [(ec.SECP384R1(), 24), (ec.SECP521R1(), 25)])
def test_keys_on_other_curves_serve_those_who_have_them(
    tmp_path: Path, curve: ec.EllipticCurve, number: int
) -> None:
    """RFC 8446 §4.2.3: in TLS 1.3 the signature scheme names the curve."""
    odd = authority().issue(MAIN, now=NOW, key=ec.generate_private_key(curve))
    chooser = make_chooser(tmp_path, odd, issue(MAIN))
    scheme = {24: b"ECDSA+SHA384", 25: b"ECDSA+SHA512"}[number]
    for signatures, expected in ((scheme, odd), (b"ECDSA+SHA256", issue(MAIN))):
        context = client_context(min_version=SSL.TLS1_3_VERSION, signatures=signatures)
        _, server, certificate = serve(chooser, context, MAIN[0].encode())
        assert certificate == expected.certificate
        assert server.choice is not None
        assert server.choice.reason is ChoiceReason.MATCHED


def test_each_key_type_comes_with_its_own_chain(tmp_path: Path) -> None:
    """One context, two chains: no intermediate of the other's is sent."""
    names = ("chains.example",)
    above_ec = authority().intermediate("EC Intermediate", now=NOW)
    above_rsa = authority().intermediate("RSA Intermediate", now=NOW)
    issued = {
        "ECDSA": above_ec.issue(names, now=NOW),
        "RSA": above_rsa.issue(names, now=NOW, key="rsa"),
    }
    chooser = make_chooser(tmp_path, *issued.values())
    for keys, each in issued.items():
        context = client_context(signatures=SIGNATURES[keys])
        seen, _, _ = serve(chooser, context, b"chains.example")
        assert seen.chain == each.chain_der
        assert len(seen.chain) == 2


def test_an_exact_name_goes_before_a_wildcard(tmp_path: Path) -> None:
    wild, exact = issue(("*.wild.example",)), issue(("a.wild.example",))
    chooser = make_chooser(tmp_path, wild, exact)
    for sni, names in ((b"a.wild.example", exact), (b"b.wild.example", wild)):
        _, _, certificate = serve(chooser, client_context(), sni)
        assert certificate == names.certificate
    assert chooser.names == ("*.wild.example", "a.wild.example")


def test_an_exact_name_and_a_wildcard_of_other_keys_stand_beside_each_other(
    tmp_path: Path,
) -> None:
    chooser = make_chooser(
        tmp_path, issue(("a.wild.example",), "rsa"), issue(("*.wild.example",), "ec")
    )
    for keys in ("RSA", "ECDSA"):
        context = client_context(signatures=SIGNATURES[keys])
        _, server, certificate = serve(chooser, context, b"a.wild.example")
        assert key_of(certificate) == keys
        assert server.choice is not None
        assert server.choice.reason is ChoiceReason.MATCHED


def test_an_ed25519_certificate_serves_those_who_can(tmp_path: Path) -> None:
    chooser = make_chooser(tmp_path, issue(MAIN, "ed25519"), issue(MAIN, "ec"))
    context = client_context(signatures=b"ed25519")
    _, _, certificate = serve(chooser, context, MAIN[0].encode())
    assert certificate == issue(MAIN, "ed25519").certificate
    context = client_context(signatures=SIGNATURES["ECDSA"])
    assert key_of(serve(chooser, context, MAIN[0].encode())[2]) == "ECDSA"


def test_odd_names_in_a_certificate_are_left_out(tmp_path: Path) -> None:
    odd = ["ok.example", "nul\0.example", "*", "a.*.example", "*.*.example", "", "sp ace.example"]
    names = [x509.DNSName(name) for name in odd]
    issued = authority().issue(["ok.example"], now=NOW, shape=Shape(general_names=names))
    chooser = make_chooser(tmp_path, issued)
    assert chooser.names == ("ok.example",)


def test_names_of_a_kind_that_cannot_be_read_are_no_names() -> None:
    """RFC 5280 §4.2.1.6: x400Address, here in the place of a directoryName."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "odd")])
    shape = Shape(subject=x509.Name([]), general_names=[x509.DirectoryName(name)])
    der = authority().issue([], now=NOW, shape=shape).der
    octets = name.public_bytes()
    assert der.count(bytes((0xA4, len(octets))) + octets) == 1
    der = der.replace(bytes((0xA4, len(octets))) + octets, bytes((0xA3, len(octets))) + octets)
    assert find_server_names(x509.load_der_x509_certificate(der)) == []


def test_a_certificate_without_names_is_the_default_alone(tmp_path: Path) -> None:
    bare = authority().issue([], now=NOW, shape=Shape(general_names=()))
    chooser = make_chooser(tmp_path, bare, issue(MAIN, "rsa"))
    _, server, certificate = serve(chooser, client_context(), b"unknown.example")
    assert certificate == bare.certificate
    assert server.choice is not None
    assert server.choice.names == ()


@pytest.mark.parametrize("offered", [[b"h2"], [b"smtp", b"acme-tls/1"]])
def test_alpn_never_fails_a_handshake(both: ServerCertificates, offered: list[bytes]) -> None:
    """RFC 7301 §3.2: a server that does not select by ALPN goes on without. Rule 124."""
    context = client_context()
    context.set_alpn_protos(offered)
    seen, server, _ = serve(both, context, MAIN[0].encode())
    assert seen.alpn is None
    assert server.client_hello is not None
    assert server.client_hello.alpn == tuple(offered)


def test_the_server_prefers_tls_1_3_and_then_the_stronger_cipher(
    both: ServerCertificates,
) -> None:
    """RFC 9325 §3.1.1, §4.2.1; rules 94 and 122."""
    assert serve(both, client_context(), None)[0].version == "TLSv1.3"
    offered = ["AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-GCM-SHA256"]
    offered.append("ECDHE-RSA-AES256-GCM-SHA384")
    while len(offered) > 1:
        ciphers = ":".join(offered).encode()
        context = client_context(max_version=SSL.TLS1_2_VERSION, ciphers=ciphers)
        assert serve(both, context, None)[0].cipher == offered.pop()


def test_the_server_offers_nothing_broken(both: ServerCertificates) -> None:
    """RFC 9325 §4.1: no NULL, anonymous, export, RC4, DES. Rule 95."""
    names = both.choose(None).connect().get_cipher_list()
    broken = ("NULL", "ADH", "AECDH", "EXP", "RC4", "DES", "MD5", "PSK", "SRP", "DSS", "CAMELLIA")
    assert not [name for name in names if any(word in name for word in broken)]


def test_a_client_that_wants_to_renegotiate_is_refused(both: ServerCertificates) -> None:
    """RFC 9325 §3.5: no renegotiation that the client starts. Rule 96."""
    context = client_context(max_version=SSL.TLS1_2_VERSION)
    client, server = TlsDriver.client(context, MAIN[0]), TlsDriver.server(both)
    shake(client, server)
    assert client._connection is not None
    client._connection.renegotiate()
    with pytest.raises(SSL.WantReadError):
        client._connection.do_handshake()
    # Behind the driver's back: what there is to send, OpenSSL has to be asked for.
    server.receive(client._connection.bio_read(MAX_READ_BYTES))
    server.read()
    client.receive(server.bytes_to_send())
    with pytest.raises(SSL.Error, match="no renegotiation"):
        client._connection.do_handshake()


def resume(chooser: ServerCertificates, version: int, first: str, second: str) -> tuple[bool, bool]:
    """Connect twice, offering the first session the second time: (client, server) resumed."""
    context = client_context(max_version=version)
    session: SSL.Session | None = None
    found = (False, False)
    server = TlsDriver.server(chooser)
    for name in (first, second):
        client, server = TlsDriver.client(context, name), TlsDriver.server(chooser)
        assert client._connection is not None
        if session is not None:
            client._connection.set_session(session)
        seen, served = shake(client, server)
        assert isinstance(seen, Handshake)
        assert isinstance(served, Handshake)
        found = (seen.resumed, served.resumed)
        # Tickets come with what the server says next.
        server.write(b"250 Ok\r\n")
        client.receive(server.bytes_to_send())
        client.read()
        client.close()
        session = client._connection.get_session()
    assert server.client_hello is not None
    assert server.client_hello.has_session_ticket is (version == SSL.TLS1_3_VERSION)
    return found


def test_sessions_are_resumed_in_tls_1_3(both: ServerCertificates) -> None:
    """RFC 8446 §4.6.1."""
    assert resume(both, SSL.TLS1_3_VERSION, MAIN[0], MAIN[0]) == (True, True)


def test_names_below_one_authority_share_tickets_in_tls_1_3(both: ServerCertificates) -> None:
    """RFC 8446 §4.6.1: whether to use one under another name is the client's to say."""
    assert resume(both, SSL.TLS1_3_VERSION, MAIN[0], OTHER[0]) == (True, True)
    assert resume(both, SSL.TLS1_3_VERSION, MAIN[0], "unknown.example") == (True, True)


def test_tickets_live_less_than_a_week(both: ServerCertificates) -> None:
    """RFC 8446 §4.6.1: at most 604800 seconds; RFC 9325 §3.4: less than a ticket key's week.
    Rules 96 and 116.
    """
    assert 0 < both.choose(None).context.get_timeout() < 604800 / 2


def test_tls_1_2_is_not_resumed_under_another_name(both: ServerCertificates) -> None:
    """RFC 6066 §3: MUST NOT; OpenSSL does, so TLS 1.2 gets no tickets from us. Rule 116."""
    for name in (MAIN[0], "unknown.example"):
        assert resume(both, SSL.TLS1_2_VERSION, MAIN[0], name) == (False, False)


def test_without_tickets_nothing_is_resumed(tmp_path: Path) -> None:
    chooser = make_chooser(
        tmp_path, issue(MAIN), settings=ServerSettings(has_session_tickets=False)
    )
    for version in VERSIONS.values():
        assert resume(chooser, version, MAIN[0], MAIN[0]) == (False, False)


def test_early_data_is_not_offered_to_clients(both: ServerCertificates) -> None:
    """RFC 9325 §3.10, RFC 8446 §E.5: tickets say max_early_data_size 0. Rule 97."""
    client, server = TlsDriver.client(client_context(), MAIN[0]), TlsDriver.server(both)
    shake(client, server)
    # Tickets come with what the server says next.
    server.write(b"250 Ok\r\n")
    client.receive(server.bytes_to_send())
    client.read()
    assert client._connection is not None
    session = client._connection.get_session()
    assert session is not None
    lib = SSL._lib  # type: ignore[attr-defined] # not exported; pyOpenSSL has no other way
    assert lib.SSL_SESSION_get_max_early_data(session._session) == 0


def test_the_client_is_not_asked_for_a_certificate(both: ServerCertificates) -> None:
    """RFC 8446 §4.3.2: no CertificateRequest. Rule 128."""
    assert both.choose(None).context.get_verify_mode() == SSL.VERIFY_NONE


RSA_FIELDS = ("n", "e", "d", "p", "q", "dmp1", "dmq1", "iqmp")  # RFC 8017 §A.1.2


def make_integer(value: int) -> bytes:
    """Make DER of an INTEGER that is not negative."""
    octets = value.to_bytes(value.bit_length() // 8 + 1, "big")
    length = bytes([len(octets)]) if len(octets) < 128 else b"\x82" + len(octets).to_bytes(2, "big")
    return b"\x02" + length + octets


# id-ecPublicKey (1.2.840.10045.2.1) made into an OID of nothing.
UNKNOWN_KEY = x509.load_der_x509_certificate(
    issue(MAIN).der.replace(b"\x2a\x86\x48\xce\x3d\x02\x01", b"\x2a\x86\x48\xce\x3d\x02\x77")
).public_bytes(Encoding.PEM)


class TestLoading:
    def test_at_least_one_pair_is_needed(self) -> None:
        with pytest.raises(LocalError, match="at least one"):
            ServerCertificates([])

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(LocalError, match=r"no\.pem: No such file"):
            ServerCertificates([(tmp_path / "no.pem", tmp_path / "no.key")])

    def test_a_certificate_of_a_version_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        """RFC 5280 §4.1.2.1: v3 is the highest."""
        issued = issue(MAIN)
        der = issued.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x2a", 1)
        path = tmp_path / "pair.pem"
        path.write_bytes(format_pem(der).encode() + issued.key_pem)
        with pytest.raises(LocalError, match=r"pair\.pem: no certificate in PEM form"):
            ServerCertificates([(path, path)])

    @pytest.mark.parametrize(
        ("broken", "content", "message"),
        [
            ("certificate", b"", "no certificate in PEM form"),
            ("certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n", "no certificate in PEM form"),
            ("key", b"", "no private key in PEM form"),
            ("key", b"x" * (1024 * 1024 + 1), "larger than"),
            ("key", issue(OTHER).key_pem, "not the key of the certificate"),
            ("key", issue(OTHER).chain_pem, "no private key in PEM form"),
            ("certificate", UNKNOWN_KEY, "of no kind we know"),
            (
                "key",
                X25519PrivateKey.generate().private_bytes(
                    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
                ),
                "neither RSA, ECDSA nor Ed25519",
            ),
            (
                "key",
                ec.generate_private_key(ec.SECP256R1()).private_bytes(
                    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
                ),
                "encrypted",
            ),
        ],
    )
    def test_what_cannot_be_used_is_named(
        self, tmp_path: Path, broken: str, content: bytes, message: str
    ) -> None:
        certificate, key = write_pair(tmp_path, issue(MAIN), "pair")
        path = certificate if broken == "certificate" else key
        path.write_bytes(content)
        with pytest.raises(LocalError, match=message) as caught:
            ServerCertificates([(certificate, key)])
        assert str(path) in str(caught.value)

    def test_a_key_too_short_is_refused(self, tmp_path: Path) -> None:
        """RFC 9325 §4.5: RSA of at least 2048 bits."""
        with pytest.raises(LocalError, match="ee key too small"):
            make_chooser(tmp_path, authority().issue(MAIN, now=NOW, key="rsa-1024"))

    @pytest.mark.parametrize("wrong", ["p", "q", "d", "dmp1", "dmq1", "iqmp", "n"])
    def test_an_rsa_key_whose_numbers_do_not_fit_is_refused(
        self, tmp_path: Path, wrong: str
    ) -> None:
        """RFC 8017 §3.2: OpenSSL would sign with it, and each handshake would fail."""
        issued = issue(MAIN, "rsa")
        assert isinstance(issued.key, rsa.RSAPrivateKey)
        whole = issued.key.private_numbers()
        numbers = {name: getattr(whole, name) for name in ("p", "q", "d", "dmp1", "dmq1", "iqmp")}
        numbers = {"n": whole.public_numbers.n, "e": whole.public_numbers.e, **numbers}
        numbers[wrong] += 2
        body = b"".join(map(make_integer, (0, *(numbers[name] for name in RSA_FIELDS))))
        octets = b"\x30\x82" + len(body).to_bytes(2, "big") + body
        certificate, key = write_pair(tmp_path, issued, "pair")
        pem = b64encode(octets).decode()
        key.write_text(f"-----BEGIN RSA PRIVATE KEY-----\n{pem}\n-----END RSA PRIVATE KEY-----\n")
        with pytest.raises(LocalError, match=r"pair\.key: (the RSA key is broken|no private key)"):
            ServerCertificates([(certificate, key)])

    def test_certificate_and_key_may_be_one_file(self, tmp_path: Path) -> None:
        path = tmp_path / "both.pem"
        path.write_bytes(issue(MAIN).key_pem + issue(MAIN).chain_pem)
        path.chmod(0o600)
        chooser = ServerCertificates([(path, path)])
        assert serve(chooser, client_context(), None)[2] == issue(MAIN).certificate

    def test_a_key_that_everyone_can_read_is_a_warning(self, tmp_path: Path) -> None:
        files = write_pair(tmp_path, issue(MAIN), "pair")
        assert ServerCertificates([files]).warnings == ()
        files[1].chmod(0o644)
        (warning,) = ServerCertificates([files]).warnings
        assert str(files[1]) in warning

    def test_an_unusable_setting_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(LocalError, match="no usable cipher"):
            make_chooser(tmp_path, issue(MAIN), settings=ServerSettings(ciphers="NONE-SUCH"))


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in place as certbot does: a new inode."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.chmod(0o600)
    fresh.rename(path)


class CertbotLineage:
    """`live/NAME` and `archive/NAME` as certbot (5.8) makes and renews them, one step at a time."""

    KINDS = ("cert", "privkey", "chain", "fullchain")

    def __init__(self, folder: Path, issued: Issued) -> None:
        self._live = folder / "live" / "mx.example.org"
        self._archive = folder / "archive" / "mx.example.org"
        for path in (self._live, self._archive):
            path.mkdir(parents=True)
        self._write(1, issued)
        for kind in self.KINDS:
            self._link(kind, 1)
        self.files = self._live / "fullchain.pem", self._live / "privkey.pem"

    def renew(self, version: int, issued: Issued) -> Iterator[str]:
        """Do what its `save_successor` and `update_all_links_to` do; gives each step's name."""
        for kind in self._write(version, issued):
            yield f"wrote {kind}"
        for kind in self.KINDS:
            (self._live / f"{kind}.pem").unlink()
            yield f"unlinked {kind}"
            self._link(kind, version)
            yield f"linked {kind}"

    def _write(self, version: int, issued: Issued) -> list[str]:
        contents = {
            "cert": issued.certificate_pem,
            "privkey": issued.key_pem,
            "chain": issued.chain_pem.removeprefix(issued.certificate_pem),
            "fullchain": issued.chain_pem,
        }
        for kind, content in contents.items():
            path = self._archive / f"{kind}{version}.pem"
            path.write_bytes(content)
            path.chmod(0o600 if kind == "privkey" else 0o644)
        return list(contents)

    def _link(self, kind: str, version: int) -> None:
        target = Path("../../archive/mx.example.org") / f"{kind}{version}.pem"
        (self._live / f"{kind}.pem").symlink_to(target)


class TestReload:
    @pytest.mark.parametrize("reuses_key", [False, True])
    def test_certbots_renewal_is_taken_over_whenever_we_look(
        self, tmp_path: Path, reuses_key: bool
    ) -> None:
        """It replaces links one by one: a look may find one missing, or a key without its chain."""
        old = authority().issue(MAIN, now=NOW)
        lineage = CertbotLineage(tmp_path, old)
        chooser = ServerCertificates([lineage.files])
        for version in (2, 3):
            new = authority().issue(MAIN, now=NOW, key=old.key if reuses_key else "ec")
            shown = []
            for step in lineage.renew(version, new):
                faults = chooser.reload_if_changed().faults
                assert not faults or "link" in step
                shown.append(self.leaf(chooser))
            assert shown == [old.certificate] * (len(shown) - 1) + [new.certificate]
            assert not chooser.reload_if_changed().has_changes
            old = new

    @pytest.fixture
    def files(self, tmp_path: Path) -> tuple[Path, Path]:
        return write_pair(tmp_path, issue(MAIN), "main")

    def leaf(self, chooser: ServerCertificates) -> x509.Certificate:
        return serve(chooser, client_context(), MAIN[0].encode())[2]

    def test_nothing_happens_while_files_are_the_same(self, files: tuple[Path, Path]) -> None:
        chooser = ServerCertificates([files])
        context = chooser.choose(None).context
        result = chooser.reload_if_changed()
        assert (result.loaded, result.faults) == ((), ())
        assert chooser.choose(None).context is context

    def test_new_files_count_and_connections_keep_what_they_began_with(
        self, files: tuple[Path, Path]
    ) -> None:
        chooser = ServerCertificates([files])
        client, server = TlsDriver.client(client_context(), MAIN[0]), TlsDriver.server(chooser)
        client.do_handshake()
        server.receive(client.bytes_to_send())
        fresh = authority().issue(MAIN, now=NOW)
        replace_file(files[0], fresh.chain_pem)
        replace_file(files[1], fresh.key_pem)
        assert chooser.reload_if_changed().loaded == (files[0],)
        assert self.leaf(chooser) == fresh.certificate
        seen, _ = shake(client, server)
        assert isinstance(seen, Handshake)
        assert seen.chain[0] == issue(MAIN).der

    def test_a_certificate_before_its_key_waits_for_it(self, files: tuple[Path, Path]) -> None:
        chooser = ServerCertificates([files])
        fresh = authority().issue(MAIN, now=NOW)
        replace_file(files[0], fresh.chain_pem)
        for _ in range(2):
            result = chooser.reload_if_changed()
            assert result.loaded == ()
            assert "not the key" in result.faults[0]
            assert self.leaf(chooser) == issue(MAIN).certificate
        replace_file(files[1], fresh.key_pem)
        assert chooser.reload_if_changed().loaded == (files[0],)
        assert self.leaf(chooser) == fresh.certificate

    def test_a_broken_file_keeps_what_was_and_does_not_keep_others_back(
        self, files: tuple[Path, Path], tmp_path: Path
    ) -> None:
        other = write_pair(tmp_path, issue(OTHER), "other")
        chooser = ServerCertificates([files, other])
        replace_file(files[0], b"rubbish")
        fresh = authority().issue(OTHER, now=NOW)
        replace_file(other[0], fresh.chain_pem)
        replace_file(other[1], fresh.key_pem)
        result = chooser.reload_if_changed()
        assert result.loaded == (other[0],)
        assert str(files[0]) in result.faults[0]
        assert self.leaf(chooser) == issue(MAIN).certificate
        assert serve(chooser, client_context(), OTHER[0].encode())[2] == fresh.certificate
        assert chooser.reload_if_changed().faults == result.faults

    def test_files_that_are_gone_are_a_fault(self, files: tuple[Path, Path]) -> None:
        chooser = ServerCertificates([files])
        files[1].unlink()
        assert "No such file" in chooser.reload_if_changed().faults[0]
        assert self.leaf(chooser) == issue(MAIN).certificate

    def test_a_touched_file_is_loaded_anew(self, files: tuple[Path, Path]) -> None:
        chooser = ServerCertificates([files])
        os.utime(files[0], ns=(1, 1))
        assert chooser.reload_if_changed().loaded == (files[0],)
        assert chooser.reload_if_changed().loaded == ()


def test_a_client_of_a_key_type_we_have_none_of_fails_by_openssl(tmp_path: Path) -> None:
    chooser = make_chooser(tmp_path, issue(MAIN, "ec"))
    context = client_context(signatures=SIGNATURES["RSA"])
    _, served = shake(TlsDriver.client(context, MAIN[0]), server := TlsDriver.server(chooser))
    assert isinstance(served, HandshakeFailed)
    assert server.choice is not None
    assert server.choice.reason is ChoiceReason.MATCHED
