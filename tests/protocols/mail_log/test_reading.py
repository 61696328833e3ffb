"""Deliveries in logs as Postfix, Exim and we write them: tied together, and with their cause."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterlock.protocols.mail_log.causes import REMEDIES, SECOND_MX, Cause, is_ok
from letterlock.protocols.mail_log.deliveries import LoggedDelivery, Tls
from letterlock.protocols.mail_log.exim import MAX_TEXTS
from letterlock.protocols.mail_log.reading import LogReader
from letterlock.protocols.mail_log.tying import MAX_EVENTS, MAX_PROCESSES

PEER = "mx.peer.example[192.0.2.1]:25"
OTHER = "mx2.peer.example[192.0.2.2]:25"
CIPHER = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519"
DELAYS = "delay=0.2, delays=0.04/0.04/0.06/0.06"
VERIFICATION = f"certificate verification failed for {PEER}: "
LIBRARY = "warning: TLS library problem: error:0A000"


def smtp(text: str, process: int = 7, program: str = "smtp", host: str = "mail") -> str:
    return f"Nov 22 15:25:24 {host} postfix/{program}[{process}]: {text}\n"


def up(peer: str = PEER, word: str = "Trusted", how: str = "established") -> str:
    return f"{word} TLS connection {how} to {peer}: {CIPHER}"


def end(  # noqa: PLR0913 # the parts of Postfix's line
    status: str = "sent",
    text: str = "250 2.0.0 Ok",
    *,
    to: str = "bob@peer.example",
    relay: str = PEER,
    use: str = "",
    more: str = "",
    queue_id: str = "67CF62BC555",
) -> str:
    code = "2.0.0" if status == "sent" else "4.7.5"
    outcome = f"dsn={code}, status={status} ({text})"
    return f"{queue_id}: to=<{to}>, relay={relay}, {use}{DELAYS}, {more}{outcome}"


def read(*texts: str) -> list[LoggedDelivery]:
    """Read what one process said."""
    return read_lines(map(smtp, texts))


def read_lines(lines: Iterable[str]) -> list[LoggedDelivery]:
    reader = LogReader()
    found = list(reader.read(lines))
    reader.close()
    return found


def find_cause(*texts: str) -> str:
    return read(*texts)[-1].cause


def deferred(text: str, **parts: str) -> str:
    return end("deferred", text, **parts)


UNVERIFIED = deferred("Server certificate not verified")
NO_HANDSHAKE = deferred("Cannot start TLS: handshake failure")


def test_what_is_told_of_a_delivery() -> None:
    (found,) = read(up(word="Verified"), end(more="tls=dane, "))
    assert found == LoggedDelivery(
        stamp="Nov 22 15:25:24",
        queue_id="67CF62BC555",
        recipient="bob@peer.example",
        mx="mx.peer.example",
        ip="192.0.2.1",
        level="dane",
        tls=Tls("Verified", "TLSv1.3", "TLS_AES_256_GCM_SHA384"),
        status="sent",
        dsn="2.0.0",
        cause="ok-dane",
        reason="250 2.0.0 Ok",
        port="25",
    )
    assert found.relay == PEER
    assert found.domain == "peer.example"


@pytest.mark.parametrize(
    ("texts", "cause"),
    [
        ((end(),), "ok-plaintext-by-policy"),
        ((up(), end()), "ok"),
        ((up(word="Anonymous"), end()), "ok"),
        ((up(word="Verified"), end()), "ok-verified"),
        ((up(word="Verified"), end(more="tls=secure, ")), "ok-verified"),
        ((up(word="Verified"), end(more="tls=half-dane, ")), "ok-dane"),
        (
            (up(word="Verified", how="reused"), end(use="conn_use=2, ", more="tls=verify?, ")),
            "ok-verified",
        ),
        (
            (
                f"{PEER}: Matched DANE EE certificate at depth 0: 3 1 1 00",
                up(word="Verified"),
                end(),
            ),
            "ok-dane",
        ),
        (
            (
                f"SSL_connect error to {PEER}: -1",
                "67CF62BC555: Cannot start TLS: handshake failure",
                end(),
            ),
            "ok-plaintext-fallback",
        ),
        (
            (
                f"67CF62BC555: host {PEER.removesuffix(':25')} refused to start TLS: 454 no",
                end(),
            ),
            "ok-plaintext-fallback",
        ),
        (
            (f"67CF62BC555: host {OTHER} said: 450 4.2.1 later (in reply to RCPT TO)", up(), end()),
            "ok-second-mx-after-put-off-by-peer",
        ),
        (
            (f"connect to {OTHER}: Connection refused", up(), end()),
            "ok-second-mx-after-connection-failed",
        ),
        (
            # Another address of the same host.
            ("connect to mx.peer.example[2001:db8::1]:25: No route to host", up(), end()),
            "ok",
        ),
        (
            (
                (
                    "warning: TLS policy lookup for peer.example/mx2.peer.example: "
                    "TLSA lookup error for mx2.peer.example:25"
                ),
                up(word="Verified"),
                end(),
            ),
            "ok-second-mx-after-tlsa-lookup-failed-dnssec",
        ),
        (
            # Which host it was is told by the lines before.
            (
                up(OTHER, "Untrusted"),
                (
                    f"server certificate verification failed for {OTHER}: num=65:no matching "
                    f"DANE TLSA records"
                ),
                "67CF62BC555: Server certificate not verified",
                up(word="Verified"),
                end(),
            ),
            "ok-second-mx-after-tlsa-mismatch",
        ),
    ],
)
def test_how_mail_was_protected(texts: tuple[str, ...], cause: str) -> None:
    assert find_cause(*texts) == cause
    assert is_ok(cause)


CERTIFICATE_FAULTS = [
    ("self-signed certificate", "self-signed-certificate"),
    ("self signed certificate", "self-signed-certificate"),
    ("untrusted issuer /CN=Other Root CA", "untrusted-issuer"),
    ("num=79:invalid CA certificate", "untrusted-issuer"),
    ("certificate chain longer than limit(9)", "untrusted-issuer"),
    ("certificate has expired", "certificate-expired"),
    ("certificate not yet valid", "certificate-not-yet-valid"),
    ("num=62:hostname mismatch", "certificate-name-mismatch"),
    ("num=65:no matching DANE TLSA records", "tlsa-mismatch"),
    ("num=66:EE certificate key too weak", "weak-certificate"),
    ("not trusted by local or TLSA policy", "trust-anchor-mismatch"),
    ("not designated for use as a server certificate", "wrong-certificate-purpose"),
    ("external policy failure (sts-policy-fetch-error)", "mta-sts-policy-fetch-error"),
    ("external policy failure (sts-policy-invalid)", "mta-sts-policy-invalid"),
    ("external policy failure (sts-webpki-invalid)", "mta-sts-policy-host-webpki-invalid"),
    ("something new", "certificate-not-verified"),
]


@pytest.mark.parametrize(("fault", "cause"), CERTIFICATE_FAULTS)
@pytest.mark.parametrize("whose", ["", "server ", "CA "])
def test_what_was_wrong_with_a_certificate(fault: str, cause: str, whose: str) -> None:
    assert find_cause(up(word="Untrusted"), whose + VERIFICATION + fault, UNVERIFIED) == cause


def test_a_certificate_without_a_word_of_why() -> None:
    assert find_cause(up(word="Untrusted"), UNVERIFIED) == "certificate-not-verified"
    assert find_cause(up(word="Anonymous"), UNVERIFIED) == "server-has-no-certificate"


def test_of_several_faults_the_first_counts_and_those_of_other_hosts_do_not() -> None:
    name = VERIFICATION + "num=62:hostname mismatch"
    old = VERIFICATION + "certificate has expired"
    others = f"certificate verification failed for {OTHER}: self-signed certificate"
    assert find_cause(others, name, old, UNVERIFIED) == "certificate-name-mismatch"


@pytest.mark.parametrize(
    ("level", "fault", "cause"),
    [
        ("!fingerprint", "num=65:no matching DANE TLSA records", "fingerprint-mismatch"),
        ("!secure", "num=65:no matching DANE TLSA records", "trust-anchor-mismatch"),
        ("!dane", "num=65:no matching DANE TLSA records", "tlsa-mismatch"),
        ("!dane", "num=62:hostname mismatch", "dane-ta-certificate-name-mismatch"),
        ("!verify", "num=62:hostname mismatch", "certificate-name-mismatch"),
    ],
)
def test_a_level_that_is_known_tells_more(level: str, fault: str, cause: str) -> None:
    """Postfix 3.11 and later say it."""
    ending = deferred("Server certificate not verified", more=f"tls={level}, ")
    assert find_cause(VERIFICATION + fault, ending) == cause


def test_a_self_signed_certificate_for_clients_without_sni() -> None:
    """Google's, in the verbose log of Postfix 3.x at smtp_tls_loglevel = 2."""
    shown = (
        f"{PEER}: depth=0 verify=0 subject=/OU=No SNI provided; please fix your client./"
        "CN=invalid2.invalid"
    )
    fault = VERIFICATION + "self-signed certificate"
    assert find_cause(shown, fault, UNVERIFIED) == "no-sni-selfsigned"
    named = f"{PEER}: SNI hostname: wrong.example"
    assert find_cause(named, shown, fault, UNVERIFIED) == "wrong-sni-selfsigned"
    assert find_cause(named, fault, UNVERIFIED) == "self-signed-certificate"


