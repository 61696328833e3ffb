"""Where an authority's certificates and keys are, as its settings say; and loads them.

In `ca.folder` a new authority has `root.pem` with `root.key`, which belongs into a safe, and
`issuing.pem` with `issuing.key`, which issues.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from letterlock.base.config.authority import CaSection
from letterlock.base.config.authority_parts import CaTokenSection, IssuingKey
from letterlock.base.config.faults import refuse_setting
from letterlock.base.config.locate import KeyPath
from letterlock.base.errors import LocalError
from letterlock.base.presence import is_absent
from letterlock.protocols.pki.issuance.issuers import IssuerError
from letterlock.services.ca.hierarchy.chains import (
    IssuingAuthority,
    find_authority_key,
    join_authority,
    load_certificates,
)
from letterlock.services.ca.keys.opening import KeyFile, TokenKey, open_signer, open_token

if TYPE_CHECKING:
    from letterlock.network.pkcs11_token import Token

ROOT, ISSUING = "root", "issuing"
TOKEN_LABEL = "letterlock-issuing"  # noqa: S105 - what a key is called
"""Of the key that `ca init` makes in a token."""


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """The files of one authority of ours, in a folder."""

    certificate: Path
    key: Path
    passphrase: Path

    def __iter__(self) -> Iterator[Path]:
        return iter((self.certificate, self.key, self.passphrase))


@dataclass(frozen=True, slots=True)
class LoadedIssuer:
    """An authority that issues, and all certificates that are published with it."""

    authority: IssuingAuthority
    certificate: x509.Certificate
    root: x509.Certificate
    above: tuple[x509.Certificate, ...] = ()

    @property
    def published(self) -> tuple[x509.Certificate, ...]:
        return (self.certificate, *self.above, self.root)


def name_files(folder: Path, name: str) -> KeyFiles:
    """Give the files of ROOT or ISSUING."""
    return KeyFiles(*(folder / f"{name}.{end}" for end in ("pem", "key", "passphrase")))


def list_issuers(section: CaSection) -> tuple[IssuingKey, ...]:
    """Give the authority's keys: those of the settings, or the one that `ca init` made."""
    if section.issuers:
        return section.issuers
    files, root = name_files(section.folder, ISSUING), name_files(section.folder, ROOT)
    if section.pkcs11.module is not None:
        return (IssuingKey(files.certificate, root.certificate, token_key=TOKEN_LABEL),)
    return (IssuingKey(files.certificate, root.certificate, files.key, files.passphrase),)


def require_authority(section: CaSection) -> None:
    """See that there is one, before anything is made beside it. Raises LocalError."""
    certificate = list_issuers(section)[0].certificate
    if not section.issuers and is_absent(certificate):
        raise LocalError(f"{certificate}: there is no authority yet: run letterlock ca init")


def load_issuers(section: CaSection, crl_url: str) -> tuple[LoadedIssuer, ...]:
    """Load all of them, and sign with each once; the first issues. Raises LocalError."""
    settings = list_issuers(section)
    token = _open_token(section.pkcs11, settings)
    return tuple(
        _load(each, token, crl_url, ("ca", "issuers", index)) for index, each in enumerate(settings)
    )


def _load(setting: IssuingKey, token: "Token | None", crl_url: str, where: KeyPath) -> LoadedIssuer:
    chains = [load_certificates(path) for path in (setting.certificate, *setting.alternates)]
    (root, *_) = load_certificates(setting.root)
    try:
        signer = open_signer(_find_place(setting, token), find_authority_key(chains[0][0]))
        authority = join_authority(signer, crl_url, chains, root)
    except (IssuerError, ValueError) as error:
        raise refuse_setting(where, f"{setting.certificate}: {error}") from error
    above = tuple(each for chain in chains for each in chain[1:])
    return LoadedIssuer(authority, chains[0][0], root, above)


def _find_place(setting: IssuingKey, token: "Token | None") -> KeyFile | TokenKey:
    if setting.key is None:
        # `checks` saw to both.
        assert token is not None
        assert setting.token_key is not None
        return TokenKey(token, setting.token_key)
    if setting.passphrase_file is None:
        raise ValueError("key needs passphrase_file")
    return KeyFile(setting.key, setting.passphrase_file)


def _open_token(section: CaTokenSection, settings: tuple[IssuingKey, ...]) -> "Token | None":
    is_used = any(each.token_key is not None for each in settings)
    return open_section_token(section) if is_used else None


def open_section_token(section: CaTokenSection) -> "Token":
    """Give the token of `[ca.pkcs11]`; nothing is asked of it yet. Raises LocalError."""
    # `checks` saw to both.
    assert section.module is not None
    assert section.token is not None
    if section.pin_file is None:
        raise refuse_setting(("ca", "pkcs11", "pin_file"), "must be given for keys in a token")
    return open_token(section.module, section.token, section.pin_file)
