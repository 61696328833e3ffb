"""What keeps the authority's objects: `storage.sqlite.ca` and `storage.postgres.ca`.

Several processes use one database at a time, and nothing rests on what one of them remembers: who
reads, decides, and commits with what was read as `before`. `tests/storage` runs one suite on both
engines. What the database refuses, because it is away, full or broken, is StoreUnavailable; whether
a commit was done is then not known, and reading again tells. Lists come in pages, oldest first: a
page begins behind `after` (0 or None for the first), and one that is shorter than `limit` is last.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.renewal_info import CertificateId
from letterlock.protocols.acme.server.nonces import GoodNonce
from letterlock.protocols.acme.server.objects import Account
from letterlock.protocols.acme.server.rate_limits import Counter
from letterlock.protocols.audit.records import AuditEntry, AuditRecord, Head
from letterlock.protocols.pki.issuance.revocation_lists import Revoked
from letterlock.storage.ca.audits import AuditProgressReads
from letterlock.storage.ca.changes import Change
from letterlock.storage.ca.external_keys import ExternalKeyReads
from letterlock.storage.ca.incidents import IncidentReads
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


class Commits(Protocol):
    """Changes what is kept."""

    async def commit(self, changes: Sequence[Change], entries: Sequence[AuditEntry] = ()) -> bool:
        """Do all of the changes, in their order, and log the entries; or do nothing at all.

        True: all of it is on the disk. False: what is kept is not what one of the changes expects,
        or a key is taken, and nothing was changed or logged; who asked reads again and decides
        again. Cancelled, it may be done all the same.
        """


class AccountReads(Protocol):
    async def load_account(self, account_id: str) -> Account | None: ...

    async def find_account(self, thumbprint: str) -> Account | None:
        """Give the account that has a key, whatever its status."""

    async def list_accounts(self, after: str | None, limit: int) -> tuple[Account, ...]:
        """List all, by their ids."""


class OrderReads(Protocol):
    async def load_order(self, order_id: str) -> KeptOrder | None: ...

    async def load_authorization(self, authorization_id: str) -> KeptAuthorization | None: ...

    async def find_valid_authorizations(
        self, account_id: str, ordered: Sequence[Identifier], now: datetime
    ) -> tuple[KeptAuthorization, ...]:
        """Give an account's valid authorizations for names as orders have them (`*.` too).

        For orders that use them again, and for who revokes because he holds the names.
        """

    async def list_order_ids(
        self, account_id: str, after: str | None, limit: int
    ) -> tuple[str, ...]:
        """List the ids of an account's orders that are not invalid (RFC 8555 §7.1.2.1).

        `after` is the id of one of its orders; none follow one that is not.
        """


class CertificateReads(Protocol):
    """Certificates are named by their own ids, or as the issuer and the serial number name them."""

    async def load_certificate(self, certificate_id: str) -> Issued | None: ...

    async def find_certificate(self, name: CertificateId) -> Issued | None: ...

    async def list_certificates(self, after: int, limit: int) -> tuple[ListedCertificate, ...]: ...

    async def list_unreplaced(
        self, now: datetime, after: int, limit: int
    ) -> tuple[ListedCertificate, ...]:
        """List those that have not ended, are not revoked, and that no order replaces."""

    async def list_of_account(
        self, account_id: str, after: int, limit: int
    ) -> tuple[ListedCertificate, ...]: ...

    async def list_of_name(
        self, identifier: Identifier, after: int, limit: int
    ) -> tuple[ListedCertificate, ...]:
        """List those that have just this name; a wildcard is a name of its own."""

    async def list_of_key(
        self, spki_sha256: bytes, after: int, limit: int
    ) -> tuple[ListedCertificate, ...]: ...

    async def list_of_serials(self, serials: Sequence[int]) -> tuple[ListedCertificate, ...]:
        """Give those that have one of these serial numbers; others are passed over."""

    async def list_unused_serials(self, before: datetime, limit: int) -> tuple[ReservedSerial, ...]:
        """List serial numbers that were taken before a moment and have no certificate.

        Those on a list of revoked ones are not among them.
        """


class RevocationReads(Protocol):
    """`issuer` is a key identifier."""

    async def load_shard(self, issuer: bytes, shard: int) -> ShardEntries:
        """Give all that was ever revoked in a shard."""

    async def find_revocation(self, issuer: bytes, serial: int) -> Revoked | None:
        """Give what the list of its shard says of a serial number.

        Raises ValueError for one that is of no shard.
        """

    async def load_shard_states(self, issuer: bytes) -> tuple[ShardState, ...]:
        """Give how each shard stands that has an entry or a CRL, by their numbers."""

    async def load_crl(self, issuer: bytes, shard: int) -> KeptCrl | None: ...

    async def find_blocked_key(self, spki_sha256: bytes) -> BlockedKey | None: ...

    async def find_key_use(self, spki_sha256: bytes, thumbprint: str) -> KeyUse:
        """Find what speaks against a key, by its SPKI and as ACME has it (RFC 7638).

        No account has an empty thumbprint.
        """


class WorkClaims(Protocol):
    async def claim_work(
        self, kind: WorkKind, owner: str, now: datetime, until: datetime, limit: int
    ) -> tuple[Claimed, ...]:
        """Claim work whose lease has run out or was given back, the oldest first.

        Two that claim at a time get none in common.
        """

    async def claim_put_off(
        self, kind: WorkKind, subject: str, owner: str, until: datetime
    ) -> Claimed | None:
        """Claim work that was given back, before it is due. None: none was, or somebody has it."""

    async def find_next_due(self, kind: WorkKind) -> datetime | None:
        """Give when the first lease runs out; None: there is no work."""


class Limits(Protocol):
    """What keeps clients from doing something again, or too often."""

    async def spend_nonce(self, nonce: GoodNonce, now: datetime) -> bool:
        """Take a nonce, once over all processes. False: it was taken, or nobody knows any more.

        It need not be waited for the disk: then the secret of nonces ends with the machine's run,
        and all of before a power cut are worth nothing.
        """

    async def spend_nonce_of(
        self, nonce: GoodNonce, now: datetime, account_id: str
    ) -> tuple[bool, Account | None]:
        """Take a nonce, and give the account that uses it, as it is once the nonce is taken.

        Without the nonce there is no account.
        """

    async def reset_nonces(self, now: datetime) -> datetime | None:
        """Let nonces that are made from now on be good, after a clock that was far ahead.

        Gives until when all would have been refused; None: they are good, and nothing is changed.
        Processes are to be started again then: each loads the secret of nonces as it starts.
        """

    async def keep_secret(self, name: str, fresh: bytes) -> bytes:
        """Give the secret of a name that all processes share; `fresh` is kept where none is."""

    async def load_counters(self, counters: Sequence[Counter]) -> tuple[Counter, ...]:
        """Give these counters as they are kept, in their order."""

    async def find_paused(
        self, account_id: str, identifiers: Sequence[Identifier]
    ) -> tuple[PausedName, ...]: ...

    async def load_halt(self) -> Halt: ...


class AuditReads(Protocol):
    """The log, by the numbers of its records, which have no gaps."""

    async def load_head(self) -> Head: ...

    async def list_records(
        self, after: int, limit: int, *, kind: str | None = None
    ) -> tuple[AuditRecord, ...]:
        """List all records, or those of a kind."""

    async def list_records_about(
        self, subject: str, after: int, limit: int
    ) -> tuple[AuditRecord, ...]: ...

    async def find_record_since(self, moment: datetime) -> int | None:
        """Give the number of the first record that was made at a moment or later."""


class AuthorityStore(
    Commits,
    AccountReads,
    OrderReads,
    CertificateReads,
    RevocationReads,
    WorkClaims,
    Limits,
    AuditReads,
    IncidentReads,
    AuditProgressReads,
    ExternalKeyReads,
    Protocol,
):
    """All of it, for one process. Nothing else may be asked before `open` and after `close`."""

    async def open(self) -> None:
        """Make the database or bring it forward. Raises LocalError and StoreUnavailable."""

    async def close(self) -> None:
        """Do what was asked for, then close."""