@pytest.mark.parametrize(
    ("errors", "cause"),
    [
        ((LIBRARY + "10B:SSL routines::wrong version number:x.c:1:",), "tls-handshake-not-tls"),
        (
            (LIBRARY + "42E:SSL routines::tlsv1 alert protocol version:",),
            "protocol-version-too-low",
        ),
        ((LIBRARY + "102:SSL routines::unsupported protocol:",), "protocol-version-too-low"),
        ((LIBRARY + "458:SSL routines::tlsv1 unrecognized name:",), "server-rejects-sni"),
        ((LIBRARY + "14D:SSL routines::legacy sigalg disallowed:",), "server-too-old-crypto"),
        ((LIBRARY + "18A:SSL routines::dh key too small:",), "server-too-old-crypto"),
        ((LIBRARY + "410:SSL routines::sslv3 alert handshake failure:",), "tls-handshake-failed"),
        (
            (LIBRARY + "45C:SSL routines::tlsv13 alert certificate required:",),
            "server-wants-client-certificate",
        ),
        ((f"SSL_connect error to {PEER}: lost connection",), "tls-handshake-connection-closed"),
        (
            (f"SSL_connect error to {PEER}: Connection reset by peer",),
            "tls-handshake-connection-closed",
        ),
        ((f"SSL_connect error to {PEER}: Connection timed out",), "tls-handshake-timed-out"),
        ((f"SSL_connect error to {PEER}: -1",), "tls-handshake-failed"),
        ((), "tls-handshake-failed"),
    ],
)
def test_why_a_handshake_failed(errors: tuple[str, ...], cause: str) -> None:
    assert find_cause(*errors, NO_HANDSHAKE) == cause


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("TLS is required, but was not offered by host mx[192.0.2.1]", "starttls-not-offered"),
        ("TLS is required, but host mx[192.0.2.1] refused to start TLS: 454", "starttls-refused"),
        ("TLS is required, but our TLS engine is unavailable", "our-tls-not-available"),
        ("TLS is required, but unavailable", "our-tls-not-available"),
        ("client TLS configuration problem", "policy-table-wrong"),
        ("TLSA lookup error for mx.peer.example:25", "tlsa-lookup-failed-dnssec"),
        ("no TLSA records found", "no-tlsa"),
        ("TLSA records unusable", "tlsa-unusable"),
        ("non DNSSEC destination", "insecure-mx"),
        ("TLS policy lookup error for peer.example/mx: x", "policy-map-temporary-error"),
        (
            (
                "Sender requested REQUIRETLS, but no server was found that supports REQUIRETLS. "
                "The last attempted server was mx[192.0.2.1]"
            ),
            "requiretls-not-offered",
        ),
        (
            "Sender requested REQUIRETLS, but TLS service was not offered by host mx[192.0.2.1]",
            "requiretls-no-tls",
        ),
        (
            (
                "Sender requested REQUIRETLS, but no trusted server certificate was found. The "
                "last attempted server was mx[192.0.2.1]"
            ),
            "requiretls-certificate-not-verified",
        ),
        (
            (
                "Sender requested REQUIRETLS, but my configured TLS security level 'may' disables "
                "certificate matching. The last attempted server was mx[192.0.2.1]"
            ),
            "requiretls-level-too-low",
        ),
        (
            (
                "lost connection with mx[192.0.2.1] while sending end of data -- message may be "
                "sent more than once"
            ),
            "connection-lost-end-of-data",
        ),
        (
            "conversation with mx[192.0.2.1] timed out while sending message body",
            "connection-lost-end-of-data",
        ),
        (
            "conversation with mx[192.0.2.1] timed out while sending RCPT TO",
            "conversation-timed-out",
        ),
        (
            "lost connection with mx[192.0.2.1] while receiving the initial server greeting",
            "connection-lost-without-tls",
        ),
        ("connect to mx[192.0.2.1]:25: Connection refused", "connection-failed"),
        (
            "delivery temporarily suspended: connect to mx[192.0.2.1]:25: Connection refused",
            "connection-failed",
        ),
        ("451 4.4.2 timed out (in reply to RCPT TO command)", "conversation-timed-out"),
        ("delivery temporarily suspended: reasons", "not-tried"),
        ("host mx[192.0.2.1] refused to talk to me: 421 busy", "put-off-by-peer"),
        ("host mx[192.0.2.1] refused to talk to me: 554 no", "refused-by-peer"),
        ("host mx[192.0.2.1] said: 450 4.2.0 Greylisted (in reply to RCPT TO)", "put-off-by-peer"),
        ("host mx[192.0.2.1] said: 550 5.1.1 Unknown (in reply to RCPT TO)", "refused-by-peer"),
        (
            (
                "Host or domain name not found. Name service error for name=x type=MX: Host not "
                "found, try again"
            ),
            "name-service-failed",
        ),
        (
            "Host or domain name not found. Name service error for name=x type=A: Host not found",
            "host-not-found",
        ),
        ("Domain x does not accept mail (nullMX)", "host-not-found"),
        ("mail for x loops back to myself", "host-not-found"),
        ("Protocol error: host said nothing", "peer-does-not-speak-smtp"),
        ("something nobody knows", "unknown"),
        # Ours.
        (
            "mx[192.0.2.1]:25: not verified: the certificate is for a; wanted: b",
            "certificate-name-mismatch",
        ),
        (
            "mx[192.0.2.1]:25: TLS handshake failed: CN=x expired at 2026-11-21T15:25:16Z",
            "certificate-expired",
        ),
        (
            "mx[192.0.2.1]:25: TLS handshake failed: the peer reset the connection before",
            "tls-handshake-connection-closed",
        ),
        (
            "451 4.4.2 connection closed by peer (in reply to RCPT TO)",
            "connection-lost-without-tls",
        ),
    ],
)
def test_why_mail_was_put_off(text: str, cause: str) -> None:
    assert find_cause(deferred(text)) == cause


