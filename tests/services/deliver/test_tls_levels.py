"""Every level against every way in which a server's TLS can be wrong.

RFC 3207 §4.1, §6; RFC 7435 §3; RFC 8460 §4.3. At `encrypt` and above nothing leaves in clear; above
`encrypt` nothing goes to a peer that did not prove who it is. TLS policy defers, it never bounces.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest

from letterlock.protocols.pki.throwaway_ca import CLIENT_AUTH, Issued, Shape, ThrowawayCa
from letterlock.protocols.pki.throwaway_ca import self_signed as sign_itself
from letterlock.protocols.policy.fingerprints import parse_fingerprint
from letterlock.protocols.policy.requirement import Level
from letterlock.protocols.policy.table import TableEntry, parse_entry
from letterlock.services.queue.outcomes import Result
from tests.misbehaving import Act, Conduct, TlsConduct, serving
from tests.network.certificates import NOW, authority
from tests.services.deliver.outbound import (
    DOMAIN,
    HOST,
    leaf,
    only,
    sending,
    stories,
    timeouts,
)

DAY = timedelta(days=1)
SOON = timedelta(seconds=0.3)


class Fault(StrEnum):
    """What is wrong, and so what each level makes of it."""

    NO_TLS = "no TLS"
    HANDSHAKE = "handshake"
    CERTIFICATE = "certificate"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Case:
    """A server, and what its fault is called."""

    conduct: Callable[[], Conduct]
    fault: Fault
    result_type: str | None = None
    reason_code: str = ""
    certificate: Callable[[], Issued] = leaf
    trust_word: str = "Untrusted"
    strict_fault: Fault | None = None
    """Where OpenSSL's levels differ: what it is above `may`."""


def tls(**fields: object) -> Callable[[], Conduct]:
    return lambda: Conduct(leaf(), TlsConduct(**fields))  # type: ignore[arg-type] # its own fields


def certified(make: Callable[[], Issued]) -> Callable[[], Conduct]:
    return lambda: Conduct(make())


@cache
def self_signed() -> Issued:
    return sign_itself((HOST,), now=NOW)


@cache
def of_unknown_issuer() -> Issued:
    return ThrowawayCa("Nobody's CA", NOW).issue((HOST,), now=NOW)


@cache
def without_intermediate() -> Issued:
    below = authority().intermediate("Intermediate", now=NOW)
    issued = below.issue((HOST,), now=NOW)
    return Issued(issued.certificate, issued.key, issued.chain[:1])


def expired() -> Issued:
    return leaf((HOST,), Shape(not_before=NOW - 90 * DAY, not_after=NOW - DAY))


def not_yet_valid() -> Issued:
    return leaf((HOST,), Shape(not_before=NOW + DAY, not_after=NOW + 90 * DAY))


def of_wrong_name() -> Issued:
    return leaf(("mail.example.net",))


def for_clients() -> Issued:
    return leaf((HOST,), Shape(eku=(CLIENT_AUTH,)))


@cache
def for_strangers() -> Issued:
    text = "No SNI provided; please fix your client."
    return sign_itself((text,), now=NOW, shape=Shape(general_names=()))


def short() -> Issued:
    return leaf((HOST,), key="rsa-1024")


OLD = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
TLS_1_2 = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
NOT_SUPPORTED, INVALID = "starttls-not-supported", "validation-failure"
NOT_TRUSTED, EXPIRED, MISMATCH = (
    "certificate-not-trusted",
    "certificate-expired",
    "certificate-host-mismatch",
)

