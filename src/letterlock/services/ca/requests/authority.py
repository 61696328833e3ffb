"""What the verbs work with: the store, the rules, and those who do what is asked for.

Everything that lasts is in the store, so that any process of an authority can answer any request.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from letterlock.base.clock import Clock
from letterlock.protocols.acme.directory import Directory
from letterlock.protocols.acme.identifiers import Identifier
from letterlock.protocols.acme.jws import ExternalAccount
from letterlock.protocols.acme.renewal_info import CertificateId
from letterlock.protocols.acme.server.new_orders import OrderProfile
from letterlock.protocols.acme.server.nonces import NonceKeys
from letterlock.protocols.acme.server.objects import Account, Certificate
from letterlock.protocols.acme.server.places import Places
from letterlock.protocols.acme.server.refusals import Refusal
from letterlock.protocols.acme.server.renewals import Urgency
from letterlock.protocols.acme.server.replies import Reply
from letterlock.protocols.acme.server.revocations import Revocation
from letterlock.protocols.acme.server.signed_requests import SignedRequest
from letterlock.protocols.pki.issuance.profiles import Profile
from letterlock.protocols.pki.issuance.subject_keys import RefusedKeys
from letterlock.services.ca.requests.limits import RequestLimits
from letterlock.services.ca.requests.work import Patience, Works
from letterlock.storage.ca.external_keys import ExternalKey
from letterlock.storage.ca.kept import (
    Claimed,
    Issued,
    KeptAuthorization,
    KeptOrder,
    KeyUse,
    WorkKind,
)
from letterlock.storage.ca.store import Commits, Limits

ID_OCTETS = 16
TOKEN_OCTETS = 32

Answer = Reply | Refusal


class RequestStore(Commits, Limits, Protocol):
    """What the verbs ask of `storage.ca.store.AuthorityStore`."""

    async def load_account(self, account_id: str) -> Account | None: ...

    async def find_account(self, thumbprint: str) -> Account | None: ...

    async def load_order(self, order_id: str) -> KeptOrder | None: ...

    async def load_authorization(self, authorization_id: str) -> KeptAuthorization | None: ...

    async def find_valid_authorizations(
        self, account_id: str, ordered: Sequence[Identifier], now: datetime
    ) -> tuple[KeptAuthorization, ...]: ...

    async def list_order_ids(
        self, account_id: str, after: str | None, limit: int
    ) -> tuple[str, ...]: ...

    async def load_certificate(self, certificate_id: str) -> Issued | None: ...

    async def find_certificate(self, name: CertificateId) -> Issued | None: ...

    async def claim_put_off(
        self, kind: WorkKind, subject: str, owner: str, until: datetime
    ) -> Claimed | None: ...

    async def load_external_key(self, kid: str) -> ExternalKey: ...

    async def find_key_use(self, spki_sha256: bytes, thumbprint: str) -> KeyUse: ...


class Revoke(Protocol):
    """Puts a certificate on its list, with the audit's record (`services.ca.revoking`)."""

    async def __call__(self, issued: Issued, revocation: Revocation, by: str) -> bool:
        """Do it. False: what is kept of the certificate is not `issued` any more: decide again."""


@dataclass(frozen=True, slots=True)
class RequestRules:
    """What an authority offers, and wants. Raises ValueError for what does not belong together.

    `orders` and `certificates` have the same profiles, by name: what orders are like, and what
    certificates. `owner` names this process in leases, and no other; `lease` is how long work that
    was begun is left to it. `terms` are for new accounts: those that agreed to former ones go on,
    as ACME has no request by which a client could agree anew (RFC 8555 §7.3.3).
    """

    orders: Mapping[str, OrderProfile]
    certificates: Mapping[str, Profile]
    default_profile: str
    owner: str
    terms: str | None = None
    website: str | None = None
    caa_identities: tuple[str, ...] = ()
    is_external_account_required: bool = False
    limits: RequestLimits = field(default_factory=RequestLimits)
    patience: Patience = field(default_factory=Patience)
    lease: timedelta = timedelta(minutes=5)
    refused_keys: RefusedKeys = field(default_factory=RefusedKeys)

    def __post_init__(self) -> None:
        if (
            self.orders.keys() != self.certificates.keys()
            or self.default_profile not in self.orders
        ):
            raise ValueError("each profile is one of orders and one of certificates")

    def make_directory(self, places: Places) -> Directory:
        """Make the directory that clients see."""
        return places.make_directory(
            terms=self.terms,
            website=self.website,
            caa_identities=self.caa_identities,
            is_external_account_required=self.is_external_account_required,
            profiles=tuple((each.name, each.description) for each in self.orders.values()),
        )


FindExternal = Callable[[str], Awaitable[ExternalAccount | None]]
"""Gives the account elsewhere of a `kid` (RFC 8555 §7.3.4); None: nobody knows that one."""
FindUrgency = Callable[[Certificate], Awaitable[Urgency | None]]
"""Gives why a certificate is to be renewed at once, as an incident says; None: it is not."""


@dataclass(frozen=True, slots=True)
class Authority:
    """All that a verb works with."""

    store: RequestStore
    clock: Clock
    places: Places
    rules: RequestRules
    works: Works
    nonce_keys: NonceKeys
    revoke: Revoke
    find_external: FindExternal | None = None
    """None: nobody has an account elsewhere that it knows."""
    find_urgency: FindUrgency | None = None
    """None: there are no incidents."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request whose signature is good.

    `account` has signed it; None: the key is in the request. `ids` are the parts of its URL that
    routes name, in their order. `address` is whose connection it is; None: it is not known.
    """

    request: SignedRequest
    account: Account | None
    ids: tuple[str, ...]
    address: IPv4Address | IPv6Address | None
    now: datetime


Verb = Callable[[Authority, Asked], Awaitable[Answer]]


def make_id() -> str:
    """Choose an id: nobody guesses another's URL (RFC 8555 §10.5)."""
    return secrets.token_urlsafe(ID_OCTETS)


def make_token() -> str:
    """Choose a challenge's token (RFC 8555 §8.3, §11.3)."""
    return secrets.token_urlsafe(TOKEN_OCTETS)