def test_a_connection_is_lost_under_tls() -> None:
    lost = deferred("lost connection with mx.peer.example[192.0.2.1] while sending MAIL FROM")
    assert find_cause(up(), lost) == "connection-lost-after-tls"
    wanted = LIBRARY + "45C:SSL routines::tlsv13 alert certificate required:"
    assert find_cause(up(), wanted, lost) == "server-wants-client-certificate"
    other = LIBRARY + "000:something else"
    assert find_cause(up(), other, lost) == "connection-lost-after-tls"


@pytest.mark.parametrize(
    ("warning", "cause"),
    [
        (
            (
                'warning: smtp_tls_policy_maps, next-hop destination "peer.example": invalid '
                'security level "verfy"'
            ),
            "policy-table-wrong",
        ),
        (
            (
                'warning: smtp_tls_policy_maps, next-hop destination "peer.example": policy table '
                "lookup error"
            ),
            "policy-table-lookup-error",
        ),
        (
            "warning: MX name 'mx' does not match STS MX pattern for 'peer.example'",
            "mta-sts-mx-not-listed",
        ),
        ("warning: nothing that matters", "policy-table-wrong"),
    ],
)
def test_what_postfix_says_of_a_policy_in_a_line_of_its_own(warning: str, cause: str) -> None:
    assert find_cause(up(), warning, deferred("client TLS configuration problem")) == cause


