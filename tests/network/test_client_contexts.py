"""Contexts for connections we make: what is offered, what is refused and how the peer learns it."""

from pathlib import Path

import pytest
from OpenSSL import SSL

from letterlock.base.errors import LocalError
from letterlock.network import client_contexts
from letterlock.network.client_contexts import (
    MAX_CONTEXTS,
    ClientContexts,
    ClientSettings,
    system_trust_file,
)
from letterlock.network.server_certificates import ServerCertificates
from letterlock.network.tls import TlsDriver
from letterlock.protocols.pki.throwaway_ca import CLIENT_AUTH, Shape, ThrowawayCa, self_signed
from letterlock.protocols.tls.client_hello import ClientHello, parse_client_hello
from letterlock.protocols.tls.failures import explain_failure
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed
from letterlock.protocols.tlsrpt.result_types import ResultType
from tests.network.certificates import (
    NOW,
    Result,
    authority,
    issue,
    make_chooser,
    shake,
    write_pair,
)
from tests.network.plain_server import PlainServer, PlainSettings, meet

NAME = "mx.example.org"
RSA_KEY_TRANSPORT = {0x009C, 0x009D, 0x003C, 0x003D, 0x002F, 0x0035}


@pytest.fixture
def chooser(tmp_path: Path) -> ServerCertificates:
    return make_chooser(tmp_path, issue((NAME,)))


@pytest.fixture
def anchors(tmp_path: Path) -> str:
    path = tmp_path / "anchors.pem"
    path.write_bytes(authority().pem)
    return str(path)


def offer(settings: ClientSettings) -> ClientHello:
    client = TlsDriver.client(ClientContexts().find(settings), NAME)
    client.do_handshake()
    hello = parse_client_hello(client.bytes_to_send())
    assert isinstance(hello, ClientHello)
    return hello


def try_against(context: SSL.Context, chooser: ServerCertificates) -> tuple[Result, Result]:
    return shake(TlsDriver.client(context, NAME), TlsDriver.server(chooser))


def test_the_default_offer_is_tls_1_3_and_1_2_with_forward_secrecy_and_aead() -> None:
    """RFC 9325 §3.1.1, §4.2; RFC 8996 §4; rules 83, 94, 95, 122, 135 and 157."""
    hello = offer(ClientSettings())
    assert hello.versions == (0x0304, 0x0303)
    assert set(hello.cipher_suites) <= {
        *(0x1301, 0x1302, 0x1303),
        *(0xC02B, 0xC02C, 0xC02F, 0xC030, 0xCCA8, 0xCCA9),
    }
    assert {0x11EC, 0x001D, 0x0017} <= set(hello.groups)
    assert not {0x0201, 0x0203} & set(hello.signature_algorithms)
    assert not hello.has_session_ticket


def test_the_first_tls_1_2_suite_is_ecdhe_rsa_aes128_gcm() -> None:
    """RFC 9325 §4.2.1; rule 122."""
    suites = [each for each in offer(ClientSettings()).cipher_suites if each >> 8 != 0x13]
    assert suites[0] == 0xC02F


def test_an_opportunistic_offer_adds_old_ciphers_last_and_nothing_broken() -> None:
    """RFC 9325 §4.1: no NULL, anonymous, export, RC4, DES; RFC 7435 §3. Rules 95 and 135."""
    hello = offer(ClientSettings(is_opportunistic=True))
    best = offer(ClientSettings()).cipher_suites
    assert hello.cipher_suites[: len(best)] == best
    assert set(hello.cipher_suites) >= RSA_KEY_TRANSPORT
    names = SSL.Connection(
        ClientContexts().find(ClientSettings(is_opportunistic=True)), None
    ).get_cipher_list()
    broken = ("NULL", "ADH", "AECDH", "EXP", "RC4", "DES", "MD5", "PSK", "SRP", "DSS", "CAMELLIA")
    assert not [name for name in names if any(word in name for word in broken)]


def test_no_compression_and_no_truncated_hmac_are_offered() -> None:
    """RFC 9325 §3.3, §4.6; rule 121."""
    client = TlsDriver.client(ClientContexts().find(ClientSettings(is_opportunistic=True)), NAME)
    client.do_handshake()
    hello = client.bytes_to_send()
    body = hello[9:]
    after_session_id = 35 + body[34]
    suites_length = int.from_bytes(body[after_session_id : after_session_id + 2], "big")
    at = after_session_id + 2 + suites_length
    assert body[at : at + 2] == b"\x01\x00"
    assert 4 not in _extension_types(body[at + 2 :])


