"""What the root's key comes out of its safe for: its list for another year, a further authority.

RFC 5280 §4 and §5, RFC 8555 §7.4.2 (an authority that two roots certify has two chains). Which root
it is says its certificate: that of the settings, unless another is named.
"""

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from letterlock.base.clock import Clock
from letterlock.base.config.sections import Config
from letterlock.base.errors import LocalError
from letterlock.node.ca.keys import KeyFiles, list_issuers, name_files, open_section_token
from letterlock.node.ca.making import name_authority
from letterlock.node.ca.rules import find_crl_port, find_crl_url, make_name_rules
from letterlock.protocols.pki.issuance.certificates import AuthorityName
from letterlock.protocols.pki.issuance.issuers import Issuer
from letterlock.protocols.pki.issuance.linting import EXCUSED, PRIVATE, Linter
from letterlock.protocols.pki.issuance.revocation_lists import Reason
from letterlock.protocols.pki.issuance.signing import AuthorityKey, KeyUnavailable, SigningError
from letterlock.services.ca.hierarchy.chains import find_authority_key, load_certificates
from letterlock.services.ca.hierarchy.making import (
    Below,
    find_authority_name,
    make_authority,
    make_root_issuer,
)
from letterlock.services.ca.keys.files import make_passphrase_file, write_key_file
from letterlock.services.ca.keys.opening import KeyFile, open_signer
from letterlock.services.ca.root_crls import RevokedAuthority, publish_root_crl
from letterlock.storage.ca.kept import KeptCrl
from letterlock.storage.ca.store import AuthorityStore
from letterlock.storage.written_once import PUBLIC_MODE, write_once


@dataclass(frozen=True, slots=True)
class RootPlace:
    """A root's key, out of its safe. `certificate` None: the root of the settings."""

    key: KeyFile
    certificate: Path | None = None


@dataclass(frozen=True, slots=True)
class RevokedFile:
    """The certificate of an authority that is to be revoked."""

    path: Path
    reason: Reason
    by: str


@dataclass(frozen=True, slots=True)
class FurtherAuthority:
    """What a root has certified. Without a key it is one that was there, or is in the token."""

    certificate: Path
    root: Path
    key: Path | None = None
    passphrase: Path | None = None
    token_key: str | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        found = (self.certificate, self.key, self.passphrase)
        return tuple(each for each in found if each is not None)


async def renew_root_crl(
    config: Config,
    store: AuthorityStore,
    place: RootPlace,
    clock: Clock,
    revoked: RevokedFile | None = None,
) -> KeptCrl:
    """Have the root sign its list for another year, with an authority that is revoked now.

    Raises LocalError and StoreUnavailable.
    """
    root = _open_root(config, place)
    added = []
    if revoked is not None:
        (certificate, *_) = load_certificates(revoked.path)
        added.append(RevokedAuthority(certificate, revoked.reason, revoked.by))
    try:
        return await publish_root_crl(store, root, clock, added)
    except (KeyUnavailable, SigningError) as error:
        raise LocalError(f"{place.key.path}: {error}") from error


def make_further_authority(
    config: Config, place: RootPlace, name: str, clock: Clock, *, is_in_token: bool = False
) -> FurtherAuthority:
    """Make a new key that issues, and have the root certify it. Nothing is written over.

    Its files are `NAME.pem`, `NAME.key` and `NAME.passphrase` in `ca.folder`, or its key has the
    label NAME in the token. Raises LocalError.
    """
    root = _open_root(config, place)
    files = name_files(config.ca.folder, name)
    _require_none(files)
    called = name_authority(config, f"Issuing {name}")
    if is_in_token:
        try:
            public: AuthorityKey = open_section_token(config.ca.pkcs11).make_key(name, "ec-p256")
        except KeyUnavailable as error:
            raise LocalError(str(error)) from error
        _write_certificate(files, _certify(config, root, called, public, clock))
        return FurtherAuthority(files.certificate, _find_root(config, place), token_key=name)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certify(config, root, called, key.public_key(), clock)
    write_key_file(files.key, key, make_passphrase_file(files.passphrase))
    _write_certificate(files, certificate)
    return FurtherAuthority(
        files.certificate, _find_root(config, place), files.key, files.passphrase
    )


def certify_again(
    config: Config, place: RootPlace, name: str, known: Path, clock: Clock
) -> FurtherAuthority:
    """Have another root certify an authority that there is: by it, what it issues has two chains.

    `NAME.pem` gets its certificate and the root's behind it, as `alternates` takes it. Raises
    LocalError.
    """
    root = _open_root(config, place)
    files = name_files(config.ca.folder, name)
    _require_none(files)
    (certificate, *_) = load_certificates(known)
    try:
        called, key = find_authority_name(certificate), find_authority_key(certificate)
    except ValueError as error:
        raise LocalError(f"{known}: {error}") from error
    made = _certify(config, root, called, key, clock)
    _write_certificate(files, made, root.certificate)
    return FurtherAuthority(files.certificate, _find_root(config, place))


def _certify(
    config: Config, root: Issuer, called: AuthorityName, key: AuthorityKey, clock: Clock
) -> x509.Certificate:
    section = config.ca
    below = Below(
        called,
        key,
        rules=make_name_rules(section.names),
        has_client_auth=any(each.client_auth for each in section.profiles),
    )
    linter = Linter(EXCUSED if section.public else PRIVATE)
    try:
        return make_authority(root, below, linter, clock.now()).certificate
    except (ValueError, SigningError) as error:
        raise LocalError(f"nothing was certified: {error}") from error


def _open_root(config: Config, place: RootPlace) -> Issuer:
    path = _find_root(config, place)
    (certificate, *_) = load_certificates(path)
    try:
        signer = open_signer(place.key, find_authority_key(certificate))
        crl_url = find_crl_url(config, find_crl_port(config))
        return make_root_issuer(certificate, signer, crl_url)
    except ValueError as error:
        raise LocalError(f"{path}: {error}") from error


def _find_root(config: Config, place: RootPlace) -> Path:
    return place.certificate or list_issuers(config.ca)[0].root


def _require_none(files: KeyFiles) -> None:
    for path in files:
        if path.exists():
            raise LocalError(f"{path}: is there already and stays as it is: choose another name")


def _write_certificate(files: KeyFiles, *certificates: x509.Certificate) -> None:
    pem = b"".join(each.public_bytes(Encoding.PEM) for each in certificates)
    write_once(files.certificate, pem, PUBLIC_MODE)
