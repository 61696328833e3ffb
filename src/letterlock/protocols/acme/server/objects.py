"""What an authority keeps of ACME: accounts, orders, authorizations, challenges, certificates.

RFC 8555 §7.1.2 to §7.1.5, §8. All of them are values that nothing changes: a new state is a new
value, from `transitions`, and none of them shares a part that another could change. Ids are chosen
by the caller, at random (RFC 8555 §10.5), and become parts of URLs in `places`.
"""

from dataclasses import dataclass
from datetime import datetime

from letterlock.protocols.acme.identifiers import ChallengeType, Identifier
from letterlock.protocols.acme.problems import Problem
from letterlock.protocols.acme.renewal_info import CertificateId
from letterlock.protocols.acme.server.public_keys import PublicKey
from letterlock.protocols.acme.states import (
    AccountStatus,
    AuthorizationStatus,
    ChallengeStatus,
    OrderStatus,
)


@dataclass(frozen=True, slots=True)
class ExternalBinding:
    """An account elsewhere, as it was verified (RFC 8555 §7.3.4); `jws` is shown again."""

    kid: str
    jws: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Account:
    """One key, one account."""

    id: str
    key: PublicKey
    status: AccountStatus
    contacts: tuple[str, ...] = ()
    agreed_terms: str | None = None
    """The URL of the terms that were agreed to."""
    external: ExternalBinding | None = None


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to prove an identifier; an authorization has at most one of each type."""

    type: ChallengeType
    token: str
    status: ChallengeStatus = ChallengeStatus.PENDING
    key_authorization: str | None = None
    """As it was when the client responded: a key that changes later changes it not."""
    validated: datetime | None = None
    error: Problem | None = None
    """Of the last try, while there are more, too (RFC 8555 §8.2)."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """What an account may have certificates for. `identifier` has no asterisk."""

    id: str
    account_id: str
    identifier: Identifier
    status: AuthorizationStatus
    expires: datetime
    challenges: tuple[Challenge, ...]
    is_wildcard: bool = False
    profile: str | None = None

    def find_challenge(self, kind: str) -> Challenge | None:
        """Find the challenge of a type."""
        return next((each for each in self.challenges if each.type == kind), None)

    @property
    def ordered(self) -> Identifier:
        """The identifier as an order has it."""
        if not self.is_wildcard:
            return self.identifier
        return Identifier(self.identifier.type, f"*.{self.identifier.value}")


@dataclass(frozen=True, slots=True)
class Order:
    """A request for one certificate. Names and authorizations never change."""

    id: str
    account_id: str
    identifiers: tuple[Identifier, ...]
    authorization_ids: tuple[str, ...]
    status: OrderStatus
    expires: datetime
    profile: str | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    replaces: CertificateId | None = None
    certificate_id: str | None = None
    error: Problem | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was issued. `chain_count` is how many chains it can be had with."""

    id: str
    name: CertificateId
    account_id: str
    order_id: str
    identifiers: tuple[Identifier, ...]
    not_before: datetime
    not_after: datetime
    key: PublicKey
    replaced_by: str | None = None
    """The order that said so."""
    revoked: datetime | None = None
    is_key_compromised: bool = False
    """It is revoked for that reason."""
    chain_count: int = 1
