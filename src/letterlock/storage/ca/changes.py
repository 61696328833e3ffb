"""What changes in the authority's store, as values: each says what it takes to be there before.

Several of them are committed together, all or none (`store.Commits`). A change that does not fit
what is there refuses the commit: `before` is not what is kept any more, or a key is taken. Each
type has its script in `scripts.committing`, which both engines follow.
"""

from dataclasses import dataclass
from datetime import datetime

from letterlock.protocols.acme.server.objects import Account, Authorization, Certificate, Order
from letterlock.protocols.acme.server.rate_limits import Counter
from letterlock.protocols.caa.rechecks import CaaCheck
from letterlock.protocols.pki.issuance.revocation_lists import Revoked
from letterlock.storage.ca.audits import AuditChange
from letterlock.storage.ca.external_keys import ChangeExternalKey
from letterlock.storage.ca.incidents import IncidentChange
from letterlock.storage.ca.kept import (
    BlockedKey,
    Halt,
    Issued,
    KeptCrl,
    Lease,
    PausedName,
    ReservedSerial,
    Work,
)


@dataclass(frozen=True, slots=True)
class AddAccount:
    """Refused where its id or its key's thumbprint is taken: one key, one account.

    And where it is bound by a key that was taken back: who takes one back lists its accounts then,
    and misses none.
    """

    account: Account


@dataclass(frozen=True, slots=True)
class ChangeAccount:
    """Refused also where the new key is another account's."""

    before: Account
    after: Account


@dataclass(frozen=True, slots=True)
class AddAuthorization:
    authorization: Authorization


@dataclass(frozen=True, slots=True)
class ChangeAuthorization:
    """`check` is the look at CAA to keep with it; None: the one that is kept stays."""

    before: Authorization
    after: Authorization
    check: CaaCheck | None = None


@dataclass(frozen=True, slots=True)
class AddOrder:
    """Refused where one of its authorizations is not there: add those before it."""

    order: Order


@dataclass(frozen=True, slots=True)
class ChangeOrder:
    before: Order
    after: Order


@dataclass(frozen=True, slots=True)
class AddWork:
    """Refused where there is work of this kind for this subject. `lease` is whose it is at once."""

    work: Work
    lease: Lease


@dataclass(frozen=True, slots=True)
class EndWork:
    """Refused where somebody else claimed it meanwhile."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class PutOffWork:
    """Give work back: from `due` on whoever asks gets it, within a day. Refused as EndWork is."""

    lease: Lease
    due: datetime


@dataclass(frozen=True, slots=True)
class ProlongLease:
    """Keep the work until a later time: the lease is then `replace(lease, until=until)`."""

    lease: Lease
    until: datetime


@dataclass(frozen=True, slots=True)
class AddSerial:
    """Take a serial number, before anything is signed. Refused where it was ever taken."""

    serial: ReservedSerial


@dataclass(frozen=True, slots=True)
class AddCertificate:
    """Refused where its serial number was not taken for its order, has one, or is revoked.

    And where its key is blocked: who blocks one lists its certificates then, and misses none.
    """

    issued: Issued


@dataclass(frozen=True, slots=True)
class ChangeCertificate:
    before: Certificate
    after: Certificate


@dataclass(frozen=True, slots=True)
class AddRevocation:
    """Put a serial number on the list of its shard. Refused where it is there.

    `issuer` is its key identifier. It may be one that was only reserved. ValueError for a serial
    number that is of no shard of ours.
    """

    issuer: bytes
    revoked: Revoked


@dataclass(frozen=True, slots=True)
class ChangeRevocation:
    issuer: bytes
    before: Revoked
    after: Revoked


@dataclass(frozen=True, slots=True)
class PutCrl:
    """Publish a CRL in place of that with the number `before`; None: it is the shard's first.

    Refused where another is kept, or its number is not less (RFC 5280 §5.2.3).
    """

    crl: KeptCrl
    before: int | None


@dataclass(frozen=True, slots=True)
class BlockKey:
    """Nothing happens where it is blocked already."""

    key: BlockedKey


@dataclass(frozen=True, slots=True)
class UseCounter:
    """Count on a limit, whoever else counts on it now. Refused where it is exceeded.

    What is kept counts, not `counter.empty_at`: so no two that count have to try again.
    """

    counter: Counter
    now: datetime
    times: int = 1


@dataclass(frozen=True, slots=True)
class ChangeCounter:
    """Put a counter to a value, as giving back or emptying does."""

    before: Counter
    after: Counter


@dataclass(frozen=True, slots=True)
class AddPause:
    """Nothing happens where the name is paused already."""

    pause: PausedName


@dataclass(frozen=True, slots=True)
class RemovePause:
    """Refused where it is not paused since then."""

    pause: PausedName


@dataclass(frozen=True, slots=True)
class RemoveSecret:
    """Let the next who asks for a secret make a new one: of nonces, all that are out end so."""

    name: str


@dataclass(frozen=True, slots=True)
class ChangeHalt:
    """With both the same nothing changes: it is only seen that the switch stands as it did."""

    before: Halt
    after: Halt


Change = (
    AddAccount
    | ChangeAccount
    | AddAuthorization
    | ChangeAuthorization
    | AddOrder
    | ChangeOrder
    | AddWork
    | EndWork
    | PutOffWork
    | ProlongLease
    | AddSerial
    | AddCertificate
    | ChangeCertificate
    | AddRevocation
    | ChangeRevocation
    | PutCrl
    | BlockKey
    | UseCounter
    | ChangeCounter
    | AddPause
    | RemovePause
    | RemoveSecret
    | ChangeHalt
    | IncidentChange
    | AuditChange
    | ChangeExternalKey
)
