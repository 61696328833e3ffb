"""Makes an authority: a root, and those below it that issue; also by a second root.

RFC 5280 §4, Baseline Requirements 7.1.2.1 and 7.1.2.6. Each certificate is linted before it is
signed, as servers' are. The root's key is needed for this, for another authority below it, and for
its CRL once a year: between those it can lie in a safe, on no machine at all.
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import NameOID

from letterlock.base.errors import LocalError
from letterlock.protocols.pki.issuance.certificates import (
    AuthorityName,
    NewAuthority,
    draft_intermediate,
    draft_root,
)
from letterlock.protocols.pki.issuance.issuers import (
    SERIAL_RANDOM_OCTETS,
    Issuer,
    make_issuer,
    make_serial,
)
from letterlock.protocols.pki.issuance.lint_records import LintRecord
from letterlock.protocols.pki.issuance.linting import CertificateKind, Linter
from letterlock.protocols.pki.issuance.profiles import NameRules
from letterlock.protocols.pki.issuance.signing import (
    AuthorityKey,
    Draft,
    Signer,
    make_stand_in,
    sign_draft,
)
from letterlock.services.ca.publications import find_places

ROOT_LIFETIME = timedelta(days=20 * 365)
AUTHORITY_LIFETIME = timedelta(days=5 * 365)
OF_AUTHORITIES_SHARDS = 1
"""A root certifies few: one CRL has them all."""


class LintError(LocalError):
    """A certificate of an authority is not as it must be, and was not signed."""


@dataclass(frozen=True, slots=True)
class MadeAuthority:
    """A new certificate of an authority, and what linting said of it."""

    certificate: x509.Certificate
    lint: LintRecord


@dataclass(frozen=True, slots=True)
class Below:
    """An authority to be made below a root. `rules` become the constraints of its names."""

    name: AuthorityName
    key: AuthorityKey
    lifetime: timedelta = AUTHORITY_LIFETIME
    rules: NameRules = field(default_factory=NameRules)
    has_client_auth: bool = False


def make_root(
    name: AuthorityName,
    signer: Signer,
    linter: Linter,
    now: datetime,
    lifetime: timedelta = ROOT_LIFETIME,
) -> MadeAuthority:
    """Make a root, which its own key signs.

    Raises LintError, ValueError for what no root can be, SigningError and KeyUnavailable.
    """
    new = NewAuthority(name, signer.public_key, _make_serial(), now, lifetime)
    draft = draft_root(new, make_stand_in(signer.public_key))
    return _sign(draft, CertificateKind.ROOT, signer, linter)


def make_root_issuer(certificate: x509.Certificate, signer: Signer, folder_url: str) -> Issuer:
    """Make the issuer that a root is; `folder_url` is where everything is published.

    Raises IssuerError (a ValueError) for a certificate that is not the key's.
    """
    return make_issuer(certificate, signer, find_places(certificate, folder_url))


def make_authority(root: Issuer, below: Below, linter: Linter, now: datetime) -> MadeAuthority:
    """Make an authority below a root.

    The same name and key below a second root is the same authority: what it issues is trusted by
    whoever has either root, each by a chain of its own. Raises as `make_root`, ValueError also for
    an issuer that may certify no authorities (RFC 5280 §4.2.1.9).
    """
    constraints = root.certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    if constraints.value.path_length == 0:
        raise ValueError("its certificate does not let it certify authorities: it is no root")
    new = NewAuthority(below.name, below.key, _make_serial(), now, below.lifetime)
    draft = draft_intermediate(root, new, below.rules, has_client_auth=below.has_client_auth)
    is_constrained = _has_constraints(draft)
    kind = CertificateKind.CONSTRAINED_AUTHORITY if is_constrained else CertificateKind.AUTHORITY
    return _sign(draft, kind, root.signer, linter)


def find_authority_name(certificate: x509.Certificate) -> AuthorityName:
    """Give the name that an authority of ours has, to certify it by another root.

    Raises ValueError for one that would not be the same name again.
    """
    subject = certificate.subject
    texts = {
        oid: str(found[0].value)
        for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.COUNTRY_NAME)
        if (found := subject.get_attributes_for_oid(oid))
    }
    name = AuthorityName(
        texts.get(NameOID.COMMON_NAME, ""),
        texts.get(NameOID.ORGANIZATION_NAME),
        texts.get(NameOID.COUNTRY_NAME),
    )
    if name.to_x509().public_bytes() != subject.public_bytes():
        raise ValueError(f"a name that is not made here: {subject.rfc4514_string()}")
    return name


def _sign(draft: Draft, kind: CertificateKind, signer: Signer, linter: Linter) -> MadeAuthority:
    record = linter.lint(draft.der, kind)
    if record.faults:
        raise LintError(f"the {kind} was not signed: {record.linter}: {'; '.join(record.faults)}")
    return MadeAuthority(x509.load_der_x509_certificate(sign_draft(draft, signer)), record)


def _has_constraints(draft: Draft) -> bool:
    certificate = x509.load_der_x509_certificate(draft.der)
    return any(each.oid == x509.NameConstraints.oid for each in certificate.extensions)


def _make_serial() -> int:
    return make_serial(secrets.token_bytes(SERIAL_RANDOM_OCTETS), OF_AUTHORITIES_SHARDS)