def test_all_recipients_of_a_message_share_its_connection() -> None:
    two = read(up(word="Verified"), end(to="a@peer.example"), end(to="b@peer.example"))
    assert [each.cause for each in two] == ["ok-verified", "ok-verified"]
    # The next message of that process had a connection without TLS.
    three = read(up(word="Verified"), end(), end(queue_id="7CF62BC5556"))
    assert [each.cause for each in three] == ["ok-verified", "ok-plaintext-by-policy"]


def test_processes_and_machines_are_kept_apart() -> None:
    lines = [
        smtp(up(word="Verified"), 1),
        smtp(up(word="Trusted"), 2),
        smtp(VERIFICATION + "certificate has expired", 1, host="other"),
        smtp(end(queue_id="AAAAAAAAAA1"), 1),
        smtp(end(queue_id="AAAAAAAAAA2"), 2),
        smtp(deferred("Server certificate not verified", queue_id="AAAAAAAAAA3"), 1, host="other"),
    ]
    assert [each.cause for each in read_lines(lines)] == [
        "ok-verified",
        "ok",
        "certificate-expired",
    ]


def test_a_process_of_ours_carries_many_deliveries_at_once() -> None:
    """What was said last of a host belongs to a delivery to it."""
    found = read(
        up(word="Verified"),
        up(OTHER, "Trusted"),
        end(queue_id="43ZPDG7dt28zwnK"),
        f"certificate verification failed for {OTHER}: self-signed certificate",
        "43ZPDG7dt28zwnB: host mx3.peer.example[192.0.2.3]:25 said: 450 later",
        up("mx4.peer.example[192.0.2.4]:25", "Verified"),
        end(relay=OTHER, queue_id="43ZPDG7dt28zwnL"),
        end(relay="mx4.peer.example[192.0.2.4]:25", queue_id="43ZPDG7dt28zwnB"),
        end(queue_id="43ZPDG7dt28zwnM"),
        end(relay="mx9.peer.example[192.0.2.9]:25", queue_id="43ZPDG7dt28zwnN"),
        LIBRARY + "10B:SSL routines::wrong version number:",
    )
    assert [each.cause for each in found] == [
        "ok-verified",
        "ok",
        "ok-second-mx-after-put-off-by-peer",
        "ok-verified",
        "ok-plaintext-by-policy",
    ]