CASES = {
    "good": Case(lambda: Conduct(leaf()), Fault.NOTHING, trust_word="Trusted"),
    "TLS 1.2": Case(tls(versions=TLS_1_2), Fault.NOTHING, trust_word="Trusted"),
    "no STARTTLS": Case(
        lambda: Conduct(has_starttls=False), Fault.NO_TLS, NOT_SUPPORTED, "starttls-not-offered"
    ),
    "STARTTLS 454": Case(
        lambda: Conduct(answers={"STARTTLS": "454 4.7.0 TLS not available"}),
        Fault.NO_TLS,
        NOT_SUPPORTED,
        "smtp-starttls-reply-code-454",
    ),
    "STARTTLS 502": Case(
        lambda: Conduct(answers={"STARTTLS": "502 5.5.1 no"}),
        Fault.NO_TLS,
        NOT_SUPPORTED,
        "smtp-starttls-reply-code-502",
    ),
    "HELO only": Case(
        lambda: Conduct(answers={"EHLO": "502 5.5.1 unknown"}),
        Fault.NO_TLS,
        NOT_SUPPORTED,
        "starttls-not-offered",
    ),
    "garbage": Case(
        lambda: Conduct(instead_of_tls=b"500 this is not TLS at all\r\n"),
        Fault.HANDSHAKE,
        INVALID,
        "tls-record-header-error",
    ),
    "FIN": Case(
        lambda: Conduct(instead_of_tls=Act.CLOSE),
        Fault.HANDSHAKE,
        INVALID,
        "connection-closed-during-handshake",
    ),
    "RST": Case(
        lambda: Conduct(instead_of_tls=Act.RESET),
        Fault.HANDSHAKE,
        INVALID,
        "connection-reset-during-handshake",
    ),
    "silence": Case(
        lambda: Conduct(instead_of_tls=Act.SILENCE),
        Fault.HANDSHAKE,
        INVALID,
        "io-timeout-during-handshake",
    ),
    "injection": Case(
        lambda: Conduct(leaf(), injected=b"250 2.0.0 Ok\r\n"),
        Fault.HANDSHAKE,
        INVALID,
        "tls-record-header-error",
    ),
    "half a line injected": Case(
        lambda: Conduct(leaf(), injected=b"250-"),
        Fault.HANDSHAKE,
        INVALID,
        "tls-record-header-error",
    ),
    "old version": Case(
        tls(versions=OLD), Fault.HANDSHAKE, INVALID, "tls-remote-alert-70-protocol-version"
    ),
    "weak cipher": Case(
        lambda: Conduct(
            leaf((HOST,), key="rsa"), TlsConduct(versions=TLS_1_2, ciphers="AES128-SHA:@SECLEVEL=0")
        ),
        Fault.NOTHING,
        INVALID,
        "tls-remote-alert-40-handshake-failure",
        trust_word="Trusted",
        strict_fault=Fault.HANDSHAKE,
    ),
    "SNI refused": Case(
        tls(is_sni_refused=True), Fault.HANDSHAKE, INVALID, "tls-remote-alert-112-unrecognized-name"
    ),
    "client certificate, 1.2": Case(
        lambda: Conduct(leaf(), TlsConduct(client_ca=authority().pem, versions=TLS_1_2)),
        Fault.HANDSHAKE,
        INVALID,
        "tls-remote-alert-40-handshake-failure",
    ),
    "client certificate, 1.3": Case(
        lambda: Conduct(leaf(), TlsConduct(client_ca=authority().pem)),
        Fault.HANDSHAKE,
        INVALID,
        "tls-remote-alert-116-certificate-required",
    ),
    "expired": Case(certified(expired), Fault.CERTIFICATE, EXPIRED, "expired", expired),
    "not yet valid": Case(
        certified(not_yet_valid), Fault.CERTIFICATE, NOT_TRUSTED, "not-yet-valid", not_yet_valid
    ),
    "wrong name": Case(
        certified(of_wrong_name),
        Fault.CERTIFICATE,
        MISMATCH,
        "name-mismatch",
        of_wrong_name,
        trust_word="Trusted",
    ),
    "unknown issuer": Case(
        certified(of_unknown_issuer),
        Fault.CERTIFICATE,
        NOT_TRUSTED,
        "unknown-issuer",
        of_unknown_issuer,
    ),
    "self-signed": Case(
        certified(self_signed),
        Fault.CERTIFICATE,
        NOT_TRUSTED,
        "self-signed-certificate",
        self_signed,
    ),
    "missing intermediate": Case(
        certified(without_intermediate),
        Fault.CERTIFICATE,
        NOT_TRUSTED,
        "unknown-issuer",
        without_intermediate,
    ),
    "wrong purpose": Case(
        certified(for_clients), Fault.CERTIFICATE, NOT_TRUSTED, "unsuitable-purpose", for_clients
    ),
    "RSA-1024": Case(certified(short), Fault.CERTIFICATE, NOT_TRUSTED, "weak-key", short),
}


