"""A root and an authority below it, made as `ca init` does."""

from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509

from letterlock.protocols.pki.issuance.certificates import AuthorityName
from letterlock.protocols.pki.issuance.issuers import Issuer
from letterlock.protocols.pki.issuance.linting import PRIVATE, Linter
from letterlock.protocols.pki.issuance.profiles import NameRules
from letterlock.protocols.pki.issuance.signing import KeySigner, Signer, make_key
from letterlock.services.ca.hierarchy.chains import IssuingAuthority, join_authority
from letterlock.services.ca.hierarchy.making import (
    Below,
    make_authority,
    make_root,
    make_root_issuer,
)
from tests.fakes import START

FOLDER_URL = "http://ca.example.net/crl/"
LINTER = Linter()
PRIVATE_LINTER = Linter(PRIVATE)
ROOT_NAME = AuthorityName("Lab Root", "Lab", "DE")
ISSUER_NAME = AuthorityName("Lab Issuer 1", "Lab", "DE")


@dataclass(frozen=True)
class World:
    """Two roots, and one authority that both certify."""

    root: Issuer
    other_root: Issuer
    below: Below
    signer: Signer
    certificate: x509.Certificate
    cross: x509.Certificate
    authority: IssuingAuthority


def make_world(
    signer: Signer | None = None,
    rules: NameRules | None = None,
    linter: Linter = LINTER,
    now: datetime = START,
) -> World:
    signer = signer or KeySigner(make_key("ec-p256"))
    root, other = (
        _make_root(name, linter, now)
        for name in (ROOT_NAME, replace(ROOT_NAME, common_name="Root 2"))
    )
    below = Below(ISSUER_NAME, signer.public_key, rules=rules or NameRules())
    first, second = (make_authority(each, below, linter, now) for each in (root, other))
    chains = ([first.certificate], [second.certificate])
    authority = join_authority(signer, FOLDER_URL, chains, root.certificate)
    return World(root, other, below, signer, first.certificate, second.certificate, authority)


def _make_root(name: AuthorityName, linter: Linter, now: datetime) -> Issuer:
    signer = KeySigner(make_key("ec-p384"))
    made = make_root(name, signer, linter, now)
    assert made.lint.faults == ()
    return make_root_issuer(made.certificate, signer, FOLDER_URL)
