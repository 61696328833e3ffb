"""Every way a handshake fails, by real handshakes: its cause, its alert, its reason code.

The other side is the standard library's `ssl` over the system's OpenSSL, or octets made by hand.
"""

import ssl
from pathlib import Path

import pytest
from OpenSSL import SSL

from letterlock.network.client_contexts import ClientContexts, ClientSettings
from letterlock.network.server_certificates import ServerCertificates, ServerSettings
from letterlock.network.tls import TlsDriver
from letterlock.network.tls_failures import classify, describe_error
from letterlock.protocols.tls.alerts import ALERT_NUMBERS
from letterlock.protocols.tls.failures import explain_failure
from letterlock.protocols.tls.handshake import FailureCause, Handshake, HandshakeFailed
from letterlock.protocols.tlsrpt.result_types import ResultType
from tests.network.certificates import client_context, issue, make_chooser, shake
from tests.network.plain_server import PlainServer, PlainSettings, meet

NAME = "mx.example.org"
ONLY_1_2 = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
ONLY_OLD = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)


@pytest.fixture
def chooser(tmp_path: Path) -> ServerCertificates:
    return make_chooser(tmp_path, issue((NAME,)))


def begin(context: SSL.Context | None = None) -> TlsDriver:
    """Make a client that has sent its ClientHello."""
    client = TlsDriver.client(context or client_context(), NAME)
    assert client.do_handshake() is None
    client.bytes_to_send()
    return client


def fail(driver: TlsDriver) -> HandshakeFailed:
    result = driver.do_handshake()
    assert isinstance(result, HandshakeFailed)
    return result


def alert_record(number: int, level: int = 2) -> bytes:
    return bytes((21, 3, 3, 0, 2, level, number))


@pytest.mark.parametrize(("alert", "number"), [*ALERT_NUMBERS.items(), ("alert_222", 222)])
def test_each_alert_is_known_by_its_name(alert: str, number: int) -> None:
    """RFC 8446 §6."""
    client = begin()
    client.receive(alert_record(number))
    failed = fail(client)
    assert (failed.alert, failed.is_alert_received) == (alert, True)
    expected = FailureCause.VERSION if number == 70 else FailureCause.ALERT_RECEIVED
    assert failed.cause is expected
    code = f"tls-remote-alert-{number}"
    name = alert.replace("_", "-")
    finding = explain_failure(failed)
    assert finding.reason_code == (code if number == 222 else f"{code}-{name}")
    assert finding.result_type is ResultType.VALIDATION_FAILURE


def test_a_warning_about_the_name_does_not_end_the_handshake() -> None:
    """RFC 6066 §3: servers may warn unrecognized_name and go on."""
    client = begin()
    client.receive(alert_record(112, level=1))
    assert client.do_handshake() is None


def test_close_notify_inside_the_handshake_is_a_close() -> None:
    client = begin()
    client.receive(alert_record(0, level=1))
    failed = fail(client)
    assert (failed.cause, failed.alert) == (FailureCause.CLOSED, "close_notify")


@pytest.mark.parametrize(
    ("is_reset", "code"),
    [
        (False, "connection-closed-during-handshake"),
        (True, "connection-reset-during-handshake"),
    ],
)
@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x03\x00\x7a\x02"])
def test_fin_and_rst_have_reason_codes_of_their_own(sent: bytes, is_reset: bool, code: str) -> None:
    client = begin()
    client.receive(sent)
    client.receive_eof(is_reset=is_reset)
    failed = fail(client)
    assert explain_failure(failed).reason_code == code
    assert failed.sni == NAME
    assert client.bytes_to_send() == b""


def test_an_alert_before_the_end_of_the_connection_is_what_counts() -> None:
    client = begin()
    client.receive(alert_record(40))
    client.receive_eof(is_reset=True)
    assert fail(client).alert == "handshake_failure"


def test_time_out_has_a_reason_code() -> None:
    assert explain_failure(begin().time_out()).reason_code == "io-timeout-during-handshake"


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        (b"500 not TLS\r\n", "500 not TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1 400"),
        (b"GET / HTTP/1.0\r\n\r\n", "GET / HTTP"),
        (bytes(50), "not TLS"),
        (b"\xff\xfe\xfd\xfc\xfb\xfa", "not TLS"),
    ],
)
def test_an_answer_that_is_not_tls_is_shown(octets: bytes, shown: str) -> None:
    client = begin()
    client.receive(octets)
    failed = fail(client)
    assert failed.cause is FailureCause.NOT_TLS
    assert shown in failed.detail
    assert failed.detail.isprintable()
    assert failed.detail.isascii()
    assert explain_failure(failed).reason_code == "tls-record-header-error"