def entry(level: Level, fingerprint: str = "") -> TableEntry:
    fingerprints = (parse_fingerprint(fingerprint),) if fingerprint else ()
    return TableEntry(DOMAIN, level, f"tls_policy:1:{DOMAIN}", fingerprints=fingerprints)


STRICT = (Level.ENCRYPT, Level.FINGERPRINT, Level.VERIFY, Level.SECURE)


@pytest.mark.parametrize("level", [Level.NONE, Level.MAY, *STRICT], ids=str)
@pytest.mark.parametrize("name", CASES)
async def test_every_level_against_every_server(name: str, level: Level, tmp_path: Path) -> None:
    """RFC 3207 §4.1, RFC 7435 §3, RFC 8460 §4.3; rules 4, 11, 12, 14, 120, 123 and 126."""
    case = CASES[name]
    fault = case.fault if level is Level.MAY else case.strict_fault or case.fault
    digest = sha256(case.certificate().der).hexdigest()
    async with serving(case.conduct()) as (server,), sending(tmp_path, [server]) as node:
        node.entries[DOMAIN] = entry(level, digest if level is Level.FINGERPRINT else "")
        node.timeouts = timeouts(handshake=SOON) if name == "silence" else timeouts()
        delivery = await node.send()
    outcome, seen = only(delivery), server.seen
    is_certificate_asked = level in (Level.VERIFY, Level.SECURE)
    is_refused = fault in (Fault.NO_TLS, Fault.HANDSHAKE) or (
        fault is Fault.CERTIFICATE and is_certificate_asked
    )

    if level is Level.NONE:
        assert outcome.result is Result.DELIVERED
        assert not seen.lines("STARTTLS")
        assert [mail.is_tls for mail in seen.taken] == [False]
    elif level is Level.MAY:
        assert outcome.result is Result.DELIVERED
        assert [mail.is_tls for mail in seen.taken] == [not is_refused]
    elif is_refused:
        assert outcome.result is Result.DEFERRED
        assert outcome.status == ("4.7.4" if fault is Fault.NO_TLS else "4.7.5")
        assert outcome.tls_result == case.result_type
        assert not seen.mails
        verdict = stories(delivery)[0]["verdict"]
        assert verdict["outcome"] == "defer"
        assert (verdict["result_type"], verdict["reason_code"]) == (
            case.result_type,
            case.reason_code,
        )
    else:
        assert outcome.result is Result.DELIVERED
    if level.is_tls_required:
        assert not seen.mails_in_clear


@pytest.mark.parametrize(
    "name", [name for name, case in CASES.items() if case.fault is Fault.CERTIFICATE]
)
@pytest.mark.parametrize("level", [Level.MAY, Level.ENCRYPT], ids=str)
async def test_a_certificate_that_nobody_asked_to_be_good_is_recorded(
    name: str, level: Level, tmp_path: Path
) -> None:
    """RFC 7435 §3: it is used, and it does not look like more than it is. Rules 101 and 126."""
    case = CASES[name]
    async with serving(case.conduct()) as (server,), sending(tmp_path, [server]) as node:
        node.level = level
        (story,) = stories(await node.send())
    assert story["verdict"]["outcome"] == "encrypted"
    assert story["verdict"]["result_type"] == case.result_type
    assert story["verdict"]["reason_code"] == case.reason_code
    assert case.reason_code in [error["code"] for error in story["handshake"]["errors"]]
    line = next(text for text in node.log.texts if "TLS connection established" in text)
    assert line.startswith(
        f"{case.trust_word} TLS connection established to {HOST}[{server.ip}]:{server.port}: TLSv1."
    )


