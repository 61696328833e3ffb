"""Revocation: who may, for which reason, and what it comes to.

RFC 8555 §7.6 (the account that has it, one that holds authorizations for all of its names, the
certificate's key), RFC 5280 §5.3.1 (reasons), Baseline Requirements 4.9.1.1, 7.2.2. Who proves that
he has the key proves that others may: that is a compromise, whatever he calls it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from letterlock.protocols.acme.fields import ObjectError
from letterlock.protocols.acme.requests import RevocationReason
from letterlock.protocols.acme.server.objects import Account, Authorization, Certificate
from letterlock.protocols.acme.server.payloads import read_payload
from letterlock.protocols.acme.server.public_keys import PublicKey
from letterlock.protocols.acme.server.refusals import (
    ErrorType,
    NameFault,
    Refusal,
    refuse,
    refuse_names,
)
from letterlock.protocols.acme.server.transitions import find_authorization_status
from letterlock.protocols.acme.states import AuthorizationStatus

MAX_CERTIFICATE_OCTETS = 64 * 1024


@dataclass(frozen=True, slots=True)
class RevocationRequest:
    """The certificate in DER, as it was sent, and why. A reason that was not given is 0."""

    certificate: bytes
    reason: RevocationReason


@dataclass(frozen=True, slots=True)
class Revocation:
    """A certificate is to be revoked. `blocks_key`: nobody gets one for that key any more."""

    certificate: Certificate
    reason: RevocationReason
    blocks_key: bool


def parse_revocation(payload: bytes) -> RevocationRequest | Refusal:
    """Parse the payload of revokeCert."""
    found = read_payload(payload, "revocation")
    if isinstance(found, Refusal):
        return found
    try:
        certificate = found.octets("certificate", MAX_CERTIFICATE_OCTETS)
        number = found.number("reason")
    except ObjectError as error:
        return refuse(ErrorType.MALFORMED, str(error))
    if not certificate:
        return refuse(ErrorType.MALFORMED, "certificate is missing")
    try:
        return RevocationRequest(certificate, RevocationReason(number or 0))
    except ValueError:
        known = ", ".join(str(int(each)) for each in RevocationReason)
        return refuse(ErrorType.BAD_REVOCATION_REASON, f"a reason is one of {known}")


def decide_by_key(
    certificate: Certificate, request_key: PublicKey, now: datetime, *, is_blocked: bool
) -> Revocation | Refusal:
    """Decide a request that is signed with a key that it brings: it must be the certificate's.

    `is_blocked`: nobody gets one for that key any more. Until then there is something to do, also
    where the account has said that the key is lost: that blocks none.
    """
    if certificate.key != request_key:
        detail = "the request is signed with another key than the certificate's"
        return refuse(ErrorType.UNAUTHORIZED, detail)
    known = certificate if is_blocked else replace(certificate, is_key_compromised=False)
    if refusal := _find_refusal(known, RevocationReason.KEY_COMPROMISE, now):
        return refusal
    return _revoke(certificate, RevocationReason.KEY_COMPROMISE, now, blocks_key=True)


def decide_by_account(
    certificate: Certificate,
    account: Account,
    held: Iterable[Authorization],
    reason: RevocationReason,
    now: datetime,
) -> Revocation | Refusal:
    """Decide a request of an account; `held` are authorizations for the certificate's names.

    The account that it was issued to says why. Any other has the names now, and that is why.
    """
    if certificate.account_id != account.id:
        if refusal := _find_missing(certificate, account, held, now):
            return refusal
        reason = RevocationReason.CESSATION_OF_OPERATION
    if refusal := _find_refusal(certificate, reason, now):
        return refusal
    # Only who shows the key blocks it: else anybody could, with a certificate for another's key.
    return _revoke(certificate, reason, now, blocks_key=False)


def _find_missing(
    certificate: Certificate, account: Account, held: Iterable[Authorization], now: datetime
) -> Refusal | None:
    proven = {
        each.ordered
        for each in held
        if each.account_id == account.id
        and find_authorization_status(each, now) is AuthorizationStatus.VALID
    }
    faults = [
        NameFault(name, ErrorType.UNAUTHORIZED, "the account holds no authorization for it")
        for name in certificate.identifiers
        if name not in proven
    ]
    return refuse_names(faults, "the account may not revoke it") if faults else None


def _find_refusal(
    certificate: Certificate, reason: RevocationReason, now: datetime
) -> Refusal | None:
    if now > certificate.not_after:
        return refuse(ErrorType.UNAUTHORIZED, "the certificate has expired")
    is_worse = reason is RevocationReason.KEY_COMPROMISE and not certificate.is_key_compromised
    if certificate.revoked is not None and not is_worse:
        return refuse(ErrorType.ALREADY_REVOKED, "the certificate is revoked already")
    return None


def _revoke(
    certificate: Certificate, reason: RevocationReason, now: datetime, *, blocks_key: bool
) -> Revocation:
    revoked = replace(
        certificate,
        # Worse news of one that is revoked do not make it good again in between.
        revoked=certificate.revoked or now,
        is_key_compromised=reason is RevocationReason.KEY_COMPROMISE,
    )
    return Revocation(revoked, reason, blocks_key)
