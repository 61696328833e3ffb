"""RFC 8555 §7.6: who may revoke, and for which reason."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.protocols.acme.identifiers import parse_identifier
from letterlock.protocols.acme.renewal_info import parse_certificate_id
from letterlock.protocols.acme.requests import RevocationReason, format_revocation
from letterlock.protocols.acme.server.objects import Account, Authorization, Certificate
from letterlock.protocols.acme.server.refusals import Refusal
from letterlock.protocols.acme.server.revocations import (
    Revocation,
    RevocationRequest,
    decide_by_account,
    decide_by_key,
    parse_revocation,
)
from letterlock.protocols.acme.states import AccountStatus, AuthorizationStatus
from tests.acme_requests import ACCOUNT_KEY, OTHER_KEY, public

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = tuple(map(parse_identifier, ("a.example", "*.b.example")))
OWNER = Account("account-00000001", public(), AccountStatus.VALID)
OTHER = Account("account-00000002", public(OTHER_KEY), AccountStatus.VALID)
CERTIFICATE = Certificate(
    id="certificate-0001",
    name=parse_certificate_id("AAAA.AQ"),
    account_id=OWNER.id,
    order_id="order-0000000001",
    identifiers=NAMES,
    not_before=NOW - DAY,
    not_after=NOW + 90 * DAY,
    key=public(OTHER_KEY),
)
HELD = tuple(
    Authorization(
        f"authorization-{number:02}",
        OTHER.id,
        parse_identifier(name.base),
        AuthorizationStatus.VALID,
        NOW + DAY,
        (),
        is_wildcard=name.is_wildcard,
    )
    for number, name in enumerate(NAMES)
)
WORSE = RevocationReason.KEY_COMPROMISE


def refused(found: object) -> tuple[str, int]:
    assert isinstance(found, Refusal), found
    return found.problem.type, found.status


@pytest.fixture(scope="module")
def certificate() -> x509.Certificate:
    name = x509.Name([])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(OTHER_KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
        .sign(ACCOUNT_KEY, hashes.SHA256())
    )


@pytest.mark.parametrize("reason", [None, *RevocationReason])
def test_a_request_of_our_client_is_read(
    certificate: x509.Certificate, reason: RevocationReason | None
) -> None:
    """RFC 8555 §7.6: no reason is reason 0, for which the CRL has no extension."""
    body = json.dumps(format_revocation(certificate, reason)).encode()
    der = certificate.public_bytes(Encoding.DER)
    assert parse_revocation(body) == RevocationRequest(der, reason or RevocationReason(0))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "malformed"),
        (b"{}", "malformed"),
        (b'{"certificate": ""}', "malformed"),
        (b'{"certificate": "AA=="}', "malformed"),
        (b'{"certificate": "AAAA", "reason": "1"}', "malformed"),
        (b'{"certificate": "AAAA", "reason": true}', "malformed"),
        (b'{"certificate": "AAAA", "reason": 2}', "badRevocationReason"),
        (b'{"certificate": "AAAA", "reason": 9}', "badRevocationReason"),
        (b'{"certificate": "AAAA", "reason": -1}', "badRevocationReason"),
    ],
)
def test_what_is_no_revocation_is_refused(body: bytes, kind: str) -> None:
    """RFC 8555 §7.6: badRevocationReason lists those that are taken."""
    found = parse_revocation(body)
    assert refused(found) == (kind, 400)
    assert isinstance(found, Refusal)
    assert kind == "malformed" or "0, 1, 3, 4, 5" in found.problem.detail


@pytest.mark.parametrize("reason", RevocationReason)
def test_the_account_that_has_it_says_why(reason: RevocationReason) -> None:
    found = decide_by_account(CERTIFICATE, OWNER, (), reason, NOW)
    assert isinstance(found, Revocation)
    assert found.reason is reason
    assert found.certificate.revoked == NOW
    assert found.certificate.is_key_compromised == (reason is WORSE)
    assert not found.blocks_key


def test_the_certificates_key_means_that_it_is_compromised() -> None:
    """RFC 8555 §7.6: whoever has it."""
    found = decide_by_key(CERTIFICATE, public(OTHER_KEY), NOW, is_blocked=False)
    assert isinstance(found, Revocation)
    assert (found.reason, found.blocks_key) == (WORSE, True)
    assert found.certificate.is_key_compromised
    assert refused(decide_by_key(CERTIFICATE, public(), NOW, is_blocked=False)) == (
        "unauthorized",
        403,
    )


def test_who_has_all_of_its_names_now_may_revoke_it() -> None:
    """RFC 8555 §7.6; Baseline Requirements 7.2.2: the names are another's now."""
    found = decide_by_account(CERTIFICATE, OTHER, HELD, WORSE, NOW)
    assert isinstance(found, Revocation)
    assert found.reason is RevocationReason.CESSATION_OF_OPERATION
    assert not found.certificate.is_key_compromised