async def test_the_log_line_is_postfixes(tmp_path: Path) -> None:
    # The server's OpenSSL is Python's.
    group = "X25519MLKEM768" if ssl.OPENSSL_VERSION_INFO >= (3, 5) else "x25519"
    async with serving(Conduct(leaf())) as (server,), sending(tmp_path, [server]) as node:
        node.level = Level.VERIFY
        await node.send_and_settle()
    established, sent = node.log.texts
    assert established == (
        f"Verified TLS connection established to {HOST}[{server.ip}]:{server.port}: TLSv1.3 with "
        f"cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange {group}"
    )
    assert sent == (
        f"to=<bob@{DOMAIN}>, relay={HOST}[{server.ip}]:{server.port}, delay=0, delays=0/0/0/0, "
        "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as TEST) tls=verify"
    )


@pytest.mark.parametrize("level", [Level.VERIFY, Level.SECURE], ids=str)
async def test_a_refused_chain_is_logged_and_the_peer_is_told(level: Level, tmp_path: Path) -> None:
    """RFC 8446 §6.2: unknown_ca, inside the handshake."""
    conduct = Conduct(of_unknown_issuer())
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        node.level = level
        await node.send_and_settle()
        await server.seen.has_ended.wait()
    assert server.seen.tls_errors == ["TLSV1_ALERT_UNKNOWN_CA"]
    relay = f"{HOST}[{server.ip}]:{server.port}"
    assert any(line.startswith(f"SSL_connect error to {relay}: ") for line in node.log.texts)
    assert "status=deferred" in node.log.texts[-1]


@pytest.mark.parametrize(
    ("conduct", "reason"),
    [
        (Conduct(has_starttls=False), "STARTTLS was not offered"),
        (
            Conduct(answers={"STARTTLS": "454 4.7.0 not now"}),
            "the host refused to start TLS: 454 4.7.0 not now",
        ),
    ],
    ids=["not offered", "refused"],
)
async def test_missing_starttls_is_logged_as_what_it_is(
    conduct: Conduct, reason: str, tmp_path: Path
) -> None:
    """RFC 3207 §4.1: no TLS was spoken, so none has failed."""
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        node.level = Level.ENCRYPT
        await node.send_and_settle()
    (line,) = node.log.texts
    relay = f"{HOST}[{server.ip}]:{server.port}"
    assert f"status=deferred ({relay}: TLS is required, but {reason})" in line


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(Act.CLOSE, "connection closed by peer"), ("421 4.3.2 later", "refused to talk to me: 421")],
)
@pytest.mark.parametrize(
    ("level", "word", "reason_code"),
    [(Level.ENCRYPT, "Trusted", "encrypted"), (Level.VERIFY, "Verified", "verified")],
)
async def test_what_ends_behind_the_handshake_is_told_with_its_tls(
    level: Level, word: str, reason_code: str, answer: str | Act, reason: str, tmp_path: Path
) -> None:
    """RFC 3207 §4.2: the EHLO under TLS is not answered as it should be; the handshake was good."""
    conduct = Conduct(leaf(), under_tls={"EHLO": answer})
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        node.level = level
        delivery = await node.send()
    assert only(delivery).result is Result.DEFERRED
    assert reason in only(delivery).reply
    (story,) = stories(delivery)
    assert story["handshake"]["version"] == "TLSv1.3"
    assert story["verdict"]["reason_code"] == reason_code
    (line,) = [text for text in node.log.texts if "TLS connection" in text]
    assert line.startswith(f"{word} TLS connection established to {HOST}[{server.ip}]")