def test_a_failure_of_another_message_shows_a_shared_process_too() -> None:
    found = read(
        "43ZPDG7dt28zwnB: host mx3.peer.example[192.0.2.3]:25 said: 450 later",
        up(),
        end(queue_id="43ZPDG7dt28zwnK"),
        end(relay=OTHER, queue_id="43ZPDG7dt28zwnB"),
    )
    assert [each.cause for each in found] == [
        "ok",
        "ok-second-mx-after-put-off-by-peer",
    ]


def test_with_connection_reuse_tlsproxy_has_the_handshake() -> None:
    """Postfix 3.4 and later, smtp_tls_connection_reuse = yes."""
    lines = [
        smtp(VERIFICATION + "certificate has expired", 5, "tlsproxy"),
        smtp(up(word="Untrusted"), 5, "tlsproxy"),
        smtp(up(word="Untrusted", how="reused"), 6),
        smtp(UNVERIFIED, 6),
        smtp(VERIFICATION + "self-signed certificate", 5, "tlsproxy"),
        smtp(up(word="Untrusted"), 5, "tlsproxy"),
        smtp(deferred("Server certificate not verified", queue_id="7CF62BC5556"), 8),
        smtp(LIBRARY + "10B:SSL routines::wrong version number:", 5, "tlsproxy"),
    ]
    assert [each.cause for each in read_lines(lines)] == [
        "certificate-expired",
        "self-signed-certificate",
    ]


