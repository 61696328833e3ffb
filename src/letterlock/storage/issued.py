"""Every certificate that we ever got, until long after its end: for revoking, and for incidents.

`storage.sqlite.issued`, `storage.postgres.issued`; `tests/storage` runs one suite on both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Protocol

from letterlock.protocols.tls.client_hello import KeyType
from letterlock.storage.certificates import CertificateId
from letterlock.storage.records import from_micros, from_optional_micros, to_micros

ISSUED_COLUMNS = (
    *("fingerprint", "serial", "name", "key_type", "directory", "issued", "not_after"),
    *("leaf", "revoked"),
)
"""The columns of an IssuedCertificate, as `make_issued_row` and `read_issued_row` have them."""

KEPT_AFTER_END = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate as it came. `serial` is lower-case hex, `leaf` its DER.

    DER and not PEM: its digest is its name among all.
    """

    serial: str
    id: CertificateId
    directory: str
    issued: datetime
    not_after: datetime
    leaf: bytes
    revoked: datetime | None = None

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, in lower-case hex."""
        return sha256(self.leaf).hexdigest()


class IssuedStore(Protocol):
    """Each method is one transaction. What the database refuses is StoreUnavailable."""

    async def add_issued(self, certificate: IssuedCertificate) -> None:
        """Keep one as soon as it came, whoever has the lease. Kept already, it stays as it is."""

    async def note_revoked(self, fingerprint: str, now: datetime) -> bool:
        """Note that one is revoked; False when it is not kept. The first time stays."""

    async def find_issued(self, serial: str) -> list[IssuedCertificate]:
        """Give those with a serial number: only an authority's own are unique."""

    async def list_issued_for(self, which: CertificateId) -> list[IssuedCertificate]:
        """List those of one name and type of key, the newest first."""

    async def list_issued(
        self, *, limit: int = 1000, after: str | None = None
    ) -> list[IssuedCertificate]:
        """List all in the order of their fingerprints, from behind one."""

    async def prune_issued(self, ended_before: datetime) -> int:
        """Remove those that ended before; gives how many."""


def make_issued_row(certificate: IssuedCertificate) -> tuple[str | int | bytes | None, ...]:
    """Give the values of ISSUED_COLUMNS."""
    revoked = certificate.revoked
    return (
        certificate.fingerprint,
        certificate.serial,
        certificate.id.name,
        certificate.id.key_type,
        certificate.directory,
        to_micros(certificate.issued),
        to_micros(certificate.not_after),
        certificate.leaf,
        None if revoked is None else to_micros(revoked),
    )


def read_issued_row(row: Sequence[Any]) -> IssuedCertificate:
    """Read the values of ISSUED_COLUMNS."""
    _, serial, name, key_type, directory, issued, not_after, leaf, revoked = row
    return IssuedCertificate(
        serial,
        CertificateId(name, KeyType(key_type)),
        directory,
        from_micros(issued),
        from_micros(not_after),
        leaf,
        from_optional_micros(revoked),
    )
