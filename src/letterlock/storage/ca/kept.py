"""What the authority keeps beside ACME's own objects, as values.

Keys are text ids, but for certificates: one is named by its issuer's key identifier and its serial
number (`CertificateId`, RFC 9773 §4.1), and an issuer by that key identifier alone, so that one
whose own certificate was renewed stays the same.
"""

import base64
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.renewal_info import CertificateId
from letterlock.protocols.acme.server.objects import Authorization, Certificate, Order
from letterlock.protocols.caa.rechecks import CaaCheck, ProvedName
from letterlock.protocols.pki.issuance.lint_records import LintRecord
from letterlock.protocols.pki.issuance.revocation_lists import CrlPeriod, Revoked

NONCE_SECRET = "acme nonces"  # noqa: S105 - what the secret is called, not the secret
"""By which the processes know each other's nonces."""

PEM_COLUMNS = 64
"""RFC 7468 §2."""


@dataclass(frozen=True, slots=True)
class KeptAuthorization:
    """An authorization with the last look at CAA for its name; None: there was none."""

    authorization: Authorization
    check: CaaCheck | None = None


@dataclass(frozen=True, slots=True)
class KeptOrder:
    """An order with all of its authorizations, in the order of `order.authorization_ids`."""

    order: Order
    authorizations: tuple[KeptAuthorization, ...]


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate, and what it rests on.

    `der` is the certificate itself. `chains` has for each chain that it can be had with what
    follows it, in PEM (RFC 8555 §7.4.2), the usual one first; `certificate.chain_count` of them.
    `spki_sha256` is over its SubjectPublicKeyInfo. `names` are its names with the looks at CAA that
    counted when it was signed.
    """

    certificate: Certificate
    der: bytes
    chains: tuple[bytes, ...]
    spki_sha256: bytes
    profile: str
    issued: datetime
    lint: LintRecord
    names: tuple[ProvedName, ...]

    def format_chain(self, number: int) -> bytes:
        """Give it with what follows it in one of its chains, in PEM (RFC 8555 §9.1)."""
        text = base64.b64encode(self.der)
        lines = (text[at : at + PEM_COLUMNS] for at in range(0, len(text), PEM_COLUMNS))
        head, foot = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
        return b"\n".join((head, *lines, foot, self.chains[number]))


@dataclass(frozen=True, slots=True)
class ListedCertificate:
    """A certificate in a list; `number` counts those that were ever issued, by which lists go on.

    Numbers grow but have gaps.
    """

    number: int
    issued: Issued


@dataclass(frozen=True, slots=True)
class ReservedSerial:
    """A serial number that was taken before anything was signed with it.

    `not_after` is when the certificate ends that it was taken for.
    """

    name: CertificateId
    order_id: str
    profile: str
    moment: datetime
    not_after: datetime


class WorkKind(StrEnum):
    """What is done behind a request; `subject` is the id of what it is done for."""

    VALIDATION = "validation"
    """Subject: an authorization. Detail: the type of the challenge."""
    ISSUANCE = "issuance"
    """Subject: an order. Detail: the certificate signing request, in DER."""
    INCIDENT = "incident"
    """Subject: an incident that is enabled."""
    AUDIT = "audit"
    """Subject: what is audited."""
    LOST_KEY = "lost-key"
    """Subject: a certificate whose key is lost. Detail: who showed that, as the log has it."""


@dataclass(frozen=True, slots=True)
class Work:
    """Something to do. There is at most one of a kind for a subject."""

    kind: WorkKind
    subject: str
    moment: datetime
    """When it was asked for."""
    detail: bytes = b""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who does some work, until when. `number` counts how often it was claimed, from 1.

    It is good as long as nobody claimed the work after it; that it has run out alone takes nothing.
    """

    kind: WorkKind
    subject: str
    owner: str
    until: datetime
    number: int = 1


@dataclass(frozen=True, slots=True)
class Claimed:
    """Work with the lease on it.

    `kept` is what the work is for, as who stored both a moment ago knows it; None: it has to be
    loaded. Whoever changes it has to be right about it anyway: a commit compares.
    """

    work: Work
    lease: Lease
    kept: KeptAuthorization | KeptOrder | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class KeptCrl:
    """The CRL that counts for a shard. `covers` is the revision of the shard that is in it."""

    issuer: bytes
    shard: int
    period: CrlPeriod
    covers: int
    der: bytes


@dataclass(frozen=True, slots=True)
class ShardState:
    """How a shard stands: each change of its entries gives it the next revision, 0 at first.

    `period` and `covers` are those of its CRL; None: there is none yet.
    """

    shard: int
    revision: int
    period: CrlPeriod | None = None
    covers: int | None = None


@dataclass(frozen=True, slots=True)
class ShardEntries:
    """What is revoked in a shard, as of a revision."""

    revision: int
    entries: tuple[Revoked, ...]


@dataclass(frozen=True, slots=True)
class KeyUse:
    """What speaks against a certificate for a key. `holder_id`: whose account has it; None: none's.

    `is_blocked`: it is known to be compromised.
    """

    is_blocked: bool
    holder_id: str | None


@dataclass(frozen=True, slots=True)
class BlockedKey:
    """A key that nobody gets a certificate for, by the SHA-256 of its SubjectPublicKeyInfo."""

    spki_sha256: bytes
    moment: datetime
    why: str


@dataclass(frozen=True, slots=True)
class PausedName:
    """A name that an account gets no orders for, since its validation failed too often."""

    account_id: str
    identifier: Identifier
    since: datetime


@dataclass(frozen=True, slots=True)
class Halt:
    """Whether issuance is halted, on all nodes; `why` is told to clients."""

    is_halted: bool = False
    since: datetime | None = None
    why: str = ""
    who: str = ""


NOT_HALTED = Halt()
"""As it is before anybody said anything."""