def test_what_belongs_to_nothing_is_counted() -> None:
    reader = LogReader()
    list(reader.read([smtp(up()), smtp("Host offered STARTTLS: [mx]"), "no log at all\n", ""]))
    reader.close()
    assert (reader.tally.lines, reader.tally.unread, reader.tally.untied) == (4, 2, 1)
    assert list(reader.read([])) == []


@pytest.mark.parametrize(
    "text",
    [
        "67CF62BC555: to=<bob@peer.example>, relay=none",
        "TLS connection of a form that nobody knows",
        "connect to nowhere",
        "TLSRPT: status=success, domain=peer.example",
        "using backwards-compatible default setting relay_domains=$mydestination",
    ],
)
def test_other_lines_say_nothing(text: str) -> None:
    assert find_cause(up(), text, end()) == "ok"


def test_a_mailbox_elsewhere_by_a_socket() -> None:
    (found,) = read(end(relay="mail.example.org[/run/dovecot/lmtp]"))
    assert (found.mx, found.ip) == ("mail.example.org", "/run/dovecot/lmtp")
    (found,) = read(end(relay="mail.example.org"))
    assert (found.mx, found.ip, found.relay) == ("mail.example.org", "", "mail.example.org")
    (found,) = read(deferred("no", relay="none"))
    assert found.relay == "none"


def test_memory_is_bounded() -> None:
    reader = LogReader()
    many = (smtp(up(f"mx[192.0.2.1]:{n}"), 9) for n in range(MAX_EVENTS + 5))
    list(reader.read(many))
    assert reader.tally.untied == 5
    list(reader.read(smtp(up(), n) for n in range(10, 10 + MAX_PROCESSES)))
    assert reader.tally.untied == 5 + MAX_EVENTS
    list(reader.read(smtp(up(f"m[::{n}]"), 5, "tlsproxy") for n in range(20_001)))


EXIM = "2026-11-22 15:39:22 1xV9f0-0000Aj-1C "
EXIM_HOST = "H=mx.peer.example [192.0.2.1]"
X = "X=TLS1.3:ECDHE_X25519__ECDSA_SECP256R1_SHA256__AES_256_GCM:256"
WHO = "bob@peer.example R=dnslookup T=remote_smtp"


def test_what_exim_says_of_a_delivery() -> None:
    (found,) = read_lines(
        [f'{EXIM}=> Bob <bob@peer.example> R=x T=y {EXIM_HOST} {X} CV=yes C="250 2.0.0 Ok"\n']
    )
    assert found == LoggedDelivery(
        stamp="2026-11-22 15:39:22",
        queue_id="1xV9f0-0000Aj-1C",
        recipient="bob@peer.example",
        mx="mx.peer.example",
        ip="192.0.2.1",
        level="",
        tls=Tls("Verified", "TLSv1.3", "ECDHE_X25519__ECDSA_SECP256R1_SHA256__AES_256_GCM"),
        status="sent",
        dsn="",
        cause="ok-verified",
        reason=f'Bob <bob@peer.example> R=x T=y {EXIM_HOST} {X} CV=yes C="250 2.0.0 Ok"',
    )


