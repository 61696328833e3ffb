"""Makes an authority: a root, whose key goes into a safe, and the one below it that issues.

RFC 5280 §4, Baseline Requirements 7.1.2.1 and 7.1.2.6. Nothing that is there is written over. The
root signs one CRL here, for the authority below it, which counts for a year.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.clock import Clock
from letterlock.base.config.authority import CaSection
from letterlock.base.config.faults import refuse_setting
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.node.account import acting_as, find_owner, make_data_dir
from letterlock.node.ca.keys import (
    ISSUING,
    ROOT,
    TOKEN_LABEL,
    KeyFiles,
    name_files,
    open_section_token,
)
from letterlock.node.ca.rules import find_crl_port, find_crl_url, make_name_rules
from letterlock.node.ca.stores import load_late, open_store
from letterlock.protocols.pki.issuance.certificates import AuthorityName
from letterlock.protocols.pki.issuance.issuers import Issuer
from letterlock.protocols.pki.issuance.linting import EXCUSED, PRIVATE, Linter
from letterlock.protocols.pki.issuance.revocation_lists import CrlPeriod, draft_shard, next_number
from letterlock.protocols.pki.issuance.signing import (
    AuthorityKey,
    KeySigner,
    KeyUnavailable,
    sign_draft,
)
from letterlock.services.ca.hierarchy.making import (
    OF_AUTHORITIES_SHARDS,
    Below,
    make_authority,
    make_root,
    make_root_issuer,
)
from letterlock.services.ca.keys.files import make_passphrase_file, write_key_file
from letterlock.services.ca.publications import find_key_identifier
from letterlock.storage.ca.changes import PutCrl
from letterlock.storage.ca.kept import KeptCrl
from letterlock.storage.queue import StoreUnavailable
from letterlock.storage.written_once import PUBLIC_MODE, write_once

ROOT_CRL_LIFETIME = timedelta(days=365)
MAX_NAME = 64  # RFC 5280 §A.1: ub-common-name, ub-organization-name
MAX_NAME_SHOWN = 32


@dataclass(frozen=True, slots=True)
class MadeFiles:
    """What was made: the files, and the root's CRL, which the store is to have.

    Where the issuing key is in a token, `issuing` has but its certificate's file.
    """

    root: KeyFiles
    issuing: KeyFiles
    root_certificate: x509.Certificate
    root_crl: KeptCrl
    is_in_token: bool = False

    @property
    def paths(self) -> tuple[Path, ...]:
        issuing = (self.issuing.certificate,) if self.is_in_token else tuple(self.issuing)
        return (*self.root, *issuing)


def make_authority_files(config: Config, clock: Clock) -> MadeFiles:
    """Make keys and certificates in `ca.folder`. Raises LocalError, where there is one already.

    With a module in `[ca.pkcs11]` the key that issues is made in the token, and stays there.
    """
    section = config.ca
    if section.issuers:
        raise refuse_setting(("ca", "issuers"), "names keys: nothing is made beside them")
    root, issuing = (name_files(section.folder, each) for each in (ROOT, ISSUING))
    for path in (*root, *issuing):
        if path.exists():
            raise LocalError(f"{path}: is there already and stays as it is: an authority is made")
    root_key = ec.generate_private_key(ec.SECP384R1())
    issuing_key = _make_issuing_key(section)
    public = issuing_key if isinstance(issuing_key, AuthorityKey) else issuing_key.public_key()
    try:
        issuer, below = _certify(config, KeySigner(root_key), public, clock)
    except ValueError as error:
        raise refuse_setting(("ca",), str(error)) from error
    _write(root, root_key, issuer.certificate)
    _write(issuing, None if isinstance(issuing_key, AuthorityKey) else issuing_key, below)
    return MadeFiles(
        root,
        issuing,
        issuer.certificate,
        sign_root_crl(issuer, clock),
        is_in_token=isinstance(issuing_key, AuthorityKey),
    )


def _make_issuing_key(section: CaSection) -> ec.EllipticCurvePrivateKey | AuthorityKey:
    """Make the key; of one in a token only its public half can be had."""
    if section.pkcs11.module is None:
        return ec.generate_private_key(ec.SECP256R1())
    try:
        return open_section_token(section.pkcs11).make_key(TOKEN_LABEL, "ec-p256")
    except KeyUnavailable as error:
        raise LocalError(str(error)) from error


def _certify(
    config: Config, root_signer: KeySigner, key: AuthorityKey, clock: Clock
) -> tuple[Issuer, x509.Certificate]:
    """Make the root's certificate and the one below it. Raises ValueError and LocalError."""
    section, now = config.ca, clock.now()
    linter = Linter(EXCUSED if section.public else PRIVATE)
    made = make_root(name_authority(config, "Root"), root_signer, linter, now)
    crl_url = find_crl_url(config, find_crl_port(config))
    issuer = make_root_issuer(made.certificate, root_signer, crl_url)
    below = Below(
        name_authority(config, "Issuing"),
        key,
        rules=make_name_rules(section.names),
        has_client_auth=any(each.client_auth for each in section.profiles),
    )
    return issuer, make_authority(issuer, below, linter, now).certificate


def _write(
    files: KeyFiles, key: ec.EllipticCurvePrivateKey | None, certificate: x509.Certificate
) -> None:
    if key is not None:
        write_key_file(files.key, key, make_passphrase_file(files.passphrase))
    write_once(files.certificate, certificate.public_bytes(Encoding.PEM), PUBLIC_MODE)


def sign_root_crl(issuer: Issuer, clock: Clock) -> KeptCrl:
    """Sign a new root's first CRL, which is empty."""
    now = clock.now().replace(microsecond=0)
    period = CrlPeriod(next_number(None, now), now, now + ROOT_CRL_LIFETIME)
    draft = draft_shard(issuer, OF_AUTHORITIES_SHARDS, (), period, is_of_authorities=True)
    identifier = find_key_identifier(issuer.certificate)
    assert identifier is not None
    der = sign_draft(draft, issuer.signer)
    return KeptCrl(identifier, OF_AUTHORITIES_SHARDS, period, 0, der)


def name_authority(config: Config, which: str) -> AuthorityName:
    """Give the name of an authority of ours; `which` says which, however long the others are."""
    common_name = f"{config.ca.name[:MAX_NAME_SHOWN]} {which} {config.hostname}"
    return AuthorityName(common_name[:MAX_NAME], config.ca.name[:MAX_NAME])


@contextmanager
def own_folder(config: Config) -> Iterator[None]:
    """Make the data folder, and go on as who runs the authority, when root. Raises LocalError."""
    load_late(config)
    make_data_dir(config)
    try:
        owner = find_owner(config.data_dir)
    except OSError as error:
        message = f"{error.filename or config.data_dir}: {error.strerror}"
        raise refuse_setting(("data_dir",), message) from error
    with acting_as(owner):
        yield


async def make_authority_with_store(config: Config, clock: Clock) -> MadeFiles:
    """Make all of it: the database first, so that without one there are no keys.

    Raises LocalError.
    """
    try:
        async with open_store(config, clock) as store:
            made = make_authority_files(config, clock)
            await store.commit([PutCrl(made.root_crl, None)])
            return made
    except StoreUnavailable as error:
        raise LocalError(f"the authority's database: {error}") from error
