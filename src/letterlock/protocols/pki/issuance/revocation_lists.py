"""Certificate revocation lists as drafts: one for each shard, at a place that never changes.

RFC 5280 §5.1 (form), §5.2.3 (number), §5.2.5 (issuing distribution point), §5.3.1 (reasons), §5.3.2
(invalidity date), §3.3 (how long an entry stays); Baseline Requirements 7.2 and 4.9. Full lists
only: no deltas, nothing on hold, none for other issuers. `protocols.pki.crl` reads them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from cryptography import x509

from letterlock.protocols.pki.issuance.issuers import Issuer, find_shard
from letterlock.protocols.pki.issuance.signing import Draft, draft_crl

MAX_CRL_LIFETIME = timedelta(days=10)
"""Baseline Requirements 7.2: nextUpdate is at most ten days off."""
MAX_AUTHORITIES_CRL_LIFETIME = timedelta(days=365)
"""The same: of a root's list, whose key is in a safe, twelve months."""
MAX_NUMBER = 2**159 - 1


class Reason(IntEnum):
    """Why a certificate is revoked: of RFC 5280 §5.3.1 what Baseline Requirements 7.2.2 let be."""

    UNSPECIFIED = 0
    KEY_COMPROMISE = 1
    AFFILIATION_CHANGED = 3
    SUPERSEDED = 4
    CESSATION_OF_OPERATION = 5
    PRIVILEGE_WITHDRAWN = 9


SUBSCRIBER_REASONS = frozenset(Reason) - {Reason.PRIVILEGE_WITHDRAWN}
"""What a subscriber can give; that a privilege is withdrawn only the authority knows."""

_FLAGS = {
    Reason.KEY_COMPROMISE: x509.ReasonFlags.key_compromise,
    Reason.AFFILIATION_CHANGED: x509.ReasonFlags.affiliation_changed,
    Reason.SUPERSEDED: x509.ReasonFlags.superseded,
    Reason.CESSATION_OF_OPERATION: x509.ReasonFlags.cessation_of_operation,
    Reason.PRIVILEGE_WITHDRAWN: x509.ReasonFlags.privilege_withdrawn,
}


@dataclass(frozen=True, slots=True)
class Revoked:
    """A certificate that is revoked. `not_after` is its own end, which no CRL has.

    `invalid_since` is when its key is known or thought to have been lost; None: not said.
    """

    serial: int
    at: datetime
    not_after: datetime
    reason: Reason = Reason.UNSPECIFIED
    invalid_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class CrlPeriod:
    """Which CRL of a shard it is, and from when to when it counts. Raises ValueError.

    Make `number` with `next_number`.
    """

    number: int
    this_update: datetime
    next_update: datetime

    def __post_init__(self) -> None:
        if not 0 < self.number <= MAX_NUMBER:
            raise ValueError("a CRL's number is positive and has at most 20 octets")
        if not timedelta() < self.lifetime <= MAX_AUTHORITIES_CRL_LIFETIME:
            raise ValueError("a CRL counts for ten days at most, one of authorities for a year")

    @property
    def lifetime(self) -> timedelta:
        return self.next_update - self.this_update


def find_reason(number: int) -> Reason | None:
    """Give the reason that a subscriber's number stands for; None: not one that can be given."""
    return next((reason for reason in SUBSCRIBER_REASONS if reason == number), None)


def next_number(last: int | None, now: datetime) -> int:
    """Give the number of the next CRL: more than the last one's (RFC 5280 §5.2.3).

    The seconds of the clock where they are more: after a restore from an old backup the numbers
    that were used since don't come back.
    """
    return max((last or 0) + 1, int(now.timestamp()))


def keep_listed(revoked: Iterable[Revoked], last_update: datetime | None) -> tuple[Revoked, ...]:
    """Give what the next CRL must have, of all that was ever revoked.

    RFC 5280 §3.3: an entry goes when one CRL has been issued after the certificate ended;
    `last_update` is the thisUpdate of the last one, None when there is none.
    """
    return tuple(each for each in revoked if last_update is None or each.not_after >= last_update)


def revise(revoked: Revoked, reason: Reason, since: datetime | None) -> Revoked:
    """Give the entry after its key turned out to be compromised later; else as it was.

    Baseline Requirements 7.2.2: the reason becomes that, and the date the moment it is known for,
    when that is earlier. No other reason replaces one that was given.
    """
    if reason is not Reason.KEY_COMPROMISE:
        return revoked
    earlier = revoked.at if since is None else min(since, revoked.at)
    return replace(revoked, reason=reason, at=earlier, invalid_since=since or revoked.invalid_since)


def draft_shard(
    issuer: Issuer,
    shard: int,
    revoked: Iterable[Revoked],
    period: CrlPeriod,
    *,
    is_of_authorities: bool = False,
) -> Draft:
    """Make the draft of a shard's CRL, in the order of serial numbers.

    Takes a second for 40,000 entries: not for an event loop.
    Raises ValueError for a certificate of another shard, and for one that is there twice: either
    would be a certificate that is revoked and not seen to be. `is_of_authorities`: of a root, whose
    certificates are those of authorities; for others a period of more than ten days is refused too.
    """
    if not is_of_authorities and period.lifetime > MAX_CRL_LIFETIME:
        raise ValueError("a CRL of servers' certificates counts for ten days at most")
    entries = sorted(revoked, key=lambda each: each.serial)
    if wrong := [each.serial for each in entries if find_shard(each.serial) != shard]:
        raise ValueError(f"serial number {wrong[0]:x} is not one of shard {shard}")
    if len({each.serial for each in entries}) < len(entries):
        raise ValueError("a serial number is revoked twice")
    url = x509.UniformResourceIdentifier(issuer.places.crl_url(shard))
    builder = (
        # All at once: to add them one by one takes time with the square of their number.
        x509.CertificateRevocationListBuilder(revoked_certificates=[*map(_entry, entries)])
        .issuer_name(issuer.certificate.subject)
        .last_update(_whole(period.this_update))
        .next_update(_whole(period.next_update))
        .add_extension(issuer.key_identifier, critical=False)
        .add_extension(x509.CRLNumber(period.number), critical=False)
        .add_extension(_scope(url, is_of_authorities=is_of_authorities), critical=True)
    )
    return draft_crl(builder, issuer.stand_in)


def _scope(
    url: x509.UniformResourceIdentifier, *, is_of_authorities: bool
) -> x509.IssuingDistributionPoint:
    return x509.IssuingDistributionPoint(
        full_name=[url],
        relative_name=None,
        only_contains_user_certs=not is_of_authorities,
        only_contains_ca_certs=is_of_authorities,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )


def _entry(revoked: Revoked) -> x509.RevokedCertificate:
    builder = (
        x509.RevokedCertificateBuilder()
        .serial_number(revoked.serial)
        .revocation_date(_whole(revoked.at))
    )
    # RFC 5280 §5.3.1: "unspecified" is said by saying nothing.
    if (flag := _FLAGS.get(revoked.reason)) is not None:
        builder = builder.add_extension(x509.CRLReason(flag), critical=False)
    if revoked.invalid_since is not None:
        since = x509.InvalidityDate(_whole(revoked.invalid_since))
        builder = builder.add_extension(since, critical=False)
    return builder.build()


def _whole(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