@pytest.mark.parametrize(
    ("texts", "cause"),
    [
        ((f"=> {WHO} {EXIM_HOST} {X} CV=no K",), "ok"),
        ((f"-> {WHO} {EXIM_HOST} {X} CV=dane",), "ok-dane"),
        ((f"=> {WHO} {EXIM_HOST} {X}",), "ok"),
        ((f"=> {WHO} {EXIM_HOST}",), "ok-plaintext-by-policy"),
        (
            (
                (
                    f"TLS session: (gnutls_handshake): timed out: delivering unencrypted to "
                    f"{EXIM_HOST} (not in hosts_require_tls)"
                ),
                f"=> {WHO} {EXIM_HOST}",
            ),
            "ok-plaintext-fallback",
        ),
        (
            (
                "H=mx.peer.example [192.0.2.8] Connection refused",
                "H=mx1.peer.example [192.0.2.9] Connection refused",
                f"=> {WHO} {EXIM_HOST}",
            ),
            "ok-second-mx-after-connection-failed",
        ),
        (("H=mx1.peer.example [192.0.2.9] odd", f"=> {WHO} {EXIM_HOST} {X} CV=yes"), "ok-verified"),
        (
            (f"== {WHO} defer (-37) {EXIM_HOST}: TLS session: (certificate verification failed)",),
            "certificate-name-mismatch",
        ),
        (
            (
                (
                    f"== {WHO} defer (-37) {EXIM_HOST}: TLS session: (certificate verification "
                    f"failed): certificate invalid"
                ),
            ),
            "certificate-not-verified",
        ),
        (
            (
                "[192.0.2.1] SSL verify error: depth=0 error=certificate has expired cert=/CN=x",
                (
                    f"== {WHO} defer (-37) {EXIM_HOST}: TLS session: (SSL_connect): "
                    f"error:0A000086:SSL routines::certificate verify failed"
                ),
            ),
            "certificate-expired",
        ),
        (
            (
                '[192.0.2.1] SSL verify error: certificate name mismatch: DN="/CN=x" H="mx"',
                f"== {WHO} defer (-37) {EXIM_HOST}: certificate verify failed",
            ),
            "certificate-name-mismatch",
        ),
        (
            (
                (
                    f"== {WHO} defer (-38) {EXIM_HOST}: a TLS session is required, but the "
                    f"server did not offer TLS support"
                ),
            ),
            "starttls-not-offered",
        ),
        (
            (
                (
                    f"== {WHO} defer (-38) {EXIM_HOST}: a TLS session is required, but an "
                    f"attempt to start TLS failed"
                ),
            ),
            "starttls-refused",
        ),
        (
            (
                (
                    f"== {WHO} defer (-37) {EXIM_HOST}: TLS session: (gnutls_handshake): The "
                    f"server name sent was not recognized"
                ),
            ),
            "server-rejects-sni",
        ),
        (
            (f"== {WHO} defer (-37) {EXIM_HOST}: TLS session: (SSL_connect): Handshake failed",),
            "tls-handshake-failed",
        ),
        (
            (
                (
                    f"{EXIM_HOST} TLS error on connection (recv): A TLS fatal alert has been "
                    f"received: Certificate is required"
                ),
                (
                    f"== {WHO} defer (-18) {EXIM_HOST}: Remote host closed connection in "
                    f"response to EHLO x"
                ),
            ),
            "server-wants-client-certificate",
        ),
        (
            (
                f"{EXIM_HOST} TLS error on connection (recv): Error in the pull function.",
                (
                    f"== {WHO} defer (-18) {EXIM_HOST}: Remote host closed connection in "
                    f"response to MAIL FROM"
                ),
            ),
            "connection-lost-after-tls",
        ),
        (
            (
                (
                    f"== {WHO} defer (-18) {EXIM_HOST}: Remote host closed connection in "
                    f"response to initial connection"
                ),
            ),
            "connection-lost-without-tls",
        ),
        (
            (
                (
                    f"** {WHO} {EXIM_HOST} {X} CV=no: SMTP error from remote mail server after "
                    f"RCPT TO:<bob@peer.example>: 550 5.1.1 No such user"
                ),
            ),
            "refused-by-peer",
        ),
        (
            (
                f"{EXIM_HOST} Connection refused",
                f"== {WHO} defer (-54): retry time not reached for any host for 'peer.example'",
            ),
            "connection-failed",
        ),
        ((f"== {WHO} defer (-54): retry time not reached for any host",), "not-tried"),
        ((f"== {WHO} defer (-1) {EXIM_HOST}: something new",), "unknown"),
    ],
)
def test_what_became_of_exims_mail(texts: tuple[str, ...], cause: str) -> None:
    (found,) = read_lines(f"{EXIM}{text}\n" for text in texts)
    assert found.cause == cause


