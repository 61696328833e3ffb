"""What an authority writes down: one value for each decision, with all that it rested on.

Baseline Requirements 5.4.1 (what is kept: requests, validations with each perspective, signing,
revocation, CRLs), RFC 8659 §3 (CAA, with the DNS answers). The values are plain: texts, numbers and
moments, as they are read years later by programs that are not this one. Digests and keys are in
hexadecimal; nothing secret is ever in one. `describing` makes them of what the program works with.
"""

from datetime import datetime

from msgspec import Struct


class LoggedAnswer(Struct, frozen=True, omit_defaults=True):
    """One DNS answer, with its extended error (RFC 8914).

    `left_out` counts records that were too many or too long to keep.
    """

    name: str
    type: str
    security: str
    existence: str
    records: tuple[str, ...] = ()
    owner: str | None = None
    aliases: tuple[str, ...] = ()
    ttl: int = 0
    reason: str = ""
    extended_error: int | None = None
    left_out: int = 0


class LoggedProblem(Struct, frozen=True, omit_defaults=True):
    """Why it was refused. `name` only in subproblems."""

    type: str
    detail: str
    name: str | None = None
    subproblems: tuple["LoggedProblem", ...] = ()


class LoggedLook(Struct, frozen=True, omit_defaults=True):
    """What one perspective saw of a challenge."""

    perspective: str
    region: str
    steps: tuple[str, ...]
    lookups: tuple[LoggedAnswer, ...]
    problem: LoggedProblem | None = None


class LoggedCaaLook(Struct, frozen=True, omit_defaults=True):
    """A look at CAA for one name (`*.` before a wildcard's), by one account and one method.

    `began` is before the first question. `ttl` in seconds, of the records that decided.
    """

    name: str
    began: datetime
    decision: str
    cause: str
    reason: str
    lookups: tuple[LoggedAnswer, ...]
    accounts: tuple[str, ...] = ()
    method: str | None = None
    found_at: str | None = None
    ttl: int | None = None
    perspective: str | None = None
    region: str | None = None


class NameBasis(Struct, frozen=True, omit_defaults=True):
    """What one name of a certificate rests on, when it was signed.

    `validated`: when control was proved, by `method`, in `authorization`. `caa_began`: when the
    look at CAA began that allowed it; None: there was none, as for addresses.
    """

    name: str
    authorization: str
    method: str | None = None
    validated: datetime | None = None
    caa_began: datetime | None = None
    caa_ttl: int | None = None


class AccountLogged(Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="account"):
    """An account was opened, updated, closed, got another key, or was refused."""

    account: str
    action: str
    key: str | None = None
    """The thumbprint (RFC 7638)."""
    contacts: tuple[str, ...] = ()
    agreed_terms: str | None = None
    external: str | None = None
    """The key identifier of the account that it is bound to (RFC 8555 §7.3.4)."""
    problem: LoggedProblem | None = None
    who: str | None = None
    """The operator who did it; None: its holder."""

    @property
    def subject(self) -> str:
        return self.account


class AccountKeyLogged(
    Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="account-key"
):
    """A key for external account binding (RFC 8555 §7.3.4) was `made`, or `revoked`: taken back."""

    key_id: str
    action: str
    who: str

    @property
    def subject(self) -> str:
        return self.key_id


class OrderLogged(Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="order"):
    """An order was made. `reused` are those of its authorizations that stood already."""

    order: str
    account: str
    names: tuple[str, ...]
    authorizations: tuple[str, ...]
    reused: tuple[str, ...] = ()
    profile: str | None = None
    replaces: str | None = None

    @property
    def subject(self) -> str:
        return self.order


class OrderEndedLogged(Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="order-end"):
    """An order ended without a certificate."""

    order: str
    account: str
    problem: LoggedProblem

    @property
    def subject(self) -> str:
        return self.order


class ValidationLogged(Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="validation"):
    """A challenge was looked at, and CAA after it. `problem` None: the name is proved.

    The first look of each is the authority's own, the others are those of remote perspectives;
    `quorum` is `3/4`: how many of the remote ones agree. `requirements` is the version of the
    Baseline Requirements whose method it was (3.2.2.4, 3.2.2.5); None: kept before we wrote it.
    """

    authorization: str
    account: str
    name: str
    method: str
    looks: tuple[LoggedLook, ...]
    caa_looks: tuple[LoggedCaaLook, ...] = ()
    quorum: str | None = None
    caa_quorum: str | None = None
    problem: LoggedProblem | None = None
    requirements: str | None = None

    @property
    def subject(self) -> str:
        return self.authorization