def _extension_types(extensions: bytes) -> set[int]:
    found = set()
    rest = extensions[2:]
    while rest:
        found.add(int.from_bytes(rest[:2], "big"))
        rest = rest[4 + int.from_bytes(rest[2:4], "big") :]
    return found


def test_what_secures_renegotiation_is_offered_and_early_data_is_not() -> None:
    """RFC 9325 §3.5: extended_master_secret (23), renegotiation_info; §3.10: no early_data (42).
    Rules 96 and 97.
    """
    types = _offered_extensions()
    assert {23, 0xFF01} <= types
    assert 42 not in types


def test_raw_public_keys_are_not_offered() -> None:
    """RFC 7671 §5.1: a TLSA record may be of the certificate; no server_certificate_type (20).
    Rule 58.
    """
    assert 20 not in _offered_extensions()


def _offered_extensions() -> set[int]:
    client = TlsDriver.client(ClientContexts().find(ClientSettings()), NAME)
    client.do_handshake()
    body = client.bytes_to_send()[9:]
    at = 35 + body[34]
    at += 2 + int.from_bytes(body[at : at + 2], "big") + 2
    return _extension_types(body[at:])


def test_an_old_version_is_offered_only_where_tls_is_opportunistic() -> None:
    """RFC 8996 §4, §5; RFC 9325 §3.1.3; rules 94 and 119."""
    old = ClientSettings(min_version="TLSv1", is_opportunistic=True)
    assert offer(old).versions == (0x0304, 0x0303, 0x0302, 0x0301)
    with pytest.raises(LocalError, match="RFC 8996"):
        ClientContexts().find(ClientSettings(min_version="TLSv1"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (ClientSettings(ciphers="NO-SUCH-CIPHER"), "no usable cipher"),
        (ClientSettings(ciphers="ÄES"), "no usable cipher"),
        (ClientSettings(min_version="SSLv3"), "not a TLS version"),
        (ClientSettings(max_version="TLSv9"), "not a TLS version"),
        (ClientSettings(is_verifying=True, trust_files=("/no/such.pem",)), "/no/such.pem"),
    ],
)
def test_settings_that_cannot_be_used_are_named(settings: ClientSettings, message: str) -> None:
    with pytest.raises(LocalError, match=message):
        ClientContexts().find(settings)


def test_a_trust_file_without_certificates_is_named(tmp_path: Path) -> None:
    path = tmp_path / "empty.pem"
    path.write_text("nothing here\n")
    settings = ClientSettings(is_verifying=True, trust_files=(str(path),))
    with pytest.raises(LocalError, match=r"empty\.pem"):
        ClientContexts().find(settings)


def test_given_ciphers_are_used_as_they_are() -> None:
    hello = offer(ClientSettings(ciphers="AES128-SHA:@SECLEVEL=0", max_version="TLSv1.2"))
    assert set(hello.cipher_suites) == {0x002F}


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("is_opportunistic", [False, True])
def test_without_verification_any_chain_gives_a_handshake(
    version: str, is_opportunistic: bool
) -> None:
    """A handshake gives facts; a short key and an end in the past are for the judge."""
    past = Shape(not_before=NOW.replace(year=2020), not_after=NOW.replace(year=2021))
    expired = authority().issue([NAME], now=NOW, shape=past)
    weak = self_signed([NAME], now=NOW, key="rsa-1024")
    settings = ClientSettings(max_version=version, is_opportunistic=is_opportunistic)
    for issued in (expired, weak):
        server = PlainServer(issued, PlainSettings(ciphers="DEFAULT:@SECLEVEL=0"))
        result = meet(TlsDriver.client(ClientContexts().find(settings), NAME), server)
        assert isinstance(result, Handshake)
        assert result.chain == issued.chain_der


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_a_verifying_client_refuses_inside_the_handshake_and_keeps_the_chain(
    chooser: ServerCertificates, tmp_path: Path, version: str
) -> None:
    """The peer sees unknown_ca (RFC 8446 §6.2), the judge sees what the peer sent."""
    other = tmp_path / "other.pem"
    other.write_bytes(ThrowawayCa("Other CA", NOW).pem)
    settings = ClientSettings(max_version=version, is_verifying=True, trust_files=(str(other),))
    ours, theirs = try_against(ClientContexts().find(settings), chooser)
    assert isinstance(ours, HandshakeFailed)
    assert (ours.cause, ours.alert) == (FailureCause.CERTIFICATE_REFUSED, "unknown_ca")
    assert ours.chain == issue((NAME,)).chain_der
    assert ours.sni == NAME
    assert explain_failure(ours).result_type is ResultType.CERTIFICATE_NOT_TRUSTED
    assert isinstance(theirs, HandshakeFailed)
    assert (theirs.cause, theirs.alert) == (FailureCause.ALERT_RECEIVED, "unknown_ca")


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_a_verifying_client_accepts_a_chain_below_its_trust_anchors(
    chooser: ServerCertificates, anchors: str, version: str
) -> None:
    settings = ClientSettings(max_version=version, is_verifying=True, trust_files=(anchors,))
    for result in try_against(ClientContexts().find(settings), chooser):
        assert isinstance(result, Handshake)