def test_what_exim_says_of_other_things_is_no_delivery() -> None:
    texts = (
        "<= a@writer.example H=client [192.0.2.7] P=esmtps S=302",
        "=> bob <bob@here.example> R=local T=mail_spool",
        f"{EXIM_HOST} Connection refused",
        "Completed",
        "** ",
        f"=>  {EXIM_HOST}",
    )
    assert read_lines(f"{EXIM}{text}\n" for text in texts) == []
    reader = LogReader()
    assert list(reader.read(["2026-11-22 15:39:22 exim 4.96 daemon started: pid=1\n"])) == []
    assert reader.tally.unread == 1
    list(reader.read([f"{EXIM}{EXIM_HOST} odd\n"] * (MAX_TEXTS + 1)))
    for number in range(20_000):
        list(reader.read([f"2026-11-22 15:39:22 1xV9f0-{number:06}-1C H=mx [192.0.2.1] x\n"]))
    assert reader.tally.untied == MAX_TEXTS


def test_the_same_from_other_forms_of_a_log() -> None:
    journal = ["__CURSOR=a\n"]
    for text in (up(word="Verified"), end()):
        journal += [f"MESSAGE={text}\n", "SYSLOG_IDENTIFIER=postfix/smtp\n", "_PID=7\n", "\n"]
    (found,) = read_lines([*journal, "MESSAGE=of another\n", "\n", "_PID=1\n"])
    assert found.cause == "ok-verified"
    line = '{"time": "2026-11-22T15:39:22Z", "service": "smtp", "process": 7, "text": "%s"}\n'
    (found,) = read_lines([line % up(word="Verified"), line % end(), "{\n"])
    assert (found.cause, found.stamp) == ("ok-verified", "2026-11-22T15:39:22Z")
    exim = '{"MESSAGE": "%s", "SYSLOG_IDENTIFIER": "exim4"}\n'
    (found,) = read_lines([exim % f"{EXIM}=> {WHO} {EXIM_HOST}"])
    assert found.cause == "ok-plaintext-by-policy"


def test_every_cause_has_a_meaning() -> None:
    assert set(REMEDIES) == set(Cause)
    for cause, remedy in REMEDIES.items():
        assert remedy.meaning
        assert bool(remedy.fix) != (cause in (Cause.OK, Cause.OK_VERIFIED, Cause.OK_DANE))
    assert is_ok(f"{SECOND_MX}{Cause.TIMED_OUT}")


@given(
    st.lists(
        st.sampled_from([up(), end(), UNVERIFIED, NO_HANDSHAKE, VERIFICATION + "x", "a: b"])
        | st.text(max_size=60)
    )
)
def test_any_lines_give_deliveries_or_none(texts: list[str]) -> None:
    found = read(*texts)
    assert all(each.cause in set(Cause) or each.cause.startswith(SECOND_MX) for each in found)
    read_lines(texts)
    read_lines(f"{EXIM}{text}\n" for text in texts)