async def test_a_refused_name_ends_with_quit_and_close_notify(tmp_path: Path) -> None:
    """RFC 3207 §4.1, RFC 8446 §6.1: the handshake was complete, so goodbye is said under TLS.
    Rules 6 and 117.
    """
    async with serving(Conduct(of_wrong_name())) as (server,), sending(tmp_path, [server]) as node:
        node.level = Level.VERIFY
        await node.send_and_settle()
        await server.seen.has_ended.wait()
    assert server.seen.commands[-1] == ("QUIT", True)
    assert server.seen.closes == ["close_notify"]
    assert any("certificate verification failed for" in text for text in node.log.texts)
    assert any(text.startswith("Trusted TLS connection") for text in node.log.texts)


async def test_no_level_but_fingerprint_takes_another_fingerprint(tmp_path: Path) -> None:
    async with serving(Conduct(leaf())) as (server,), sending(tmp_path, [server]) as node:
        node.entries[DOMAIN] = entry(Level.FINGERPRINT, sha256(b"another").hexdigest())
        delivery = await node.send()
    assert (only(delivery).status, only(delivery).tls_result) == ("4.7.5", NOT_TRUSTED)
    assert stories(delivery)[0]["verdict"]["reason_code"] == "fingerprint-mismatch"
    assert not server.seen.mails


async def test_sni_is_sent_so_verify_succeeds_where_no_sni_would_not(tmp_path: Path) -> None:
    """The host shows strangers without SNI a self-signed certificate that says so."""
    conduct = Conduct(for_strangers(), TlsConduct(by_sni=((HOST, leaf()),)))
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        node.level = Level.VERIFY
        delivery = await node.send()
    assert only(delivery).result is Result.DELIVERED
    assert server.seen.snis == [HOST]
    (story,) = stories(delivery)
    assert story["handshake"]["sni"] == HOST
    assert story["handshake"]["chain"][0]["subject"] == f"CN={HOST}"
    assert story["verdict"]["outcome"] == "authenticated"
    assert story["requirement"]["sni"] == HOST


async def test_without_sni_the_same_host_is_refused_with_its_own_words(tmp_path: Path) -> None:
    """The other side of the case: asked for another name, it shows that certificate."""
    conduct = Conduct(for_strangers(), TlsConduct(by_sni=((HOST, leaf()),)))
    async with serving(conduct) as (server,), sending(tmp_path, [server]) as node:
        node.entries[DOMAIN] = TableEntry(
            DOMAIN, Level.VERIFY, "tls_policy:1", servername="other.example.com"
        )
        delivery = await node.send()
    assert only(delivery).status == "4.7.5"
    (story,) = stories(delivery)
    assert story["handshake"]["sni"] == "other.example.com"
    # RFC 4514 §2.4: a semicolon is escaped.
    subject = story["handshake"]["chain"][0]["subject"]
    assert subject == r"CN=No SNI provided\; please fix your client."
    assert not server.seen.mails


async def test_a_verbose_log_has_the_chain(tmp_path: Path) -> None:
    async with serving(Conduct(leaf())) as (server,), sending(tmp_path, [server]) as node:
        node.is_verbose = True
        await node.send()
    assert any(f"depth=0 subject=CN={HOST}" in text for text in node.log.texts)


@pytest.mark.parametrize(("protocols", "is_encrypted"), [(None, False), (">=TLSv1", True)])
async def test_old_versions_are_taken_at_may_when_the_operator_names_them(
    protocols: str | None, is_encrypted: bool, tmp_path: Path
) -> None:
    """RFC 8996 §4, §5; RFC 7435 §3: without that, what such a host gets is clear text. Rule 94."""
    fields = {"level": "may"} | ({"protocols": protocols} if protocols else {})
    asked = parse_entry(DOMAIN, fields, f"letterlock.toml:1:{DOMAIN}")
    assert isinstance(asked, TableEntry)
    async with serving(tls(versions=OLD)()) as (server,), sending(tmp_path, [server]) as node:
        node.entries[DOMAIN] = asked
        delivery = await node.send()
    assert only(delivery).result is Result.DELIVERED
    assert any(": TLSv1.1 with cipher" in text for text in node.log.texts) is is_encrypted
