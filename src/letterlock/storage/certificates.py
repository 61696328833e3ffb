"""Our own certificates as their users see them: values, and the interface of each engine.

They are in the node's database: `storage.sqlite.certificates`, `storage.postgres.certificates`;
`tests/storage` runs one suite on both. The state of each is apart from its keys and chains, so that
all can be looked through without reading those. When to renew is `protocols.acme.renewal`; accounts
are in `storage.acme_accounts`, what was ever issued in `storage.issued`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from letterlock.protocols.acme.renewal import RenewalPlan, Trouble
from letterlock.protocols.acme.renewal_info import RenewalInfo
from letterlock.protocols.tls.client_hello import KeyType
from letterlock.storage.records import from_micros, from_optional_micros, to_micros, to_text

STATE_COLUMNS = (
    *("serial", "names", "not_before", "not_after", "spki_sha256", "issuer"),
    *("directory", "issued", "hurried"),
    *("renew_at", "window_start", "window_end", "explanation", "ask_again", "failed_asks"),
    *("stage", "next_key", "next_spki_sha256", "stage_since", "stage_ready", "note"),
    *("troubles", "revoked"),
)
"""The columns of a CertificateState, as `make_row` has them."""
ROW_COLUMNS = ("name", "key_type", "version", *STATE_COLUMNS)
"""The columns that `read_row` reads."""

_FACTS = slice(3, 12)
_PLAN = slice(12, 18)
_ROLLOVER = slice(18, 24)

_decode_texts: Callable[[str], tuple[str, ...]] = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_troubles: Callable[[str], tuple[Trouble, ...]] = msgspec.json.Decoder(
    tuple[Trouble, ...]
).decode

_Value = str | int | bytes | None


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
    """It is in use. `key` is empty; the digest is that of the key before, whose record stays."""


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


def check_change(
    lease: CertificateLease,
    state: CertificateState,
    pair: KeptPair | None,
    next_pair: KeptPair | None,
) -> None:
    """Raise ValueError for what can't be kept together."""
    if state.id != lease.id:
        raise ValueError(f"the lease is for {lease.id}, not {state.id}")
    if pair is not None and state.facts is None:
        raise ValueError("a pair without facts")
    if next_pair is not None and not has_next_pair(state):
        raise ValueError("a next pair without a roll-over that has one")


def has_next_pair(state: CertificateState) -> bool:
    """Say if a pair is to be kept that the roll-over will switch to."""
    return state.rollover is not None and state.rollover.stage is RollOverStage.ISSUED


def make_row(state: CertificateState) -> tuple[_Value, ...]:
    """Give the values of STATE_COLUMNS."""
    troubles = msgspec.json.encode(state.troubles).decode() if state.troubles else None
    return (
        *_make_facts(state.facts),
        *_make_plan(state.plan),
        *_make_rollover(state.rollover),
        troubles,
        _optional_micros(state.revoked),
    )


def read_row(row: Sequence[Any]) -> CertificateState:
    """Read the values of ROW_COLUMNS."""
    name, key_type, version = row[:3]
    troubles, revoked = row[24:]
    return CertificateState(
        CertificateId(name, KeyType(key_type)),
        _read_facts(row[_FACTS]),
        _read_plan(row[_PLAN]),
        _decode_troubles(troubles) if troubles else (),
        _read_rollover(row[_ROLLOVER]),
        from_optional_micros(revoked),
        version,
    )


def _make_facts(facts: KeptFacts | None) -> tuple[_Value, ...]:
    if facts is None:
        return (None,) * 9
    return (
        facts.serial,
        msgspec.json.encode(facts.names).decode(),
        to_micros(facts.not_before),
        to_micros(facts.not_after),
        facts.spki_sha256,
        to_text(facts.issuer),
        facts.directory,
        to_micros(facts.issued),
        facts.hurried,
    )


def _read_facts(row: Sequence[Any]) -> KeptFacts | None:
    serial, names, not_before, not_after, spki_sha256, issuer, directory, issued, hurried = row
    if serial is None:
        return None
    return KeptFacts(
        serial,
        _decode_texts(names),
        from_micros(not_before),
        from_micros(not_after),
        spki_sha256,
        issuer,
        directory,
        from_micros(issued),
        hurried,
    )


def _make_plan(plan: RenewalPlan | None) -> tuple[_Value, ...]:
    if plan is None:
        return (None,) * 6
    window: tuple[_Value, ...] = (None,) * 3
    if plan.window is not None:
        start, end = to_micros(plan.window.start), to_micros(plan.window.end)
        window = (start, end, plan.window.explanation)
    return (to_micros(plan.moment), *window, _optional_micros(plan.ask_again), plan.failed_asks)


def _read_plan(row: Sequence[Any]) -> RenewalPlan | None:
    moment, start, end, explanation, ask_again, failed_asks = row
    if moment is None:
        return None
    window = None
    if start is not None:
        window = RenewalInfo(from_micros(start), from_micros(end), explanation)
    return RenewalPlan(from_micros(moment), window, from_optional_micros(ask_again), failed_asks)


def _make_rollover(rollover: RollOver | None) -> tuple[_Value, ...]:
    if rollover is None:
        return (None,) * 6
    return (
        rollover.stage,
        rollover.key,
        rollover.spki_sha256,
        to_micros(rollover.since),
        _optional_micros(rollover.ready),
        to_text(rollover.note),
    )


def _read_rollover(row: Sequence[Any]) -> RollOver | None:
    stage, key, spki_sha256, since, ready, note = row
    if stage is None:
        return None
    return RollOver(
        RollOverStage(stage),
        key,
        spki_sha256,
        from_micros(since),
        from_optional_micros(ready),
        note,
    )


def _optional_micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)
