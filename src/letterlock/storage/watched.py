"""What each node saw when it looked at our certificates in use: values, and the interface.

In the node's database: `storage.sqlite.watched`, `storage.postgres.watched`; `tests/storage` runs
one suite on both. What is looked at, and when, is `services.certify.watching`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from letterlock.protocols.tls.client_hello import KeyType
from letterlock.storage.certificates import CertificateId
from letterlock.storage.records import from_micros, to_micros, to_text

REMEMBERED = timedelta(days=3)
"""For how long it counts what a node saw that looks no more."""
WATCHED_COLUMNS = ("node", "name", "key_type", "version", "looked", "look_again", "findings")
"""The columns of a Watched, as `make_watched_row` and `read_watched_row` have them."""


class Look(StrEnum):
    """What is looked at."""

    REVOKED = "revoked"
    REVOCATION = "revocation"
    """Whether it is revoked could not be found out."""
    CAA = "caa"
    TLSA = "tlsa"
    SERVED = "served"
    EXPORTED = "exported"
    """What other programs are given is not written, or they could not be told."""


@dataclass(frozen=True, slots=True)
class WatchFinding:
    """What is not as it should be. `since` is when it was seen first, `reason` one line."""

    look: str
    since: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Watched:
    """One certificate as one node saw it last. `version` is that of the pair then."""

    node: str
    id: CertificateId
    version: int
    looked: datetime
    again: datetime
    findings: tuple[WatchFinding, ...] = ()


class WatchStore(Protocol):
    """Each method is one transaction. What the database refuses is StoreUnavailable."""

    async def note(self, watched: Watched) -> None:
        """Keep what was seen, in place of what the same node saw of it before."""

    async def list_watched(
        self, node: str, *, limit: int = 1000, after: CertificateId | None = None
    ) -> list[Watched]:
        """List what a node saw, in the order of the ids."""

    async def list_watched_of(self, which: CertificateId) -> list[Watched]:
        """List what each node saw of one certificate."""

    async def list_found(self, *, limit: int = 1000) -> list[Watched]:
        """List what any node saw that is not as it should be, in the order of the ids."""

    async def prune(self, looked_before: datetime) -> int:
        """Remove what was seen before: of nodes and certificates that are gone. Gives how many."""


_decode: Callable[[str], tuple[WatchFinding, ...]] = msgspec.json.Decoder(
    tuple[WatchFinding, ...]
).decode


def make_watched_row(watched: Watched) -> tuple[str | int | None, ...]:
    """Give the values of WATCHED_COLUMNS. The first three are the key."""
    findings = None
    if watched.findings:
        findings = to_text(msgspec.json.encode(watched.findings).decode())
    return (
        watched.node,
        watched.id.name,
        watched.id.key_type,
        watched.version,
        to_micros(watched.looked),
        to_micros(watched.again),
        findings,
    )


def read_watched_row(row: Sequence[Any]) -> Watched:
    """Read the values of WATCHED_COLUMNS."""
    node, name, key_type, version, looked, again, findings = row
    return Watched(
        node,
        CertificateId(name, KeyType(key_type)),
        version,
        from_micros(looked),
        from_micros(again),
        _decode(findings) if findings else (),
    )