class AuthorizationLogged(
    Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="authorization"
):
    """An authorization became something else without a look: `deactivated`, `revoked`."""

    authorization: str
    account: str
    status: str

    @property
    def subject(self) -> str:
        return self.authorization


class CaaLogged(Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="caa"):
    """CAA was looked up again for an order. `due` says which names needed it, and why.

    The authority's own looks have no perspective; those of remote ones follow.
    """

    order: str
    due: tuple[tuple[str, str], ...]
    looks: tuple[LoggedCaaLook, ...]
    problem: LoggedProblem | None = None

    @property
    def subject(self) -> str:
        return self.order


class RequestLogged(Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="request"):
    """A certificate signing request and its key were judged. No faults: both are taken."""

    order: str
    request: str
    """SHA-256 of the request."""
    key: str | None = None
    """SHA-256 of the key (SubjectPublicKeyInfo)."""
    key_kind: str | None = None
    faults: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return self.order


class LintLogged(Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="lint"):
    """A draft was linted. With a fault it was not signed."""

    order: str
    draft: str
    """SHA-256 of what was to be signed (tbsCertificate)."""
    linter: str
    faults: tuple[str, ...] = ()
    excused: tuple[str, ...] = ()
    shape: str | None = None
    is_remembered: bool = False

    @property
    def subject(self) -> str:
        return self.order


class SerialLogged(Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="serial"):
    """A serial number was taken, before anything is signed with it."""

    order: str
    serial: str
    issuer: str
    profile: str

    @property
    def subject(self) -> str:
        return self.order


class SigningLogged(Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="signing"):
    """A certificate was signed; `names` has what each of its names rests on."""

    order: str
    account: str
    serial: str
    issuer: str
    certificate: str
    """SHA-256 of the certificate."""
    draft: str
    """SHA-256 of what was signed, as in `lint`."""
    not_before: datetime
    not_after: datetime
    names: tuple[NameBasis, ...]

    @property
    def subject(self) -> str:
        return self.order


class RevocationLogged(Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="revocation"):
    """A certificate was revoked. `by`: `account ID`, `key`, `operator NAME`, `incident ID`."""

    order: str
    serial: str
    issuer: str
    reason: int
    by: str

    @property
    def subject(self) -> str:
        return self.order


class CrlLogged(Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="crl"):
    """A CRL was signed. `crl` is its SHA-256."""

    issuer: str
    shard: int
    number: int
    entries: int
    this_update: datetime
    next_update: datetime
    crl: str

    @property
    def subject(self) -> str:
        return f"crl {self.issuer} {self.shard}"


class HaltLogged(Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="halt"):
    """Issuance was stopped, or goes on."""

    is_halted: bool
    why: str
    who: str

    @property
    def subject(self) -> str:
        return "halt"


class IncidentLogged(Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="incident"):
    """An incident: `created`, `enabled`, `told`, `revoked`, `ended`; `count` is of certificates."""

    incident: str
    action: str
    who: str
    count: int = 0
    why: str | None = None
    url: str | None = None
    renew_by: datetime | None = None

    @property
    def subject(self) -> str:
        return self.incident


class FindingLogged(Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="finding"):
    """The continuous audit found a certificate that lacks what it must rest on."""

    order: str
    serial: str
    faults: tuple[str, ...]

    @property
    def subject(self) -> str:
        return self.order


class StartLogged(Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="start"):
    """A process of the authority began its work, with the settings as they are now."""

    process: str
    action: str
    version: str

    @property
    def subject(self) -> str:
        return "start"


Decision = (
    AccountLogged
    | AccountKeyLogged
    | OrderLogged
    | OrderEndedLogged
    | ValidationLogged
    | AuthorizationLogged
    | CaaLogged
    | RequestLogged
    | LintLogged
    | SerialLogged
    | SigningLogged
    | RevocationLogged
    | CrlLogged
    | HaltLogged
    | IncidentLogged
    | FindingLogged
    | StartLogged
)