@pytest.mark.parametrize(
    "held",
    [
        (),
        HELD[:1],
        HELD[1:],
        (HELD[0], HELD[0]),
        (HELD[0], replace(HELD[1], is_wildcard=False)),
        (HELD[0], replace(HELD[1], status=AuthorizationStatus.PENDING)),
        (HELD[0], replace(HELD[1], status=AuthorizationStatus.DEACTIVATED)),
        (HELD[0], replace(HELD[1], expires=NOW)),
        (HELD[0], replace(HELD[1], account_id=OWNER.id)),
    ],
)
def test_who_lacks_one_of_its_names_may_not(held: tuple[Authorization, ...]) -> None:
    """RFC 8555 §7.6: all of the identifiers; a wildcard is a name of its own."""
    found = decide_by_account(CERTIFICATE, OTHER, held, WORSE, NOW)
    assert refused(found) == ("unauthorized", 403)


@pytest.mark.parametrize("is_by_key", [True, False])
def test_what_is_revoked_is_revoked_once_but_for_worse(is_by_key: bool) -> None:
    """RFC 8555 §7.6; RFC 5280 §5.3.1: a later proof of compromise is told, from the first on."""

    def ask(certificate: Certificate) -> Revocation | Refusal:
        if is_by_key:
            return decide_by_key(certificate, public(OTHER_KEY), NOW, is_blocked=True)
        return decide_by_account(certificate, OWNER, (), WORSE, NOW)

    revoked = replace(CERTIFICATE, revoked=NOW - DAY / 2)
    worse = ask(revoked)
    assert isinstance(worse, Revocation)
    assert worse.certificate.revoked == NOW - DAY / 2
    assert refused(ask(worse.certificate)) == ("alreadyRevoked", 400)
    again = decide_by_account(revoked, OWNER, (), RevocationReason.SUPERSEDED, NOW)
    assert refused(again) == ("alreadyRevoked", 400)


def test_a_key_that_is_shown_is_blocked_though_its_account_said_that_it_is_lost() -> None:
    """Baseline Requirements 6.1.1.3: what an account says blocks no key, and who shows it does."""
    said = replace(CERTIFICATE, revoked=NOW - DAY / 2, is_key_compromised=True)
    found = decide_by_key(said, public(OTHER_KEY), NOW, is_blocked=False)
    assert isinstance(found, Revocation)
    assert (found.certificate, found.blocks_key) == (said, True)
    again = decide_by_key(said, public(OTHER_KEY), NOW, is_blocked=True)
    assert refused(again) == ("alreadyRevoked", 400)


def test_an_expired_certificate_is_not_revoked() -> None:
    found = decide_by_key(
        replace(CERTIFICATE, not_after=NOW - DAY), public(OTHER_KEY), NOW, is_blocked=False
    )
    assert refused(found) == ("unauthorized", 403)