@pytest.mark.parametrize(
    ("octets", "alert"),
    [
        (b"\x16\x03\x03\x50\x00" + bytes(300), "record_overflow"),
        (b"\x16\x03\x03\xff\xff" + bytes(300), "record_overflow"),
    ],
)
def test_an_oversized_record_is_no_record(octets: bytes, alert: str) -> None:
    """RFC 8446 §5.1: record_overflow."""
    client = begin()
    client.receive(octets)
    failed = fail(client)
    assert failed.cause is FailureCause.NOT_TLS
    assert client.bytes_to_send()[-1] == ALERT_NUMBERS[alert]


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"\x16\x03\x03\x00\x04\x02\x00\x00\x00", "tls-local-alert-50-decode-error"),
        (b"\x17\x03\x03\x00\x04abcd", "tls-local-alert-10-unexpected-message"),
        (b"\x16\x03\x03\x00\x04\x14\x00\x00\x00", "tls-local-alert-10-unexpected-message"),
    ],
)
def test_damaged_messages_are_answered_by_an_alert(octets: bytes, code: str) -> None:
    client = begin()
    client.receive(octets)
    failed = fail(client)
    assert failed.cause is FailureCause.ALERT_SENT
    assert explain_failure(failed).reason_code == code
    assert client.bytes_to_send()[:1] == b"\x15"


@pytest.mark.parametrize(
    ("settings", "client_settings", "code"),
    [
        (PlainSettings(refuses_sni=True), ClientSettings(), "112-unrecognized-name"),
        (
            PlainSettings(versions=ONLY_1_2),
            ClientSettings(min_version="TLSv1.3"),
            "70-protocol-version",
        ),
        (
            PlainSettings(versions=ONLY_1_2, ciphers="ECDHE-ECDSA-AES256-CCM"),
            ClientSettings(),
            "40-handshake-failure",
        ),
        (PlainSettings(curve="brainpoolP256r1"), ClientSettings(), "40-handshake-failure"),
        (
            PlainSettings(versions=ONLY_1_2, requires_client_certificate=True),
            ClientSettings(),
            "40-handshake-failure",
        ),
        (
            PlainSettings(versions=ONLY_OLD, ciphers="ALL:@SECLEVEL=0"),
            ClientSettings(is_opportunistic=True),
            "70-protocol-version",
        ),
    ],
)
def test_the_reason_of_a_server_that_refuses_reaches_us(
    settings: PlainSettings, client_settings: ClientSettings, code: str
) -> None:
    client = TlsDriver.client(ClientContexts().find(client_settings), NAME)
    failed = meet(client, PlainServer(issue((NAME,)), settings))
    assert isinstance(failed, HandshakeFailed)
    assert explain_failure(failed).reason_code == f"tls-remote-alert-{code}"


def test_a_server_with_old_tls_only_is_reached_where_that_is_allowed() -> None:
    """RFC 8996 §4, §5: never by default; RFC 7435 §3."""
    settings = PlainSettings(versions=ONLY_OLD, ciphers="ALL:@SECLEVEL=0")
    old = ClientSettings(min_version="TLSv1", is_opportunistic=True)
    client = TlsDriver.client(ClientContexts().find(old), NAME)
    result = meet(client, PlainServer(issue((NAME,)), settings))
    assert isinstance(result, Handshake)
    assert result.version == "TLSv1.1"


def test_a_client_certificate_demanded_in_tls_1_3_is_a_failure_after_the_handshake() -> None:
    """RFC 8446 §4.4.2.4: certificate_required comes when our handshake is complete."""
    server = PlainServer(issue((NAME,)), PlainSettings(requires_client_certificate=True))
    client = TlsDriver.client(ClientContexts().find(ClientSettings()), NAME)
    assert isinstance(meet(client, server), Handshake)
    assert client.is_closed
    assert client.failure is not None
    assert (
        explain_failure(client.failure).reason_code == "tls-remote-alert-116-certificate-required"
    )
    assert client.error == "the peer sent the TLS alert certificate_required"
    assert client.failure.chain[0] == issue((NAME,)).der


def test_a_server_hello_without_renegotiation_info_is_refused() -> None:
    """RFC 9325 §3.5: handshake_failure. Rule 96."""
    client = begin(ClientContexts().find(ClientSettings(is_opportunistic=True)))
    # TLS 1.2, ECDHE-RSA-AES128-GCM-SHA256, extended_master_secret alone.
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\xc0\x2f" + b"\x00" + b"\x00\x04\x00\x17\x00\x00"
    message = b"\x02" + len(body).to_bytes(3, "big") + body
    client.receive(b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message)
    failed = fail(client)
    assert explain_failure(failed).reason_code == "tls-local-alert-40-handshake-failure"
    assert "renegotiation" in failed.detail


