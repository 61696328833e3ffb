"""Revokes certificates: onto the list of their shard, into the audit log, and soon into a CRL.

RFC 5280 §5.3.1 (reasons), RFC 8555 §7.6; Baseline Requirements 4.9.1.1, 6.1.1.3, 7.2.2. Who may is
`protocols.acme.server.revocations`. From the commit on its renewal is asked for at once: ARI's
window of a certificate that is revoked lies in the past. A key that is shown to be lost gets none
any more, and takes all other certificates for it along: that is work (`LostKeys`), begun by the
commit that blocks it, since there may be many of them and whoever began may die.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.base.log import Log, Service
from letterlock.protocols.acme.server.objects import Certificate
from letterlock.protocols.acme.server.revocations import Revocation
from letterlock.protocols.audit.decisions import RevocationLogged
from letterlock.protocols.audit.records import AuditEntry
from letterlock.protocols.incidents.serials import format_serial
from letterlock.protocols.pki.issuance.revocation_lists import Reason, Revoked, revise
from letterlock.storage.ca import changes
from letterlock.storage.ca.kept import (
    BlockedKey,
    Claimed,
    Issued,
    Lease,
    ListedCertificate,
    Work,
    WorkKind,
)
from letterlock.storage.ca.store import Commits
from letterlock.storage.queue import StoreUnavailable

PAGE = 100
LEASE = timedelta(minutes=10)
LOST_AT_A_TIME = 1000
"""Certificates that are revoked for one key within a lease; then it is gone on with."""
_NOBODY = ""
_MAX_TRIES = 8


class RevokingStore(Commits, Protocol):
    """Of `storage.ca.store.AuthorityStore` what is needed."""

    async def load_certificate(self, certificate_id: str) -> Issued | None: ...

    async def find_revocation(self, issuer: bytes, serial: int) -> Revoked | None: ...

    async def find_blocked_key(self, spki_sha256: bytes) -> BlockedKey | None: ...

    async def list_of_key(
        self, spki_sha256: bytes, after: int, limit: int
    ) -> tuple[ListedCertificate, ...]: ...


class Revoker:
    """Revokes. `hurry` is called after each commit: the CRL is to be made anew.

    As a call it is what the verb of revokeCert asks (`services.ca.requests.authority.Revoke`).
    """

    def __init__(
        self, store: RevokingStore, clock: Clock, log: Log, hurry: Callable[[], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._log = log
        self._hurry = hurry

    async def __call__(self, issued: Issued, revocation: Revocation, by: str) -> bool:
        """Do what was decided for a client; `by` is `account ID` or `key`.

        Of a key that is blocked, a page of its other certificates is revoked before the client is
        answered. False: what is kept of the certificate is not `issued` any more: decide again.
        Raises StoreUnavailable.
        """
        after, reason = revocation.certificate, Reason(revocation.reason)
        is_done = await self._commit(
            issued, after, (reason, None), by, blocks_key=revocation.blocks_key
        )
        if is_done and revocation.blocks_key:
            # It is revoked, whatever comes of this: what is left is work that is stored.
            with suppress(StoreUnavailable):
                await self.revoke_key(issued.spki_sha256, by, PAGE)
        return is_done

    async def revoke(
        self,
        issued: Issued,
        reason: Reason,
        by: str,
        *,
        since: datetime | None = None,
        blocks_key: bool = False,
    ) -> bool:
        """Revoke for an operator or an incident; `by` is `operator NAME` or `incident ID`.

        `since` is when its key is known to have been lost. One that is revoked stays so, with its
        reason, unless this one is that its key is lost, and its key is blocked all the same. False
        as above; raises StoreUnavailable.
        """
        before = issued.certificate
        is_worse = reason is Reason.KEY_COMPROMISE and not before.is_key_compromised
        if before.revoked is not None and not is_worse:
            # Its account may have said why: that blocks no key.
            key = issued.spki_sha256
            if not blocks_key or await self._store.find_blocked_key(key) is not None:
                return True
        after = replace(
            before,
            revoked=before.revoked or self._clock.now(),
            is_key_compromised=before.is_key_compromised or is_worse,
        )
        return await self._commit(issued, after, (reason, since), by, blocks_key=blocks_key)

    async def revoke_key(self, spki_sha256: bytes, by: str, most: int | None = None) -> int:
        """Revoke all certificates for a key that is lost, or so many, and give how many it was for.

        Raises StoreUnavailable; what was done until then is done.
        """
        count, after = 0, 0
        while page := await self._store.list_of_key(spki_sha256, after, PAGE):
            for each in page:
                if count == most:
                    return count
                count += await self._revoke_of_key(each.issued, by)
            after = page[-1].number
        return count

    async def _revoke_of_key(self, issued: Issued | None, by: str) -> bool:
        for _ in range(_MAX_TRIES):
            if issued is None or issued.certificate.is_key_compromised:
                return False
            if issued.certificate.not_after < self._clock.now():
                return False
            if await self.revoke(issued, Reason.KEY_COMPROMISE, by):
                return True
            issued = await self._store.load_certificate(issued.certificate.id)
        return False

    async def _commit(
        self,
        issued: Issued,
        after: Certificate,
        why: tuple[Reason, datetime | None],
        by: str,
        *,
        blocks_key: bool,
    ) -> bool:
        before, (reason, _) = issued.certificate, why
        steps: list[changes.Change] = [
            changes.ChangeCertificate(before, after),
            await self._list(before, after, why),
        ]
        now = self._clock.now()
        if blocks_key:
            blocked = BlockedKey(issued.spki_sha256, now, f"it was revoked by {by}")
            steps += [changes.BlockKey(blocked), _begin_lost(before.id, now, by)]
        number = format_serial(before.name.serial)
        issuer = before.name.key_identifier.hex()
        logged = RevocationLogged(before.order_id, number, issuer, int(reason), by)
        if not await self._store.commit(steps, (AuditEntry(now, logged),)):
            return False
        self._log.write(Service.CA, f"revoked {number} ({reason.name.lower()}) by {by}")
        self._hurry()
        return True

    async def _list(
        self, before: Certificate, after: Certificate, why: tuple[Reason, datetime | None]
    ) -> changes.AddRevocation | changes.ChangeRevocation:
        """Give the entry of its shard: a new one, or the one that is there, with worse news."""
        reason, since = why
        serial, issuer = before.name.serial, before.name.key_identifier
        assert after.revoked is not None
        if before.revoked is not None:
            entry = await self._store.find_revocation(issuer, serial)
            if entry is not None:
                return changes.ChangeRevocation(issuer, entry, revise(entry, reason, since))
        entry = Revoked(serial, after.revoked, before.not_after, reason, since)
        return changes.AddRevocation(issuer, entry)


class LostKeys:
    """Revokes what is left for a key. `do` is for `working.WorkRunner`, of the kind LOST_KEY."""

    def __init__(
        self,
        store: RevokingStore,
        revoker: Revoker,
        clock: Clock,
        at_a_time: int = LOST_AT_A_TIME,
    ) -> None:
        self._store = store
        self._revoker = revoker
        self._clock = clock
        self._at_a_time = at_a_time

    async def do(self, claimed: Claimed) -> datetime | None:
        """Revoke some. Gives when to go on; None: none is left. Raises StoreUnavailable."""
        issued = await self._store.load_certificate(claimed.work.subject)
        assert issued is not None, "certificates stay"
        by = claimed.work.detail.decode()
        count = await self._revoker.revoke_key(issued.spki_sha256, by, self._at_a_time)
        if count < self._at_a_time:
            await self._store.commit((changes.EndWork(claimed.lease),))
            return None
        due = self._clock.now()
        return due if await self._store.commit((changes.PutOffWork(claimed.lease, due),)) else None


def _begin_lost(certificate_id: str, now: datetime, by: str) -> changes.AddWork:
    """Store the work, for whoever looks next."""
    work = Work(WorkKind.LOST_KEY, certificate_id, now, by.encode())
    return changes.AddWork(work, Lease(work.kind, work.subject, _NOBODY, now))
