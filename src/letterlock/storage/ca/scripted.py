"""The authority's store over any engine that follows scripts."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar

from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.renewal_info import CertificateId
from letterlock.protocols.acme.server.nonces import GoodNonce
from letterlock.protocols.acme.server.objects import Account
from letterlock.protocols.acme.server.rate_limits import Counter
from letterlock.protocols.audit.heads import SignedHead
from letterlock.protocols.audit.records import AuditEntry, AuditRecord, Head
from letterlock.protocols.pki.issuance.revocation_lists import Revoked
from letterlock.storage.ca.audits import AuditProgress
from letterlock.storage.ca.changes import Change
from letterlock.storage.ca.external_keys import ExternalKey
from letterlock.storage.ca.incidents import Affected, Incident, IncidentCounts, Standing
from letterlock.storage.ca.kept import (
    BlockedKey,
    Claimed,
    Halt,
    Issued,
    KeptAuthorization,
    KeptCrl,
    KeptOrder,
    KeyUse,
    ListedCertificate,
    PausedName,
    ReservedSerial,
    ShardEntries,
    ShardState,
    WorkKind,
)
from letterlock.storage.ca.scripts import (
    auditing,
    audits,
    certificates,
    external_keys,
    incidents,
    limits,
    orders,
    revocations,
    work,
)
from letterlock.storage.ca.scripts.committing import commit
from letterlock.storage.ca.scripts.script import Refused, Script

SWEEP = timedelta(minutes=10)
"""So often each process forgets nonces and counters that say nothing any more."""

T = TypeVar("T")


class Engine(Protocol):
    """Follows scripts, each of which `make` begins anew. Raises StoreUnavailable."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def read(self, make: Callable[[], Script[T]]) -> T:
        """Look something up by its key."""

    async def list(self, make: Callable[[], Script[T]]) -> T:
        """Read what may be much."""

    async def commit(self, make: Callable[[], Script[T]]) -> T:
        """Follow a script whole or not at all, one at a time over all processes.

        When it returns, the disk has it. Raises Refused.
        """

    async def change(self, make: Callable[[], Script[T]]) -> T:
        """Follow a script beside others, each statement for itself. The disk may have it later."""