def plain_client(
    context: ssl.SSLContext, server: TlsDriver
) -> tuple[Handshake | HandshakeFailed | None, ssl.SSLError | None]:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
    result = None
    for _ in range(6):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            server.receive(outgoing.read())
            return server.do_handshake(), error
        server.receive(outgoing.read())
        result = server.do_handshake()
        incoming.write(server.bytes_to_send())
    return result, None


def old_client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_a_client_below_tls_1_2_gets_protocol_version(
    chooser: ServerCertificates, version: ssl.TLSVersion
) -> None:
    """RFC 8996 §4, §5: MUST answer with the alert protocol_version. Rules 94 and 118."""
    context = old_client_context()
    context.minimum_version = context.maximum_version = version
    server = TlsDriver.server(chooser)
    ours, theirs = plain_client(context, server)
    assert isinstance(ours, HandshakeFailed)
    assert ours.cause is FailureCause.VERSION
    assert explain_failure(ours).reason_code == "tls-local-alert-70-protocol-version"
    assert theirs is not None
    assert "PROTOCOL_VERSION" in str(theirs)


@pytest.mark.parametrize("minor", [0, 1, 2, 3, 4])
def test_the_version_of_the_client_hello_record_means_nothing(
    chooser: ServerCertificates, minor: int
) -> None:
    """RFC 8996 §5: record-layer {03,XX} of a ClientHello MUST be accepted. Rule 118."""
    client, server = TlsDriver.client(client_context(), NAME), TlsDriver.server(chooser)
    client.do_handshake()
    hello = bytearray(client.bytes_to_send())
    hello[2] = minor
    server.receive(bytes(hello))
    assert server.do_handshake() is None
    assert server.bytes_to_send()[:3] == b"\x16\x03\x03"


def test_a_client_that_distrusts_us_is_known_by_its_alert(chooser: ServerCertificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ours, theirs = plain_client(context, TlsDriver.server(chooser))
    assert theirs is not None
    assert isinstance(ours, HandshakeFailed)
    assert (ours.alert, ours.sni) == ("unknown_ca", NAME)
    finding = explain_failure(ours)
    assert finding.text.endswith("(it does not trust the issuer of our certificate)")


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO client.example\r\n",
        b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10" + bytes(40),
        bytes(100),
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
    ],
)
def test_a_server_fails_on_what_is_no_client_hello(
    chooser: ServerCertificates, octets: bytes
) -> None:
    server = TlsDriver.server(chooser)
    server.receive(octets)
    failed = fail(server)
    assert failed.cause in (FailureCause.NOT_TLS, FailureCause.ALERT_SENT)
    assert server.client_hello is None


def test_no_cipher_in_common_is_found_by_the_server(chooser: ServerCertificates) -> None:
    context = client_context(max_version=SSL.TLS1_2_VERSION, ciphers=b"ECDHE-ECDSA-AES256-CCM")
    client, server = TlsDriver.client(context, NAME), TlsDriver.server(chooser)
    theirs, ours = shake(client, server)
    assert isinstance(ours, HandshakeFailed)
    assert "no shared cipher" in ours.detail
    assert explain_failure(ours).reason_code == "tls-local-alert-40-handshake-failure"
    assert isinstance(theirs, HandshakeFailed)
    assert theirs.alert == "handshake_failure"


def test_a_server_of_tls_1_3_only_refuses_tls_1_2(tmp_path: Path) -> None:
    settings = ServerSettings(min_version="TLSv1.3")
    chooser = make_chooser(tmp_path, issue((NAME,)), settings=settings)
    client = TlsDriver.client(client_context(max_version=SSL.TLS1_2_VERSION), NAME)
    theirs, ours = shake(client, TlsDriver.server(chooser))
    for failed in (ours, theirs):
        assert isinstance(failed, HandshakeFailed)
        assert failed.cause is FailureCause.VERSION


def test_a_damaged_flight_of_the_server_is_answered_by_an_alert(
    chooser: ServerCertificates,
) -> None:
    """RFC 8446 §5.2: bad_record_mac."""
    client, server = TlsDriver.client(client_context(), NAME), TlsDriver.server(chooser)
    client.do_handshake()
    server.receive(client.bytes_to_send())
    server.do_handshake()
    flight = bytearray(server.bytes_to_send())
    flight[-1] ^= 1
    client.receive(bytes(flight))
    assert explain_failure(fail(client)).reason_code == "tls-local-alert-20-bad-record-mac"
    server.receive(client.bytes_to_send())
    assert fail(server).alert == "bad_record_mac"


def test_an_error_without_a_reason_is_still_a_failure_with_a_code() -> None:
    for error in (SSL.Error([]), SSL.Error()):
        assert describe_error(error) == ""
    assert describe_error(SSL.SysCallError(-1, "Unexpected EOF")) == "unexpected eof"
    failed = classify("", plain_alert_sent=None, received=b"")
    assert explain_failure(failed).reason_code == "tls-protocol-error"
