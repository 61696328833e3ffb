"""The list of a root: which authorities below it are not to be believed any more.

RFC 5280 §5.2.5 (of authorities only), Baseline Requirements 4.9.7 and 7.2 (once a year, and within
a day when one is revoked). The root's key comes out of its safe for it: nothing happens by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from letterlock.base.clock import Clock
from letterlock.base.errors import LocalError
from letterlock.protocols.audit.decisions import Decision, RevocationLogged
from letterlock.protocols.audit.records import AuditEntry
from letterlock.protocols.incidents.serials import format_serial
from letterlock.protocols.pki.issuance.issuers import Issuer
from letterlock.protocols.pki.issuance.revocation_lists import (
    MAX_AUTHORITIES_CRL_LIFETIME,
    CrlPeriod,
    Reason,
    Revoked,
    draft_shard,
    keep_listed,
    next_number,
)
from letterlock.protocols.pki.issuance.signing import sign_draft
from letterlock.services.ca.crls import CrlStore, log_crl
from letterlock.services.ca.hierarchy.chains import is_issued_by
from letterlock.services.ca.hierarchy.making import OF_AUTHORITIES_SHARDS
from letterlock.services.ca.publications import find_key_identifier
from letterlock.storage.ca.changes import AddRevocation, Change, PutCrl
from letterlock.storage.ca.kept import KeptCrl

OF_AUTHORITIES = "authority"
"""What stands in the log for the order of an authority's certificate, which has none."""


@dataclass(frozen=True, slots=True)
class RevokedAuthority:
    """An authority that is to be revoked; `by` is `operator NAME`."""

    certificate: x509.Certificate
    reason: Reason
    by: str


async def publish_root_crl(
    store: CrlStore, root: Issuer, clock: Clock, revoked: Sequence[RevokedAuthority] = ()
) -> KeptCrl:
    """Sign a root's list for another year, with those that are revoked now, and keep it. Blocks.

    Raises LocalError for an authority that is not the root's or is on the list, and where another
    process was quicker; StoreUnavailable, KeyUnavailable and SigningError.
    """
    identifier = find_key_identifier(root.certificate)
    assert identifier is not None
    last = await store.load_crl(identifier, OF_AUTHORITIES_SHARDS)
    found = await store.load_shard(identifier, OF_AUTHORITIES_SHARDS)
    now = clock.now().replace(microsecond=0)
    added = [_list(each, root, now) for each in revoked]
    listed = {each.serial for each in found.entries}
    if again := [each.serial for each in added if each.serial in listed]:
        raise LocalError(f"{format_serial(again[0])} is revoked already")
    number = next_number(last.period.number if last else None, now)
    period = CrlPeriod(number, now, now + MAX_AUTHORITIES_CRL_LIFETIME)
    entries = keep_listed((*found.entries, *added), last.period.this_update if last else None)
    draft = draft_shard(root, OF_AUTHORITIES_SHARDS, entries, period, is_of_authorities=True)
    der = sign_draft(draft, root.signer)
    covers = found.revision + len(added)
    crl = KeptCrl(identifier, OF_AUTHORITIES_SHARDS, period, covers, der)
    steps: list[Change] = [AddRevocation(identifier, each) for each in added]
    steps.append(PutCrl(crl, last.period.number if last else None))
    logged: list[Decision] = [_log_revoked(each, identifier) for each in revoked]
    logged.append(log_crl(crl, len(entries)))
    if not await store.commit(steps, [AuditEntry(now, each) for each in logged]):
        raise LocalError("another has just signed the root's CRL: look again")
    return crl


def _list(revoked: RevokedAuthority, root: Issuer, now: datetime) -> Revoked:
    certificate = revoked.certificate
    if not is_issued_by(certificate, root.certificate):
        name = certificate.subject.rfc4514_string()
        raise LocalError(f"{name} is not certified by {root.certificate.subject.rfc4514_string()}")
    ends = certificate.not_valid_after_utc
    return Revoked(certificate.serial_number, now, ends, revoked.reason)


def _log_revoked(revoked: RevokedAuthority, issuer: bytes) -> RevocationLogged:
    serial = format_serial(revoked.certificate.serial_number)
    return RevocationLogged(OF_AUTHORITIES, serial, issuer.hex(), int(revoked.reason), revoked.by)