class ScriptedStore:
    """Fulfils `storage.ca.store.AuthorityStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._swept: datetime | None = None

    async def open(self) -> None:
        await self._engine.open()

    async def close(self) -> None:
        await self._engine.close()

    async def commit(self, changes: Sequence[Change], entries: Sequence[AuditEntry] = ()) -> bool:
        try:
            await self._engine.commit(partial(commit, tuple(changes), tuple(entries)))
        except Refused:
            return False
        return True

    async def load_account(self, account_id: str) -> Account | None:
        return await self._engine.read(partial(orders.load_account, account_id))

    async def find_account(self, thumbprint: str) -> Account | None:
        return await self._engine.read(partial(orders.find_account, thumbprint))

    async def list_accounts(self, after: str | None, limit: int) -> tuple[Account, ...]:
        return await self._engine.list(partial(orders.list_accounts, after, limit))

    async def load_order(self, order_id: str) -> KeptOrder | None:
        return await self._engine.read(partial(orders.load_order, order_id))

    async def load_authorization(self, authorization_id: str) -> KeptAuthorization | None:
        return await self._engine.read(partial(orders.load_authorization, authorization_id))

    async def find_valid_authorizations(
        self, account_id: str, ordered: Sequence[Identifier], now: datetime
    ) -> tuple[KeptAuthorization, ...]:
        return await self._engine.read(
            partial(orders.find_valid_authorizations, account_id, ordered, now)
        )

    async def list_order_ids(
        self, account_id: str, after: str | None, limit: int
    ) -> tuple[str, ...]:
        return await self._engine.list(partial(orders.list_order_ids, account_id, after, limit))

    async def load_certificate(self, certificate_id: str) -> Issued | None:
        return await self._engine.read(partial(certificates.load_certificate, certificate_id))

    async def find_certificate(self, name: CertificateId) -> Issued | None:
        return await self._engine.read(partial(certificates.find_certificate, name))

    async def list_certificates(self, after: int, limit: int) -> tuple[ListedCertificate, ...]:
        return await self._engine.list(partial(certificates.list_certificates, after, limit))

    async def list_unreplaced(
        self, now: datetime, after: int, limit: int
    ) -> tuple[ListedCertificate, ...]:
        return await self._engine.list(partial(certificates.list_unreplaced, now, after, limit))

    async def list_of_account(
        self, account_id: str, after: int, limit: int
    ) -> tuple[ListedCertificate, ...]:
        return await self._engine.list(
            partial(certificates.list_of_account, account_id, after, limit)
        )

    async def list_of_name(
        self, identifier: Identifier, after: int, limit: int
    ) -> tuple[ListedCertificate, ...]:
        return await self._engine.list(partial(certificates.list_of_name, identifier, after, limit))

    async def list_of_key(
        self, spki_sha256: bytes, after: int, limit: int
    ) -> tuple[ListedCertificate, ...]:
        return await self._engine.list(partial(certificates.list_of_key, spki_sha256, after, limit))

    async def list_of_serials(self, serials: Sequence[int]) -> tuple[ListedCertificate, ...]:
        return await self._engine.list(partial(certificates.list_of_serials, serials))

    async def list_unused_serials(self, before: datetime, limit: int) -> tuple[ReservedSerial, ...]:
        return await self._engine.list(partial(certificates.list_unused_serials, before, limit))

    async def load_shard(self, issuer: bytes, shard: int) -> ShardEntries:
        return await self._engine.list(partial(revocations.load_shard, issuer, shard))

    async def find_revocation(self, issuer: bytes, serial: int) -> Revoked | None:
        return await self._engine.read(partial(revocations.find_revocation, issuer, serial))

    async def load_shard_states(self, issuer: bytes) -> tuple[ShardState, ...]:
        return await self._engine.list(partial(revocations.load_shard_states, issuer))

    async def load_crl(self, issuer: bytes, shard: int) -> KeptCrl | None:
        return await self._engine.list(partial(revocations.load_crl, issuer, shard))

    async def find_blocked_key(self, spki_sha256: bytes) -> BlockedKey | None:
        return await self._engine.read(partial(revocations.find_blocked_key, spki_sha256))

    async def find_key_use(self, spki_sha256: bytes, thumbprint: str) -> KeyUse:
        return await self._engine.read(partial(revocations.find_key_use, spki_sha256, thumbprint))

    async def claim_work(
        self, kind: WorkKind, owner: str, now: datetime, until: datetime, limit: int
    ) -> tuple[Claimed, ...]:
        return await self._engine.change(partial(work.claim_work, kind, owner, now, until, limit))

    async def claim_put_off(
        self, kind: WorkKind, subject: str, owner: str, until: datetime
    ) -> Claimed | None:
        make = partial(work.claim_put_off, kind, subject, owner, until)
        return await self._engine.change(make)

    async def find_next_due(self, kind: WorkKind) -> datetime | None:
        return await self._engine.read(partial(work.find_next_due, kind))

    async def spend_nonce(self, nonce: GoodNonce, now: datetime) -> bool:
        await self._sweep(now)
        return await self._engine.change(partial(limits.spend_nonce, nonce))

    async def spend_nonce_of(
        self, nonce: GoodNonce, now: datetime, account_id: str
    ) -> tuple[bool, Account | None]:
        await self._sweep(now)
        return await self._engine.change(partial(limits.spend_nonce_of, nonce, account_id))

    async def reset_nonces(self, now: datetime) -> datetime | None:
        return await self._engine.commit(partial(limits.reset_nonces, now))

    async def keep_secret(self, name: str, fresh: bytes) -> bytes:
        return await self._engine.commit(partial(limits.keep_secret, name, fresh))

    async def load_counters(self, counters: Sequence[Counter]) -> tuple[Counter, ...]:
        return await self._engine.read(partial(limits.load_counters, counters))

    async def find_paused(
        self, account_id: str, identifiers: Sequence[Identifier]
    ) -> tuple[PausedName, ...]:
        return await self._engine.read(partial(limits.find_paused, account_id, identifiers))

    async def load_halt(self) -> Halt:
        return await self._engine.read(limits.load_halt)

    async def load_head(self) -> Head:
        return await self._engine.read(auditing.load_head)

    async def list_records(
        self, after: int, limit: int, *, kind: str | None = None
    ) -> tuple[AuditRecord, ...]:
        return await self._engine.list(partial(auditing.list_records, after, limit, kind))

    async def list_records_about(
        self, subject: str, after: int, limit: int
    ) -> tuple[AuditRecord, ...]:
        return await self._engine.list(partial(auditing.list_records_about, subject, after, limit))

    async def find_record_since(self, moment: datetime) -> int | None:
        return await self._engine.list(partial(auditing.find_record_since, moment))

    async def load_incident(self, incident_id: str) -> Incident | None:
        return await self._engine.read(partial(incidents.load_incident, incident_id))

    async def list_incidents(self) -> tuple[Incident, ...]:
        return await self._engine.list(incidents.list_incidents)

    async def find_incidents_of(self, name: CertificateId) -> tuple[Incident, ...]:
        return await self._engine.read(partial(incidents.find_incidents_of, name))

    async def count_affected(self, incident_id: str, now: datetime) -> IncidentCounts:
        return await self._engine.list(partial(incidents.count_affected, incident_id, now))

    async def list_affected(self, incident_id: str, after: int, limit: int) -> tuple[Affected, ...]:
        return await self._engine.list(partial(incidents.list_affected, incident_id, after, limit))

    async def list_standing(
        self, incident_id: str, now: datetime, after: int, limit: int
    ) -> tuple[Standing, ...]:
        return await self._engine.list(
            partial(incidents.list_standing, incident_id, now, after, limit)
        )

    async def list_changed(
        self, incident_id: str, now: datetime, replaced_until: datetime, after: int, limit: int
    ) -> tuple[Standing, ...]:
        return await self._engine.list(
            partial(incidents.list_changed, incident_id, now, replaced_until, after, limit)
        )

    async def find_untold_account(self, incident_id: str) -> str | None:
        return await self._engine.list(partial(incidents.find_untold_account, incident_id))

    async def list_untold(
        self, incident_id: str, account_id: str, after: int, limit: int
    ) -> tuple[Standing, ...]:
        return await self._engine.list(
            partial(incidents.list_untold, incident_id, account_id, after, limit)
        )

    async def load_progress(self, name: str) -> AuditProgress:
        return await self._engine.read(partial(audits.load_progress, name))

    async def load_last_signed_head(self) -> SignedHead | None:
        return await self._engine.read(audits.load_last_signed_head)

    async def list_signed_heads(self, after: int, limit: int) -> tuple[SignedHead, ...]:
        return await self._engine.list(partial(audits.list_signed_heads, after, limit))

    async def load_external_key(self, kid: str) -> ExternalKey:
        return await self._engine.read(partial(external_keys.load_external_key, kid))

    async def list_external_keys(self, after: str | None, limit: int) -> tuple[ExternalKey, ...]:
        return await self._engine.list(partial(external_keys.list_external_keys, after, limit))

    async def _sweep(self, now: datetime) -> None:
        if self._swept is not None and now - self._swept < SWEEP:
            return
        self._swept = now
        await self._engine.change(partial(limits.forget_nonces, now))
        await self._engine.change(partial(limits.sweep_counters, now))
