"""Our own certificates as their users see them: values, and the interface of each engine.

They are in the node's database: `storage.sqlite.certificates`, `storage.postgres.certificates`;
`tests/storage` runs one suite on both. The state of each is apart from its keys and chains, so that
all can be looked through without reading those. When to renew is `protocols.acme.renewal`; accounts
are in `storage.acme_accounts`, what was ever issued in `storage.issued`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from letterlock.protocols.acme.renewal import RenewalPlan, Trouble
from letterlock.protocols.tls.client_hello import KeyType


@dataclass(frozen=True, slots=True, order=True)
class CertificateId:
    """One certificate for each name and type of key. `name` is an ACME identifier's text."""

    name: str
    key_type: KeyType

    def __str__(self) -> str:
        return f"{self.name} ({self.key_type})"


@dataclass(frozen=True, slots=True)
class KeptPair:
    """A chain, leaf first, and the leaf's private key, both PEM."""

    chain: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeptFacts:
    """What decisions need of a certificate in use, without parsing it.

    Not `pki.certificate.CertificateFacts`, which is all of one certificate. `serial` is lower-case
    hex as there, `spki_sha256` 32 octets, `directory` the authority's directory URL; `issued` is by
    our clock. `hurried` is of `protocols.acme.renewal.count_hurried`.
    """

    serial: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    spki_sha256: bytes
    issuer: str
    directory: str
    issued: datetime
    hurried: int = 0


class RollOverStage(StrEnum):
    """How far the change to another key has come; it is done when there is no roll-over."""

    KEY_MADE = "key-made"
    PUBLISHED = "published"
    """The next key's TLSA records were asked to be published."""
    SEEN = "seen"
    """Every authoritative server has them: waiting two TTLs."""
    ISSUED = "issued"
    """The certificate for the next key is the next pair."""
    SWITCHED = "switched"
    """It is in use; the records of the key before are still published."""


@dataclass(frozen=True, slots=True)
class RollOver:
    """The change to another key. `key` is the next one (PEM), `since` when this stage began.

    `ready` is when the next stage may begin; None: that does not depend on time alone. `note` is
    one line for the operator.
    """

    stage: RollOverStage
    key: bytes = field(repr=False)
    spki_sha256: bytes
    since: datetime
    ready: datetime | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class CertificateState:
    """One certificate, which may not be there yet (`facts` None).

    `revoked` is when we learned of it. `version` is the store's (`read_version`) since the pair is
    what it is, 0 without one; what it is when given to `keep` does not matter.
    """

    id: CertificateId
    facts: KeptFacts | None = None
    plan: RenewalPlan | None = None
    troubles: tuple[Trouble, ...] = ()
    rollover: RollOver | None = None
    revoked: datetime | None = None
    version: int = 0


@dataclass(frozen=True, slots=True)
class CertificateLease:
    """The right to change one certificate.

    `state` is what was kept when it was given: look again whether there is still work to do.
    """

    id: CertificateId
    token: str
    state: CertificateState


class CertificateStore(Protocol):
    """Each method is one transaction. What the database refuses is StoreUnavailable."""

    async def open(self) -> None:
        """Make or bring forward the tables. Raises LocalError when the operator must act."""

    async def close(self) -> None: ...

    async def load(self, which: CertificateId) -> CertificateState | None:
        """Give the state of one; None when nothing is kept of it."""

    async def load_pair(self, which: CertificateId) -> KeptPair | None:
        """Give the pair in use; None: there is none yet."""

    async def load_next_pair(self, which: CertificateId) -> KeptPair | None:
        """Give the pair that a roll-over will switch to; None: there is none."""

    async def list_states(
        self, *, limit: int = 1000, after: CertificateId | None = None
    ) -> list[CertificateState]:
        """List in the order of the ids."""

    async def list_changed(self, since: int, *, limit: int = 1000) -> list[CertificateState]:
        """List those whose pair is newer than a version, in the order of the versions."""

    async def read_version(self) -> int:
        """Give a number that grows with every change of a pair in use, over all nodes; at first 0.

        Also when one is forgotten.
        """

    async def claim(
        self, which: CertificateId, now: datetime, until: datetime
    ) -> CertificateLease | None:
        """Take the lease of one, kept or not; None while another has it."""

    async def keep(
        self,
        lease: CertificateLease,
        state: CertificateState,
        *,
        pair: KeptPair | None = None,
        next_pair: KeptPair | None = None,
        until: datetime | None = None,
    ) -> bool:
        """Keep a state, and a new pair or next pair, all or nothing; the lease goes on.

        False, and nothing is changed, when the lease is not ours any more. None leaves the pair,
        and the lease's end, as they are. A next pair is kept while the roll-over is at ISSUED: any
        other state removes it, and raises ValueError with a new one.
        """

    async def settle(
        self,
        lease: CertificateLease,
        state: CertificateState,
        *,
        pair: KeptPair | None = None,
        next_pair: KeptPair | None = None,
    ) -> bool:
        """Do as `keep` does, and end the lease."""

    async def release(self, lease: CertificateLease) -> bool:
        """End the lease without a change; False when it is not ours any more."""

    async def forget(self, which: CertificateId, now: datetime) -> bool:
        """Remove all that is kept of one; False when there is none, or it is leased."""