def test_the_operators_own_anchors_stand_for_the_systems(
    chooser: ServerCertificates, anchors: str
) -> None:
    contexts = ClientContexts(trust_files=[Path(anchors)])
    for result in try_against(contexts.find(ClientSettings(is_verifying=True)), chooser):
        assert isinstance(result, Handshake)


def test_an_intermediate_can_be_a_trust_anchor(tmp_path: Path) -> None:
    below = authority().intermediate("Intermediate", now=NOW)
    issued = below.issue([NAME], now=NOW)
    anchor = tmp_path / "intermediate.pem"
    anchor.write_bytes(below.issued.certificate_pem)
    settings = ClientSettings(is_verifying=True, trust_files=(str(anchor),))
    for result in try_against(ClientContexts().find(settings), make_chooser(tmp_path, issued)):
        assert isinstance(result, Handshake)


def test_changed_trust_anchors_count_at_once(chooser: ServerCertificates, anchors: str) -> None:
    contexts = ClientContexts()
    settings = ClientSettings(is_verifying=True, trust_files=(anchors,))
    assert contexts.find(settings) is contexts.find(settings)
    assert isinstance(try_against(contexts.find(settings), chooser)[0], Handshake)
    Path(anchors).write_bytes(ThrowawayCa("Another CA with a longer name", NOW).pem)
    assert isinstance(try_against(contexts.find(settings), chooser)[0], HandshakeFailed)


def test_contexts_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    contexts = ClientContexts()
    first = contexts.find(ClientSettings())
    suites = ("AES128-SHA", "AES256-SHA", "AES128-SHA256", "AES256-SHA256")
    monkeypatch.setattr(client_contexts, "MAX_CONTEXTS", 3)
    for suite in suites:
        contexts.find(ClientSettings(ciphers=suite))
    assert contexts.find(ClientSettings()) is not first
    assert MAX_CONTEXTS >= 32


def test_our_client_certificate_is_shown_to_a_server_that_asks(tmp_path: Path) -> None:
    ours = authority().issue(["client.example"], now=NOW, shape=Shape(eku=(CLIENT_AUTH,)))
    files = write_pair(tmp_path, ours, "client")
    server = PlainServer(issue((NAME,)), PlainSettings(requires_client_certificate=True))
    client = TlsDriver.client(ClientContexts(files).find(ClientSettings()), NAME)
    assert isinstance(meet(client, server), Handshake)
    assert client.failure is None
    assert server.client_certificate == ours.der


def test_the_system_trust_file_is_found_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority().pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert system_trust_file() == bundle
    assert isinstance(ClientContexts().find(ClientSettings(is_verifying=True)), SSL.Context)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    assert system_trust_file() is None
    with pytest.raises(LocalError, match="ca-certificates"):
        ClientContexts().find(ClientSettings(is_verifying=True))
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setattr(client_contexts, "SYSTEM_TRUST_FILES", (str(tmp_path / "x"), str(bundle)))
    assert system_trust_file() == bundle
